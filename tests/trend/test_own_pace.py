import math
from datetime import date, timedelta

import numpy as np

from evalharness.trend.own_pace import own_pace

DAYS = [date(2026, 1, 1) + timedelta(days=7 * week) for week in range(24)]


def pace_of(means: list[float], dates: list[date] = DAYS) -> tuple[float, str | None]:
    found = own_pace(dates, means, np.random.default_rng(0))
    return found.p_value, found.refusal


def test_a_line_that_bends_sharply_is_found_and_a_straight_one_is_not() -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, 24)
    bent = [0.1 * week + 2.0 * max(week - 12, 0) for week in range(24)]
    assert pace_of(list(bent + noise))[0] < 0.05
    assert pace_of([week + shift for week, shift in enumerate(noise)])[0] > 0.05


def test_few_days_and_missing_means_are_refused_with_the_reason() -> None:
    assert pace_of([1.0, 2.0], DAYS[:2])[1] == "means of 2 days, at least 6 needed"
    assert pace_of([math.nan] * 24)[1] == "means of 0 days, at least 6 needed"
    assert "frontier models, at least 12 needed" in str(pace_of([24.0 - w for w in range(24)])[1])
