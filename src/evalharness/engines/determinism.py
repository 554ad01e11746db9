"""`engine.deterministic`: an answer doesn't depend on the rest of the engine's batch.

vLLM calls it batch invariance (docs.vllm.ai/en/v0.32.0/features/batch_invariance): kernels that add in the same order
at every batch size, switched on by VLLM_BATCH_INVARIANT. vLLM checks few of its conditions, so cases known not to work
are refused here. `hf` and `fake` compute every request separately and need no switch.

Switching the mode on has not been tested on a GPU; the refusals have been tested without one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from evalharness.config.schema import (
    Device,
    EngineConfig,
    EngineKind,
)
from evalharness.engines import resolve_device
from evalharness.engines.gpus import visible_gpus
from evalharness.engines.spec import describe
from evalharness.errors import ConfigError

LEAST_CAPABILITY = (8, 0)
"""Ampere."""
_SWITCH = "VLLM_BATCH_INVARIANT"
_QUANTIZATIONS = (None, "fp8", "awq")
"""Quantizations with such kernels. gptq and int4 of compressed-tensors use Marlin's, which vLLM knows not to be
invariant but uses anyway; for the rest it doesn't say."""

Capability = tuple[int, int] | None


def visible_capabilities() -> list[Capability]:
    """Compute capability of each NVIDIA GPU of this process."""
    return [gpu.compute_capability() for gpu in visible_gpus()]


def check_deterministic(
    config: EngineConfig,
    quantization: str | None,
    capabilities: Callable[[], Sequence[Capability]] = visible_capabilities,
) -> None:
    """Refuse `engine.deterministic` if it can't be guaranteed, and vLLM's own switch without it.

    Args:
        config: the engine.
        quantization: of the weights, on disk or as loaded.
        capabilities: finds the GPUs' compute capabilities.

    Raises:
        ConfigError: the reason, and what works instead.
    """
    if describe(config).runs_one_by_one:
        return
    if not config.deterministic:
        if config.computes is EngineKind.vllm and os.environ.get(_SWITCH, "0") != "0":
            raise ConfigError(
                f"{_SWITCH} is set but engine.deterministic is false, so the run would not record what it "
                "ran with; set engine.deterministic=true, or unset the variable"
            )
        return
    if reason := _why_not(config, quantization, capabilities):
        raise ConfigError(
            f"engine.deterministic=true: {reason}; `evalharness selfcheck` measures how much answers "
            "depend on the batch, engine=hf computes one request at a time"
        )


@contextmanager
def batch_invariant(is_on: bool) -> Iterator[None]:
    """Set vLLM's switch while the engine's process starts and inherits it.

    The process is spawned: a forked one would keep kernel modules that read the switch when an earlier run of this
    process imported them.
    """
    wanted = {_SWITCH: "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"} if is_on else {}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _why_not(
    config: EngineConfig,
    quantization: str | None,
    capabilities: Callable[[], Sequence[Capability]],
) -> str | None:
    if config.computes is not EngineKind.vllm:
        return (
            f"engine {config.computes.value} computes elsewhere, where evalharness can't control it"
        )
    if resolve_device(config.device) is Device.cpu:
        return "vLLM has no batch-invariant kernels for CPUs"
    if quantization not in _QUANTIZATIONS:
        return f"vLLM's kernels for {quantization} weights are not known to be batch-invariant"
    found = capabilities()
    if not found:
        return "no NVIDIA GPU found (driver and package nvidia-ml-py)"
    low = min(capability or (0, 0) for capability in found)
    if low < LEAST_CAPABILITY:
        least = ".".join(map(str, LEAST_CAPABILITY))
        return f"needs GPUs of compute capability {least} or newer, one here has {low[0]}.{low[1]}"
    return None
