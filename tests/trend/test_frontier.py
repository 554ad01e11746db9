import math
from datetime import date, timedelta

import numpy as np
import pytest

from evalharness.trend.capability_index import (
    fit_capability,
)
from evalharness.trend.forecast import forecast, forecast_skill
from evalharness.trend.frontier import (
    find_frontier,
    fit_line,
    frontier_slope,
    frontier_slopes,
    to_days,
)
from trend_data import epoch_scores, read_epoch_rows

START = date(2023, 1, 1)


def days_after(*days: int) -> list[date]:
    return [START + timedelta(days=number) for number in days]


def history(seed: int, num_models: int = 80, spread: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Ordinal days over three years and capabilities about a line that gains 0.5 a year."""
    rng = np.random.default_rng(seed)
    days = START.toordinal() + np.sort(rng.integers(0, 1096, num_models))
    gain = 0.5 * (days - START.toordinal()) / 365.25
    return days, gain + spread * rng.normal(size=num_models)


def published() -> tuple[list[date], np.ndarray, np.ndarray]:
    """Dates, capabilities by Epoch's fit, and which are open."""
    rows = read_epoch_rows()
    fit = fit_capability(epoch_scores(rows), None, "epoch")
    by_model = {row["model"]: row for row in rows}
    dates = [date.fromisoformat(by_model[name]["release_date"]) for name in fit.models]
    is_open = np.array([by_model[name]["open_weight"] == "true" for name in fit.models])
    return dates, fit.capability, is_open


def test_frontier_is_the_running_maximum() -> None:
    dates = days_after(0, 1, 2, 3, 4)
    assert find_frontier(dates, [1, 3, 2, 3, 4]).tolist() == [True, True, False, True, True]


def test_of_one_days_models_only_the_best_is_at_the_frontier() -> None:
    assert find_frontier(days_after(0, 0, 1), [2, 1, 3]).tolist() == [True, False, True]


def test_frontier_keeps_the_order_it_is_asked_in() -> None:
    assert find_frontier(days_after(2, 0, 1), [2, 1, 3]).tolist() == [False, True, True]


def test_dates_and_their_ordinals_are_the_same() -> None:
    dates = days_after(0, 400)
    assert to_days(dates).tolist() == [day.toordinal() for day in dates]
    assert to_days(to_days(dates)).tolist() == to_days(dates).tolist()


def test_line_is_numpys_polyfit_in_years() -> None:
    days, values = history(0)
    line, years = fit_line(days, values), (days - days.mean()) / 365.25
    slope, height = np.polyfit(years, values, 1)
    assert (line.per_year, line.value) == pytest.approx((slope, height))
    assert line.residual_sd == pytest.approx(
        math.sqrt(((values - height - slope * years) ** 2).sum() / 78)
    )
    assert float(line.at(days[7])) == pytest.approx(height + slope * years[7])


def test_a_straight_frontier_has_its_slope() -> None:
    found = frontier_slope(
        days_after(*range(0, 1461, 20)), np.arange(74) / 74, np.random.default_rng(0)
    )
    assert found.per_year == pytest.approx(365.25 / 20 / 74)
    assert (found.num_models, found.num_frontier) == (74, 74)
    assert found.order_bias == pytest.approx(0, abs=1e-6)


def test_published_frontier_slopes() -> None:
    """Rosetta's notebook prints 0.559 for all models; the reference fit has 0.533 for open weights, 0.715 for the line of all."""
    dates, capability, is_open = published()
    found = frontier_slopes(
        dates,
        capability,
        {"all": np.ones(len(dates), dtype=bool), "open": is_open},
        np.random.default_rng(0),
        num_draws=200,
    )
    assert found["all"].per_year == pytest.approx(0.559, abs=2e-3)
    assert found["all"].models_per_year == pytest.approx(0.715, abs=2e-3)
    assert found["open"].per_year == pytest.approx(0.533, abs=2e-3)
    assert found["open"].num_models == is_open.sum()
    assert all(slope.ci_low < slope.per_year < slope.ci_high for slope in found.values())


def test_published_forecast_skill_is_worse_than_a_constant() -> None:
    """Rosetta's hold-out from September 2024: MAE 0.378, R2 -3.2 (its capabilities were fitted a little otherwise)."""
    dates, capability, _ = published()
    skill = forecast_skill(dates, capability, date(2024, 9, 1))
    assert skill.mae == pytest.approx(0.378, abs=0.01)
    assert skill.r2 == pytest.approx(-3.2, abs=0.2)
    assert (skill.num_before, skill.num_after) == (7, 6)


def test_frontier_is_steeper_than_the_trend_by_about_the_order_bias() -> None:
    found = [
        frontier_slope(*history(seed), np.random.default_rng(seed), num_draws=200)
        for seed in range(100)
    ]
    excess = np.mean([slope.per_year - 0.5 for slope in found])
    assert excess > 0.1
    assert np.mean([slope.order_bias for slope in found]) == pytest.approx(excess, abs=0.035)


def test_slope_interval_covers_the_frontiers_expected_slope() -> None:
    found = [
        frontier_slope(*history(seed), np.random.default_rng(seed), num_draws=300)
        for seed in range(200)
    ]
    expected = np.mean([slope.per_year for slope in found])
    covered = np.mean([slope.ci_low <= expected <= slope.ci_high for slope in found])
    assert covered == pytest.approx(0.9, abs=0.05)


def test_capability_draws_widen_the_interval() -> None:
    days, values = history(1)
    rng = np.random.default_rng(2)
    draws = values + 0.5 * rng.normal(size=(300, len(values)))
    sure = frontier_slope(days, values, np.random.default_rng(0))
    unsure = frontier_slope(days, values, np.random.default_rng(0), draws)
    assert unsure.ci_high - unsure.ci_low > 1.1 * (sure.ci_high - sure.ci_low)


def test_draws_follow_their_model_when_dates_are_unsorted() -> None:
    days, values = START.toordinal() + 13 * np.arange(80), history(3)[1]
    mixed = np.random.default_rng(4).permutation(len(days))
    one = frontier_slope(days, values, np.random.default_rng(0), values[None])
    two = frontier_slope(days[mixed], values[mixed], np.random.default_rng(0), values[mixed][None])
    assert tuple(one) == pytest.approx(tuple(two))


def test_a_failed_draw_is_left_out() -> None:
    days, values = history(5)
    failed = np.stack([values, np.full(len(values), math.nan)])
    assert not math.isnan(frontier_slope(days, values, np.random.default_rng(0), failed).ci_low)


def test_one_date_has_no_slope() -> None:
    found = frontier_slope(days_after(0, 0), [1, 2], np.random.default_rng(0))
    assert math.isnan(found.per_year)
    assert math.isnan(found.ci_low)
    assert found.num_frontier == 1


def test_no_models_have_no_slope() -> None:
    found = frontier_slope([], [], np.random.default_rng(0))
    assert math.isnan(found.per_year)
    assert math.isnan(found.order_bias)
    assert found.num_models == 0


def test_interval_for_a_model_is_the_textbook_one_and_wider_than_the_lines() -> None:
    """x = 0, 1, 2, 3 years, y = 1, 2, 2, 3: slope 0.6, s^2 = 0.1, forecast at 4: 3.5 +- t(2) s sqrt(1 + 1/4 + 6.25/5)."""
    days = 738000 + 365.25 * np.arange(4)
    found = forecast(days, [1, 2, 2, 3], 738000 + 1461, level=0.95)
    assert found.n == 4
    assert found.value == pytest.approx(3.5)
    assert found.high - found.value == pytest.approx(4.302653 * math.sqrt(0.1 * 2.5), rel=1e-5)
    assert found.line_high - found.value == pytest.approx(4.302653 * math.sqrt(0.1 * 1.5), rel=1e-5)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_forecast_interval_holds_new_models_of_a_straight_frontier() -> None:
    rng, days = np.random.default_rng(0), 738000 + 30.0 * np.arange(15)
    inside = []
    for _ in range(300):
        values = np.arange(16) + 0.05 * rng.normal(size=16)
        found = forecast(days, values[:15], 738450)
        inside.append(found.low <= values[15] <= found.high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.05)


def test_two_frontier_models_forecast_without_an_interval() -> None:
    found = forecast(days_after(0, 365), [1, 2], START + timedelta(days=730))
    assert found.value == pytest.approx(3)
    assert math.isnan(found.low)
    assert found.n == 2


def test_skill_of_a_line_that_holds_is_perfect() -> None:
    skill = forecast_skill(days_after(0, 100, 200, 300, 400), [1, 2, 3, 4, 5], days_after(200)[0])
    assert tuple(skill) == pytest.approx((0, 1, 3, 2, 1), abs=1e-9)


def test_skill_is_held_against_the_frontier_that_was_known() -> None:
    """The line misses 4 by 1 and 5 by 2; no change from 3 misses them by 1 and 2 as well: no skill over it."""
    days = days_after(0, 100, 200, 300, 400)
    flat = forecast_skill(days, [3, 3, 3, 4, 5], days[2])
    assert flat.over_persistence == pytest.approx(0)
    assert flat.r2 < 0
    worse = forecast_skill(days, [1, 3, 5, 5.5, 6], days[2])
    assert worse.over_persistence < 0


def test_velocity_is_the_slope_without_the_order_bias_and_within_its_interval() -> None:
    found = frontier_slope(*history(3), np.random.default_rng(3), num_draws=300)
    assert found.corrected == pytest.approx(found.per_year - found.order_bias)
    assert found.corrected_low < found.corrected < found.corrected_high
    assert found.refusal == ""


def test_corrected_slopes_of_histories_are_on_average_true() -> None:
    found = [
        frontier_slope(*history(seed), np.random.default_rng(seed), num_draws=200)
        for seed in range(40)
    ]
    assert np.mean([slope.corrected for slope in found]) == pytest.approx(0.5, abs=0.035)
    covered = np.mean([s.corrected_low <= 0.5 <= s.corrected_high for s in found])
    assert covered == pytest.approx(0.9, abs=0.1)


def test_few_distinct_frontiers_give_no_interval_and_say_so() -> None:
    found = frontier_slope(
        days_after(0, 100, 200, 300), [1, 2, 3.5, 4], np.random.default_rng(0), num_draws=500
    )
    assert math.isnan(found.corrected_low)
    assert "distinct frontiers in 500 draws, at least 20 needed" in found.refusal


def test_a_far_outlier_at_the_bottom_doesnt_move_the_order_bias() -> None:
    days, values = history(4)
    usual = frontier_slope(days, values, np.random.default_rng(0), num_draws=300)
    lowest = np.array(values)
    lowest[int(np.argmin(lowest))] -= 1000
    odd = frontier_slope(days, lowest, np.random.default_rng(0), num_draws=300)
    assert odd.order_bias == pytest.approx(usual.order_bias, abs=0.05)


def test_nothing_after_the_cut_has_no_skill() -> None:
    skill = forecast_skill(days_after(0, 100, 200), [1, 2, 3], date(2030, 1, 1))
    assert math.isnan(skill.mae)
    assert (skill.num_before, skill.num_after) == (3, 0)


def test_a_nan_capability_is_refused() -> None:
    with pytest.raises(ValueError, match="leave the model out"):
        find_frontier(days_after(0, 1), [1, math.nan])


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 dates but 1"):
        fit_line(days_after(0, 1), [1])
