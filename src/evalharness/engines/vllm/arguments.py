"""Our configuration as vLLM's arguments."""

from __future__ import annotations

import logging
import platform
from typing import Any

from evalharness.checkpoint import read_adapter
from evalharness.config.schema import Device, EngineConfig, Scoring
from evalharness.engines import resolve_device
from evalharness.engines.base import Weights

logger = logging.getLogger(__name__)

CPU_EXTENSION = "evalharness.engines.vllm.cpu_blocks.Extension"
SMALL_BLOCK = 16
DECLARED_BLOCK = 32
"""vLLM's CPU attention declares multiples of this."""


def scoring_of(config: EngineConfig, cache: Any) -> Scoring:
    """How log-likelihoods are computed with the cache that vLLM has set up.

    Args:
        config: what was asked for.
        cache: vLLM's CacheConfig; it turns the prefix cache off for some models and attention kernels.
    """
    if cache.enable_prefix_caching:
        return config.scoring
    if config.enable_prefix_caching and config.scoring is not Scoring.plain:
        logger.warning(
            "vLLM has no prefix cache for this model: every continuation is computed with its whole context, as with "
            "engine.scoring=plain"
        )
    return Scoring.plain


def engine_arguments(config: EngineConfig, weights: Weights) -> dict[str, Any]:
    """The arguments of vLLM's AsyncEngineArgs for our configuration; `engine.extra` wins."""
    is_cpu = resolve_device(config.device) is Device.cpu
    arguments: dict[str, Any] = {
        "model": str(weights.path),
        "dtype": "float32" if config.dtype == "auto" and is_cpu else config.dtype,
        "quantization": config.quantization,
        "max_model_len": config.max_model_len,
        "tensor_parallel_size": config.tensor_parallel_size,
        "pipeline_parallel_size": config.pipeline_parallel_size,
        "enable_prefix_caching": config.enable_prefix_caching,
        "enforce_eager": is_cpu if config.enforce_eager is None else config.enforce_eager,
        "seed": config.seed,
        "trust_remote_code": weights.trust_remote_code,
        "load_format": _load_format(weights),
        "disable_log_stats": True,
        "generation_config": "vllm",
    }
    if is_cpu:
        arguments |= _cpu_arguments(config.block_size, arguments["dtype"])
    else:
        arguments["gpu_memory_utilization"] = config.gpu_memory_utilization
        if config.block_size:
            arguments["block_size"] = config.block_size
    if config.max_num_seqs:
        arguments["max_num_seqs"] = config.max_num_seqs
    if weights.is_text_only:
        arguments["language_model_only"] = True
    if weights.adapter:
        arguments |= {"enable_lora": True, "max_lora_rank": _lora_rank(weights)}
    return arguments | config.extra


def _load_format(weights: Weights) -> str:
    """Load pickles only if there is nothing else; vLLM's default would be Mistral's copy of the weights."""
    has_others = any(weights.path.glob("*.safetensors"))
    return "auto" if weights.allow_pickle and not has_others else "safetensors"


def _cpu_arguments(wanted_block: int | None, dtype: str) -> dict[str, Any]:
    """Whole prompts, in small blocks where vLLM's CPU attention can have them (`cpu_blocks`), else the smallest it declares."""
    has_small = dtype == "float32" and platform.machine() in ("x86_64", "AMD64")
    block_size = wanted_block or (SMALL_BLOCK if has_small else DECLARED_BLOCK)
    # If a prompt is computed in parts, vLLM rewinds the sampling generator after each, which CPU generators
    # can't: the engine dies ("CPU Generator does not use offset").
    arguments: dict[str, Any] = {"block_size": block_size, "enable_chunked_prefill": False}
    if has_small and block_size % DECLARED_BLOCK:
        arguments["worker_extension_cls"] = CPU_EXTENSION
    return arguments


def _lora_rank(weights: Weights) -> int:
    """The smallest rank that vLLM supports and that is at least the adapter's largest."""
    assert weights.adapter is not None
    largest = read_adapter(weights.adapter).config.largest_rank
    return min(r for r in (8, 16, 32, 64, 128, 256, 320, 512) if r >= largest)
