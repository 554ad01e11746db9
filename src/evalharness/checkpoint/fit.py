"""Does a checkpoint fit on the GPUs? Pure arithmetic: no device is queried.

Per device: its share of the weights + the KV cache of one sequence of `max_model_len` tokens + the engine's overhead.
The last is a rule of thumb with two values. `check_fit` takes the least that any engine needs: what it refuses can't
work. `is_safe` takes what vLLM needs with its own batch sizes (`Headroom`): what it accepts should start. Between the
two the engine decides.

Layers without a KV cache (Mamba, linear attention) hold a state of a few MiB per sequence, which the overhead covers.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from evalharness.checkpoint.scale import Scale
from evalharness.errors import CheckpointError

GIB = 2**30
_RUNTIME_BYTES = GIB
"""CUDA context, graphs, communication buffers."""
_BATCHED_TOKENS = 8192
"""Tokens of one prefill step; each holds about 8 activations of the hidden size in 16 bit."""
_GRAPH_BYTES = GIB
"""CUDA graphs of the batch sizes that vLLM captures (up to 512 sequences)."""
_NCCL_BYTES = GIB // 2
_SAMPLER_COPIES = 3
"""Logits in 32 bit, sorted, and their probabilities: one row of the vocabulary per sequence each."""
_MAX_TENSOR_PARALLEL = 64
_SHORT = 2048
"""The shortest context that is proposed."""
_ASSUMED = 2048
"""The context of a checkpoint that names none, as vLLM assumes."""
_BYTES_PER_PARAM = {"fp8": 1.0, "bitsandbytes": 0.56}
"""Bytes per weight quantized while loading; 4-bit blocks include their scales."""


class MemoryNeeded(NamedTuple):
    """Bytes per device."""

    weights: float
    kv_cache: float
    overhead: float

    @property
    def total(self) -> float:
        """The sum of the three."""
        return self.weights + self.kv_cache + self.overhead


class Headroom(NamedTuple):
    """What an engine computes at once; decides its memory besides weights and KV cache."""

    batched_tokens: int = _BATCHED_TOKENS
    num_seqs: int = 256
    has_graphs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a checkpoint is loaded; names as in `EngineConfig`."""

    max_model_len: int
    dtype: str = "auto"
    quantization: str | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    kv_bytes: float | None = None
    """Of each value in the KV cache; None: as `dtype`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The answer of `check_fit`; per device."""

    needed: MemoryNeeded
    max_model_len: int
    problem: str | None
    """One line with the arithmetic and the way out; None if it fits."""

    @property
    def is_ok(self) -> bool:
        """It fits."""
        return self.problem is None

    def require(self) -> None:
        """Raise `CheckpointError` with the problem, if there is one."""
        if self.problem is not None:
            raise CheckpointError(self.problem)


def memory_needed(
    scale: Scale,
    *,
    max_model_len: int,
    dtype: str = "auto",
    quantization: str | None = None,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
    disk_bytes: int = 0,
) -> MemoryNeeded:
    """Bytes per device for the weights, the KV cache of one sequence, and overhead.

    Args:
        scale: the checkpoint.
        max_model_len: tokens of the sequence.
        dtype: `auto` or a torch dtype; auto is 16 bit on a GPU.
        quantization: `fp8` or `bitsandbytes` to quantize while loading; null as on disk.
        tensor_parallel_size: devices that share each layer.
        pipeline_parallel_size: groups of devices that share the layers.
        disk_bytes: weights of a checkpoint whose parameters can't be counted (pickles).
    """
    placement = Placement(
        max_model_len=max_model_len,
        dtype=dtype,
        quantization=quantization,
        tensor_parallel_size=tensor_parallel_size,
        pipeline_parallel_size=pipeline_parallel_size,
    )
    return _needed(scale, placement, disk_bytes)


