"""How far the open frontier is behind the closed one: points of the index, and months at the frontier's own pace.

The gap is the closed frontier less the open one, averaged over the days. Even where both sides scatter about one line it isn't
0: the side with more models, or earlier ones, is ahead of the other. That order bias is what simulated histories of equal sides
with the same dates show, and it is taken off; their spread is the interval. A shift of one side by some points moves the gap by
as many, so that the same interval holds at every true gap. The wait of a leader until an open model is as good
(`open_closed_lag`) is another number: above 0 even between equals, as a record takes time to be beaten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from evalharness.trend.frontier import (
    DAYS_PER_YEAR,
    MIN_DISTINCT,
    Bools,
    Dates,
    Floats,
    Slope,
    checked,
    without_far_outliers,
)

MIN_RECORDS = 3
"""Least number of records on each side."""
_MONTHS = 12


class Gap(NamedTuple):
    """Closed frontier less open one; below 0 the open one is ahead."""

    since: date | None
    """First day that it is the mean over; None where a side has no model."""
    until: date | None
    points: float
    """Index points, without the order bias; NaN where `refusal` says why."""
    points_low: float
    points_high: float
    order_bias: float
    """What dates and numbers of models alone give."""
    months: float
    """At the pace of the frontier of all models."""
    ci_low: float
    ci_high: float
    refusal: str
    """Why there is no interval; empty if there is one."""


def frontier_gap(
    dates: Dates,
    capability: Sequence[float] | Floats,
    is_open: Bools,
    pace: Slope,
    rng: np.random.Generator,
    last_days: float = math.inf,
    num_draws: int = 1000,
    level: float = 0.9,
) -> Gap:
    """The gap over all days on which both sides have a model, or over the last of them.

    Args:
        dates: (models,) of release.
        capability: (models,) on one scale.
        is_open: (models,) weights are public.
        pace: of the frontier of all models; its interval is part of that in months.
        rng: draws the histories: all models about one line, with the scatter of the measured capabilities, which holds the
            scores' own.
        last_days: no more than these.
        num_draws: histories.
        level: confidence in (0, 1).

    Source: Zou & Donner 2008, Statistics in Medicine 27:1693 (the interval in months, from those of points and pace).
    """
    days, values = checked(dates, capability)
    order = np.argsort(days, kind="stable")
    days, values, opened = days[order], values[order], np.asarray(is_open, dtype=bool)[order]
    if opened.all() or not opened.any():
        return _none("no model on one of the two sides")
    first, last = max(days[opened][0], days[~opened][0]), days[-1]
    first = max(first, last - last_days)
    since, until = (date.fromordinal(int(day)) for day in (first, last))
    if not last > first:
        return _none("both sides have models on the last day only")
    spans = np.diff(np.append(np.clip(days, first, last), last))
    weights = spans / spans.sum()
    seen = float(_gaps(values[None], opened, weights)[0])
    records = min(len(np.unique(np.maximum.accumulate(values[s]))) for s in (opened, ~opened))
    if records < MIN_RECORDS:
        why = f"{records} records on one side, at least {MIN_RECORDS} needed"
        return _none(why)._replace(since=since, until=until)
    equal = _gaps(_equal_sides(days, values, opened, num_draws, rng), opened, weights)
    tails = [(1 + level) / 2, 0.5, (1 - level) / 2]
    low, points, high = (seen - np.quantile(equal, tails)).tolist()
    found = Gap(since, until, points, low, high, seen - points, math.nan, math.nan, math.nan, "")
    if len(np.unique(np.round(equal, 9))) < MIN_DISTINCT:
        why = f"fewer than {MIN_DISTINCT} distinct gaps in {num_draws} histories"
        return _none(why)._replace(since=since, until=until)
    if high - low > np.ptp(values):
        why = f"it would be {high - low:.1f} points wide, more than the data's range ({np.ptp(values):.1f})"
        return _none(why)._replace(since=since, until=until)
    return _in_months(found, pace)


def _none(why: str) -> Gap:
    return Gap(None, None, *(math.nan,) * 7, why)


def _in_months(gap: Gap, pace: Slope) -> Gap:
    """The same at a pace, whose own interval adds in squares."""
    v = pace.corrected
    if not v > 0:
        return gap._replace(refusal="the frontier has no pace above 0")
    months = _MONTHS * gap.points / v
    if not pace.corrected_low > 0:
        return gap._replace(
            months=months, refusal=f"the pace has none above 0 {pace.refusal}".strip()
        )
    ends = sorted(months * v / end for end in (pace.corrected_low, pace.corrected_high))
    low = months - math.hypot(months - _MONTHS * gap.points_low / v, months - ends[0])
    high = months + math.hypot(_MONTHS * gap.points_high / v - months, ends[1] - months)
    return gap._replace(months=months, ci_low=low, ci_high=high)


def _gaps(values: Floats, opened: Bools, weights: Floats) -> Floats:
    """(draws,) gaps of (draws, models) capabilities by date; weights are 0 before both sides have a model."""
    counts = weights > 0
    closed, best = (
        np.maximum.accumulate(np.where(side, values, -math.inf), axis=1)[:, counts]
        for side in (~opened, opened)
    )
    gaps: Floats = (closed - best) @ weights[counts]
    return gaps


def _equal_sides(
    days: Floats, values: Floats, opened: Bools, num_draws: int, rng: np.random.Generator
) -> Floats:
    """(draws, models) capabilities about one line for all, with the scatter about lines that are apart."""
    years = (days - days.mean()) / DAYS_PER_YEAR
    columns = np.stack([np.ones_like(years), years, opened.astype(float)], axis=1)
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    kept = without_far_outliers(values - fitted)
    found = np.linalg.lstsq(columns[kept], values[kept], rcond=None)[0]
    residuals = values[kept] - columns[kept] @ found
    residuals = residuals * math.sqrt(len(residuals) / max(len(residuals) - 3, 1))
    line = columns[:, :2] @ found[:2]
    drawn: Floats = line + rng.choice(residuals, size=(num_draws, len(days)))
    return drawn
