"""Engines: token ids in, generations and log-probabilities out. One async protocol, several implementations.

`spec.KINDS` maps each `engine.kind` to its class and to what the rest of the package has to know about it; a class is
imported when it is used.
"""

from __future__ import annotations

import os
from pathlib import Path

from evalharness.config.schema import (
    Device,
    EngineConfig,
    RayConfig,
)
from evalharness.engines.base import Engine, EngineInfo, RequestError, Weights
from evalharness.engines.spec import EngineSpec, describe, engine_class

__all__ = [
    "Engine", "EngineInfo", "EngineSpec", "RequestError", "Weights", "ask_server", "describe", "hides_gpus", "open_engine",
    "resolve_device",
]  # fmt: skip


DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/kfd")
"""Exists if there is an NVIDIA or AMD driver."""


async def open_engine(
    config: EngineConfig, weights: Weights, ray: RayConfig | None = None
) -> Engine:
    """Load the weights and return a running engine.

    Args:
        config: the engine's configuration.
        weights: the weights to load.
        ray: where replicas run; others ignore it.

    Raises:
        EngineError: the engine refused to start.
        ConfigError: the engine isn't installed, or doesn't know an argument.
    """
    engine: Engine = await engine_class(describe(config)).load(config, weights, ray or RayConfig())
    return engine


async def ask_server(config: EngineConfig, weights: Weights) -> EngineInfo:
    """The description that a running server gives of itself.

    Raises:
        EngineError, ConfigError: as for `open_engine`.
    """
    engine = await open_engine(config, weights)
    await engine.close()
    return engine.info


def hides_gpus(visible: str | None) -> bool:
    """Whether a value of CUDA_VISIBLE_DEVICES leaves no GPU: empty, -1, or any word that names none (SLURM's NoDevFiles).

    Source: CUDA C++ Programming Guide, "CUDA Environment Variables": what comes after an invalid name is not visible.
    """
    if visible is None:
        return False
    first = visible.split(",")[0].strip()
    return not (first.isdecimal() or first.startswith(("GPU-", "MIG-")))


def resolve_device(device: Device) -> Device:
    """`auto` becomes gpu if there is an NVIDIA or AMD driver and CUDA_VISIBLE_DEVICES leaves a GPU, else cpu."""
    if device is not Device.auto:
        return device
    has_gpu = any(Path(driver).exists() for driver in DRIVERS) and not hides_gpus(
        os.environ.get("CUDA_VISIBLE_DEVICES")
    )
    return Device.gpu if has_gpu else Device.cpu
