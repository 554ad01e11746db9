"""What is said of an engine before it is loaded is what it says of itself afterwards."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evalharness import checkpoint
from evalharness.config.schema import Device, EngineConfig, EngineKind, RayConfig
from evalharness.engines import Weights, ask_server, describe, memory_fit, open_engine
from evalharness.engines.memory_fit import fitting_context
from evalharness.engines.spec import KINDS, engine_class
from evalharness.errors import CheckpointError, ConfigError
from scripted_endpoint import running


@pytest.mark.parametrize("kind", [EngineKind.hf, EngineKind.fake])
def test_an_engine_keeps_the_room_that_was_said(tiny_llama: Path, kind: EngineKind) -> None:
    config = EngineConfig(kind=kind, device=Device.cpu)

    async def room() -> int:
        engine = await open_engine(config, Weights(path=tiny_llama))
        await engine.close()
        return engine.info.min_room

    assert asyncio.run(room()) == describe(config).min_room


def test_a_server_keeps_the_room_that_was_said(tiny_llama: Path) -> None:
    with running() as endpoint:
        config = EngineConfig(kind=EngineKind.openai, base_url=endpoint.url)
        info = asyncio.run(ask_server(config, Weights(path=tiny_llama)))
    assert info.min_room == describe(config).min_room


def test_every_kind_has_a_class() -> None:
    assert set(KINDS) == set(EngineKind) - {EngineKind.replicas}
    for spec in KINDS.values():
        assert callable(engine_class(spec).load)


@pytest.mark.parametrize("kind", [EngineKind.vllm, EngineKind.replicas])
def test_what_cannot_fit_is_refused_before_an_engine_starts(
    tiny_llama: Path, kind: EngineKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = checkpoint.inspect(tiny_llama)
    config = EngineConfig(kind=kind, device=Device.cpu, num_replicas=2)
    assert fitting_context(config, RayConfig(), info) is None
    monkeypatch.setattr(memory_fit, "total_memory_bytes", lambda: 2**20)
    with pytest.raises(CheckpointError):
        fitting_context(config, RayConfig(), info)
    assert fitting_context(EngineConfig(kind=EngineKind.hf), RayConfig(), info) is None


@pytest.mark.parametrize("kind", [EngineKind.vllm, EngineKind.replicas])
@pytest.mark.parametrize(
    "extra", [{"data_parallel_size": 2}, {"data_parallel_size": 2, "data_parallel_backend": "ray"}]
)
def test_vllms_own_replicas_are_refused(kind: EngineKind, extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"data_parallel_size: .*engine.num_replicas=2"):
        describe(EngineConfig(kind=kind, extra=extra))


def test_one_of_vllms_own_replicas_is_none() -> None:
    assert describe(EngineConfig(extra={"data_parallel_size": 1})).fills_memory


def test_another_engines_extra_is_its_own() -> None:
    describe(EngineConfig(kind=EngineKind.fake, extra={"data_parallel_size": 2}))
