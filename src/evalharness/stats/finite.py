"""Intervals of a score over some of a task's docs, for the score that all its docs would give.

n docs drawn at random without replacement from N leave only N - n unknown: the standard error of the full score is that
of the n docs times sqrt(1 - n/N). The interval's ends come nearer to the value by that factor; at its ends, near 0 and 1,
where Wilson's interval of n docs would come nearer by its square, that is wider than need be. What the N docs themselves
say of others of their kind is not in it: for that, `MetricRecord.stderr` is not narrowed.

Not for the first docs, which are no draw. A stratified draw misses by less than a plain one, so the interval is wider than
need be there too; so is a cluster-robust one.

Source: Cochran 1977, Sampling Techniques, eq. 2.20 and 5.12 (proportional strata).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalharness.stats.estimates import Estimate


def correction(num_scored: int, num_available: int) -> float:
    """sqrt(1 - n/N), 0 to 1.

    Args:
        num_scored: n, docs with a score.
        num_available: N, docs that the full task has, at least n.
    """
    return math.sqrt(1 - num_scored / num_available)


def correction_of_draw(num_scored: int, num_drawn: int, num_available: int) -> float:
    """The same of a random draw, of which all docs must have a score: those without one are not a random part of it.

    Args:
        num_scored: docs with a score.
        num_drawn: docs that the run takes.
        num_available: N, docs that the full task has.

    Returns:
        1 where a doc of the draw has no score.
    """
    return correction(num_drawn, num_available) if num_scored == num_drawn else 1.0


def narrowed(estimate: Estimate, factor: float) -> Estimate:
    """The estimate with its interval's ends nearer to its value; the standard error stays.

    Args:
        estimate: of a metric.
        factor: of `correction` or `group_correction`; 1 changes nothing.
    """
    if factor == 1:  # to the last digit
        return estimate
    value = estimate.value
    return estimate._replace(
        ci_low=value - factor * (value - estimate.ci_low),
        ci_high=value + factor * (estimate.ci_high - value),
    )


def group_correction(
    weights: Sequence[float], errors: Sequence[float], factors: Sequence[float]
) -> float:
    """The factor of a weighted mean of tasks: the root of how much of its variance their own factors leave.

    Args:
        weights: of the tasks; any scale.
        errors: the tasks' standard errors, not narrowed.
        factors: their corrections; 1 for a task of all its docs.

    Returns:
        0 to 1; the largest of the factors where the variance is unknown or 0.
    """
    parts = [(weight * error) ** 2 for weight, error in zip(weights, errors, strict=True)]
    total = math.fsum(parts) if all(map(math.isfinite, parts)) else 0.0
    if total <= 0:
        return max(factors)
    left = math.fsum(part * factor**2 for part, factor in zip(parts, factors, strict=True))
    return math.sqrt(left / total)