def is_safe(
    scale: Scale,
    placement: Placement,
    *,
    available_bytes: float,
    headroom: Headroom,
    disk_bytes: int = 0,
) -> bool:
    """Whether vLLM should find room for weights, one sequence and its own buffers.

    Args:
        scale: the checkpoint.
        placement: how it is loaded.
        available_bytes: per device.
        headroom: the engine's batch sizes.
        disk_bytes: as in `memory_needed`.

    Source: vLLM 0.32, `v1/kv_cache_interface.py` (blocks of a window stay until the steps in flight are done) and
    `v1/worker/gpu_worker.py` (what is left after profiling a step of `batched_tokens` tokens is the KV cache).
    """
    least = _needed(scale, placement, disk_bytes)
    num_devices = placement.tensor_parallel_size * placement.pipeline_parallel_size
    vocabulary = scale.vocab_size or scale.params_embedding // max(scale.hidden_size, 1)
    overhead = (
        _RUNTIME_BYTES
        + headroom.batched_tokens * scale.hidden_size * 8 * 2
        + headroom.num_seqs * vocabulary * 4 * _SAMPLER_COPIES
        + _GRAPH_BYTES * headroom.has_graphs
        + _NCCL_BYTES * (num_devices > 1)
    )
    cache = kv_cache_bytes(scale, placement, headroom)
    return least.weights + cache + overhead <= available_bytes


def kv_cache_bytes(scale: Scale, placement: Placement, headroom: Headroom) -> float:
    """Bytes per device that vLLM keeps for one sequence.

    It schedules the next step while those in its pipeline are computed, and frees what is behind a window only afterwards.
    """
    num_steps = placement.pipeline_parallel_size + 1
    return _kv_cache_bytes(scale, placement, num_steps * headroom.batched_tokens)


def check_fit(
    scale: Scale,
    *,
    memory_bytes_per_device: float,
    max_model_len: int | None = None,
    dtype: str = "auto",
    quantization: str | None = None,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
    gpu_memory_utilization: float = 0.9,
    disk_bytes: int = 0,
    kv_bytes: float | None = None,
) -> Fit:
    """Whether the checkpoint fits, the arithmetic, and what would fit if it doesn't.

    Args:
        scale: the checkpoint (`CheckpointInfo` is one).
        memory_bytes_per_device: all memory of one GPU.
        max_model_len: tokens of prompt and answer; None takes the context length, as far as memory allows.
        dtype: as in `memory_needed`.
        quantization: as in `memory_needed`.
        tensor_parallel_size: as in `memory_needed`.
        pipeline_parallel_size: as in `memory_needed`.
        gpu_memory_utilization: share of each GPU's memory that may be used.
        disk_bytes: as in `memory_needed`.
        kv_bytes: as in `Placement`.
    """
    available = memory_bytes_per_device * gpu_memory_utilization
    wanted = Placement(
        max_model_len=max_model_len or scale.context_length or _ASSUMED,
        dtype=dtype,
        quantization=quantization,
        tensor_parallel_size=tensor_parallel_size,
        pipeline_parallel_size=pipeline_parallel_size,
        kv_bytes=kv_bytes,
    )
    largest = _largest_len(scale, wanted, available, disk_bytes)
    if max_model_len is None and largest:
        wanted = replace(wanted, max_model_len=min(wanted.max_model_len, largest))
    needed = _needed(scale, wanted, disk_bytes)
    problem = _indivisible(scale, tensor_parallel_size)
    if problem is None and needed.total > available:
        problem = (
            f"{scale.architecture} doesn't fit: {_gib(needed.total)} per GPU needed (weights "
            f"{_gib(needed.weights)} + KV cache of one sequence of {wanted.max_model_len} tokens "
            f"{_gib(needed.kv_cache)} + overhead {_gib(needed.overhead)}), {_gib(available)} there "
            f"({gpu_memory_utilization:g} of {_gib(memory_bytes_per_device)}); "
            f"{_what_fits(scale, wanted, available, largest, disk_bytes)}"
        )
    return Fit(
        needed=needed,
        max_model_len=wanted.max_model_len,
        problem=problem,
    )


def _needed(scale: Scale, placement: Placement, disk_bytes: int) -> MemoryNeeded:
    devices = placement.tensor_parallel_size * placement.pipeline_parallel_size
    return MemoryNeeded(
        weights=_weights_bytes(scale, placement, disk_bytes) / devices,
        kv_cache=_kv_cache_bytes(scale, placement),
        overhead=_RUNTIME_BYTES + _BATCHED_TOKENS * scale.hidden_size * 8 * 2,
    )


def _weights_bytes(scale: Scale, placement: Placement, disk_bytes: int) -> float:
    if scale.params_total is None:
        return disk_bytes
    if scale.quantization and scale.weight_bytes is not None:
        return scale.weight_bytes  # loaded as they are on disk
    kept = scale.params_embedding + scale.params_vision
    per_param: float = _dtype_bytes(placement.dtype)
    if scale.quantization_bits:
        per_param = scale.quantization_bits / 8
    elif placement.quantization:
        per_param = _BYTES_PER_PARAM.get(placement.quantization, per_param)
    return kept * _dtype_bytes(placement.dtype) + (scale.params_total - kept) * per_param


