"""Weights against the architecture that config.json names: what is missing, misshapen, twice or unknown."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny_checkpoints as tiny
from evalharness.checkpoint import check_architecture
from evalharness.checkpoint.json_files import read_json
from evalharness.errors import CheckpointError

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

Weights = dict[str, Any]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    from transformers.utils import logging

    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def edit_weights(folder: Path, edit: Callable[[Weights], Weights]) -> Path:
    path = folder / "model.safetensors"
    edited = {k: v.contiguous() for k, v in edit(safetensors.load_file(path)).items()}
    safetensors.save_file(edited, path, {"format": "pt"})
    return folder


def edit_config(folder: Path, **values: Any) -> Path:
    config = read_json(folder / "config.json") | values
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def without(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: value for name, value in weights.items() if part not in name}


@pytest.mark.parametrize(
    "make",
    [
        tiny.make_tiny_llama,
        tiny.make_tiny_mixtral,
        tiny.make_tiny_qwen3_moe,
        tiny.make_tiny_llama4,
        tiny.make_tiny_llama4_vision,
        lambda path: tiny.make_tiny_llama(path, tie_word_embeddings=True),
    ],
    ids=["llama", "mixtral", "qwen3_moe", "llama4", "llama4_vision", "tied"],
)
def test_what_transformers_saved_fits_without_a_remark(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    check = check_architecture(make(tmp_path))
    assert check.checked
    assert check.remarks == ()


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    edit_weights(tiny.make_tiny_llama(tmp_path), without("layers.1.mlp"))
    with pytest.raises(
        CheckpointError,
        match=r"3 of the 39 tensors of LlamaForCausalLM missing: model\.layers\.1\.mlp\.down_proj\.weight",
    ):
        check_architecture(tmp_path)


def test_an_output_embedding_that_is_not_tied_must_be_there(tmp_path: Path) -> None:
    edit_weights(tiny.make_tiny_llama(tmp_path), without("lm_head"))
    with pytest.raises(CheckpointError, match=r"missing: lm_head\.weight"):
        check_architecture(tmp_path)


def test_another_shape_than_the_config_says_is_refused(tmp_path: Path) -> None:
    edit_config(tiny.make_tiny_llama(tmp_path), vocab_size=400)
    with pytest.raises(
        CheckpointError, match=r"lm_head\.weight is \[320, 64\], config\.json makes it \[400, 64\]"
    ):
        check_architecture(tmp_path)


def test_integers_without_a_quantization_are_refused(tmp_path: Path) -> None:
    def rounded(weights: Weights) -> Weights:
        return {k: v.to(torch.int8) if "down_proj" in k else v for k, v in weights.items()}

    edit_weights(tiny.make_tiny_llama(tmp_path), rounded)
    with pytest.raises(CheckpointError, match=r"down_proj\.weight.*: I8, packed or quantized"):
        check_architecture(tmp_path)


def test_an_expert_that_is_missing_in_the_middle_is_named(tmp_path: Path) -> None:
    edit_weights(tiny.make_tiny_mixtral(tmp_path), without("layers.1.block_sparse_moe.experts.2."))
    with pytest.raises(CheckpointError, match=r"layers\.1\.block_sparse_moe\.experts\.2 lacks w1"):
        check_architecture(tmp_path)


def test_fewer_experts_than_the_config_says_are_refused(tmp_path: Path) -> None:
    edit_weights(tiny.make_tiny_mixtral(tmp_path), without("experts.3."))
    with pytest.raises(
        CheckpointError, match=r"\[3, 64, 96\], config\.json makes it \[4, 64, 96\]"
    ):
        check_architecture(tmp_path)


def test_experts_of_different_shapes_are_refused(tmp_path: Path) -> None:
    def cut(weights: Weights) -> Weights:
        name = "model.layers.1.block_sparse_moe.experts.2.w1.weight"
        return weights | {name: weights[name][:-1].clone()}

    edit_weights(tiny.make_tiny_mixtral(tmp_path), cut)
    with pytest.raises(CheckpointError, match="don't fit MixtralForCausalLM"):
        check_architecture(tmp_path)


def test_unknown_tensors_are_a_remark(tmp_path: Path) -> None:
    edit_config(tiny.make_tiny_llama(tmp_path), num_hidden_layers=3)
    (remark,) = check_architecture(tmp_path).remarks
    assert remark.startswith("9 tensor(s) of the checkpoint unknown to LlamaForCausalLM")
    assert "model.layers.3.input_layernorm.weight" in remark


def test_a_constant_of_older_versions_is_no_remark(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_weights(tiny.make_tiny_llama(tmp_path), lambda w: w | {name: torch.zeros(16)})
    assert check_architecture(tmp_path).remarks == ()


@pytest.mark.parametrize(("change", "is_refused"), [(0, False), (1, True)])
def test_tied_embeddings_that_are_there_twice_must_be_equal(
    tmp_path: Path, change: int, is_refused: bool
) -> None:
    def twice(weights: Weights) -> Weights:
        return weights | {"lm_head.weight": weights["model.embed_tokens.weight"] + change}

    edit_weights(tiny.make_tiny_llama(tmp_path, tie_word_embeddings=True), twice)
    if is_refused:
        with pytest.raises(CheckpointError, match="tie_word_embeddings=false"):
            check_architecture(tmp_path)
    else:
        assert check_architecture(tmp_path).checked == "LlamaForCausalLM"


def test_a_tied_embedding_that_is_only_there_as_the_output_is_refused(tmp_path: Path) -> None:
    def renamed(weights: Weights) -> Weights:
        return {n.replace("model.embed_tokens", "lm_head"): v for n, v in weights.items()}

    edit_weights(tiny.make_tiny_llama(tmp_path, tie_word_embeddings=True), renamed)
    with pytest.raises(CheckpointError, match="ties the output embedding to the input's"):
        check_architecture(tmp_path)


def test_an_unknown_model_type_is_unchecked_and_says_so(tmp_path: Path) -> None:
    edit_config(tiny.make_tiny_llama(tmp_path), model_type="frobnicate")
    check = check_architecture(tmp_path)
    assert check.checked is None
    assert check.remarks == (
        "Weights unchecked: transformers doesn't know the model type 'frobnicate'.",
    )


def test_a_name_of_another_architecture_than_the_type_is_a_remark(tmp_path: Path) -> None:
    edit_config(tiny.make_tiny_llama(tmp_path), architectures=["MistralForCausalLM"])
    assert "names MistralForCausalLM" in check_architecture(tmp_path).remarks[0]


def test_pickles_are_unchecked(tmp_path: Path) -> None:
    tiny.make_tiny_llama(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert "pickled" in check_architecture(tmp_path).remarks[0]


def test_a_vision_part_may_be_missing_where_only_text_is_asked(tmp_path: Path) -> None:
    edit_weights(tiny.make_tiny_llama4_vision(tmp_path), without("vision_model.patch_embedding"))
    assert check_architecture(tmp_path, is_text_only=True).checked
    with pytest.raises(CheckpointError, match=r"missing: .*vision_model"):
        check_architecture(tmp_path)


@pytest.mark.parametrize("has_index", [True, False])
def test_files_that_are_not_loaded_are_named_or_refused_where_vllm_would_load_them(
    tmp_path: Path, has_index: bool
) -> None:
    tiny.make_tiny_llama(tmp_path)
    single = tmp_path / "model.safetensors"
    (tmp_path / "consolidated.safetensors").write_bytes(single.read_bytes())
    if has_index:
        names = dict.fromkeys(safetensors.load_file(single), "model.safetensors")
        index = tmp_path / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": names}))
        assert "consolidated.safetensors" in check_architecture(tmp_path).remarks[0]
    else:
        with pytest.raises(CheckpointError, match=r"vLLM would load consolidated\.safetensors too"):
            check_architecture(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hidden_size": "64"}, "config.json"),
        ({"hidden_size": -64}, "LlamaForCausalLM|config.json"),
        ({"num_hidden_layers": None}, "LlamaForCausalLM|config.json"),
        ({"rope_parameters": 5}, "LlamaForCausalLM|config.json"),
        ({"rope_parameters": {"rope_type": "nonsense"}}, "LlamaForCausalLM|config.json"),
        ({"num_key_value_heads": 0}, "LlamaForCausalLM|config.json"),
        ({"architectures": {}}, ""),
        ({"architectures": [5]}, ""),
        ({"model_type": []}, "model type"),
        ({"torch_dtype": "float99"}, ""),
    ],
)
def test_an_odd_config_is_refused_in_one_line_or_unchecked(
    tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    import re

    edit_config(tiny.make_tiny_llama(tmp_path), **values)
    try:
        text = " ".join(check_architecture(tmp_path).remarks)
    except CheckpointError as e:
        text = str(e)
    assert "\n" not in text
    assert re.search(said, text)


PROJECTION = "proj.weight"


def gptq(weights: Weights) -> Weights:
    """Four bits in the layout of AutoGPTQ, of zeros."""
    made: Weights = {}
    for name, value in weights.items():
        if not name.endswith(PROJECTION):
            made[name] = value
            continue
        (size_out, size_in), module = value.shape, name.removesuffix("weight")
        made[module + "qweight"] = torch.zeros(size_in // 8, size_out, dtype=torch.int32)
        made[module + "qzeros"] = torch.zeros(1, size_out // 8, dtype=torch.int32)
        made[module + "scales"] = torch.ones(1, size_out, dtype=torch.float16)
    return made


def awq(weights: Weights) -> Weights:
    made: Weights = {}
    for name, value in weights.items():
        if not name.endswith(PROJECTION):
            made[name] = value
            continue
        (size_out, size_in), module = value.shape, name.removesuffix("weight")
        made[module + "qweight"] = torch.zeros(size_in, size_out // 8, dtype=torch.int32)
        made[module + "qzeros"] = torch.zeros(1, size_out // 8, dtype=torch.int32)
        made[module + "scales"] = torch.ones(1, size_out, dtype=torch.float16)
    return made


def fp8(weights: Weights) -> Weights:
    quantized = [name for name in weights if name.endswith(PROJECTION)]
    scales = {f"{name}_scale_inv": torch.ones(1, 1) for name in quantized}
    return weights | {n: weights[n].to(torch.float8_e4m3fn) for n in quantized} | scales


def packed(weights: Weights) -> Weights:
    """compressed-tensors' pack-quantized, four bits."""
    made: Weights = {}
    for name, value in weights.items():
        if not name.endswith(PROJECTION):
            made[name] = value
            continue
        size_out, size_in = value.shape
        made[name + "_packed"] = torch.zeros(size_out, size_in // 8, dtype=torch.int32)
        made[name + "_scale"] = torch.ones(size_out, 1)
        made[name + "_shape"] = torch.tensor([size_out, size_in])
    return made


def bitsandbytes(weights: Weights) -> Weights:
    made: Weights = {}
    for name, value in weights.items():
        if not name.endswith(PROJECTION):
            made[name] = value
            continue
        made[name] = torch.zeros(value.numel() // 2, 1, dtype=torch.uint8)
        made[name + ".absmax"] = torch.ones(4)
        made[name + ".quant_state.bitsandbytes__nf4"] = torch.zeros(9, dtype=torch.uint8)
    return made


QUANTIZED = {
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4}),
    "awq": (awq, {"quant_method": "awq", "bits": 4}),
    "fp8": (fp8, {"quant_method": "fp8", "weight_block_size": [128, 128]}),
    "compressed-tensors": (
        packed,
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"num_bits": 4}}},
        },
    ),
    "bitsandbytes": (bitsandbytes, {"quant_method": "bitsandbytes", "load_in_4bit": True}),
}


