"""The context that vLLM is asked for, on GPUs that aren't there: their names and sizes are given."""

from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.checkpoint import CheckpointInfo, inspect
from evalharness.checkpoint.fit import GIB
from evalharness.config.schema import Device, EngineConfig, EngineKind, RayConfig
from evalharness.engines import memory_fit
from evalharness.engines.memory_fit import AS_FITS, fitting_context, headroom
from evalharness.errors import CheckpointError, ConfigError

H100 = ("NVIDIA H100 80GB HBM3", 81559 * 2**20)
A100 = ("NVIDIA A100-SXM4-80GB", 81920 * 2**20)
RTX_4090 = ("NVIDIA GeForce RTX 4090", 24564 * 2**20)
SHAPE_8B = {
    "params_total": 8_030_261_248, "params_embedding": 2 * 128256 * 4096, "num_layers": 32,
    "num_full_attention_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_kv_heads": 8,
    "head_dim": 128, "num_global_kv_heads": 8, "global_head_dim": 128, "vocab_size": 128256, "context_length": 131072,
}  # fmt: skip
SHAPE_405B = SHAPE_8B | {
    "params_total": 405_853_388_800, "params_embedding": 2 * 128256 * 16384, "num_layers": 126,
    "num_full_attention_layers": 126, "hidden_size": 16384, "num_attention_heads": 128,
}  # fmt: skip
SHAPE_SCOUT = SHAPE_8B | {
    "params_total": 108_641_793_536, "params_embedding": 2 * 202048 * 5120, "num_layers": 48,
    "num_full_attention_layers": 12, "num_windowed_layers": 36, "attention_window": 8192, "hidden_size": 5120,
    "num_attention_heads": 40, "vocab_size": 202048, "context_length": 10_485_760,
}  # fmt: skip


@pytest.fixture
def info(tiny_llama: Path) -> CheckpointInfo:
    return inspect(tiny_llama)


def asked(
    info: CheckpointInfo,
    shape: dict[str, int],
    gpu: tuple[str, int],
    num_gpus: int = 1,
    needed: int | None = None,
    **engine: object,
) -> int | None:
    """The context that is asked for a checkpoint of that shape on so many GPUs."""
    config = EngineConfig(device=Device.gpu, **engine)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_fit, "gpus", lambda: [gpu] * num_gpus)
        return fitting_context(config, RayConfig(), replace(info, **shape), needed)  # type: ignore[arg-type]


def test_a_context_that_fits_is_left_whole(info: CheckpointInfo) -> None:
    assert asked(info, SHAPE_8B, H100) is None


def test_where_not_all_may_fit_the_runs_need_is_asked_for(info: CheckpointInfo) -> None:
    assert asked(info, SHAPE_8B, RTX_4090) == AS_FITS
    assert asked(info, SHAPE_8B, RTX_4090, needed=5000) == 5120
    assert asked(info, SHAPE_8B, RTX_4090, needed=100_000) == AS_FITS


def test_a_need_beyond_the_checkpoints_context_is_cut_to_it(info: CheckpointInfo) -> None:
    short = SHAPE_8B | {"context_length": 4096}
    assert asked(info, short, RTX_4090, needed=9000) is None


def test_a_configured_context_is_kept_with_a_word_where_it_may_not_fit(
    info: CheckpointInfo, caplog: pytest.LogCaptureFixture
) -> None:
    assert asked(info, SHAPE_8B, RTX_4090, needed=5000, max_model_len=2048) == 2048
    assert not caplog.records
    assert asked(info, SHAPE_8B, RTX_4090, max_model_len=35_000) == 35_000
    assert "engine.max_model_len=35000 may not fit" in caplog.text


def test_scout_on_eight_gpus_has_what_it_needs_of_ten_million_tokens(info: CheckpointInfo) -> None:
    assert asked(info, SHAPE_SCOUT, H100, 8, 40_000, tensor_parallel_size=8) == 40_192


def test_405b_in_16_bit_needs_two_machines(info: CheckpointInfo) -> None:
    """811 GB / 16 GPUs = 47 GiB each, of 72 GiB that may be used."""
    across = {"tensor_parallel_size": 8, "pipeline_parallel_size": 2}
    with pytest.raises(CheckpointError, match=r"16 GPUs needed.*8 there.*backend=ray"):
        asked(info, SHAPE_405B, H100, 8, **across)
    with pytest.raises(CheckpointError, match=r"doesn't fit: .* per GPU"):
        asked(info, SHAPE_405B, H100, 8, tensor_parallel_size=8)
    by_ray = {"extra": {"distributed_executor_backend": "ray"}}
    assert asked(info, SHAPE_405B, H100, 8, needed=8192, **across, **by_ray) in (None, 8192)


def test_gpus_that_the_variable_hides_are_named(
    info: CheckpointInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(memory_fit, "visible_gpus", lambda hidden_too: [object()] * 4)
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES='' names none of the 4 GPUs"):
        fitting_context(EngineConfig(device=Device.gpu), RayConfig(), info)


def test_where_memory_is_unknown_vllm_decides(info: CheckpointInfo) -> None:
    replicas = EngineConfig(kind=EngineKind.replicas, device=Device.gpu)
    assert fitting_context(replicas, RayConfig(address="head:6379"), info) == AS_FITS
    assert fitting_context(EngineConfig(device=Device.gpu), RayConfig(), info) == AS_FITS


def test_on_a_cpu_the_cache_is_what_is_configured(info: CheckpointInfo) -> None:
    """8B in float32: 256 KiB per token, so 2 GiB hold 8,192."""
    config = EngineConfig(device=Device.cpu, cpu_kv_cache_gib=2.0)
    small = replace(info, **SHAPE_8B | {"params_total": 10**6})  # type: ignore[arg-type]
    assert fitting_context(config, RayConfig(), small) == AS_FITS
    assert fitting_context(config, RayConfig(), small, 8192) == 8192
    assert fitting_context(config, RayConfig(), small, 8193) == AS_FITS


@pytest.mark.parametrize(
    ("gpu", "sizes"),
    [(H100, (16384, 1024)), (A100, (8192, 256)), (RTX_4090, (8192, 256)), (("B200", 180 * GIB), (16384, 1024))],
)  # fmt: skip
def test_batch_sizes_are_vllms(gpu: tuple[str, int], sizes: tuple[int, int]) -> None:
    """vLLM 0.32, EngineArgs.get_batch_defaults."""
    name, memory = gpu
    assert headroom(EngineConfig(), memory, name)[:2] == sizes


@pytest.mark.parametrize(("named", "tokens"), [("auto", 60_000), ("fp8", 120_000)])
def test_a_quantized_cache_takes_what_it_is_quantized_to(
    info: CheckpointInfo, named: str, tokens: int
) -> None:
    """8B on 23.6 GiB x .9: 15 GiB of weights leave 4.7 GiB beside the least overhead, at 128 KiB a token in 16 bit."""
    extra = {"kv_cache_dtype": named}
    with pytest.raises(CheckpointError, match="doesn't fit"):
        asked(info, SHAPE_8B, RTX_4090, max_model_len=tokens, extra=extra)
    half = tokens // 2
    assert asked(info, SHAPE_8B, RTX_4090, max_model_len=half, extra=extra) == half


def test_configured_batch_sizes_win() -> None:
    config = EngineConfig(
        max_num_seqs=8, extra={"max_num_batched_tokens": 2048}, enforce_eager=True
    )
    assert headroom(config, H100[1], H100[0]) == (2048, 8, False)
