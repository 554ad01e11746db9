"""What is checked and set before vLLM starts."""

import os
from types import SimpleNamespace

import pytest

from evalharness import engines
from evalharness.config.schema import Device, EngineConfig, Scoring
from evalharness.engines.vllm.arguments import scoring_of
from evalharness.engines.vllm.start import check_platform, set_environment
from evalharness.errors import ConfigError

START_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"


@pytest.mark.parametrize(
    ("device", "found"), [(Device.cpu, "cpu"), (Device.gpu, "cuda"), (Device.gpu, "xpu")]
)
def test_a_build_for_the_device_is_accepted(device: Device, found: str) -> None:
    check_platform(device, found)


@pytest.mark.parametrize(
    ("device", "found", "expected"),
    [
        (Device.gpu, "cpu", "ENGINE=gpu scripts/install"),
        (Device.cpu, "cuda", "set engine.device=gpu"),
        (Device.gpu, "", "finds none: `nvidia-smi`"),
        (Device.cpu, "", "installs the build for CPUs"),
    ],
)
def test_a_build_for_another_device_is_refused(device: Device, found: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"engine.device={device.value}.*{expected}"):
        check_platform(device, found)


def test_a_gpu_that_was_found_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "DRIVERS", ("/proc",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(ConfigError, match=r"engine\.device=auto, which is gpu here, but"):
        check_platform(Device.auto, "cpu")


@pytest.mark.parametrize(
    ("visible", "device"),
    [
        (None, Device.gpu), ("0", Device.gpu), (" 1,0", Device.gpu), ("GPU-8932f937", Device.gpu), ("MIG-1", Device.gpu),
        ("", Device.cpu), ("-1", Device.cpu), (" ", Device.cpu), ("NoDevFiles", Device.cpu),
    ],
)  # fmt: skip
def test_hidden_gpus_are_none(
    visible: str | None, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "DRIVERS", ("/proc",))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert engines.resolve_device(Device.auto) is device
    assert engines.resolve_device(Device.gpu) is Device.gpu


@pytest.mark.parametrize(("chosen", "used"), [(None, "spawn"), ("fork", "fork")])
def test_processes_are_spawned_unless_the_user_chose(
    chosen: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (START_METHOD, "VLLM_NO_USAGE_STATS", "VLLM_LOGGING_COLOR"):
        monkeypatch.setenv(name, "")  # so that it is restored
    monkeypatch.delenv(START_METHOD)
    if chosen:
        monkeypatch.setenv(START_METHOD, chosen)
    set_environment(EngineConfig(device=Device.gpu))
    assert os.environ[START_METHOD] == used


@pytest.mark.parametrize(
    ("wanted", "has_cache", "scoring", "is_said"),
    [
        (True, True, Scoring.prefix, False),
        (True, False, Scoring.plain, True),
        (False, False, Scoring.plain, False),
    ],
)
def test_without_vllms_prefix_cache_scoring_is_plain_and_says_so(
    wanted: bool,
    has_cache: bool,
    scoring: Scoring,
    is_said: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = EngineConfig(enable_prefix_caching=wanted)
    assert scoring_of(config, SimpleNamespace(enable_prefix_caching=has_cache)) is scoring
    assert ("no prefix cache" in caplog.text) is is_said
