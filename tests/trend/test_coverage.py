"""Coverage of the trend's intervals, simulated on the design of the scores that ship.

`scripts/bench/trend_coverage.py` simulates and prints the table, docs/trend.md shows a longer run; here a short one is held to
bounds that are as wide as 16 sets are few: 0.15 is two standard errors of a share of 0.9.
"""

import importlib.util
import math
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench" / "trend_coverage.py"
_SPEC = importlib.util.spec_from_file_location("bench_trend_coverage", BENCH)
assert _SPEC is not None
assert _SPEC.loader is not None
bench: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["bench_trend_coverage"] = bench
_SPEC.loader.exec_module(bench)


@cache
def found(lag_months: float, num_sets: int = 16) -> list[Any]:
    return [
        row
        for seed in range(num_sets)
        for row in bench.one_set(seed, 60, lag_months, with_rival=lag_months == 0)
    ]


def covered(what: str, lag_months: float = 0.0) -> float:
    rows = [r for r in found(lag_months) if r.what.startswith(what) and not math.isnan(r.low)]
    assert rows
    return float(np.mean([r.low <= r.truth <= r.high for r in rows]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "lag", "within"),
    [
        ("likelihood: models", 0, 0.04),
        ("likelihood: placed", 0, 0.08),
        ("likelihood: placed at 60", 0, 0.12),
        ("likelihood: velocity all", 0, 0.15),
        ("likelihood: velocity open", 0, 0.15),
        ("epoch: velocity all", 0, 0.15),
        ("likelihood: lag at 0, all days", 0, 0.12),
        ("likelihood: lag at 6, all days", 6, 0.12),
    ],
)
def test_intervals_cover_90_percent(what: str, lag: float, within: float) -> None:
    assert covered(what, lag) == pytest.approx(0.9, abs=within)


@pytest.mark.slow
def test_the_slope_as_it_is_covers_less_than_the_velocity() -> None:
    assert covered("likelihood: raw velocity all") < covered("likelihood: velocity all") - 0.15


@pytest.mark.slow
@pytest.mark.parametrize("method", ["likelihood", "epoch"])
def test_the_median_velocity_is_about_true(method: str) -> None:
    """The median: a set whose first frontier model has hardly a score above chance has any slope."""
    values = [r.value for r in found(0.0) if r.what == f"{method}: velocity all"]
    assert np.median(values) == pytest.approx(bench.PER_YEAR, abs=2.5)


def test_the_truth_is_made_as_it_is_said_to_be() -> None:
    """On average over sets, open models lie below closed ones of their day by the lag's points."""
    design, rng = bench.design(), np.random.default_rng(0)
    apart = []
    for _ in range(200):
        equal, behind = (bench.true_capabilities(rng, lag) for lag in (0.0, 6.0))
        moved = behind - equal
        apart.append(moved[~design.is_open].mean() - moved[design.is_open].mean())
    assert np.mean(apart) == pytest.approx(6 * bench.PER_YEAR / 12, abs=0.6)
