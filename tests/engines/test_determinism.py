"""`engine.deterministic` is refused where it can't be kept, before anything is loaded."""

import os
from typing import Any

import pytest

from evalharness.config.schema import (
    Device,
    EngineConfig,
    EngineKind,
)
from evalharness.engines.determinism import Capability, batch_invariant, check_deterministic
from evalharness.errors import ConfigError

HOPPER, AMPERE, TURING = (9, 0), (8, 0), (7, 5)


def check(*gpus: Capability, quantization: str | None = None, **changes: Any) -> None:
    changes = {"device": Device.gpu, "deterministic": True, **changes}
    check_deterministic(EngineConfig(**changes), quantization, lambda: gpus)


@pytest.fixture(autouse=True)
def _without_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_BATCH_INVARIANT", raising=False)


@pytest.mark.parametrize("gpu", [HOPPER, AMPERE])
def test_newer_gpus_keep_it(gpu: Capability) -> None:
    check(gpu)


@pytest.mark.parametrize("quantization", ["fp8", "awq"])
def test_weights_with_invariant_kernels_keep_it(quantization: str) -> None:
    check(HOPPER, quantization=quantization)


@pytest.mark.parametrize(
    ("gpus", "changes", "message"),
    [
        ([HOPPER], {"device": Device.cpu}, "no batch-invariant kernels for CPUs"),
        ([], {}, "no NVIDIA GPU found"),
        ([HOPPER, TURING], {}, "compute capability 8.0 or newer, one here has 7.5"),
        ([None], {}, "one here has 0.0"),
        ([HOPPER], {"quantization": "gptq"}, "kernels for gptq weights are not known to be"),
        ([], {"kind": EngineKind.replicas}, "no NVIDIA GPU found"),
    ],
)
def test_it_is_refused_with_the_reason_and_the_way_out(
    gpus: list[Capability], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        check(*gpus, **changes)
    assert "evalharness selfcheck" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_this_machines_own_gpus_are_asked() -> None:
    """Without a driver there are none; a machine with a GPU answers for itself."""
    from evalharness.engines.determinism import visible_capabilities

    if not visible_capabilities():
        with pytest.raises(ConfigError, match="no NVIDIA GPU found"):
            check_deterministic(EngineConfig(device=Device.gpu, deterministic=True), None)


@pytest.mark.parametrize("kind", [EngineKind.hf, EngineKind.fake])
def test_engines_that_compute_one_request_at_a_time_keep_it_anyway(kind: EngineKind) -> None:
    check(kind=kind)


def test_vllms_own_switch_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    with pytest.raises(ConfigError, match=r"set engine\.deterministic=true, or unset"):
        check(HOPPER, deterministic=False)
    check(HOPPER)


def test_the_switch_is_set_only_while_the_engine_starts() -> None:
    with batch_invariant(True):
        assert os.environ["VLLM_BATCH_INVARIANT"] == "1"
        assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert "VLLM_BATCH_INVARIANT" not in os.environ
    with batch_invariant(False):
        assert "VLLM_BATCH_INVARIANT" not in os.environ


def test_what_the_user_has_set_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")
    with batch_invariant(True):
        pass
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "fork"


def test_the_switch_is_vllms() -> None:
    envs = pytest.importorskip("vllm.envs")
    with batch_invariant(True):
        assert envs.VLLM_BATCH_INVARIANT is True
    assert envs.VLLM_BATCH_INVARIANT is False
