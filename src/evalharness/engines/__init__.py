"""Engines: token ids in, generations and log-probabilities out. One async protocol, several implementations.

`open_engine` is the only place that knows which class serves which `engine.kind`; each is imported when it is used.
"""

from __future__ import annotations

from pathlib import Path

from evalharness.config.schema import (
    Device,
    EngineConfig,
    EngineKind,
    RayConfig,
)
from evalharness.engines.base import Engine, EngineInfo, RequestError, Weights
from evalharness.errors import ConfigError

__all__ = ["Engine", "EngineInfo", "RequestError", "Weights", "open_engine", "resolve_device"]


DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/kfd")
"""There when an NVIDIA or AMD driver is."""


async def open_engine(
    config: EngineConfig, weights: Weights, ray: RayConfig | None = None
) -> Engine:
    """Load the weights and return a running engine.

    Args:
        config: which, and how.
        weights: what it loads.
        ray: where replicas run; others ignore it.

    Raises:
        EngineError: the engine refused to start.
        ConfigError: the engine isn't installed, or an argument is not one of its own.
    """
    if config.kind is EngineKind.vllm:
        from evalharness.engines.vllm.engine import VllmEngine

        return VllmEngine.load(config, weights)
    if config.kind is EngineKind.hf:
        from evalharness.engines.hf import HfEngine

        return HfEngine.load(config, weights)
    if config.kind is EngineKind.openai:
        try:
            from evalharness.engines.openai.engine import OpenAIEngine
        except ImportError as e:
            raise ConfigError(f"engine=openai: {e}. Install evalharness[openai].") from e
        return await OpenAIEngine.load(config, weights)
    if config.kind is EngineKind.replicas:
        from evalharness.engines.replicas.engine import Replicas

        return await Replicas.load(config, weights, ray or RayConfig())
    from evalharness.engines.fake import FakeEngine

    try:
        return FakeEngine(
            max_model_len=config.max_model_len or 4096, seed=config.seed, **config.extra
        )
    except TypeError as e:
        raise ConfigError(f"engine.extra: {e}") from e


def resolve_device(device: Device) -> Device:
    """`auto` becomes gpu when an NVIDIA or AMD driver is there, else cpu."""
    if device is not Device.auto:
        return device
    has_gpu = any(Path(driver).exists() for driver in DRIVERS)
    return Device.gpu if has_gpu else Device.cpu
