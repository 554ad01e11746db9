"""Every field of a checkpoint's scale: what config and tensors say, and what nobody says."""

from dataclasses import asdict

import pytest

from evalharness.checkpoint.scale import logical_params, measure
from evalharness.checkpoint.weights import Tensor


def tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name, "BF16", shape, 2 * shape[0] * shape[1], 0)


UNKNOWN = {
    "architecture": "unknown", "model_type": "unknown", "params_total": None, "params_active": None,
    "params_active_without_input": None, "params_vision": 0, "params_embedding": 0, "params_next_tokens": 0,
    "weight_bytes": None, "num_experts": None, "experts_per_token": None, "num_shared_experts": 0,
    "dtype": "unknown", "quantization": None, "quantization_bits": None, "context_length": None, "vocab_size": None,
    "num_layers": 0, "num_full_attention_layers": 0, "num_windowed_layers": 0, "attention_window": None,
    "hidden_size": 0, "num_attention_heads": 0, "num_kv_heads": 0, "head_dim": 0, "num_global_kv_heads": 0,
    "global_head_dim": 0, "latent_dim": None, "is_multimodal": False,
}  # fmt: skip
SAID = {
    "architectures": ["A", "B"], "model_type": "m", "num_hidden_layers": 3, "num_attention_heads": 4,
    "hidden_size": 32, "vocab_size": 10, "num_key_value_heads": 2, "torch_dtype": "float16",
}  # fmt: skip
REPORTED = UNKNOWN | {
    "architecture": "A", "model_type": "m", "num_layers": 3, "num_full_attention_layers": 3, "num_attention_heads": 4,
    "hidden_size": 32, "vocab_size": 10, "num_kv_heads": 2, "head_dim": 32 // 4, "num_global_kv_heads": 2,
    "global_head_dim": 32 // 4, "dtype": "float16",
}  # fmt: skip


def test_what_no_config_says_is_unknown_or_none() -> None:
    assert asdict(measure({}, [])) == UNKNOWN


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({}, {}),
        ({"head_dim": 16}, {"head_dim": 16, "global_head_dim": 16}),
        ({"num_key_value_heads": None}, {"num_kv_heads": 4, "num_global_kv_heads": 4}),
        ({"num_global_key_value_heads": 1, "global_head_dim": 9}, {"num_global_kv_heads": 1, "global_head_dim": 9}),
        ({"swa_num_key_value_heads": 1, "swa_head_dim": 9}, {"num_kv_heads": 1, "head_dim": 9}),
        ({"num_experts": 4}, {"num_experts": 4}),
        ({"kv_lora_rank": 16, "qk_rope_head_dim": 8}, {"latent_dim": 24}),
        ({"kv_lora_rank": 16}, {"latent_dim": 16}),
        ({"vision_config": {}}, {"is_multimodal": True}),
        ({"audio_config": {}}, {"is_multimodal": True}),
        ({"dtype": "bfloat16"}, {"dtype": "bfloat16"}),
        ({"num_hidden_layers": None, "n_layer": 5}, {"num_layers": 5, "num_full_attention_layers": 5}),
        ({"hidden_size": None, "n_embd": 64}, {"hidden_size": 64, "head_dim": 16, "global_head_dim": 16}),
        ({"num_attention_heads": None, "n_head": 8}, {"num_attention_heads": 8, "head_dim": 4, "global_head_dim": 4}),
        ({"quantization_config": {"quant_method": "AWQ", "bits": 4}}, {"quantization": "awq", "quantization_bits": 4}),
    ],
)  # fmt: skip
def test_what_a_config_says_is_reported(
    changes: dict[str, object], reported: dict[str, object]
) -> None:
    assert asdict(measure(SAID | changes, [])) == REPORTED | reported


def test_what_tensors_say_is_reported() -> None:
    """2 experts of 4 x 4 of which 1 runs, one shared, an embedding of 10 x 4, 8 numbers that see."""
    tensors = [
        tensor("model.embed_tokens.weight", 10, 4),
        *(tensor(f"model.layers.0.mlp.experts.{i}.up_proj.weight", 4, 4) for i in (0, 1)),
        tensor("model.layers.0.mlp.shared_experts.up_proj.weight", 2, 4),
        tensor("vision_tower.weight", 2, 4),
    ]
    config = {"num_experts_per_tok": 1, "n_shared_experts": 3}
    found = asdict(measure(config, tensors))
    assert {name: value for name, value in found.items() if value != UNKNOWN[name]} == {
        "params_total": 40 + 32 + 8 + 8,
        "params_active": 40 + 16 + 8,
        "params_active_without_input": 40 + 16 + 8,  # no other output embedding is there
        "weight_bytes": 2 * (40 + 32 + 8 + 8),
        "params_embedding": 40,
        "params_vision": 8,
        "num_experts": 2,
        "experts_per_token": 1,
        "num_shared_experts": 3,
        "dtype": "bfloat16",
        "is_multimodal": True,
    }


def test_a_tokenizers_limit_of_nothing_is_none() -> None:
    config = {"max_position_embeddings": 100}
    for limit, length in ((0, 100), (1, 1)):
        assert measure(config, [], model_max_length=limit).context_length == length


def test_packed_weights_of_unknown_bits_make_the_parameters_unknown() -> None:
    packed = Tensor("model.layers.0.q_proj.qweight", "I32", (4, 4), 64, 0)
    assert logical_params(packed, None) is None
    found = measure({}, [packed, tensor("model.embed_tokens.weight", 10, 4)])
    assert (found.params_total, found.params_active) == (None, None)


def test_one_number_that_sees_is_enough() -> None:
    found = measure({}, [tensor("vision_tower.logit_scale", 1, 1)])
    assert (found.params_vision, found.is_multimodal) == (1, True)


def test_without_heads_a_head_has_no_width() -> None:
    found = measure({"hidden_size": 32}, [])
    assert (found.num_attention_heads, found.head_dim) == (0, 0)


def test_experts_whose_number_nobody_says_are_unknown() -> None:
    routed = tensor("model.layers.0.block_sparse_moe.input_linear.weight", 4, 4)
    for config, num in (({}, None), ({"num_local_experts": 3}, 3)):
        found = measure(config | {"num_experts_per_tok": 1}, [routed])
        assert found.num_experts == num
        assert found.params_active == (None if num is None else 16 // 3)
