"""Parameter counts against published figures, hand calculations and torch's own numel."""

import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import pytest

import tiny_checkpoints as tiny
from evalharness.checkpoint import inspect, measure
from evalharness.checkpoint.scale import logical_params
from evalharness.checkpoint.weights import Tensor


def tensor(name: str, *shape: int, dtype: str = "BF16", num_bytes: int = 0) -> Tensor:
    return Tensor(name, dtype, shape, num_bytes or 2 * prod(shape), 0)


def attention(i: int, hidden: int, heads: int, kv_heads: int, head_dim: int) -> Iterator[Tensor]:
    at = f"model.layers.{i}."
    yield tensor(f"{at}self_attn.q_proj.weight", heads * head_dim, hidden)
    yield tensor(f"{at}self_attn.k_proj.weight", kv_heads * head_dim, hidden)
    yield tensor(f"{at}self_attn.v_proj.weight", kv_heads * head_dim, hidden)
    yield tensor(f"{at}self_attn.o_proj.weight", hidden, heads * head_dim)
    yield tensor(f"{at}input_layernorm.weight", hidden)
    yield tensor(f"{at}post_attention_layernorm.weight", hidden)


def mlp(at: str, hidden: int, inner: int) -> Iterator[Tensor]:
    for name, shape in (
        ("gate", (inner, hidden)),
        ("up", (inner, hidden)),
        ("down", (hidden, inner)),
    ):
        yield tensor(f"{at}.{name}_proj.weight", *shape)


def ends(vocab: int, hidden: int) -> list[Tensor]:
    return [
        tensor("model.embed_tokens.weight", vocab, hidden),
        tensor("lm_head.weight", vocab, hidden),
        tensor("model.norm.weight", hidden),
    ]


def test_llama_3_1_8b() -> None:
    """8,030,261,248: https://huggingface.co/meta-llama/Llama-3.1-8B."""
    tensors = ends(128256, 4096)
    for i in range(32):
        tensors += [*attention(i, 4096, 32, 8, 128), *mlp(f"model.layers.{i}.mlp", 4096, 14336)]
    scale = measure({"architectures": ["LlamaForCausalLM"]}, tensors)
    assert scale.params_total == scale.params_active == 8_030_261_248
    assert scale.num_experts == 0


def test_mixtral_8x7b() -> None:
    """46.7 B in total, 12.9 B active: Jiang et al. 2024, arXiv:2401.04088."""
    tensors = ends(32000, 4096)
    for i in range(32):
        at = f"model.layers.{i}.block_sparse_moe"
        tensors += [*attention(i, 4096, 32, 8, 128), tensor(f"{at}.gate.weight", 8, 4096)]
        for expert in range(8):
            tensors += mlp(f"{at}.experts.{expert}", 4096, 14336)
    scale = measure({"num_local_experts": 8, "num_experts_per_tok": 2}, tensors)
    assert scale.params_total == 46_702_792_704
    assert scale.params_active == pytest.approx(12.9e9, rel=0.002)
    assert (scale.num_experts, scale.experts_per_token, scale.num_shared_experts) == (8, 2, 0)


def test_llama_4_scout() -> None:
    """109 B in total with vision, 17 B active, 16 experts: Meta's model card."""
    tensors = ends(202048, 5120)
    for i in range(48):
        at = f"model.layers.{i}.feed_forward"
        tensors += [*attention(i, 5120, 40, 8, 128), tensor(f"{at}.router.weight", 16, 5120)]
        tensors += mlp(f"{at}.shared_expert", 5120, 8192)
        tensors.append(tensor(f"{at}.experts.gate_up_proj", 16, 5120, 16384))
        tensors.append(tensor(f"{at}.experts.down_proj", 16, 8192, 5120))
    vision = 870_000_000
    tensors.append(tensor("vision_model.patch_embedding.linear.weight", vision))
    config = {
        "architectures": ["Llama4ForConditionalGeneration"],
        "text_config": {"num_local_experts": 16, "num_experts_per_tok": 1},
        "vision_config": {},
    }
    scale = measure(config, tensors)
    assert scale.params_total == pytest.approx(109e9, rel=0.005)
    assert scale.params_active == pytest.approx(17.2e9, rel=0.005)
    assert scale.params_vision == vision
    assert (scale.num_experts, scale.experts_per_token, scale.num_shared_experts) == (16, 1, 1)
    assert scale.is_multimodal


