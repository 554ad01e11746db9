import math
from datetime import date

import numpy as np
import pytest

from evalharness.trend.change_point import (
    MIN_FRONTIER,
    Pace,
    change_of_pace,
)
from evalharness.trend.frontier import find_frontier

START = date(2023, 1, 1).toordinal()


def history(
    rng: np.random.Generator, num_models: int = 120, spread: float = 0.5, change: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """1000 days at 0.5 a year, and `change` more from the 500th on."""
    days = np.sort(rng.integers(0, 1000, num_models))
    gain = 0.5 * days / 365.25 + change * np.maximum(days - 500, 0) / 365.25
    return START + days, gain + spread * rng.normal(size=num_models)


def long_histories(num: int, num_models: int, num_draws: int, **kind: float) -> list[Pace]:
    """That many histories whose frontier is long enough."""
    rng, found = np.random.default_rng(num_models), []
    while len(found) < num:
        pace = change_of_pace(*history(rng, num_models, **kind), rng, num_draws)
        found += [pace] if pace.refusal is None else []
    return found


def bent_frontier(num: int = 20, change: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A model each 50 days, all at the frontier, with a bend at the 500th day."""
    rng, days = np.random.default_rng(0), 50.0 * np.arange(num)
    gain = 0.5 * days / 365.25 + change * np.maximum(days - 500, 0) / 365.25
    return START + days, gain + 0.005 * rng.normal(size=num)


def test_a_plain_bend_is_found_where_it_is() -> None:
    found = change_of_pace(*bent_frontier(), np.random.default_rng(0))
    assert found.p_value < 0.005
    assert found.break_date == date.fromordinal(START + 500)
    assert found.before_per_year == pytest.approx(0.5, abs=0.02)
    assert found.after_per_year == pytest.approx(1.5, abs=0.02)
    assert (found.num_frontier, found.refusal) == (20, None)


def test_statistic_is_the_largest_f_of_two_least_squares_fits() -> None:
    days, values = history(np.random.default_rng(2), 200, 0.2, change=0.5)
    at = find_frontier(days, values)
    x, y = (days[at] - START) / 365.25, values[at]
    line = np.linalg.lstsq(np.stack([np.ones_like(x), x], axis=1), y)[1][0]
    largest = 0.0
    for day in np.unique(days)[1:-1]:
        bend = np.maximum(x - (day - START) / 365.25, 0)
        if min((days[at] <= day).sum(), (days[at] > day).sum()) >= 3:
            bent = np.linalg.lstsq(np.stack([np.ones_like(x), x, bend], axis=1), y)[1][0]
            largest = max(largest, (line - bent) / (bent / (len(x) - 3)))
    found = change_of_pace(days, values, np.random.default_rng(0), 19)
    assert found.refusal is None
    assert found.statistic == pytest.approx(largest, rel=1e-6)


def test_false_alarms_are_no_more_than_nominal() -> None:
    found = long_histories(200, 120, 99)
    assert np.mean([pace.p_value <= 0.05 for pace in found]) <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("num_models", [120, 180])
def test_false_alarms_of_many_straight_histories(num_models: int) -> None:
    found = long_histories(1000, num_models, 199)
    assert np.mean([pace.p_value <= 0.05 for pace in found]) <= 0.07


def test_real_changes_are_found_more_often_than_false_ones() -> None:
    found = long_histories(100, 120, 99, spread=0.1, change=1.0)
    assert np.mean([pace.p_value <= 0.05 for pace in found]) > 0.4


def test_too_few_frontier_models_say_nothing() -> None:
    days, values = bent_frontier(MIN_FRONTIER - 1)
    found = change_of_pace(days, values, np.random.default_rng(0))
    assert math.isnan(found.p_value)
    assert found.break_date is None
    assert found.refusal == "11 frontier models, at least 12 needed"


def test_models_below_the_frontier_do_not_count() -> None:
    days, values = bent_frontier(11)
    later = np.concatenate([days, days[-1] + np.arange(1, 40)])
    found = change_of_pace(later, np.concatenate([values, np.zeros(39)]), np.random.default_rng(0))
    assert found.num_frontier == 11
    assert found.refusal is not None


def test_the_order_of_the_models_changes_nothing() -> None:
    days, values = bent_frontier()
    mixed = np.random.default_rng(1).permutation(len(days))
    one = change_of_pace(days, values, np.random.default_rng(0))
    assert change_of_pace(days[mixed], values[mixed], np.random.default_rng(0)) == one


def test_a_nan_capability_is_refused() -> None:
    with pytest.raises(ValueError, match="leave the model out"):
        change_of_pace([START, START + 1], [1, math.nan], np.random.default_rng(0))
