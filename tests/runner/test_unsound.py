"""Weights that give NaN: nothing is scored, nothing is kept for reuse, whichever request asks."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import own_tasks
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines.requests import Scores
from evalharness.runner.journal_lines import (
    parse_line,
    to_line,
)
from evalharness.runner.run import (
    Outcome,
    run,
)
from evalharness.store.read import iter_samples
from tiny_checkpoints import make_tiny_llama

TASKS = ("picks", "sums")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with one row of NaN, as an overflow in quantization leaves it."""
    from safetensors.torch import load_file, save_file

    path = make_tiny_llama(tmp_path_factory.mktemp("damaged") / "llama")
    weights = load_file(path / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][5, :] = float("nan")
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    own_tasks.write(tmp_path, "picks", own_tasks.CHOICE, own_tasks.PICKS)
    own_tasks.write(tmp_path, "sums")
    return tmp_path


def ask(path: Path, kind: EngineKind = EngineKind.hf, **changes: Any) -> Outcome:
    config = Config(
        model=ModelConfig(name="tiny", path=str(path)),
        engine=EngineConfig(kind=kind),
        suite=SuiteConfig(name="own", tasks={name: TaskConfig() for name in TASKS}),
        run=RunConfig(max_error_rate=0.5),
    )
    return run(replace(config, **changes))


def test_no_sample_of_damaged_weights_is_scored(damaged: Path, here: Path) -> None:
    outcome = ask(damaged)
    assert outcome.manifest.status == "partial"
    for summary in outcome.manifest.tasks:
        assert (summary.status, summary.num_errors) == ("failed", 8)
        assert "the log-likelihood isn't finite (nan)" in next(iter(summary.reasons))
    rows = [row for name in TASKS for row in iter_samples(outcome.run_dir, name)]
    assert not any(row.scores for row in rows)


def test_nothing_of_them_is_journaled(damaged: Path, here: Path) -> None:
    (journal,) = (ask(damaged).run_dir / "journal").glob("*.jsonl")
    assert journal.read_bytes() == b""


def spoil(journal: Path) -> int:
    """Make every log-likelihood of a journal NaN, as an older version would have written it; how many."""
    lines = []
    for line in journal.read_bytes().splitlines(keepends=True):
        record = parse_line(line)
        assert record is not None
        key, response = record
        if isinstance(response, Scores):
            nan = tuple(replace(c, logprob=math.nan) for c in response.continuations)
            line = to_line(key, replace(response, continuations=nan))
            assert b"NaN" in line
        lines.append(line)
    journal.write_bytes(b"".join(lines))
    return sum(b"NaN" in line for line in lines)


def test_what_an_older_version_journaled_of_them_is_asked_again(
    tiny_llama: Path, here: Path
) -> None:
    first = ask(tiny_llama, EngineKind.fake)
    (journal,) = (first.run_dir / "journal").glob("*.jsonl")
    assert spoil(journal) == 8
    again = ask(tiny_llama, EngineKind.fake)
    assert {s.task: s.num_reused for s in again.manifest.tasks} == {"picks": 0, "sums": 8}
    assert again.metrics == first.metrics
