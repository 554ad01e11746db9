"""Before vLLM starts: the environment that it reads when it is imported, and whether its build fits the device."""

from __future__ import annotations

import os

from evalharness.config.schema import Device, EngineConfig
from evalharness.engines import resolve_device
from evalharness.errors import ConfigError
from evalharness.paths import install_command

MAX_BOUND_CORES = 8
"""Up to this many cores, all are bound to vLLM: its own binding reserves one, which on two cores halves the speed. With
more, vLLM knows the machine's memory nodes better."""


def set_environment(config: EngineConfig) -> None:
    """Set variables that vLLM reads when it is imported, unless the user has set them."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_COLOR", "0")
    # As `vllm serve` does: forking this process, with its event loop and threads, may hang.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    if resolve_device(config.device) is Device.cpu:
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(config.cpu_kv_cache_gib)))
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) <= MAX_BOUND_CORES and config.tensor_parallel_size == 1:
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores)))


def check_platform(device: Device, found: str | None = None) -> None:
    """Refuse to compute where the run would say another device than the one that vLLM computes on.

    Args:
        device: as configured.
        found: vLLM's `current_platform.device_type`: cpu, cuda (AMD's too), xpu, or empty if its build finds no device;
            None: asks vLLM.

    Raises:
        ConfigError: they differ.
    """
    wanted = resolve_device(device)
    if found is None:
        from vllm.platforms import current_platform

        found = current_platform.device_type
    if (found == "cpu") is (wanted is Device.cpu) and found:
        return
    asked = f"engine.device={device.value}"
    if device is Device.auto:
        asked += f", which is {wanted.value} here,"
    if wanted is Device.gpu and found == "cpu":
        raise ConfigError(
            f"{asked} but vLLM is installed in its CPU build: in a new environment `{install_command('gpu')}` installs the other "
            "(from a checkout, where no GPU is seen: `ENGINE=gpu scripts/install`), or compute on the CPU with engine.device=cpu"
        )
    if wanted is Device.cpu and found:
        raise ConfigError(
            f"{asked} but vLLM is installed in its build for GPUs: in a new environment `{install_command('cpu')}` installs the "
            "other, or set engine.device=gpu"
        )
    raise ConfigError(
        f"{asked} but vLLM, in its build for GPUs, finds none: `nvidia-smi` says whether the driver works, and "
        f"CUDA_VISIBLE_DEVICES may hide them; in a new environment `{install_command('cpu')}` installs the build for CPUs"
    )
