import math
from datetime import date

import numpy as np
import pytest

from evalharness.trend.frontier import Slope
from evalharness.trend.frontier_gap import Gap, frontier_gap

START = date(2024, 1, 1).toordinal()
PACE = Slope(12.0, 9, 15, 40, 10, 12.0, 0.0, 12.0, 9.0, 15.0, "")
SURE = PACE._replace(corrected_low=12.0, corrected_high=12.0)


def history(rng: np.random.Generator, behind: float, num: int = 60) -> tuple[np.ndarray, ...]:
    """12 points a year, open models some points behind: days, capabilities, which are open."""
    days = START + np.sort(rng.uniform(0, 1000, num)).round()
    is_open = rng.permutation(num) % 2 == 0
    values = 100 + 12 * (days - START) / 365.25 + rng.normal(0, 5, num) - behind * is_open
    return days, values, is_open


def gap(behind: float, seed: int = 0, pace: Slope = PACE, **more: float) -> Gap:
    rng = np.random.default_rng(seed)
    return frontier_gap(*history(rng, behind), pace, rng, **more)  # type: ignore[arg-type]


def test_a_shift_of_one_side_moves_the_gap_by_as_much_and_leaves_the_interval_as_wide() -> None:
    one, other = gap(0.0), gap(7.0)
    for a, b in zip(one[2:5], other[2:5], strict=True):
        assert b - a == pytest.approx(7.0)
    assert one.order_bias == pytest.approx(other.order_bias)


@pytest.mark.parametrize("behind", [0.0, 6.0])
def test_the_interval_covers_90_percent_also_between_equals(behind: float) -> None:
    found = [gap(behind, seed, SURE, num_draws=200) for seed in range(120)]
    inside = [f.ci_low <= behind <= f.ci_high for f in found]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.06)
    assert np.median([f.months for f in found]) == pytest.approx(behind, abs=0.7)


def test_more_models_on_one_side_are_no_lead() -> None:
    """Nine closed models for each open one, all about one line: the frontiers are apart, and the gap is about 0."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        days, values, _ = history(rng, 0.0, 100)
        is_open = np.arange(100) % 10 == 0
        found.append(frontier_gap(days, values, is_open, PACE, rng, num_draws=200))
    assert np.mean([f.order_bias for f in found]) > 3
    assert np.median([f.points for f in found]) == pytest.approx(0, abs=1.5)


def test_months_are_points_at_the_pace_whose_doubt_is_in_the_interval() -> None:
    sure, unsure = gap(10.0, pace=SURE), gap(10.0)
    assert sure.months == unsure.months == pytest.approx(sure.points)
    assert (sure.ci_low, sure.ci_high) == pytest.approx((sure.points_low, sure.points_high))
    assert unsure.ci_low < sure.ci_low < sure.ci_high < unsure.ci_high


def test_the_last_days_alone() -> None:
    whole, last = gap(3.0), gap(3.0, last_days=200)
    assert whole.until == last.until
    assert whole.since is not None
    assert last.since is not None
    assert last.until is not None
    assert (last.until - last.since).days == 200


def test_what_has_no_gap_says_why() -> None:
    rng = np.random.default_rng(0)
    days, values, is_open = history(rng, 0.0)
    none = frontier_gap(days, values, np.zeros(60, dtype=bool), PACE, rng)
    assert "no model on one" in none.refusal
    falling = np.where(is_open, 300.0 - np.arange(60), values)
    assert "1 records on one side" in frontier_gap(days, falling, is_open, PACE, rng).refusal
    wide = frontier_gap(days, values, is_open, PACE._replace(corrected_low=math.nan, refusal="few draws"), rng)  # fmt: skip
    assert math.isnan(wide.ci_low)
    assert "few draws" in wide.refusal
