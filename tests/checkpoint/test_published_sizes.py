"""Sizes of real models from their tensors' names and shapes, against what their makers publish.

Shapes are those of the models' configs; names are those of their files. Experts that are separate in the files are one
tensor here, except where their numbers are what is tested, so that a test needs no 100,000 names.
"""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import pytest

from evalharness.checkpoint import inspect_config, measure
from evalharness.checkpoint.weights import Tensor
from evalharness.report.terminal.checkpoint import checkpoint_view
from evalharness.report.terminal.console import console


def tensor(name: str, *shape: int, dtype: str = "BF16") -> Tensor:
    size = {"BF16": 2, "F32": 4, "I32": 4}.get(dtype, 1)
    return Tensor(name, dtype, shape, size * prod(shape), 0)


def linear(name: str, inner: int, outer: int, dtype: str = "BF16") -> Tensor:
    return tensor(f"{name}.weight", outer, inner, dtype=dtype)


def latent_attention(at: str, heads: int) -> Iterator[Tensor]:
    """DeepSeek-V3's, of hidden size 7168."""
    yield linear(f"{at}.q_a_proj", 7168, 1536)
    yield linear(f"{at}.q_b_proj", 1536, heads * 192)
    yield linear(f"{at}.kv_a_proj_with_mqa", 7168, 576)
    yield linear(f"{at}.kv_b_proj", 512, heads * 256)
    yield linear(f"{at}.o_proj", heads * 128, 7168)


def gated(at: str, hidden: int, inner: int, dtype: str = "BF16") -> Iterator[Tensor]:
    yield linear(f"{at}.gate_proj", hidden, inner, dtype)
    yield linear(f"{at}.up_proj", hidden, inner, dtype)
    yield linear(f"{at}.down_proj", inner, hidden, dtype)


def deepseek_v3() -> Iterator[Tensor]:
    """61 layers, of which 3 dense, and one more for multi-token prediction; in 8 bit, with scales."""
    yield linear("model.embed_tokens", 7168, 129280)
    yield linear("lm_head", 7168, 129280)
    for i in range(62):
        at = f"model.layers.{i}"
        yield from latent_attention(f"{at}.self_attn", 128)
        if i < 3:
            yield from gated(f"{at}.mlp", 7168, 18432, "F8_E4M3")
            continue
        yield from gated(f"{at}.mlp.shared_experts", 7168, 2048, "F8_E4M3")
        yield linear(f"{at}.mlp.gate", 7168, 256)
        yield tensor(f"{at}.mlp.experts.gate_up_proj", 256, 4096, 7168, dtype="F8_E4M3")
        yield tensor(f"{at}.mlp.experts.gate_up_proj_scale_inv", 256, 32, 56, dtype="F32")
        yield tensor(f"{at}.mlp.experts.down_proj", 256, 7168, 2048, dtype="F8_E4M3")
    yield linear("model.layers.61.eh_proj", 2 * 7168, 7168)
    yield linear("model.layers.61.embed_tokens", 7168, 129280)
    yield linear("model.layers.61.shared_head.head", 7168, 129280)


DEEPSEEK_V3 = {
    "num_hidden_layers": 61, "num_nextn_predict_layers": 1, "n_routed_experts": 256, "num_experts_per_tok": 8,
    "n_shared_experts": 1, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}  # fmt: skip


