"""Whether a checkpoint fits the devices of an engine, checked before it starts, and the context that it is given."""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from evalharness import checkpoint
from evalharness.checkpoint import CheckpointInfo
from evalharness.checkpoint.fit import GIB, Headroom, Placement, is_safe, kv_cache_bytes
from evalharness.config.schema import Device, EngineConfig, RayConfig
from evalharness.engines import resolve_device
from evalharness.engines.gpus import gpus, total_memory_bytes, visible_gpus
from evalharness.engines.spec import EngineSpec, describe
from evalharness.errors import CheckpointError, ConfigError

logger = logging.getLogger(__name__)

AS_FITS = -1
"""max_model_len for which vLLM takes the longest context that fits, up to the checkpoint's."""
_ROUNDED_TO = 256
"""Tokens; a suite with a few more docs then has the same context."""
_LARGE_GPU = 70 * GIB


class _Devices(NamedTuple):
    """Memory that an engine may use."""

    memory: int
    """Bytes of one device."""
    share: float
    dtype: str
    name: str = ""


def fitting_context(
    engine: EngineConfig, ray: RayConfig, info: CheckpointInfo, needed: int | None = None
) -> int | None:
    """The max_model_len for an engine; refuses checkpoints that can't fit before any weights are loaded.

    Args:
        engine: the engine.
        ray: where its replicas run.
        info: the checkpoint.
        needed: tokens of the run's longest prompt and its answer; None if they aren't known.

    Returns:
        The configured length; else what is needed, at most the checkpoint's context; `AS_FITS` where memory may not be
        enough for that, or isn't known; None for an engine that has no such limit, or the checkpoint's whole context.

    Raises:
        CheckpointError: it doesn't fit; gives the arithmetic, and what would fit.
        ConfigError: there are fewer GPUs than it needs.
    """
    spec = describe(engine)
    wanted = engine.max_model_len
    if not spec.fills_memory:
        return wanted
    if wanted and info.context_length and wanted > info.context_length:
        raise CheckpointError(
            f"engine.max_model_len: {wanted} is more than the checkpoint's context of "
            f"{info.context_length} tokens"
        )
    devices = _devices(engine, ray, spec)
    if devices is None:
        return wanted or AS_FITS
    dtype = engine.dtype if engine.dtype != "auto" else devices.dtype
    fit = checkpoint.check_fit(
        info,
        memory_bytes_per_device=devices.memory,
        max_model_len=wanted,
        dtype=dtype,
        quantization=engine.quantization,
        tensor_parallel_size=engine.tensor_parallel_size,
        pipeline_parallel_size=engine.pipeline_parallel_size,
        gpu_memory_utilization=devices.share,
        disk_bytes=info.disk_bytes,
        kv_bytes=kv_bytes(engine),
    )
    fit.require()
    context = info.context_length
    if wanted is None and context is None:
        return None
    placement = Placement(
        max_model_len=wanted or _target(context or 0, needed),
        dtype=dtype,
        quantization=engine.quantization,
        tensor_parallel_size=engine.tensor_parallel_size,
        pipeline_parallel_size=engine.pipeline_parallel_size,
        kv_bytes=kv_bytes(engine),
    )
    is_sure = _is_safe(engine, info, placement, devices)
    return _settled(wanted, context, placement.max_model_len, is_sure=is_sure)


def _settled(wanted: int | None, context: int | None, target: int, *, is_sure: bool) -> int | None:
    """The length to ask for: the configured, the target if memory is surely enough for it, or whatever fits."""
    if wanted is not None:
        if not is_sure:
            logger.warning(
                "engine.max_model_len=%d may not fit the memory, in which case vLLM refuses it after loading; without it, the "
                "context is what the suite needs, as far as it fits",
                wanted,
            )
        return wanted
    if not is_sure:
        logger.info(
            "a context of %d tokens may not fit the memory: vLLM takes the longest that does",
            target,
        )
        return AS_FITS
    return None if target == context else target


def _target(context: int, needed: int | None) -> int:
    """Tokens that a run asks for: what it needs, rounded up, but no more than the checkpoint has."""
    return context if needed is None else min(context, -(-needed // _ROUNDED_TO) * _ROUNDED_TO)


def _devices(engine: EngineConfig, ray: RayConfig, spec: EngineSpec) -> _Devices | None:
    """The devices that each engine gets; None if they aren't known here."""
    if spec.is_replicated and ray.address is not None:
        return None  # on other machines
    num_replicas = (engine.num_replicas or 1) if spec.is_replicated else 1
    if resolve_device(engine.device) is Device.cpu:
        return _Devices(total_memory_bytes() // num_replicas, 0.9, "float32")
    found = gpus()
    if not found:
        if num_hidden := len(visible_gpus(hidden_too=True)):
            raise ConfigError(
                f"engine.device=gpu: CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')!r} names none of the "
                f"{num_hidden} GPUs here; unset it, or set engine.device=cpu"
            )
        return None
    num_wanted = num_replicas * engine.tensor_parallel_size * engine.pipeline_parallel_size
    if num_wanted > len(found) and not spans_machines(engine):
        several = "num_replicas x " if spec.is_replicated else ""
        raise CheckpointError(
            f"engine: {num_wanted} GPUs needed ({several}tensor_parallel_size x "
            f"pipeline_parallel_size), {len(found)} there; one model on several machines needs a Ray cluster of them and "
            "engine.extra.distributed_executor_backend=ray"
        )
    name, memory = min(found, key=lambda gpu: gpu[1])
    return _Devices(memory, engine.gpu_memory_utilization, "auto", name)


def spans_machines(engine: EngineConfig) -> bool:
    """Whether vLLM itself puts one model on the GPUs of several machines, by Ray."""
    return engine.extra.get("distributed_executor_backend") == "ray"


def kv_bytes(engine: EngineConfig) -> float | None:
    """Bytes of a value in a quantized KV cache (`engine.extra.kv_cache_dtype`); None if it is as wide as the model's."""
    named = str(engine.extra.get("kv_cache_dtype") or "auto")
    if named in ("auto", "float16", "bfloat16"):
        return None
    return 1.0 if named.startswith(("fp8", "int8")) else 0.5


def headroom(engine: EngineConfig, memory: int, name: str) -> Headroom:
    """Batch sizes that vLLM takes for offline work on a GPU.

    Args:
        engine: the engine; its own sizes win.
        memory: of the GPU, in bytes.
        name: of the GPU.

    Source: vLLM 0.32, `EngineArgs.get_batch_defaults`.
    """
    is_large = memory >= 160 * GIB or (memory >= _LARGE_GPU and "a100" not in name.lower())
    tokens, seqs = (16384, 1024) if is_large else (8192, 256)
    return Headroom(
        batched_tokens=engine.extra.get("max_num_batched_tokens") or tokens,
        num_seqs=engine.max_num_seqs or engine.extra.get("max_num_seqs") or seqs,
        has_graphs=not engine.enforce_eager,
    )


def _is_safe(
    engine: EngineConfig, info: CheckpointInfo, placement: Placement, devices: _Devices
) -> bool:
    """Whether vLLM should be able to hold one sequence of that length."""
    if resolve_device(engine.device) is Device.cpu:
        # Prompts are computed whole there, so a window keeps no more than its own tokens.
        cache = kv_cache_bytes(info, placement, Headroom(batched_tokens=placement.max_model_len))
        return cache <= max(1, round(engine.cpu_kv_cache_gib)) * GIB
    return is_safe(
        info,
        placement,
        available_bytes=devices.memory * devices.share,
        headroom=headroom(engine, devices.memory, devices.name),
        disk_bytes=info.disk_bytes,
    )
