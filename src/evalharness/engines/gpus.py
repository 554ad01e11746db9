"""NVIDIA GPUs of this process, from the driver (NVML), without opening a CUDA context.

Without the package nvidia-ml-py or a driver there are none, and values that a GPU doesn't report are None. The calls
have not been tested on a real GPU, only without one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
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


def visible_gpus() -> list[NvmlGpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, in its order; empty without a driver.

    NVML lists all GPUs of the machine, regardless of the variable.
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
    for name in visible_names(os.environ.get("CUDA_VISIBLE_DEVICES"), uuids):
        with contextlib.suppress(pynvml.NVMLError):
            is_mig = name.startswith("MIG-")
            by_uuid = pynvml.nvmlDeviceGetHandleByUUID
            found.append(NvmlGpu(by_uuid(name) if is_mig else handles[uuids.index(name)]))
    return found


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
    """(name, memory in bytes) of each NVIDIA GPU that this process may use.

    Uses the driver's own tool, so that no GPU context is opened here.
    """
    query = ["nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    wanted = None if visible is None else set(visible.split(","))
    return [
        (name, int(size) * 2**20) for index, name, size in rows if wanted is None or index in wanted
    ]
