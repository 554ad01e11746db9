"""The same suite twice: runs that share nothing, and what an engine that depends on its batch looks like."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    LimitFrom,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines import fake
from evalharness.engines.requests import (
    ScoreRequest,
    Scores,
)
from evalharness.errors import ConfigError, EngineError
from evalharness.runner.run import run
from evalharness.runner.selfcheck import (
    FOLDER,
    selfcheck,
)
from evalharness.store.read import list_runs

TASKS = {
    "arc_easy_sample": TaskConfig(limit=4),
    "weekday_arithmetic": TaskConfig(limit=4, num_fewshot=0),
}


def config(checkpoint: Path, results_dir: Path, *, extra: Any = None, **changes: Any) -> Config:
    base = Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=EngineConfig(kind=EngineKind.fake, max_in_flight=8, extra=extra or {}),
        suite=SuiteConfig(name="test", tasks=dict(TASKS)),
        run=RunConfig(limit_from=LimitFrom.first),
        results_dir=str(results_dir),
    )
    return replace(base, **changes)


class BatchDependent(fake.FakeEngine):
    """Its log-likelihoods move when a request is not alone."""

    async def score(self, request: ScoreRequest) -> Scores:
        before = self.num_requests
        scores = await super().score(request)
        if self.num_requests == before + 1:
            return scores
        moved = tuple(
            replace(c, logprob=c.logprob - 20.0 * i) for i, c in enumerate(scores.continuations)
        )
        return replace(scores, continuations=moved)


def test_an_engine_that_doesnt_depend_on_its_batch_is_exact(
    tiny_llama: Path, tmp_path: Path
) -> None:
    checked = selfcheck(config(tiny_llama, tmp_path), 1)
    assert checked.floor.is_exact
    assert (checked.floor.n, checked.floor.num_texts) == (8, 4)
    assert [task.task for task in checked.tasks] == list(TASKS)
    assert checked.batch_sizes == (8, 1)


def test_an_engine_that_does_is_found_out(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "FakeEngine", BatchDependent)
    checked = selfcheck(config(tiny_llama, tmp_path, extra={"latency_s": 0.01}), 1)
    scores, texts = checked.tasks
    assert scores.max_logprob_difference == pytest.approx(60.0)
    assert scores.num_argmax_changes > 0
    assert (texts.num_flips, texts.num_text_changes) == (0, 0)


def test_the_two_runs_are_runs_beside_the_results(tiny_llama: Path, tmp_path: Path) -> None:
    checked = selfcheck(config(tiny_llama, tmp_path), 2)
    assert list_runs(tmp_path) == []
    engines = [run.config["engine"] for run in reversed(list_runs(tmp_path / FOLDER))]
    assert [(e["max_in_flight"], e["max_num_seqs"]) for e in engines] == [(8, None), (2, 2)]
    assert {outcome.run_dir.parent for outcome in checked.runs} == {tmp_path / FOLDER}


def test_no_response_is_taken_from_anywhere(tiny_llama: Path, tmp_path: Path) -> None:
    run(config(tiny_llama, tmp_path))
    for _ in range(2):
        checked = selfcheck(config(tiny_llama, tmp_path), 1)
        tasks = [task for outcome in checked.runs for task in outcome.manifest.tasks]
        assert sum(task.num_reused for task in tasks) == 0


def test_a_named_selfcheck_names_both_runs(tiny_llama: Path, tmp_path: Path) -> None:
    checked = selfcheck(config(tiny_llama, tmp_path, run=RunConfig(id="mine")), 1)
    names = [outcome.run_dir.name for outcome in checked.runs]
    assert names == ["mine-batch-8", "mine-batch-1"]


def test_batches_that_dont_differ_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allow batches of 8, and the second run uses 8"):
        selfcheck(config(tiny_llama, tmp_path), 8)
    assert not (tmp_path / FOLDER).exists()


def test_a_dead_engine_is_no_comparison(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the same command continues where it ended"):
        selfcheck(config(tiny_llama, tmp_path, extra={"die_after": 3}), 1)
    assert len(list_runs(tmp_path / FOLDER)) == 1


@pytest.mark.vllm
@pytest.mark.slow
def test_the_real_engine_is_measured(demo: Path, tmp_path: Path) -> None:
    engine = EngineConfig(max_model_len=1024, max_in_flight=16)
    model = ModelConfig(name="demo", path=str(demo), variant=Variant.instruct)
    checked = selfcheck(config(demo, tmp_path, engine=engine, model=model), 1)
    assert [outcome.manifest.status for outcome in checked.runs] == ["complete", "complete"]
    assert (checked.floor.n, checked.floor.num_texts, checked.floor.num_unpaired) == (8, 4, 0)
    assert checked.floor.num_continuations >= 16
    assert checked.floor.max_logprob_difference < 1e-3