def kimi_k2_5() -> Iterator[Tensor]:
    """61 layers, of which one dense; only the routed experts are packed, eight weights a word."""
    yield linear("language_model.model.embed_tokens", 7168, 163840)
    yield linear("language_model.lm_head", 7168, 163840)
    for i in range(61):
        at = f"language_model.model.layers.{i}"
        yield from latent_attention(f"{at}.self_attn", 64)
        if i < 1:
            yield from gated(f"{at}.mlp", 7168, 18432)
            continue
        yield from gated(f"{at}.mlp.shared_experts", 7168, 2048)
        yield linear(f"{at}.mlp.gate", 7168, 384)
        for name, outer, inner in (("w13", 4096, 7168), ("w2", 7168, 2048)):
            at = f"language_model.model.layers.{i}.mlp.experts.{name}"
            yield tensor(f"{at}.weight_packed", 384, outer, inner // 8, dtype="I32")
            yield tensor(f"{at}.weight_scale", 384, outer, inner // 32)


KIMI_K2_5 = {
    "text_config": {
        "num_hidden_layers": 61, "num_nextn_predict_layers": 0, "n_routed_experts": 384, "num_experts_per_tok": 8,
        "quantization_config": {
            "quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}},
        },
    },
}  # fmt: skip


def step_3_7() -> Iterator[Tensor]:
    """45 layers, of which 3 dense, and three more for multi-token prediction; experts under `moe`, in one tensor."""
    yield linear("model.embed_tokens", 4096, 128896)
    yield linear("lm_head", 4096, 128896)
    for i in range(48):
        at = f"model.layers.{i}"
        yield linear(f"{at}.self_attn.q_proj", 4096, 64 * 128)
        yield linear(f"{at}.self_attn.k_proj", 4096, 8 * 128)
        yield linear(f"{at}.self_attn.v_proj", 4096, 8 * 128)
        yield linear(f"{at}.self_attn.o_proj", 64 * 128, 4096)
        if i < 3 or i > 44:
            yield from gated(f"{at}.mlp", 4096, 11264)
            continue
        yield from gated(f"{at}.share_expert", 4096, 1280)
        yield linear(f"{at}.moe.gate", 4096, 288)
        yield tensor(f"{at}.moe.router_bias", 288)
        yield tensor(f"{at}.moe.gate_proj.weight", 288, 1280, 4096)
        yield tensor(f"{at}.moe.up_proj.weight", 288, 1280, 4096)
        yield tensor(f"{at}.moe.down_proj.weight", 288, 4096, 1280)


STEP_3_7 = {
    "num_hidden_layers": 45, "num_nextn_predict_layers": 3, "num_experts": 288, "num_experts_per_tok": 8,
    "n_shared_experts": 1,
}  # fmt: skip


def gpt_oss_20b() -> Iterator[Tensor]:
    """24 layers; the experts' matrices in MXFP4, 32 values in 16 bytes and a scale."""
    yield linear("model.embed_tokens", 2880, 201088)
    yield linear("lm_head", 2880, 201088)
    for i in range(24):
        at = f"model.layers.{i}"
        yield linear(f"{at}.self_attn.q_proj", 2880, 64 * 64)
        yield linear(f"{at}.self_attn.k_proj", 2880, 8 * 64)
        yield linear(f"{at}.self_attn.v_proj", 2880, 8 * 64)
        yield linear(f"{at}.self_attn.o_proj", 64 * 64, 2880)
        yield linear(f"{at}.mlp.router", 2880, 32)
        for name, outer in (("gate_up_proj", 5760), ("down_proj", 2880)):
            yield tensor(f"{at}.mlp.experts.{name}_blocks", 32, outer, 90, 16, dtype="U8")
            yield tensor(f"{at}.mlp.experts.{name}_scales", 32, outer, 90, dtype="U8")
            yield tensor(f"{at}.mlp.experts.{name}_bias", 32, outer)


GPT_OSS_20B = {
    "num_hidden_layers": 24, "num_local_experts": 32, "num_experts_per_tok": 4,
    "quantization_config": {"quant_method": "mxfp4"},
}  # fmt: skip


def qwen3_30b() -> Iterator[Tensor]:
    """48 layers of 128 experts."""
    yield linear("model.embed_tokens", 2048, 151936)
    yield linear("lm_head", 2048, 151936)
    for i in range(48):
        at = f"model.layers.{i}"
        yield linear(f"{at}.self_attn.q_proj", 2048, 32 * 128)
        yield linear(f"{at}.self_attn.k_proj", 2048, 4 * 128)
        yield linear(f"{at}.self_attn.v_proj", 2048, 4 * 128)
        yield linear(f"{at}.self_attn.o_proj", 32 * 128, 2048)
        yield linear(f"{at}.mlp.gate", 2048, 128)
        yield tensor(f"{at}.mlp.experts.gate_up_proj", 128, 1536, 2048)
        yield tensor(f"{at}.mlp.experts.down_proj", 128, 2048, 768)


QWEN3_30B = {"num_hidden_layers": 48, "num_experts": 128, "num_experts_per_tok": 8}

PUBLISHED: list[tuple[str, dict[str, Any], Iterator[Tensor], float, float, str]] = [
    # 671 B, 36.7 B: README_WEIGHTS.md of github.com/deepseek-ai/DeepSeek-V3
    ("deepseek_v3", DEEPSEEK_V3, deepseek_v3(), 671, 36.7, "without"),
    # 1 T, 32 B: huggingface.co/moonshotai/Kimi-K2.5 (1.04 T, 32.6 B for K2: arXiv:2507.20534)
    ("kimi_k2_5", KIMI_K2_5, kimi_k2_5(), 1026, 32.6, "with"),
    # 196 B, 11 B: stepfun.ai, Step 3.7 Flash
    ("step_3_7", STEP_3_7, step_3_7(), 196, 11, "with"),
    # 20.9 B, 3.6 B: arXiv:2508.10925, table 1
    ("gpt_oss_20b", GPT_OSS_20B, gpt_oss_20b(), 20.9, 3.61, "without"),
    # 30.5 B, 3.3 B: huggingface.co/Qwen/Qwen3-30B-A3B
    ("qwen3_30b", QWEN3_30B, qwen3_30b(), 30.5, 3.3, "with"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "tensors", "total", "active", "way"),
    [case[1:] for case in PUBLISHED],
    ids=[case[0] for case in PUBLISHED],
)
def test_sizes_are_the_published_ones(
    config: dict[str, Any], tensors: Iterator[Tensor], total: float, active: float, way: str
) -> None:
    scale = measure(config, list(tensors))
    counted = scale.params_active if way == "with" else scale.params_active_without_input
    assert (scale.params_total or 0) / 1e9 == pytest.approx(total, rel=0.005)
    assert (counted or 0) / 1e9 == pytest.approx(active, rel=0.025)


def test_layers_for_multi_token_prediction_are_apart() -> None:
    """About 11.5 B and both embeddings again, of 0.93 B each: README_WEIGHTS.md."""
    scale = measure(DEEPSEEK_V3, list(deepseek_v3()))
    assert scale.params_next_tokens / 1e9 == pytest.approx(11.5 + 2 * 0.93, rel=0.01)
    named = [tensor("mtp.layers.0.mlp.up_proj.weight", 4, 4), tensor("model.norm.weight", 4)]
    assert (measure({}, named).params_total, measure({}, named).params_next_tokens) == (4, 16)


def test_a_layer_behind_the_last_counts_unless_it_predicts_further_tokens() -> None:
    behind = [tensor("model.layers.2.mlp.up_proj.weight", 4, 4)]
    assert measure({"num_hidden_layers": 2}, behind).params_total == 16
    config = {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    assert measure(config, behind).params_next_tokens == 16


def test_experts_under_names_nobody_knows_are_unknown_not_dense() -> None:
    odd = [tensor("model.layers.0.ffn.expert_bank.w1", 40, 4)]
    assert (measure({}, odd).num_experts, measure({}, odd).params_active) == (None, None)
    stack = [tensor("model.layers.0.ffn.bank.w1", 8, 4, 4), tensor("model.norm.weight", 4)]
    found = measure({"num_experts": 8, "top_k_experts": 2}, stack)
    assert (found.num_experts, found.params_active) == (8, 4 + 2 * 16)
    unseen = measure({"num_experts": 8, "top_k_experts": 2}, [tensor("model.norm.weight", 4)])
    assert (unseen.num_experts, unseen.params_active) == (8, None)


def test_experts_are_counted_by_their_numbers() -> None:
    separate = [tensor(f"model.layers.0.mlp.experts.{i}.up_proj.weight", 4, 4) for i in range(6)]
    assert measure({"num_experts_per_tok": 2}, separate).params_active == 2 * 16


GEMMA_3 = {
    "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
    "text_config": {
        "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504, "model_type": "gemma3_text",
        "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16, "sliding_window": 1024,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    },
    "vision_config": {
        "hidden_size": 1152, "intermediate_size": 4304, "model_type": "siglip_vision_model", "patch_size": 14,
        "num_attention_heads": 16, "num_hidden_layers": 27, "image_size": 896, "vision_use_head": False,
    },
}  # fmt: skip


def test_a_config_alone_says_what_its_class_makes_of_it(tmp_path: Path) -> None:
    """27.4 B, 10 of 62 layers see 131,072 tokens: huggingface.co/google/gemma-3-27b-it, arXiv:2503.19786."""
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps(GEMMA_3))
    info = inspect_config(tmp_path)
    assert (info.params_total or 0) / 1e9 == pytest.approx(27.4, rel=0.005)
    assert (info.num_full_attention_layers, info.num_windowed_layers) == (10, 52)
    assert (info.context_length, info.attention_window) == (131072, 1024)
    assert (info.weights_fingerprint, info.weight_bytes) == ("none", None)
    assert "Gemma3ForConditionalGeneration, made from config.json" in info.remarks[0]


@pytest.mark.parametrize("layers", [10**12, "62", [62], -1, None])
def test_a_config_that_its_class_refuses_or_chokes_on_is_read_as_it_is(
    tmp_path: Path, layers: object
) -> None:
    pytest.importorskip("transformers")
    odd = {"model_type": "gemma2", "num_hidden_layers": layers, "sliding_window": 4096}
    (tmp_path / "config.json").write_text(json.dumps(odd))
    info = inspect_config(tmp_path)
    assert info.params_active is None
    assert info.num_layers in (0, 10**12)


def test_what_nobody_says_is_shown_as_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "not_there_yet"}')
    info = inspect_config(tmp_path)
    console().print(checkpoint_view(info))
    lines = {
        line.split()[0]: line.split()[1:]
        for line in capsys.readouterr().out.splitlines()
        if line.strip()
    }
    for fact in ("parameters", "experts", "context", "layers", "attention"):
        assert lines[fact] == ["unknown"], fact
    assert lines["memory"] == ["needed", "unknown"]
