"""Layers by their KV cache: what each way of writing it down says; counts of real models from their config.json."""

from typing import Any

import pytest

from evalharness.checkpoint.attention_layers import Layers, attention_layers
from evalharness.checkpoint.class_config import built_tensors

CASES: list[tuple[str, dict[str, Any], int, tuple[int, int, int | None]]] = [
    ("gemma_3_27b", {"sliding_window": 1024, "sliding_window_pattern": 6}, 62, (10, 52, 1024)),
    ("gemma_2_9b", {"sliding_window": 4096, "sliding_window_pattern": 2}, 42, (21, 21, 4096)),
    ("llama_4_scout", {"attention_chunk_size": 8192}, 48, (12, 36, 8192)),
    ("no_rope", {"attention_chunk_size": 64, "no_rope_layers": [1, 1, 0, 1]}, 4, (1, 3, 64)),
    ("nemotron_h", {"hybrid_override_pattern": "MEMEM*EM-*"}, 10, (2, 0, None)),
    ("mimo", {"sliding_window": 128, "hybrid_layer_pattern": [0, 1, 1, 1, 1, 0]}, 6, (2, 4, 128)),
    ("minimax", {"attn_type_list": [0, 0, 0, 1]}, 4, (1, 0, None)),
    ("qwen3_next", {"full_attention_interval": 4}, 48, (12, 0, None)),
    ("jamba", {"attn_layer_period": 8, "attn_layer_offset": 4}, 32, (4, 0, None)),
    ("bamba", {"attn_layer_indices": [9, 18, 27]}, 32, (3, 0, None)),
    ("kimi_linear", {"linear_attn_config": {"kda_layers": [1, 2, 3]}}, 4, (1, 0, None)),
    ("mistral_7b_v0.1", {"sliding_window": 4096, "model_type": "mistral"}, 32, (0, 32, 4096)),
    ("mistral_7b_v0.3", {"sliding_window": None, "model_type": "mistral"}, 32, (32, 0, None)),
    ("qwen2", {"sliding_window": 4096, "use_sliding_window": False}, 28, (28, 0, None)),
    ("unknown_kind", {"layer_types": ["a_new_attention", "mamba"]}, 2, (1, 0, None)),
    ("shared_kv", {"num_kv_shared_layers": 3}, 5, (2, 0, None)),
    ("behind_the_last", {"layer_types": ["full_attention", "mamba", "full_attention"]}, 2, (1, 0, None)),
    ("hybrids_have_both", {"layers_block_type": ["hybrid", "mamba"]}, 2, (1, 0, None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "num_layers", "layers"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_layers(text: dict[str, Any], num_layers: int, layers: tuple[int, int, int | None]) -> None:
    assert attention_layers(text, num_layers) == layers


def test_more_layers_than_any_model_has_cost_no_memory() -> None:
    text = {"sliding_window": 8, "sliding_window_pattern": 2}
    assert attention_layers(text, 10**12) == (10**12, 0, None)


def test_a_named_list_wins_over_a_rule() -> None:
    text = {
        "layer_types": ["full_attention", "sliding_attention"],
        "sliding_window": 8,
        "sliding_window_pattern": 1,
    }
    assert attention_layers(text, 2) == (1, 1, 8)


def test_a_negative_number_of_layers_has_no_size() -> None:
    config = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "vocab_size": 8,
              "num_attention_heads": 1, "architectures": ["LlamaForCausalLM"]}  # fmt: skip
    assert built_tensors(config | {"num_hidden_layers": 1})[1]
    assert built_tensors(config | {"num_hidden_layers": -3}) == (None, [])


def test_layers_that_a_list_is_too_short_for_see_the_whole_sequence() -> None:
    short = {"layer_types": ["sliding_attention"] * 2, "sliding_window": 8}
    assert attention_layers(short, 30) == Layers(28, 2, 8)
    assert attention_layers({"hybrid_override_pattern": "M-*"}, 5) == Layers(3, 0, None)