def make_quantized(folder: Path, method: str) -> Path:
    quantize, config = QUANTIZED[method]
    edit_weights(tiny.make_tiny_llama(folder), quantize)
    return edit_config(folder, quantization_config=config)


@pytest.mark.parametrize("method", QUANTIZED)
def test_quantized_weights_fit_and_what_was_not_checked_is_said(
    tmp_path: Path, method: str
) -> None:
    check = check_architecture(make_quantized(tmp_path, method))
    assert check.checked == "LlamaForCausalLM"
    assert len(check.remarks) == 1
    assert "scales and packed values weren't" in check.remarks[0]


@pytest.mark.parametrize("method", QUANTIZED)
def test_a_quantized_layer_that_is_missing_is_named(tmp_path: Path, method: str) -> None:
    edit_weights(make_quantized(tmp_path, method), without("layers.1.mlp"))
    with pytest.raises(CheckpointError, match=r"missing: model\.layers\.1\.mlp\.down_proj"):
        check_architecture(tmp_path)


@pytest.mark.parametrize(
    ("method", "scales"),
    [
        ("gptq", "scales"),
        ("awq", "scales"),
        ("fp8", "weight_scale_inv"),
        ("compressed-tensors", "weight_scale"),
        ("bitsandbytes", "weight.absmax"),
    ],
)
def test_packed_weights_without_scales_are_refused(
    tmp_path: Path, method: str, scales: str
) -> None:
    edit_weights(make_quantized(tmp_path, method), without(f"layers.1.mlp.up_proj.{scales}"))
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.up_proj\..* have no scales"):
        check_architecture(tmp_path)


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors", "fp8"])
def test_packed_weights_of_another_size_are_refused(tmp_path: Path, method: str) -> None:
    edit_config(make_quantized(tmp_path, method), intermediate_size=192)
    with pytest.raises(CheckpointError, match=r"12 tensor\(s\) of another shape"):
        check_architecture(tmp_path)


def test_an_unknown_quantization_is_unchecked(tmp_path: Path) -> None:
    edit_config(tiny.make_tiny_llama(tmp_path), quantization_config={"quant_method": "hqq"})
    assert check_architecture(tmp_path).remarks == (
        "Weights unchecked: they are quantized by hqq.",
    )
