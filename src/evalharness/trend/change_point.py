"""Has the frontier's pace changed? Dates and capabilities in, one calibrated p-value out.

A search for the best break in a line always finds one: under a straight trend, "half as fast again after the break" is
found in a tenth to a fifth of all histories. So the best break's F is compared with the best breaks of histories
simulated under one straight line, from which the frontier is selected in the same way.

At nominal 5 % it raises 2 to 3 % false alarms where models scatter normally about the line (1000 histories of 120 and
of 180 models), 5 % where they trail off below, 8 % where their scatter halves over the years. A frontier is a dozen
points: even a pace that trebles half-way is detected once in four times, and one that doubles hardly ever. Not finding
a change is no evidence that there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from evalharness.trend.frontier import (
    DAYS_PER_YEAR,
    Bools,
    Dates,
    Floats,
    checked,
    fit_line,
    frontier_rows,
    simulate_line,
)

MIN_FRONTIER = 12
"""Least frontier models for which a break is searched."""
_MIN_SIDE = 3
"""Least frontier models on either side of a break."""
_MIN_HISTORIES = 0.1
"""Share of the simulated histories that must have a long enough frontier."""


class Pace(NamedTuple):
    """The most likely change of the frontier's slope; all NaN and None if there are too few models."""

    p_value: float
    """Probability of such a break if there is none."""
    break_date: date | None
    before_per_year: float
    after_per_year: float
    statistic: float
    """Largest F over the breaks."""
    num_frontier: int
    refusal: str | None
    """Why there is no result."""


class _Breaks(NamedTuple):
    """(draws, breaks) each."""

    statistic: Floats
    before: Floats
    change: Floats


def change_of_pace(
    dates: Dates,
    capability: Sequence[float] | Floats,
    rng: np.random.Generator,
    num_draws: int = 999,
) -> Pace:
    """Parametric-bootstrap sup-F test of one change of slope in the line through the frontier.

    The null is one line for all models with residuals drawn from their own; every simulated history has the same
    dates. Those whose frontier is shorter than the minimum are left out, as the history itself would be.

    Args:
        dates: (models,) of release, of all models and not only the frontier's.
        capability: (models,).
        rng: draws the histories.
        num_draws: histories.

    Source: Andrews 1993, Econometrica 61:821 (sup-F); Hansen 1996, Econometrica 64:413 (its simulated p-value).
    """
    days, values = _sorted(dates, capability)
    is_frontier = frontier_rows(days, values[None])
    num_frontier = int(is_frontier.sum())
    if num_frontier < MIN_FRONTIER:
        reason = f"{num_frontier} frontier models, at least {MIN_FRONTIER} needed"
        return Pace(math.nan, None, math.nan, math.nan, math.nan, num_frontier, reason)
    candidates = np.unique(days)[1:-1]
    observed = _breaks(days, values[None], is_frontier, candidates)
    simulated = simulate_line(days, values, fit_line(days, values), num_draws, rng)
    frontiers = frontier_rows(days, simulated)
    is_long = frontiers.sum(axis=1) >= MIN_FRONTIER
    null = _breaks(days, simulated[is_long], frontiers[is_long], candidates).statistic.max(axis=1)
    if len(null) < _MIN_HISTORIES * num_draws:
        reason = f"a straight trend would rarely give the frontier {MIN_FRONTIER} models here"
        return Pace(math.nan, None, math.nan, math.nan, math.nan, num_frontier, reason)
    best = int(observed.statistic[0].argmax())
    largest, before = float(observed.statistic[0, best]), float(observed.before[0, best])
    return Pace(
        p_value=(1 + int((null >= largest).sum())) / (1 + len(null)),
        break_date=date.fromordinal(int(candidates[best])),
        before_per_year=before,
        after_per_year=before + float(observed.change[0, best]),
        statistic=largest,
        num_frontier=num_frontier,
        refusal=None,
    )


def _sorted(dates: Dates, capability: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    days, values = checked(dates, capability)
    order = np.argsort(days, kind="stable")
    return days[order], values[order]


def _breaks(days: Floats, values: Floats, is_frontier: Bools, candidates: Floats) -> _Breaks:
    """F of a bend at every candidate date, in every draw; 0 where a side has too few frontier models.

    The bend is a third regressor, `max(date - break, 0)`: with the line's part removed from it and from the capability,
    its slope is the change of pace and its F follows from sums over the frontier alone.
    """
    weights, heights = is_frontier.astype(float), values - values.mean()
    years = (days - days.mean()) / DAYS_PER_YEAR
    bends = np.maximum(days[:, None] - candidates, 0) / DAYS_PER_YEAR
    n = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    x, y, z = (
        weights @ years[:, None],
        (weights * heights).sum(axis=1, keepdims=True),
        weights @ bends,
    )
    xx = weights @ years[:, None] ** 2 - x**2 / n
    xy = ((weights * heights) @ years)[:, None] - x * y / n
    yy = (weights * heights**2).sum(axis=1, keepdims=True) - y**2 / n
    xz = weights @ (bends * years[:, None]) - x * z / n
    zy = (weights * heights) @ bends - z * y / n
    zz = weights @ bends**2 - z**2 / n
    left = weights @ (days[:, None] <= candidates)
    is_open = (left >= _MIN_SIDE) & (n - left >= _MIN_SIDE)
    bend = np.where(is_open, zz - xz**2 / xx, 1)
    change = np.where(is_open, (zy - xz * xy / xx) / bend, 0)
    explained = change**2 * bend
    left_over = np.maximum(yy - xy**2 / xx - explained, np.finfo(float).tiny)
    return _Breaks(explained / (left_over / (n - 3)), (xy - change * xz) / xx, change)
