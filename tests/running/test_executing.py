"""Requests to an engine that fails now and then, and tasks that are stored as soon as they are done."""

import asyncio
from pathlib import Path

import pytest

import own_tasks
from evalharness.config import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines.base import RequestError
from evalharness.engines.fake import FakeEngine
from evalharness.records import Failure, GenerateRequest, Generation, Response, SamplingParams
from evalharness.running.executing import Sender
from evalharness.running.journal import Journal, read_journal
from evalharness.running.run import run
from evalharness.store.read import iter_samples

REQUEST = GenerateRequest(prompt_token_ids=(1, 2, 3), sampling=SamplingParams())


class Flaky(FakeEngine):
    """Fails the first times that it is asked."""

    def __init__(self, num_failures: int) -> None:
        super().__init__()
        self.num_failures, self.num_asked = num_failures, 0

    async def generate(self, request: GenerateRequest) -> Generation:
        self.num_asked += 1
        if self.num_asked <= self.num_failures:
            raise RequestError(f"failure {self.num_asked}")
        return await super().generate(request)


def ask(engine: FakeEngine, folder: Path) -> Response:
    async def once() -> Response:
        async with Journal(folder) as journal:
            return await Sender(engine, journal, "identity")(REQUEST)

    return asyncio.run(once())


def test_a_request_that_failed_once_is_sent_again_and_journaled(tmp_path: Path) -> None:
    engine = Flaky(1)
    response = ask(engine, tmp_path)
    assert isinstance(response, Generation)
    assert engine.num_asked == 2
    assert [found for _, found in read_journal(tmp_path)] == [response]


def test_one_that_failed_twice_is_a_failure_with_the_last_reason(tmp_path: Path) -> None:
    engine = Flaky(2)
    assert ask(engine, tmp_path) == Failure(kind="request", message="failure 2")
    assert engine.num_asked == 2
    assert list(read_journal(tmp_path)) == []


def test_a_task_is_stored_as_soon_as_it_is_done(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own_tasks.write(tmp_path, "first")
    yaml = own_tasks.GENERATE + "process_results: !function code.score\n"
    folder = own_tasks.write(tmp_path, "second", yaml).parent
    (folder / "code.py").write_text(
        "from pathlib import Path\n\n\n"
        "def score(doc, results):\n"
        "    stored = list(Path('results').glob('*/samples/first.parquet'))\n"
        "    return {'exact_match': float(len(stored))}\n"
    )
    outcome = run(
        Config(
            model=ModelConfig(name="tiny", path=str(tiny_llama)),
            engine=EngineConfig(kind=EngineKind.fake, max_in_flight=1),
            suite=SuiteConfig(name="two", tasks={n: TaskConfig() for n in ("first", "second")}),
            run=RunConfig(),
        )
    )
    rows = list(iter_samples(outcome.run_dir, "second"))
    assert [row.scores for row in rows] == [{"exact_match": 1.0}] * 8
