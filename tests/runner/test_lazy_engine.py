"""An engine is loaded for the first request that needs it, and not before."""

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines import Engine
from evalharness.engines.fake import FakeEngine
from evalharness.engines.requests import ScoreRequest
from evalharness.errors import EngineError
from evalharness.runner.lazy_engine import DeferredEngine, known_info
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.store.records import Manifest

REQUEST = ScoreRequest(context_token_ids=(1, 2), continuations=((3,),))


class Loader:
    """Loads fake engines and counts them."""

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []

    async def __call__(self) -> Engine:
        await asyncio.sleep(0.01)
        self.engines.append(FakeEngine())
        return self.engines[-1]


def test_requests_at_once_load_one_engine_and_get_its_answers() -> None:
    load = Loader()

    async def ask() -> tuple[Any, Any]:
        engine = DeferredEngine(FakeEngine().info, load)
        first, _ = await asyncio.gather(engine.score(REQUEST), engine.score(REQUEST))
        await engine.close()
        return first, await FakeEngine().score(REQUEST)

    answer, expected = asyncio.run(ask())
    assert answer == expected
    assert len(load.engines) == 1
    assert load.engines[0].is_closed


def test_no_request_loads_nothing() -> None:
    load = Loader()
    asyncio.run(DeferredEngine(FakeEngine().info, load).close())
    assert load.engines == []


def test_an_engine_that_isnt_the_expected_one_answers_nothing() -> None:
    load = Loader()
    engine = DeferredEngine(replace(FakeEngine().info, max_model_len=7), load)
    with pytest.raises(EngineError, match="max_model_len 7 -> 4096"):
        asyncio.run(engine.score(REQUEST))
    assert load.engines[0].is_closed


@pytest.mark.parametrize(("found", "is_expected"), [(99, False), (100, True), (101, True)])
def test_a_context_fitted_to_the_memory_may_be_longer_than_before(
    found: int, is_expected: bool
) -> None:
    """Prompts were made for the one before."""
    before = replace(FakeEngine().info, asked_len=-1, max_model_len=100)

    async def load() -> Engine:
        engine = FakeEngine()
        engine.info = replace(before, max_model_len=found)
        return engine

    engine = DeferredEngine(before, load)
    if is_expected:
        asyncio.run(engine.score(REQUEST))
    else:
        with pytest.raises(EngineError, match="max_model_len 100 -> 99"):
            asyncio.run(engine.score(REQUEST))


@pytest.mark.parametrize(
    ("configured", "before", "now", "is_known"),
    [
        (None, 4096, 4096, True),
        (None, 4096, 8192, False),
        (None, None, 4096, False),
        (None, -1, -1, True),
        (None, -1, None, False),
        (512, None, 512, True),  # an engine that isn't told a length by the run
    ],
)
def test_an_earlier_runs_engine_is_known_if_it_was_asked_for_the_same_context(
    tmp_path: Path, configured: int | None, before: int | None, now: int | None, is_known: bool
) -> None:
    info = replace(FakeEngine().info, asked_len=before)
    run = Manifest(
        run_id="r", status="partial", model="m", suite="s", suite_version="1", started_at="",
        engine=asdict(info), config={"engine": {"max_model_len": configured}},
    )  # fmt: skip
    assert known_info(tmp_path, run, now) == (info if is_known else None)


def run_hf(checkpoint: Path, results: Path, limit: int = 3, **changes: Any) -> Outcome:
    return run(
        Config(
            model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
            engine=EngineConfig(kind=EngineKind.hf, max_model_len=2048),
            suite=SuiteConfig(name="test", tasks={"arc_easy_sample": TaskConfig(limit=limit)}),
            run=RunConfig(**changes),
            results_dir=str(results),
        )
    )


def test_a_run_whose_answers_are_all_there_loads_no_engine(
    tiny_llama: Path, tmp_path: Path
) -> None:
    first, second = run_hf(tiny_llama, tmp_path), run_hf(tiny_llama, tmp_path)
    assert first.manifest.load_s is not None
    assert second.manifest.load_s is None
    assert second.manifest.status == "complete"
    assert second.manifest.engine == first.manifest.engine
    assert second.metrics == first.metrics


def test_a_run_with_one_new_question_loads_it(tiny_llama: Path, tmp_path: Path) -> None:
    run_hf(tiny_llama, tmp_path)
    outcome = run_hf(tiny_llama, tmp_path, limit=4)
    assert outcome.manifest.load_s is not None
    assert outcome.manifest.tasks[0].num_reused == 3


def test_without_reuse_the_engine_is_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    run_hf(tiny_llama, tmp_path)
    assert run_hf(tiny_llama, tmp_path, reuse=False).manifest.load_s is not None