def test_experts_in_one_tensor_are_counted_by_its_first_dimension() -> None:
    fused = tensor("model.layers.0.feed_forward.experts.gate_up_proj", 16, 4, 8)
    assert measure({}, [fused]).num_experts == 16


def test_active_is_unknown_when_the_config_does_not_say_how_many_experts_run() -> None:
    scale = measure({}, [tensor("model.layers.0.mlp.experts.0.up_proj.weight", 4, 4)])
    assert scale.params_active is None


TIED = [tensor("model.embed_tokens.weight", 10, 4), tensor("lm_head.weight", 10, 4)]


@pytest.mark.parametrize(("tied", "params"), [(True, 40), (False, 80)])
def test_tied_embeddings_count_once(tied: bool, params: int) -> None:
    assert measure({"tie_word_embeddings": tied}, TIED).params_total == params


PACKED: list[tuple[str, dict[str, Any], list[Tensor]]] = [
    (
        "gptq",
        {"quant_method": "gptq", "bits": 4},
        [
            tensor("l.qweight", 128 // 8, 64, dtype="I32", num_bytes=128 // 8 * 64 * 4),
            tensor("l.qzeros", 1, 8, dtype="I32", num_bytes=32),
            tensor("l.scales", 1, 64, dtype="F16"),
            tensor("l.g_idx", 128, dtype="I32", num_bytes=512),
        ],
    ),
    (
        "awq",
        {"quant_method": "awq", "bits": 4},
        [
            tensor("l.qweight", 128, 64 // 8, dtype="I32", num_bytes=128 * 64 // 8 * 4),
            tensor("l.qzeros", 1, 8, dtype="I32", num_bytes=32),
            tensor("l.scales", 1, 64, dtype="F16"),
        ],
    ),
    (
        "fp8",
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        [
            tensor("l.weight", 128, 64, dtype="F8_E4M3", num_bytes=128 * 64),
            tensor("l.weight_scale_inv", 1, 1, dtype="F32"),
        ],
    ),
    (
        "bitsandbytes",
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        [
            tensor("l.weight", 128 * 64 // 2, 1, dtype="U8", num_bytes=128 * 64 // 2),
            tensor("l.weight.absmax", 128, dtype="U8", num_bytes=128),
            tensor("l.weight.quant_map", 16, dtype="F32"),
            tensor("l.weight.quant_state.bitsandbytes__nf4", 90, dtype="U8", num_bytes=90),
        ],
    ),
    (
        "compressed-tensors",
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
        },
        [
            tensor("l.weight_packed", 128, 8, dtype="I32", num_bytes=128 * 8 * 4),
            tensor("l.weight_scale", 128, 1),
            tensor("l.weight_shape", 2, dtype="I64", num_bytes=16),
        ],
    ),
    (
        "mxfp4",
        {"quant_method": "mxfp4"},
        [
            tensor("l.down_proj_blocks", 128, 2, 16, dtype="U8", num_bytes=128 * 2 * 16),
            tensor("l.down_proj_scales", 128, 2, dtype="U8", num_bytes=256),
        ],
    ),
]


@pytest.mark.parametrize(("method", "config", "tensors"), PACKED, ids=[case[0] for case in PACKED])
def test_packed_weights_count_as_what_they_stand_for(
    method: str, config: dict[str, Any], tensors: list[Tensor]
) -> None:
    scale = measure({"quantization_config": config}, tensors)
    assert scale.params_total == 128 * 64
    assert scale.quantization == method


def test_buffers_are_no_parameters() -> None:
    assert logical_params(tensor("model.layers.0.rotary_emb.inv_freq", 32), None) == 0


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 8192}, 8192),
        ({"text_config": {"max_position_embeddings": 4096}}, 4096),
        (
            {"max_position_embeddings": 8192, "rope_scaling": {"type": "linear", "factor": 4.0}},
            32768,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 4096,
                "rope_parameters": {"rope_type": "dynamic", "factor": 2.0},
            },
            8192,
        ),
        ({}, None),
    ],
)
def test_context_length_respects_rope_scaling(config: dict[str, Any], length: int | None) -> None:
    assert measure(config, []).context_length == length


