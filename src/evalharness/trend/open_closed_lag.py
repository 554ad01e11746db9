"""How long open weights take to catch up: dates and capabilities of both sides in, months out.

Every closed model that was the best of all at its release starts a clock; the first open model as good stops it. Clocks
that still run on the day of the data are censored: without them the longest would be left out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from scipy import stats

from evalharness.trend.frontier import (
    DAYS_PER_YEAR,
    Bools,
    Dates,
    Floats,
    find_frontier,
    to_days,
)

DAYS_PER_MONTH = DAYS_PER_YEAR / 12


class Wait(NamedTuple):
    """One closed model's clock."""

    model: int
    """Its index in the input."""
    months: float
    matched_by: int | None
    """Index of the open model that stopped it; None while it runs."""


class Lag(NamedTuple):
    """Kaplan-Meier median of the waits."""

    median_months: float
    """inf if fewer than half are ever matched, NaN without a wait."""
    ci_low: float
    ci_high: float
    """inf if the data give no upper bound."""
    num_matched: int
    num_censored: int


def find_waits(
    dates: Dates,
    capability: Sequence[float] | Floats,
    is_open: Bools,
    until: date | int,
    margin: float = 0.0,
) -> list[Wait]:
    """The wait of every closed model that led all models at its release.

    Args:
        dates: (models,) of release.
        capability: (models,) on one scale.
        is_open: (models,) weights are public.
        until: day of the data, after which nothing is known.
        margin: an open model counts as good from this much below.

    Raises:
        ValueError: lengths differ or a capability is NaN.
    """
    days, values = to_days(dates), np.asarray(capability, dtype=float)
    leads = find_frontier(days, values) & ~np.asarray(is_open, dtype=bool)
    end = to_days([until])[0]
    return [
        _wait(int(model), days, values, is_open, end, margin)
        for model in sorted(np.flatnonzero(leads & (days <= end)), key=lambda place: days[place])
    ]


def summarise_waits(waits: Sequence[Wait], level: float = 0.9) -> Lag:
    """Median wait with the censored ones counted in, and its interval.

    Source: Kaplan & Meier 1958, JASA 53:457; the interval is where the log-log band of the curve crosses one half
    (Brookmeyer & Crowley 1982, Biometrics 38:29).
    """
    matched = [wait.months for wait in waits if wait.matched_by is not None]
    running = [wait.months for wait in waits if wait.matched_by is None]
    if not matched:
        median = math.inf if running else math.nan
        return Lag(median, math.nan, math.nan, 0, len(running))
    sample = stats.CensoredData(uncensored=matched, right=running)
    curve = stats.ecdf(sample).sf
    with warnings.catch_warnings():
        # If all or none are still waiting the band has no value; it is NaN there and crosses nothing.
        warnings.filterwarnings("ignore", "The confidence interval is undefined")
        band = curve.confidence_interval(level, method="log-log")
    return Lag(
        _first_at_half(curve.quantiles, curve.probabilities),
        _first_at_half(band.low.quantiles, band.low.probabilities),
        _first_at_half(band.high.quantiles, band.high.probabilities),
        len(matched),
        len(running),
    )


def _wait(
    model: int, days: Floats, values: Floats, is_open: Bools, end: float, margin: float
) -> Wait:
    is_as_good = is_open & (values >= values[model] - margin) & (days <= end)
    later = [int(place) for place in np.flatnonzero(is_as_good & (days >= days[model]))]
    if not later:
        return Wait(model, float(end - days[model]) / DAYS_PER_MONTH, None)
    first = min(later, key=lambda place: days[place])
    return Wait(model, float(days[first] - days[model]) / DAYS_PER_MONTH, first)


def _first_at_half(months: Floats, survival: Floats) -> float:
    """First month at which no more than half still wait; inf if that never comes, NaN if the curve isn't known."""
    reached = np.flatnonzero(survival <= 0.5)
    if len(reached):
        return float(months[reached[0]])
    return math.nan if np.isnan(survival).all() else math.inf