def _kv_cache_bytes(scale: Scale, placement: Placement, in_flight: int | None = None) -> float:
    """Key and value of every layer; heads are copied if there are more devices than heads.

    Args:
        scale: the checkpoint.
        placement: how it is loaded.
        in_flight: as vLLM allots it: tokens that a window keeps besides its own; None: the least there can be.
    """
    full, window_layers = scale.num_full_attention_layers, scale.num_windowed_layers
    if in_flight is not None:
        full, window_layers = _padded(full, window_layers)
    tokens = placement.max_model_len
    window = scale.attention_window
    windowed = tokens if window is None else min(tokens, window + (in_flight or 0))

    def values(num_kv_heads: int, head_dim: int) -> int:
        heads = math.ceil(num_kv_heads / placement.tensor_parallel_size)
        return scale.latent_dim or 2 * heads * head_dim

    total = full * tokens * values(scale.num_global_kv_heads, scale.global_head_dim)
    total += window_layers * windowed * values(scale.num_kv_heads, scale.head_dim)
    per_value = placement.kv_bytes or _dtype_bytes(placement.dtype)
    return total * per_value / placement.pipeline_parallel_size


def _padded(*layers: int) -> tuple[int, ...]:
    """Layers of each kind with the empty ones that vLLM adds, so that it can deal all out in groups of one size.

    Source: vLLM 0.32, `_get_kv_cache_groups_uniform_page_size`.
    """
    kinds = [num for num in layers if num]
    if len(kinds) < 2:
        return layers
    size = max(kinds) if max(kinds) < 1.5 * min(kinds) else min(kinds)
    return tuple(-(-num // size) * size for num in layers)


def _dtype_bytes(dtype: str) -> int:
    return 4 if dtype in ("float32", "float") else 2


def _largest_len(scale: Scale, placement: Placement, available: float, disk_bytes: int) -> int:
    """Longest sequence for which memory is enough, up to the context length; 0 when not even the weights fit."""
    low, high = 0, scale.context_length or placement.max_model_len
    while low < high:
        middle = (low + high + 1) // 2
        if _needed(scale, replace(placement, max_model_len=middle), disk_bytes).total <= available:
            low = middle
        else:
            high = middle - 1
    return low


def _indivisible(scale: Scale, tensor_parallel_size: int) -> str | None:
    if _divides(scale, tensor_parallel_size):
        return None
    sizes = ", ".join(str(size) for size in _sizes(scale) if size <= 16)
    return (
        f"{scale.architecture} has {scale.num_attention_heads} attention heads and {scale.num_kv_heads} KV heads, "
        f"which engine.tensor_parallel_size={tensor_parallel_size} doesn't divide; possible: {sizes}."
    )


def _divides(scale: Scale, size: int) -> bool:
    if not scale.num_attention_heads:
        return True
    kv_heads = scale.num_kv_heads
    return scale.num_attention_heads % size == 0 and (kv_heads % size == 0 or size % kv_heads == 0)


def _sizes(scale: Scale) -> Iterator[int]:
    return (size for size in range(1, _MAX_TENSOR_PARALLEL + 1) if _divides(scale, size))


def _what_fits(
    scale: Scale, wanted: Placement, available: float, largest: int, disk_bytes: int
) -> str:
    def way(setting: str, placement: Placement) -> str | None:
        longest = _largest_len(scale, placement, available, disk_bytes)
        if longest >= wanted.max_model_len:
            return setting
        return f"{setting} with engine.max_model_len={longest}" if longest >= _SHORT else None

    ways: list[str | None] = []
    for size in _sizes(scale):
        found = way(
            f"engine.tensor_parallel_size={size}", replace(wanted, tensor_parallel_size=size)
        )
        if size > wanted.tensor_parallel_size and found:
            ways.append(found)
            break
    if not scale.quantization and not wanted.quantization:
        for method in _BYTES_PER_PARAM:
            ways.append(way(f"engine.quantization={method}", replace(wanted, quantization=method)))
    if largest:
        ways.append(f"engine.max_model_len={largest}")
    if not any(ways):
        return "nothing tried fits: more or larger GPUs (engine.pipeline_parallel_size) are needed."
    return f"what fits: {', or '.join(filter(None, ways))}."


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.1f} GiB"
