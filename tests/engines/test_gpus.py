"""GPUs of this process: which of the machine's they are, and none without a driver."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from evalharness.engines.gpus import (
    NvmlGpu,
    gpus,
    total_memory_bytes,
    visible_gpus,
    visible_names,
)

HAS_DRIVER = Path("/proc/driver/nvidia/version").exists()
GIB = 2**30
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


class MadeUpDriver(ModuleType):
    """The part of NVML that is read, for GPUs that aren't there: one of them without memory of its own, one divided."""

    NVML_DEVICE_MIG_ENABLE = 1

    class NVMLError(Exception):
        """What NVML raises for values that it doesn't know."""

    def __init__(self, names: dict[str, int | None], divided: str = "") -> None:
        super().__init__("pynvml")
        self.sizes, self.divided = dict(names), divided
        self.sizes["MIG-one"] = 10 * GIB

    def nvmlInit(self) -> None: ...  # noqa: N802

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.sizes) - 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return list(self.sizes)[index]

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.sizes:
            raise self.NVMLError(uuid)
        return uuid

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return f"NVIDIA {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        if self.sizes[handle] is None:
            raise self.NVMLError("N/A")
        return SimpleNamespace(total=self.sizes[handle], used=1)

    def nvmlDeviceGetMigMode(self, handle: str) -> tuple[int, int]:  # noqa: N802
        if not self.divided:
            raise self.NVMLError("not supported")
        return (int(handle == self.divided), 0)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:  # noqa: N802
        assert (handle, index) == (self.divided, 0)
        return "MIG-one"


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["NVIDIA GPU-a", "NVIDIA GPU-b"]),
        (" 1 , 0", ["NVIDIA GPU-b", "NVIDIA GPU-a"]),
        ("GPU-b", ["NVIDIA GPU-b"]),
        ("MIG-one", ["NVIDIA MIG-one"]),
        ("MIG-two", []),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_are_those_that_the_variable_leaves(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, found: list[str]
) -> None:
    _install(monkeypatch, MadeUpDriver({"GPU-a": 80 * GIB, "GPU-b": 80 * GIB}), visible)
    assert [name for name, _ in gpus()] == found
    assert len(visible_gpus(hidden_too=True)) == 2


def test_a_gpu_without_memory_of_its_own_has_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, MadeUpDriver({"GPU-a": None, "GPU-b": 80 * GIB}))
    assert [size for _, size in gpus()] == [total_memory_bytes(), 80 * GIB]
    assert visible_gpus()[0].used_bytes() is None


def test_a_divided_gpu_is_its_first_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, MadeUpDriver({"GPU-a": 80 * GIB, "GPU-b": 80 * GIB}, divided="GPU-a"))
    assert gpus() == [("NVIDIA MIG-one", 10 * GIB), ("NVIDIA GPU-b", 80 * GIB)]


def _install(
    monkeypatch: pytest.MonkeyPatch, driver: MadeUpDriver, visible: str | None = None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


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
    found = visible_gpus()
    assert found
    for gpu in found:
        assert (gpu.used_bytes() or 0) > 0
        assert (gpu.energy_j() or 0) > 0
        assert (gpu.compute_capability() or (0, 0)) >= (7, 0)
