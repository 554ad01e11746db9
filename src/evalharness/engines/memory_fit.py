"""Whether a checkpoint fits the devices of an engine, checked before it starts."""

from __future__ import annotations

import logging

from evalharness import checkpoint
from evalharness.checkpoint import CheckpointInfo
from evalharness.config.schema import Device, EngineConfig, RayConfig
from evalharness.engines import resolve_device
from evalharness.engines.gpus import gpus, total_memory_bytes
from evalharness.engines.spec import describe
from evalharness.errors import CheckpointError

logger = logging.getLogger(__name__)


def fitting_context(engine: EngineConfig, ray: RayConfig, info: CheckpointInfo) -> int | None:
    """The max_model_len for an engine; refuses checkpoints that can't fit before any weights are loaded.

    Raises:
        CheckpointError: it doesn't fit; gives the arithmetic, and what would fit.
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
    is_several = spec.is_replicated
    if is_several and ray.address is not None:
        return wanted  # the engine isn't on this machine
    num_replicas = (engine.num_replicas or 1) if is_several else 1
    is_cpu = resolve_device(engine.device) is Device.cpu
    if is_cpu:
        memory, share, dtype = total_memory_bytes() // num_replicas, 0.9, "float32"
    else:
        sizes = [size for _, size in gpus()]
        if not sizes:
            return wanted
        num_wanted = num_replicas * engine.tensor_parallel_size * engine.pipeline_parallel_size
        if num_wanted > len(sizes):
            several = "num_replicas x " if is_several else ""
            raise CheckpointError(
                f"engine: {num_wanted} GPUs needed ({several}tensor_parallel_size x "
                f"pipeline_parallel_size), {len(sizes)} there"
            )
        memory, share, dtype = min(sizes), engine.gpu_memory_utilization, "auto"
    fit = checkpoint.check_fit(
        info,
        memory_bytes_per_device=memory,
        max_model_len=wanted,
        dtype=engine.dtype if engine.dtype != "auto" else dtype,
        quantization=engine.quantization,
        tensor_parallel_size=engine.tensor_parallel_size,
        pipeline_parallel_size=engine.pipeline_parallel_size,
        gpu_memory_utilization=share,
        disk_bytes=info.disk_bytes,
    )
    fit.require()
    if wanted is None and info.context_length and fit.max_model_len < info.context_length:
        logger.warning(
            "context cut from %d to %d tokens to fit the memory",
            info.context_length,
            fit.max_model_len,
        )
        return fit.max_model_len
    return wanted
