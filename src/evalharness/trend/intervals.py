"""Uncertainty of a capability: bootstrap intervals, and the effect of the ridge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from evalharness.stats.estimates import Interval
from evalharness.trend.capability_index import (
    CapabilityFit,
    find_anchors,
)
from evalharness.trend.fit_epoch import as_squares
from evalharness.trend.fit_likelihood import (
    Floats,
    Parameters,
    centred,
)
from evalharness.trend.frontier import MAX_FAILED_DRAWS
from evalharness.trend.threads import in_threads
from evalharness.trend.weighted_refits import Refits, Ridge

LAMBDAS = (1e-1, 1e-3)
_AT_ONCE = 10
"""Draws that one thread works on side by side; part of the numbers' last digits, unlike the number of threads."""


class Draws(NamedTuple):
    """Fits to scores weighted at random; NaN where a draw failed."""

    capability: Floats
    """(draws, models)."""
    difficulty: Floats
    """(draws, benchmarks)."""
    slope: Floats
    """(draws, benchmarks) per unit of capability."""


class Moved(NamedTuple):
    """A model's capability at each lambda."""

    model: str
    capability: tuple[float, ...]
    """Capabilities in the order of the fits."""
    moved: float
    """Largest minus smallest."""


def fit_draws(
    fit: CapabilityFit, rng: np.random.Generator, num_draws: int = 500, workers: int | None = None
) -> Draws:
    """The fit with every score weighted at random, on the fit's scale.

    Every draw is fitted completely, starting from the fit, with the fit's dispersion, and put on the scale by its own anchors. A
    draw in which these have no order is NaN.

    Args:
        fit: the fit.
        rng: draws the weights, all of them before any draw is fitted.
        num_draws: refits.
        workers: threads; the numbers are the same for any number of them. None: one for each core.
    """
    refits, start = _refits(fit)
    weights = refits.weights(start, rng, num_draws)
    parts = [weights[first : first + _AT_ONCE] for first in range(0, num_draws, _AT_ONCE)]
    found = in_threads(lambda part: _on_scale(fit, refits.refit(part, start)), parts, workers)
    return Draws(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _refits(fit: CapabilityFit) -> tuple[Refits, Parameters]:
    """The problem that the fit solved, and its solution on the method's own scale."""
    if fit.method == "likelihood":
        return Refits(fit.rows, fit.dispersion, Ridge(fit.lam)), centred(fit.parameters)
    rows, start, pull, anchor = as_squares(fit.rows, fit.benchmarks, fit.lam, fit.parameters)
    of_all = pull / fit.dispersion.sd**2
    return Refits(rows, fit.dispersion, Ridge(0.0, of_all, anchor)), start


def _on_scale(fit: CapabilityFit, found: Parameters) -> Draws:
    """(draws, ...) each, NaN where a draw's anchors have no order."""
    capability, difficulty, slope = found.capability, found.difficulty, np.exp(found.log_slope)
    if not fit.anchors:
        return Draws(capability, difficulty, slope)
    low, high = (capability[:, [place]] for place in find_anchors(fit.models, fit.anchors, {}))
    gap = np.where(high > low, high - low, math.nan)
    bottom, factor = fit.anchors.low_value, (fit.anchors.high_value - fit.anchors.low_value) / gap
    return Draws(
        bottom + factor * (capability - low), bottom + factor * (difficulty - low), slope / factor
    )


def capability_draws(fit: CapabilityFit, rng: np.random.Generator, num_draws: int = 500) -> Floats:
    """(draws, models) capability, as `fit_draws` has it."""
    return fit_draws(fit, rng, num_draws).capability


def capability_intervals(fit: CapabilityFit, draws: Floats, level: float = 0.9) -> list[Interval]:
    """Interval of every model's capability; NaN for the anchors, whose capability is a definition.

    Distances of the draws' percentiles from the estimate, widened because a model's scatter is known from its own k benchmarks
    only: by the ratio of Student's t with k - 1 degrees of freedom to the normal. It is a factor on the distance, so that an
    end hangs on the 5th percentile and not on the smallest of the draws. All NaN when more than 5 % of the draws failed; NaN for a model
    whose draws aren't on both sides of its estimate, or whose interval would be wider than the index's range.

    Args:
        fit: the fit of the draws.
        draws: of `capability_draws`.
        level: confidence in (0, 1).

    Source: Hesterberg 2015, The American Statistician 69:371, section 4.1 (the widening).
    """
    found = draws[np.isfinite(draws).all(axis=1)]
    if len(found) < max(2, (1 - MAX_FAILED_DRAWS) * len(draws)):
        return [Interval(math.nan, math.nan)] * len(fit.models)
    fixed = set(fit.anchors[:2]) if fit.anchors else set()
    counts, most = fit.num_benchmarks, float(np.ptp(fit.capability))
    return [
        Interval(math.nan, math.nan)
        if name in fixed
        else _widened(fit.capability[place], found[:, place], int(counts[place]), level, most)
        for place, name in enumerate(fit.models)
    ]


def moved_by_lambda(fits: Sequence[CapabilityFit]) -> list[Moved]:
    """The effect of the ridge: capability of every model in each fit, the largest change first.

    Args:
        fits: of the same scores, at least one.
    """
    together = np.stack([fit.capability for fit in fits], axis=1)
    moved = [
        Moved(name, tuple(map(float, values)), float(np.ptp(values)))
        for name, values in zip(fits[0].models, together, strict=True)
    ]
    return sorted(moved, key=lambda row: row.moved, reverse=True)


@cache
def _widening(tail: float, count: int) -> float:
    return float(stats.t.isf(tail, count - 1) / stats.norm.isf(tail))


def _widened(estimate: float, values: Floats, count: int, level: float, most: float) -> Interval:
    if count < 2:
        return Interval(math.nan, math.nan)
    tail = (1 - level) / 2
    factor = _widening(tail, count)
    low, high = np.quantile(values, [tail, 1 - tail], method="weibull")
    if not low < estimate < high:
        return Interval(math.nan, math.nan)
    ends = float(estimate - factor * (estimate - low)), float(estimate + factor * (high - estimate))
    return Interval(*ends) if ends[1] - ends[0] <= most else Interval(math.nan, math.nan)
