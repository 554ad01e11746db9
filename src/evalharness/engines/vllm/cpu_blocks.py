"""A vLLM worker extension for CPUs: KV blocks of 16 tokens, while vLLM declares only multiples of 32.

Only whole blocks of a cached prefix are reused, so every prompt computes up to a block of it again; with many short
choices that is most of the work. vLLM's CPU attention has a kernel for 16 ("vec16", which it uses for blocks that
aren't multiples of 32), but its list of block sizes leaves it out. GPUs have blocks of 16 anyway.

Passed by name (`worker_extension_cls`) and imported by vLLM inside its worker process. For float32 on x86.
"""

from __future__ import annotations

from vllm.v1.attention.backend import MultipleOf
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

BLOCK_SIZE = 16


class Extension:
    """Adds no method; importing this module has the effect."""


def _block_sizes(kv_cache_spec: object = None) -> list[MultipleOf]:
    return [MultipleOf(BLOCK_SIZE)]


CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(_block_sizes)
