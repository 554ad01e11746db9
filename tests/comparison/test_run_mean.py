"""A run's mean is the one that a leaderboard has for it alone."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.comparison.leaderboard import build_boards
from evalharness.comparison.run_mean import run_mean
from evalharness.store.read import list_runs, load_main_metrics
from report_store import write_store
from stores import make_run


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_store(folder)
    tasks = {"a": [1.0, 0.0, 1.0], "b": [0.0, 0.0, 1.0, 1.0], "c": [1.0, 1.0]}
    make_run(folder, "plain", "m", "three", tasks)
    return folder


def test_it_is_the_leaderboards(results_dir: Path) -> None:
    runs = list_runs(results_dir)
    found = load_main_metrics(results_dir, [run.run_id for run in runs]).of_run
    seen = set()
    for run in runs:
        (board,) = build_boards([run], found)
        mean = run_mean(run, found[run.run_id])
        if not board.averaged:
            assert mean is None
            continue
        assert mean is not None
        (row,) = board.rows
        assert mean.score == pytest.approx(row.mean, nan_ok=True)
        assert (mean.num_parts, mean.num_scored) == (len(board.averaged), row.num_scored)
        seen.add(mean.name)
    assert len(seen) > 1  # means and composites


def test_a_part_without_a_score_leaves_no_mean(results_dir: Path) -> None:
    run = next(run for run in list_runs(results_dir) if run.run_id == "plain")
    metrics = load_main_metrics(results_dir, ["plain"]).of_run["plain"]
    whole = run_mean(run, metrics)
    assert whole is not None
    assert whole.score.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    part = run_mean(run, [replace(metrics[0], value=math.nan), *metrics[1:]])
    assert part is not None
    assert (math.isnan(part.score.value), part.num_scored, part.num_parts) == (True, 2, 3)
