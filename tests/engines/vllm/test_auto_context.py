"""vLLM fits the context to its memory itself, and we read the length back."""

import asyncio
from pathlib import Path

import pytest

from evalharness.config.schema import Device, EngineConfig
from evalharness.engines import EngineInfo, Weights, open_engine
from evalharness.engines.memory_fit import AS_FITS

BLOCKS, TOKENS = 8, 16


@pytest.mark.vllm
@pytest.mark.slow
def test_the_longest_context_that_fits_is_read_back(demo: Path) -> None:
    """8 blocks of 16 tokens, of which vLLM keeps one to itself; the checkpoint's context is 8192."""
    config = EngineConfig(
        device=Device.cpu,
        max_model_len=AS_FITS,
        cpu_kv_cache_gib=1,
        block_size=TOKENS,
        extra={"num_gpu_blocks_override": BLOCKS},
    )

    async def info() -> EngineInfo:
        engine = await open_engine(config, Weights(path=demo))
        await engine.close()
        return engine.info

    found = asyncio.run(info())
    assert (found.max_model_len, found.asked_len) == ((BLOCKS - 1) * TOKENS, AS_FITS)
