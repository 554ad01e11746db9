"""A doc that is among its own few-shots is counted and reported; the prompts stay lm-eval's."""

from pathlib import Path

import pytest

import own_tasks as own
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.runner.run import run
from evalharness.store.read import iter_samples
from evalharness.store.records import TaskSummary
from evalharness.tasks.authoring.check import examine

DOCS = [{"q": f"secret{i}", "a": f"gold{i}"} for i in range(1, 4)]
SHOTS = own.GENERATE + "num_fewshot: 2\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary(checkpoint: Path) -> TaskSummary:
    config = Config(
        model=ModelConfig(name="tiny", path=str(checkpoint)),
        engine=EngineConfig(kind=EngineKind.fake),
        suite=SuiteConfig(name="test", tasks={"shots": TaskConfig(repeats=2)}),
        results_dir="results",
    )
    return run(config).manifest.tasks[0]


def test_samples_that_show_their_own_answer_are_counted_and_reported(
    here: Path, tiny_llama: Path
) -> None:
    own.write(here, "shots", SHOTS, DOCS)
    found = summary(tiny_llama)
    (run_dir,) = (
        path for path in (here / "results").iterdir() if path.is_dir() and path.name[0] != "."
    )
    shown = [s for s in iter_samples(run_dir, "shots") if s.target in s.prompt]
    assert 0 < len(shown) == found.num_own_fewshots
    assert [r for r in found.remarks if r.startswith("the doc itself is among the few-shots of")]


def test_where_lm_eval_leaves_a_doc_out_nothing_is_reported(here: Path, tiny_llama: Path) -> None:
    own.write(here, "shots", SHOTS + "fewshot_split: test\n", DOCS)
    found = summary(tiny_llama)
    assert found.num_own_fewshots == 0
    assert not [r for r in found.remarks if "few-shots" in r]


def test_few_shots_of_another_split_are_nobodys_own(here: Path, tiny_llama: Path) -> None:
    others = [{"q": f"other{i}", "a": f"{i}"} for i in range(4)]
    own.write(here, "shots", SHOTS + "fewshot_split: dev\n", DOCS, dev=others)
    assert summary(tiny_llama).num_own_fewshots == 0


def test_task_check_says_what_to_do(here: Path) -> None:
    own.write(here, "shots", SHOTS, DOCS)
    (loaded,) = own.load("shots").tasks
    said = [d.what for d in examine(loaded)[0] if d.where == "fewshot_split"]
    assert len(said) == 1
    assert "may be in their own prompts: lm-eval leaves a doc out of its own few-shots" in said[0]
