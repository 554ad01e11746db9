import math
from datetime import date, timedelta

import numpy as np
import pytest

from evalharness.trend.capability_index import (
    fit_capability,
)
from evalharness.trend.open_closed_lag import (
    Lag,
    Wait,
    find_waits,
    summarise_waits,
)
from trend_data import epoch_scores, read_epoch_rows

START = date(2024, 1, 1)


def after(months: float) -> date:
    return START + timedelta(days=round(months * 30.4375))


def wait(months: float, is_matched: bool = True) -> Wait:
    return Wait(0, months, 1 if is_matched else None)


def waits_of(closed: list[tuple[float, float]], opened: list[tuple[float, float]]) -> list[Wait]:
    """Waits of closed models among open ones, each given as (month, capability), with data to month 24."""
    models = closed + opened
    is_open = np.array([False] * len(closed) + [True] * len(opened))
    return find_waits(
        [after(month) for month, _ in models], [value for _, value in models], is_open, after(24)
    )


def test_published_lags() -> None:
    """Six matched and five still waiting in November 2025, by Epoch's fit at lambda 0.1."""
    rows = read_epoch_rows()
    fit = fit_capability(epoch_scores(rows), None, "epoch")
    by_model = {row["model"]: row for row in rows}
    dates = [date.fromisoformat(by_model[name]["release_date"]) for name in fit.models]
    is_open = np.array([by_model[name]["open_weight"] == "true" for name in fit.models])
    waits = find_waits(dates, fit.capability, is_open, max(dates))
    matched = [found.months for found in waits if found.matched_by is not None]
    running = [found.months for found in waits if found.matched_by is None]
    assert matched == pytest.approx([13.8, 4.8, 3.4, 2.3, 1.1, 4.3], abs=0.06)
    assert running == pytest.approx([10.9, 7.7, 6.9, 3.2, 1.2], abs=0.06)
    found = summarise_waits(waits)
    assert found.median_months == pytest.approx(4.8, abs=0.05)
    assert (found.num_matched, found.num_censored) == (6, 5)


def test_waits_still_running_raise_the_median() -> None:
    """By hand: S = 10/11, 9/11 x 8/9 ..., which reaches one half at the wait of 4.8."""
    matched = [wait(months) for months in (13.8, 4.8, 3.4, 2.3, 1.1, 4.3)]
    running = [wait(months, is_matched=False) for months in (10.9, 7.7, 6.9, 3.2, 1.2)]
    assert summarise_waits(matched + running).median_months == 4.8
    assert summarise_waits(matched).median_months == 3.4


def test_median_without_censoring_is_the_first_month_half_have_reached() -> None:
    assert summarise_waits([wait(months) for months in (1, 2, 3, 4)]).median_months == 2
    assert summarise_waits([wait(months) for months in (1, 2, 3)]).median_months == 2


def test_interval_of_a_published_survival_curve() -> None:
    """Months in remission on 6-MP (Freireich 1963): median 23, by the log-log band from 13 and open above."""
    matched = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    running = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    waits = [wait(months) for months in matched]
    waits += [wait(months, is_matched=False) for months in running]
    assert summarise_waits(waits, 0.95) == Lag(23, 13, math.inf, 9, 12)


def test_most_still_waiting_have_no_median() -> None:
    waits = [wait(1), *(wait(5, is_matched=False) for _ in range(3))]
    assert summarise_waits(waits).median_months == math.inf


def test_none_matched_is_infinite_and_no_waits_are_nan() -> None:
    running = summarise_waits([wait(5, is_matched=False)])
    assert (running.median_months, running.num_matched, running.num_censored) == (math.inf, 0, 1)
    assert math.isnan(summarise_waits([]).median_months)


def test_a_wait_ends_at_the_first_open_model_as_good() -> None:
    waits = waits_of([(0, 5)], [(3, 4), (7, 5), (9, 8)])
    assert [(found.model, found.matched_by) for found in waits] == [(0, 2)]
    assert waits[0].months == pytest.approx(7, abs=0.02)


def test_a_closed_model_that_an_open_one_had_beaten_does_not_wait() -> None:
    assert waits_of([(5, 3)], [(0, 4)]) == []


def test_a_closed_model_below_another_closed_one_does_not_wait() -> None:
    assert [found.model for found in waits_of([(0, 5), (1, 4)], [])] == [0]


def test_what_is_unmatched_waits_to_the_day_of_the_data() -> None:
    waits = waits_of([(4, 5)], [(6, 3)])
    assert waits[0].matched_by is None
    assert waits[0].months == pytest.approx(20, abs=0.05)


def test_what_comes_after_the_day_of_the_data_is_not_known() -> None:
    dates, values = [after(0), after(10), after(11)], [5, 6, 9]
    waits = find_waits(dates, values, np.array([False, True, False]), after(8))
    assert [(found.model, found.matched_by) for found in waits] == [(0, None)]


def test_margin_lets_an_open_model_match_from_below() -> None:
    dates, values, is_open = [after(0), after(6)], [5, 4.9], np.array([False, True])
    assert find_waits(dates, values, is_open, after(24))[0].matched_by is None
    assert find_waits(dates, values, is_open, after(24), margin=0.2)[0].matched_by == 1


def test_waits_come_in_the_order_of_release() -> None:
    assert [found.model for found in waits_of([(9, 7), (2, 5)], [])] == [1, 0]
