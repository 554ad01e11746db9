"""GPUs of this process: which of the machine's they are, and none without a driver."""

from pathlib import Path

import pytest

from evalharness.engines.gpus import (
    NvmlGpu,
    visible_gpus,
    visible_names,
)

HAS_DRIVER = Path("/proc/driver/nvidia/version").exists()
UUIDS = ["GPU-aaa1", "GPU-aab2", "GPU-bbb3"]


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, UUIDS),
        ("", []),
        ("2,0", ["GPU-bbb3", "GPU-aaa1"]),
        ("GPU-b", ["GPU-bbb3"]),
        ("GPU-aa", []),  # two begin so
        ("0,9,1", ["GPU-aaa1"]),  # what comes after an invalid name is not visible
        ("-1", []),
        ("MIG-x, 1", ["MIG-x", "GPU-aab2"]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    visible: str | None, names: list[str]
) -> None:
    assert visible_names(visible, UUIDS) == names


@pytest.mark.skipif(HAS_DRIVER, reason="a driver is here")
def test_without_a_driver_there_are_no_gpus() -> None:
    assert visible_gpus() == []


@pytest.mark.skipif(HAS_DRIVER, reason="a driver is here")
def test_what_a_gpu_doesnt_tell_is_none() -> None:
    pytest.importorskip("pynvml")
    gpu = NvmlGpu(handle=None)
    assert (gpu.energy_j(), gpu.used_bytes(), gpu.compute_capability()) == (None, None, None)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_DRIVER, reason="no NVIDIA driver")
def test_a_real_gpu_counts_its_energy_and_memory() -> None:
    gpus = visible_gpus()
    assert gpus
    for gpu in gpus:
        assert (gpu.used_bytes() or 0) > 0
        assert (gpu.energy_j() or 0) > 0
        assert (gpu.compute_capability() or (0, 0)) >= (7, 0)
