"""The frontier's line as a forecast, and how good such forecasts have been: dates and capabilities in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from scipy import stats

from evalharness.trend.frontier import (
    DAYS_PER_YEAR,
    Dates,
    Floats,
    checked,
    find_frontier,
    fit_line,
    to_days,
)


class Forecast(NamedTuple):
    """The frontier's line on another date."""

    value: float
    low: float
    """Interval for a new frontier model: its own scatter and the line's uncertainty."""
    high: float
    line_low: float
    """Interval for the line only: narrower, and not for a model."""
    line_high: float
    n: int
    """Number of frontier models."""
    refusal: str
    """Why there are no intervals; empty if there are."""


class Skill(NamedTuple):
    """How well the frontier's line up to a date predicted the frontier after it.

    Known at the date was the frontier of that day: `over_persistence` compares the line with it.
    """

    mae: float
    """Mean absolute error."""
    r2: float
    """1 - squared error over that of the later models' own mean, which was not known at the date."""
    num_before: int
    """Frontier models that the line is fitted to."""
    num_after: int
    """Frontier models that were predicted."""
    over_persistence: float
    """1 - squared error over that of the last frontier capability before the date; below 0 is worse than no change."""


def forecast(
    dates: Dates, capability: Sequence[float] | Floats, at: date | int, level: float = 0.9
) -> Forecast:
    """The frontier's line on a date, with the interval for a new model and the one for the line.

    Both assume that the frontier's points are independent, which they aren't; see `forecast_skill` for their skill.
    The intervals are NaN where `refusal` says why.
    """
    days, values = checked(dates, capability)
    is_frontier = find_frontier(days, values)
    line = fit_line(days[is_frontier], values[is_frontier])
    day = float(to_days([at])[0])
    value = float(line.at(day))
    if line.n < 3 or not line.spread:
        why = f"{line.n} frontier models, at least 3 of different dates needed"
        return Forecast(value, math.nan, math.nan, math.nan, math.nan, line.n, why)
    quantile = float(stats.t.ppf((1 + level) / 2, line.n - 2))
    far = ((day - line.middle) / DAYS_PER_YEAR) ** 2 / line.spread
    of_line = quantile * line.residual_sd * math.sqrt(1 / line.n + far)
    of_model = quantile * line.residual_sd * math.sqrt(1 + 1 / line.n + far)
    ends = value - of_model, value + of_model, value - of_line, value + of_line
    return Forecast(value, *ends, line.n, "")


def forecast_skill(
    dates: Dates,
    capability: Sequence[float] | Floats,
    cut: date | int,
    known: Sequence[float] | Floats | None = None,
) -> Skill:
    """The line through the frontier up to `cut` (included), compared with the frontier models after it.

    Args:
        dates: (models,) of release.
        capability: (models,) as they are known today.
        cut: day of the forecast.
        known: (models,) as they were known at the cut (`fit_vintage`), NaN for a model that wasn't: line and persistence are
            then what a forecaster of that day had. Without it they have today's capabilities.
    """
    days, values = checked(dates, capability)
    after = find_frontier(days, values) & (days > to_days([cut])[0])
    then = values if known is None else np.asarray(known, dtype=float)
    usable = np.flatnonzero(np.isfinite(then) & (days <= to_days([cut])[0]))
    before = usable[find_frontier(days[usable], then[usable])] if len(usable) else usable
    line = fit_line(days[before], then[before])
    if line.n < 2 or not line.spread or not after.any():
        return Skill(math.nan, math.nan, line.n, int(after.sum()), math.nan)
    errors = values[after] - line.at(days[after])
    distances = values[after] - values[after].mean()
    spread = float(distances @ distances)
    r2 = 1 - float(errors @ errors) / spread if spread else math.nan
    gains = values[after] - then[before].max()
    moved = float(gains @ gains)
    over = 1 - float(errors @ errors) / moved if moved else math.nan
    return Skill(float(np.abs(errors).mean()), r2, line.n, int(after.sum()), over)