def test_context_length_respects_the_tokenizer() -> None:
    assert (
        measure({"max_position_embeddings": 8192}, [], model_max_length=2048).context_length == 2048
    )


EMBEDDINGS = 2 * 320 * 64
ATTENTION = 4 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 2 * 64) + 64
"""Four layers of query, key, value, output and two norms; the last norm."""
TINY: list[tuple[str, Callable[[Path], Path], str, int]] = [
    ("llama", tiny.make_tiny_llama, "LlamaForCausalLM", EMBEDDINGS + ATTENTION + 4 * 3 * 64 * 96),
    (
        "mixtral",
        tiny.make_tiny_mixtral,
        "MixtralForCausalLM",
        EMBEDDINGS + ATTENTION + 4 * (4 * 64 + 2 * 3 * 64 * 96),
    ),
    (
        "qwen3_moe",
        tiny.make_tiny_qwen3_moe,
        "Qwen3MoeForCausalLM",
        EMBEDDINGS + ATTENTION + 4 * (2 * 32 + 4 * 64 + 2 * 3 * 64 * 48),
    ),
    (
        "llama4_text",
        tiny.make_tiny_llama4,
        "Llama4ForCausalLM",
        EMBEDDINGS + ATTENTION + 2 * 3 * 64 * 96 + 2 * (4 * 64 + (1 + 1) * 3 * 64 * 48),
    ),
    (
        "llama4",
        tiny.make_tiny_llama4_vision,
        "Llama4ForConditionalGeneration",
        EMBEDDINGS + ATTENTION + 2 * 3 * 64 * 96 + 2 * (4 * 64 + (1 + 1) * 3 * 64 * 48),
    ),
]


@pytest.mark.parametrize(
    ("model_type", "make", "architecture", "active"), TINY, ids=[case[0] for case in TINY]
)
def test_tiny_checkpoint_counts_as_torch_does(
    tmp_path: Path, model_type: str, make: Callable[[Path], Path], architecture: str, active: int
) -> None:
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's imports
        transformers = importlib.import_module("transformers")
        make(tmp_path)
        model = getattr(transformers, architecture).from_pretrained(tmp_path)
    info = inspect(tmp_path)
    assert info.params_total == sum(p.numel() for p in model.parameters())
    assert info.params_active == active
    assert info.model_type == model_type
    assert info.architecture == architecture
    assert (info.head_dim, info.num_kv_heads, info.num_layers, info.context_length) == (
        32,
        1,
        4,
        1024,
    )
    assert info.dtype == "float32"
    assert info.tokenizer_hash is not None
    assert info.chat_template_hash is not None
    if architecture == "Llama4ForConditionalGeneration":
        towers = (
            p.numel() for n, p in model.named_parameters() if "vision_" in n or "projector" in n
        )
        assert info.params_vision == sum(towers)


