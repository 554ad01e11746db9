"""Our configuration as vLLM's engine arguments."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Device,
    EngineConfig,
)
from evalharness.engines import Weights
from evalharness.engines.vllm.arguments import (
    CPU_EXTENSION,
    engine_arguments,
)
from tiny_checkpoints import TinyTensor, write_safetensors

on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="our CPU extension is for x86")


def arguments(**fields: Any) -> dict[str, Any]:
    return engine_arguments(EngineConfig(**fields), Weights(path=Path("model")))


@on_x86
def test_float32_on_a_cpu_gets_small_blocks() -> None:
    found = arguments(device=Device.cpu)
    assert (found["block_size"], found["worker_extension_cls"]) == (16, CPU_EXTENSION)


def test_other_types_on_a_cpu_get_the_declared_blocks() -> None:
    found = arguments(device=Device.cpu, dtype="bfloat16")
    assert found["block_size"] == 32
    assert "worker_extension_cls" not in found


def test_a_gpu_keeps_its_own_blocks() -> None:
    found = arguments(device=Device.gpu)
    assert not {"block_size", "worker_extension_cls"} & found.keys()


@pytest.mark.parametrize("device", [Device.cpu, Device.gpu])
def test_the_users_block_size_is_kept(device: Device) -> None:
    assert arguments(device=device, block_size=64)["block_size"] == 64


def test_extra_wins() -> None:
    found = arguments(device=Device.cpu, extra={"worker_extension_cls": ""})
    assert found["worker_extension_cls"] == ""


def test_a_cpu_computes_prompts_whole_because_seeded_draws_of_parts_kill_the_engine() -> None:
    assert arguments(device=Device.cpu)["enable_chunked_prefill"] is False
    assert "enable_chunked_prefill" not in arguments(device=Device.gpu)


def make_adapter(folder: Path, **settings: Any) -> Path:
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    rank = settings.get("rank_pattern", {}).get("q_proj", settings["r"])
    tensors = {
        f"{at}.lora_A.weight": TinyTensor("F32", (rank, 8)),
        f"{at}.lora_B.weight": TinyTensor("F32", (8, rank)),
    }
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "rank"),
    [
        ({"r": 8}, 8),
        ({"r": 9}, 16),
        ({"r": 1}, 8),
        ({"r": 512}, 512),
        ({"r": 8, "rank_pattern": {"q_proj": 60}}, 64),
        ({"r": 32, "rank_pattern": {"q_proj": 4}}, 32),
    ],
)
def test_the_rank_holds_the_largest_of_the_adapter(
    tmp_path: Path, settings: dict[str, Any], rank: int
) -> None:
    weights = Weights(path=Path("model"), adapter=make_adapter(tmp_path, **settings))
    found = engine_arguments(EngineConfig(device=Device.cpu), weights)
    assert (found["enable_lora"], found["max_lora_rank"]) == (True, rank)


@pytest.mark.parametrize(
    ("files", "allow_pickle", "load_format"),
    [
        (["pytorch_model.bin"], True, "auto"),
        (["pytorch_model.bin"], False, "safetensors"),
        (["pytorch_model.bin", "model.safetensors"], True, "safetensors"),
        (["model.safetensors"], False, "safetensors"),
    ],
)
def test_pickles_are_only_loaded_where_there_is_nothing_else(
    tmp_path: Path, files: list[str], allow_pickle: bool, load_format: str
) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"")
    weights = Weights(path=tmp_path, allow_pickle=allow_pickle)
    assert engine_arguments(EngineConfig(), weights)["load_format"] == load_format
