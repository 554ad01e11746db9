"""Our configuration as vLLM's engine arguments."""

import platform
from pathlib import Path
from typing import Any

import pytest

from evalharness.config import Device, EngineConfig
from evalharness.engines import Weights
from evalharness.engines.vllm import CPU_EXTENSION, engine_arguments

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