def test_tied_tiny_llama_saves_its_embedding_once(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny.make_tiny_llama(tmp_path, tie_word_embeddings=True)
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"]
    info = inspect(tmp_path)
    assert info.params_total == TINY[0][3] - EMBEDDINGS // 2


@pytest.mark.parametrize(
    ("config", "dtype"),
    [({"dtype": "bfloat16"}, "bfloat16"), ({"torch_dtype": "float16"}, "float16"), ({}, "unknown")],
)
def test_dtype_of_pickles_is_what_the_config_says(config: dict[str, Any], dtype: str) -> None:
    assert measure(config, []).dtype == dtype


def test_dtype_is_that_of_most_bytes_whatever_the_config_says() -> None:
    tensors = [tensor("a", 3, dtype="F32", num_bytes=12), tensor("b", 5, dtype="BF16")]
    assert measure({"dtype": "float16"}, tensors).dtype == "float32"
    assert measure({"dtype": "float16"}, [*tensors, tensor("c", 2, dtype="BF16")]).dtype == (
        "bfloat16"
    )


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, 4),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8),
        ({"quant_method": "mxfp4"}, 4),
        ({"quant_method": "fbgemm_fp8"}, 8),
        ({"quant_method": "awq", "w_bit": 4}, 4),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8),
        ({"quant_method": "gptq", "bits": 0}, None),
        ({"quant_method": "gptq", "bits": 65}, None),
        ({"quant_method": "gptq", "bits": 64}, 64),
        ({"quant_method": "hqq"}, None),
    ],
)
def test_bits_of_quantized_weights(settings: dict[str, Any], bits: int | None) -> None:
    assert measure({"quantization_config": settings}, []).quantization_bits == bits


def test_only_linear_and_dynamic_scaling_lengthen_the_context() -> None:
    for kind in ("yarn", "longrope", "llama3"):
        scaling = {"rope_type": kind, "factor": 4.0}
        config = {"max_position_embeddings": 4096, "rope_scaling": scaling}
        assert measure(config, []).context_length == 4096


def test_the_old_name_of_the_kind_of_scaling_counts_too() -> None:
    config = {"max_position_embeddings": 100, "rope_scaling": {"type": "linear", "factor": 1.5}}
    assert measure(config, []).context_length == 150


def test_a_limit_of_the_tokenizer_equal_to_the_models_changes_nothing() -> None:
    config = {"max_position_embeddings": 100}
    assert measure(config, [], model_max_length=100).context_length == 100
    assert measure(config, [], model_max_length=99).context_length == 99
    assert measure(config, [], model_max_length=10**30).context_length == 100
    assert measure(config, [], model_max_length="99").context_length == 100


LAYERS = ["full_attention", "sliding_attention", "chunked_attention", "linear_attention"]


@pytest.mark.parametrize(
    ("window", "layers"),
    [
        ({"sliding_window": 128}, (1, 2, 128)),
        ({"attention_chunk_size": 64}, (1, 2, 64)),
        ({"sliding_window": None}, (3, 0, None)),
        ({}, (3, 0, None)),
    ],
)
def test_layers_with_a_window(window: dict[str, Any], layers: tuple[int, int, int | None]) -> None:
    scale = measure({"num_hidden_layers": 4, "layer_types": LAYERS} | window, [])
    assert (
        scale.num_full_attention_layers,
        scale.num_windowed_layers,
        scale.attention_window,
    ) == layers


def test_without_layer_types_all_layers_see_everything() -> None:
    scale = measure({"num_hidden_layers": 4, "sliding_window": 128}, [])
    assert (scale.num_full_attention_layers, scale.num_windowed_layers) == (4, 0)
    assert scale.attention_window is None


@pytest.mark.parametrize("value", ["64", 64.0, True, -1, 10**13, None, [64]])
def test_a_number_that_is_none_is_not_said(value: object) -> None:
    assert measure({"hidden_size": value}, []).hidden_size == 0


@pytest.mark.parametrize("named", ["Llama", {"0": "Llama"}, [5], [], None])
def test_architectures_of_another_form_are_unknown(named: object) -> None:
    assert measure({"architectures": named}, []).architecture == "unknown"


@pytest.mark.parametrize(
    ("limit", "factor", "length"),
    [
        (2, 0.5, 1),
        (5 * 10**11, 2.0, 10**12),
        (6 * 10**11, 2.0, 6 * 10**11),
        (10**12, None, 10**12),
        (10**12 + 1, None, None),
    ],
)
def test_a_context_of_up_to_a_million_million_tokens_is_believed(
    limit: int, factor: float | None, length: int | None
) -> None:
    config: dict[str, object] = {"max_position_embeddings": limit}
    if factor is not None:
        config["rope_scaling"] = {"rope_type": "linear", "factor": factor}
    assert measure(config, []).context_length == length
