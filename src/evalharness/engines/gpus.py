"""NVIDIA GPUs of this process, from the driver (NVML), without opening a CUDA context: the one reader of them.

Without the package nvidia-ml-py or a driver there are none, and values that a GPU doesn't report are None. GPUs are in
the driver's order, which is CUDA's where all are of one model. Tested with a made-up driver, not on a real GPU.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Gpu(Protocol):
    """Readings of a GPU in use."""

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; None without a counter (before Volta, MIG instances)."""
        ...

    def used_bytes(self) -> int | None:
        """Memory in use, of all processes."""
        ...


@dataclass(frozen=True, slots=True)
class NvmlGpu:
    """A GPU by its NVML handle."""

    handle: Any

    def energy_j(self) -> float | None:
        """See `Gpu.energy_j`."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def name(self) -> str:
        """The product's name, for a MIG instance with its size."""
        name = self._ask("nvmlDeviceGetName")
        return name.decode() if isinstance(name, bytes) else str(name or "unknown GPU")

    def total_bytes(self) -> int:
        """Its memory; the machine's, where the GPU has none of its own (unified memory: Grace, DGX Spark)."""
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return int(memory.total) if memory is not None and memory.total else total_memory_bytes()

    def used_bytes(self) -> int | None:
        """See `Gpu.used_bytes`."""
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return None if memory is None else int(memory.used)

    def compute_capability(self) -> tuple[int, int] | None:
        """(9, 0) for Hopper."""
        capability = self._ask("nvmlDeviceGetCudaComputeCapability")
        return None if capability is None else (int(capability[0]), int(capability[1]))

    def _ask(self, function: str) -> Any:
        import pynvml

        try:
            return getattr(pynvml, function)(self.handle)
        except pynvml.NVMLError:
            return None


def visible_gpus(*, hidden_too: bool = False) -> list[NvmlGpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, in its order; empty without a driver.

    Args:
        hidden_too: all GPUs of the machine.

    NVML lists all GPUs of the machine, regardless of the variable. A GPU divided by MIG is its first instance, which is
    the one that CUDA uses where none is named.
    """
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        uuids = [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    except pynvml.NVMLError:
        return []
    found = []
    visible = None if hidden_too else os.environ.get("CUDA_VISIBLE_DEVICES")
    for name in visible_names(visible, uuids):
        with contextlib.suppress(pynvml.NVMLError):
            if name.startswith("MIG-"):
                handle = pynvml.nvmlDeviceGetHandleByUUID(name)
            else:
                handle = _first_instance(handles[uuids.index(name)])
            found.append(NvmlGpu(handle))
    return found


def _first_instance(handle: Any) -> Any:
    """A GPU's first MIG instance; the GPU itself if it isn't divided."""
    import pynvml

    try:
        is_divided = pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
        return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, 0) if is_divided else handle
    except pynvml.NVMLError:
        return handle


def visible_names(visible: str | None, uuids: Sequence[str]) -> list[str]:
    """The UUIDs that a value of CUDA_VISIBLE_DEVICES names.

    Args:
        visible: indices, UUIDs or their prefixes, or MIG instances, separated by commas; None: all.
        uuids: those of the machine's GPUs, in the driver's order.

    Source: CUDA C++ Programming Guide, "CUDA Environment Variables": what comes after an invalid name is not visible.
    """
    if visible is None:
        return list(uuids)
    names: list[str] = []
    for part in (part.strip() for part in visible.split(",")):
        if part.isdecimal() and int(part) < len(uuids):
            names.append(uuids[int(part)])
        elif part.startswith("MIG-"):
            names.append(part)
        elif part and len(near := [uuid for uuid in uuids if uuid.startswith(part)]) == 1:
            names.append(near[0])
        else:
            break
    return names


def total_memory_bytes() -> int:
    """The machine's main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpus() -> list[tuple[str, int]]:
    """(name, memory in bytes) of each NVIDIA GPU that this process may use."""
    return [(gpu.name(), gpu.total_bytes()) for gpu in visible_gpus()]
