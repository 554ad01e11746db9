"""A team's own checkpoints: which are listed, in which order, by which runs, and why one isn't held against its parent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evalharness.comparison.checkpoints import Checkpoint, checkpoints
from evalharness.comparison.lineages import measured_lineages
from evalharness.store.read import load_main_metrics
from evalharness.store.records import Manifest
from stores import make_run

TASKS = {"sums": [1.0, 0.0] * 30}
BETTER = {"sums": [1.0] * 60}


def run(
    folder: Path, day: int, model: str, tasks: Mapping[str, Any] = TASKS, **more: Any
) -> Manifest:
    parent = {"config": {"model": {"name": model, "parent": more.pop("parent", None)}}}
    started = {"started_at": f"2026-01-{day:02}T00:00:00Z"}
    return make_run(
        folder, f"202601{day:02}-000000-{model}", model, "s", tasks, **parent, **started, **more
    )


def listed(folder: Path, *runs: Manifest) -> dict[str, Checkpoint]:
    metrics = load_main_metrics(folder, [r.run_id for r in runs]).of_run
    lineages = measured_lineages(folder, list(runs))
    return {c.model: c for c in checkpoints(runs, metrics, lineages)}


def test_the_newest_stands_first_and_made_up_answers_do_not_count(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        run(tmp_path, 1, "old"),
        run(tmp_path, 3, "new", BETTER),
        run(tmp_path, 4, "fake", engine={"kind": "fake"}),
    )
    assert list(found) == ["new", "old"]
    mean = found["new"].suites[0].mean
    assert mean is not None
    assert mean.score.value == pytest.approx(1.0)
    assert found["new"].no_step == "its entry names no parent"


def test_later_runs_that_are_not_taken_are_counted(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        run(tmp_path, 1, "m"),
        run(tmp_path, 2, "m", {"sums": [1.0] * 5}, status="partial"),
    )
    (suite,) = found["m"].suites
    assert (suite.run.started_at[:10], suite.num_later) == ("2026-01-01", 1)
    alone = listed(tmp_path, run(tmp_path, 5, "n", status="partial"), run(tmp_path, 6, "n"))
    assert alone["n"].suites[0].num_later == 0
