"""A LoRA adapter against its own config, its base and what vLLM takes. Rules and names are PEFT's."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalharness.checkpoint.adapter import Adapter, check_adapter, read_adapter
from evalharness.checkpoint.lora_config import read_lora_config
from evalharness.errors import CheckpointError
from tiny_checkpoints import TinyTensor, write_safetensors

Q = "model.layers.0.self_attn.q_proj"
K = "model.layers.1.self_attn.k_proj"
BASE = {
    "model.embed_tokens.weight": (32, 8),
    f"{Q}.weight": (6, 8),
    f"{K}.weight": (4, 8),
    f"{K}.bias": (4,),
    "model.norm.weight": (8,),
    "lm_head.weight": (32, 8),
}


def lora(module: str, size_in: int, size_out: int, rank: int = 2) -> dict[str, TinyTensor]:
    at = f"base_model.model.{module}"
    return {
        f"{at}.lora_A.weight": TinyTensor("F32", (rank, size_in)),
        f"{at}.lora_B.weight": TinyTensor("F32", (size_out, rank)),
    }


def make(folder: Path, tensors: dict[str, TinyTensor] | None = None, **config: Any) -> Path:
    """An adapter of rank 2 over `Q`; `config` overrides its settings."""
    tensors = lora(Q, 8, 6) if tensors is None else tensors
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    return folder


def fitted(folder: Path, **arguments: Any) -> Adapter:
    adapter = read_adapter(folder)
    check_adapter(adapter, BASE, **arguments)
    return adapter


def test_a_plain_adapter_fits_and_vllm_takes_it(tmp_path: Path) -> None:
    adapter = fitted(make(tmp_path))
    assert adapter.not_for_vllm is None
    assert set(adapter.modules) == {Q}


@pytest.mark.parametrize(
    ("config", "tensors", "why"),
    [
        (
            {"use_dora": True},
            lora(Q, 8, 6)
            | {f"base_model.model.{Q}.lora_magnitude_vector": TinyTensor("F32", (6,))},
            "use_dora",
        ),
        (
            {"modules_to_save": ["lm_head"]},
            lora(Q, 8, 6) | {"base_model.model.lm_head.weight": TinyTensor("F32", (32, 8))},
            "it replaces lm_head.weight",
        ),
        (
            {"bias": "all"},
            lora(Q, 8, 6) | {f"base_model.model.{K}.bias": TinyTensor("F32", (4,))},
            f"it replaces {K}.bias",
        ),
        (
            {"lora_bias": True, "target_modules": ["k_proj"]},
            lora(K, 8, 4) | {f"base_model.model.{K}.lora_B.bias": TinyTensor("F32", (4,))},
            "lora_bias",
        ),
        ({"target_modules": ["lm_head"]}, lora("lm_head", 8, 32), "it is for lm_head"),
        ({"r": 513}, lora(Q, 8, 6, 513), "rank 513"),
        (
            {"rank_pattern": {"k_proj": 1024}, "target_modules": ["q_proj", "k_proj"]},
            lora(Q, 8, 6) | lora(K, 8, 4, 1024),
            "rank 1024",
        ),
    ],
)
def test_what_vllm_can_not_take_is_known_before_loading(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, TinyTensor], why: str
) -> None:
    assert fitted(make(tmp_path, tensors, **config)).not_for_vllm == why


def test_an_embedding_is_not_for_vllm(tmp_path: Path) -> None:
    at = "base_model.model.model.embed_tokens"
    tensors = {
        f"{at}.lora_embedding_A": TinyTensor("F32", (2, 32)),
        f"{at}.lora_embedding_B": TinyTensor("F32", (8, 2)),
    }
    adapter = fitted(make(tmp_path, tensors, target_modules=["embed_tokens"]))
    assert adapter.not_for_vllm == "it is for model.embed_tokens"


def test_experts_are_not_for_vllm(tmp_path: Path) -> None:
    module = "model.layers.0.mlp.experts.1.up_proj"
    adapter = read_adapter(make(tmp_path, lora(module, 8, 6), target_modules=["up_proj"]))
    check_adapter(adapter, BASE | {f"{module}.weight": (6, 8)})
    assert adapter.not_for_vllm == f"it is for {module}"


@pytest.mark.parametrize(
    ("config", "tensors", "said"),
    [
        ({}, lora(Q, 8, 7), "the base's is [6, 8]: it is for another base"),
        ({}, lora(Q, 6, 8), "the base's is [6, 8]: it is for another base"),
        ({}, lora("model.layers.7.self_attn.q_proj", 8, 6), "which the base hasn't"),
        ({}, lora(Q, 8, 6, 4), "whose rank is 2 in adapter_config.json"),
        ({"r": 4, "rank_pattern": {"q_proj": 3}}, lora(Q, 8, 6, 4), "whose rank is 3"),
        (
            {"target_modules": ["q_proj", "k_proj"]},
            lora(Q, 8, 6),
            f"lacks {K}, which target_modules",
        ),
        ({"target_modules": ["k_proj"]}, lora(K, 8, 4) | lora(Q, 8, 6), f"holds {Q}, which"),
        ({"use_dora": True}, lora(Q, 8, 6), f"lacks a magnitude for {Q}"),
        (
            {},
            lora(Q, 8, 6)
            | {f"base_model.model.{Q}.lora_magnitude_vector": TinyTensor("F32", (6,))},
            f"has a magnitude for {Q}, and use_dora=false",
        ),
        (
            {"use_dora": True},
            lora(Q, 8, 6)
            | {f"base_model.model.{Q}.lora_magnitude_vector": TinyTensor("F32", (8,))},
            "has the shape [8], [6] is needed",
        ),
        ({"modules_to_save": ["lm_head"]}, lora(Q, 8, 6), "lacks lm_head of modules_to_save"),
        (
            {"modules_to_save": ["lm_head"]},
            lora(Q, 8, 6) | {"base_model.model.lm_head.weight": TinyTensor("F32", (40, 8))},
            "one of shape [40, 8], the base's is [32, 8]",
        ),
        (
            {"lora_bias": True},
            lora(Q, 8, 6) | {f"base_model.model.{Q}.lora_B.bias": TinyTensor("F32", (6,))},
            f"is for {Q}.bias, which the base hasn't",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, TinyTensor], said: str
) -> None:
    import re

    make(tmp_path, tensors, **config)
    with pytest.raises(CheckpointError, match=re.escape(said)) as caught:
        fitted(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["A", "B"])
def test_half_of_a_pair_is_refused(tmp_path: Path, part: str) -> None:
    tensors = {name: t for name, t in lora(Q, 8, 6).items() if f"lora_{part}" not in name}
    with pytest.raises(CheckpointError, match=f"lacks lora_{part} of {Q}"):
        read_adapter(make(tmp_path, tensors))


def test_a_tensor_of_another_method_is_refused(tmp_path: Path) -> None:
    tensors = {"base_model.model.prompt_embeddings": TinyTensor("F32", (4,))}
    with pytest.raises(
        CheckpointError, match=r"not a tensor of a LoRA adapter; merge it with peft"
    ):
        read_adapter(make(tmp_path, tensors))


@pytest.mark.parametrize(
    "config",
    [
        {"peft_type": "IA3"},
        {"peft_type": "PREFIX_TUNING"},
        {"peft_type": "ADALORA"},
        {"layer_replication": [[0, 1], [0, 1]]},
        {"alora_invocation_tokens": [1, 2]},
        {"trainable_token_indices": [1]},
        {"target_parameters": ["experts.gate_up_proj"]},
        {"use_qalora": True},
        {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "loftq"},
        {"init_lora_weights": "corda"},
    ],
)
def test_what_can_not_be_followed_is_refused_with_the_way_out(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError, match="peft"):
        read_adapter(make(tmp_path, **config))


@pytest.mark.parametrize(
    "config",
    [
        {"r": 0},
        {"r": True},
        {"r": "8"},
        {"r": None},
        {"lora_alpha": "x"},
        {"lora_alpha": float("nan")},
        {"use_dora": "yes"},
        {"rank_pattern": {"q_proj": 2.5}},
        {"rank_pattern": {"q_proj": 0}},
        {"rank_pattern": {"(": 4}},
        {"rank_pattern": [4]},
        {"alpha_pattern": {"q_proj": None}},
        {"target_modules": "("},
        {"target_modules": [5]},
        {"modules_to_save": {"a": 1}},
        {"layers_to_transform": ["0"]},
    ],
)
def test_a_setting_of_another_form_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        read_adapter(make(tmp_path, **config))


def test_settings_that_only_matter_in_training_are_not_asked_about(tmp_path: Path) -> None:
    adapter = read_adapter(
        make(tmp_path, init_lora_weights="gaussian", lora_dropout=0.1, eva_config={"rho": 2})
    )
    assert adapter.remarks("base") == ()


def test_an_unknown_setting_is_a_remark(tmp_path: Path) -> None:
    adapter = read_adapter(make(tmp_path, use_frobnication=True))
    assert "use_frobnication" in adapter.remarks("base")[0]


@pytest.mark.parametrize(
    ("trained", "used", "num"),
    [
        ("meta-llama/Llama-3.1-8B", ("mine", None, "/models/llama-3.1-8b"), 0),
        ("meta-llama/Llama-3.1-8B", ("mine", "other/Llama-3.1-8B", "/m/x"), 0),
        ("meta-llama/Llama-3.1-8B", ("mine", None, "/models/qwen"), 1),
        (None, ("mine", None, "/models/qwen"), 0),
    ],
)
def test_another_base_than_the_adapter_names_is_a_remark(
    tmp_path: Path, trained: str | None, used: tuple[str | None, ...], num: int
) -> None:
    adapter = read_adapter(make(tmp_path, base_model_name_or_path=trained))
    assert len(adapter.remarks(*used)) == num


def scaling(folder: Path, module: str = Q, **config: Any) -> float:
    return read_lora_config(make(folder, **config)).scaling_of(module)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, 4.0),
        ({"lora_alpha": 3}, 1.5),
        ({"use_rslora": True, "r": 16}, 2.0),
        ({"alpha_pattern": {"q_proj": 6}}, 3.0),
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 6}}, 3.0),
        ({"alpha_pattern": {"^model.*q_proj": 6}}, 3.0),
        ({"alpha_pattern": {"proj": 6}}, 4.0),
        ({"alpha_pattern": {"self_attn": 6}}, 4.0),
        ({"alpha_pattern": {".*_proj": 6, "q_proj": 2}}, 3.0),
        ({"alpha_pattern": {"q_proj": 0}}, 0.0),
        ({"rank_pattern": {"q_proj": 16}}, 0.5),
        ({"rank_pattern": {"q_proj": 16}, "use_rslora": True}, 2.0),
        ({"rank_pattern": {"q_proj": 16}, "alpha_pattern": {"q_proj": 64}}, 4.0),
    ],
)
def test_the_first_pattern_that_ends_the_name_gives_rank_and_alpha(
    tmp_path: Path, config: dict[str, Any], expected: float
) -> None:
    assert scaling(tmp_path, **config) == expected


def test_alpha_is_8_where_it_is_not_given(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2}))
    assert read_lora_config(tmp_path).scaling_of(Q) == 4.0


def test_the_largest_rank_is_that_of_the_pattern(tmp_path: Path) -> None:
    config = read_lora_config(make(tmp_path, rank_pattern={"k_proj": 64, "v_proj": 1}))
    assert config.largest_rank == 64


@pytest.mark.parametrize(
    ("config", "targets"),
    [
        ({"target_modules": ["q_proj"]}, {Q}),
        ({"target_modules": ["proj"]}, set()),
        ({"target_modules": [Q, "k_proj"]}, {Q, K}),
        ({"target_modules": r".*\.layers\.\d\..*_proj"}, {Q, K}),
        ({"target_modules": "q_proj"}, set()),
        ({"target_modules": ["q_proj", "k_proj"], "exclude_modules": ["k_proj"]}, {Q}),
        ({"target_modules": ["q_proj", "k_proj"], "exclude_modules": r".*layers\.0.*"}, {K}),
        ({"target_modules": ["q_proj", "k_proj"], "layers_to_transform": [1]}, {K}),
        ({"target_modules": ["q_proj", "k_proj"], "layers_to_transform": 0}, {Q}),
        (
            {
                "target_modules": ["q_proj", "k_proj"],
                "layers_to_transform": [0],
                "layers_pattern": "layers",
            },
            {Q},
        ),
        (
            {
                "target_modules": ["q_proj", "k_proj"],
                "layers_to_transform": [0],
                "layers_pattern": "blocks",
            },
            set(),
        ),
        ({"target_modules": ["q_proj", "k_proj"], "modules_to_save": ["k_proj"]}, {Q}),
    ],
)
def test_targets_are_those_of_peft(
    tmp_path: Path, config: dict[str, Any], targets: set[str]
) -> None:
    found = read_lora_config(make(tmp_path, **config))
    assert {module for module in (Q, K) if found.is_target(module)} == targets


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (make(tmp_path) / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        read_adapter(tmp_path)


def test_a_module_that_the_files_call_otherwise_is_no_missing_one(tmp_path: Path) -> None:
    names = {"layers.0.mlp.q_proj.weight": f"{Q}.weight"}
    folder = make(tmp_path, lora("layers.0.mlp.q_proj", 8, 6))
    assert fitted(folder, names=names).not_for_vllm is None
