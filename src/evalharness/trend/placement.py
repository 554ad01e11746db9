"""A local checkpoint on the scale of a published fit: its scores in, its capability out.

The benchmarks' difficulty and slope are the reference's, so a few local checkpoints don't change the scale. The
interval is the checkpoint's own scatter and, where draws of the reference are given, how far those move it; it doesn't include
that of a protocol that differs from the published one: to check this, also run one or two of the reference's models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from evalharness.errors import UserError
from evalharness.trend.capability_index import (
    CapabilityFit,
    Score,
    check_score,
    corrected,
)
from evalharness.trend.fit_likelihood import (
    Floats,
    Rows,
    loss_per_row,
)

_POINTS = 2001
_COARSE = 500
_EDGE = 1e-12
_REACH = 12.0
"""Units of its sigmoid beyond the outermost benchmark after which nothing changes any more."""


class Curves(Protocol):
    """The benchmarks' curves in draws of a fit; (draws, benchmarks) each, NaN where a draw failed."""

    @property
    def difficulty(self) -> Floats:
        """Capability at which half of what chance leaves is scored."""
        ...

    @property
    def slope(self) -> Floats:
        """How fast the score rises with capability."""
        ...


class Placement(NamedTuple):
    """Capability of one checkpoint with its profile-likelihood interval."""

    value: float
    """-inf or inf if the scores give no lower or upper bound (all at chance, all 1)."""
    ci_low: float
    """-inf if unbounded."""
    ci_high: float
    num_benchmarks: int
    ignored: tuple[str, ...]
    """Benchmarks that the reference doesn't have."""
    refusal: str = ""
    """Why there is no interval; empty if there is one."""


def place(
    reference: CapabilityFit,
    scores: Sequence[Score],
    level: float = 0.9,
    draws: Curves | None = None,
) -> Placement:
    """Position of a checkpoint on the reference's scale; NaN over 0 benchmarks if it shares none.

    Args:
        reference: the fit whose benchmarks and dispersion are taken as known.
        scores: of one checkpoint.
        level: confidence in (0, 1).
        draws: curves of the benchmarks in draws of the reference; the interval then holds how far these move the checkpoint
            as well. docs/trend.md has what it covers.

    Raises:
        UserError: a score out of range, several models, or a score without a number of items, if all of the reference's
        have one.
    """
    names = {check_score(score).model for score in scores}
    if len(names) > 1:
        raise UserError(f"scores of {len(names)} models; place one at a time")
    shared = [score for score in scores if score.benchmark in reference.benchmarks]
    ignored = tuple(sorted({score.benchmark for score in scores if score not in shared}))
    if not shared:
        return Placement(math.nan, math.nan, math.nan, 0, ignored)
    rows = _rows(reference, shared)
    loss = _loss(reference, rows)
    grid = _grid(reference, shared)
    value, low, high = _profile(loss, grid, float(stats.chi2.ppf(level, 1)) / 2)
    if draws is not None and math.isfinite(value):
        low, high = _over_draws(reference, rows, grid, draws, value, level)
    count, most = len({score.benchmark for score in shared}), float(np.ptp(reference.capability))
    if math.isfinite(high - low) and high - low > most:
        why = f"no interval: it would be {high - low:.0f} wide, more than the index's range ({most:.0f})"
        return Placement(value, math.nan, math.nan, count, ignored, why)
    return Placement(value, low, high, count, ignored)


def _rows(reference: CapabilityFit, scores: Sequence[Score]) -> Rows:
    dispersion = reference.dispersion
    if reference.method == "epoch":
        scores = [corrected(score) for score in scores]
    rows = Rows(
        np.zeros(len(scores), dtype=np.intp),
        np.array([reference.benchmarks.index(score.benchmark) for score in scores]),
        np.array([score.score for score in scores]),
        np.array([score.chance for score in scores]),
        np.array([score.num_items or math.nan for score in scores]),
    )
    if math.isnan(dispersion.phi):
        rows = rows._replace(num_items=np.full(len(scores), math.nan))
    if math.isnan(dispersion.sd) and np.isnan(rows.num_items).any():
        raise UserError("a score has no number of items, and all of the reference's have: give it")
    return rows


def _loss(reference: CapabilityFit, rows: Rows) -> Callable[[Floats], Floats]:
    dispersion = reference.dispersion
    difficulty, slope = reference.difficulty[rows.benchmark], reference.slope[rows.benchmark]

    def loss(capability: Floats) -> Floats:
        share = special.expit(slope * (capability[:, None] - difficulty))
        expected = rows.chance + (1 - rows.chance) * share
        losses: Floats = loss_per_row(rows, expected, dispersion).sum(axis=1)
        return losses

    return loss


def _over_draws(
    reference: CapabilityFit, rows: Rows, grid: Floats, draws: Curves, value: float, level: float
) -> tuple[float, float]:
    """Ends of the interval over the draws of the reference.

    They are moved so that the draws' median position is the value: how far draws lie to one side of the fit says nothing of where
    the fit lies of the truth.
    """
    coarse = grid[:: max(1, len(grid) // _COARSE)]
    low, middle, high = _mixed(reference, rows, coarse, draws, level)
    first, last = max(low, grid[0]), min(high, grid[-1])
    fine = np.linspace(2 * first - last, 2 * last - first, _COARSE)
    low, middle, high = _mixed(reference, rows, fine, draws, level)
    return low + value - middle, high + value - middle


def _mixed(
    reference: CapabilityFit, rows: Rows, grid: Floats, draws: Curves, level: float
) -> tuple[float, float, float]:
    """Low end, median position and high end over the draws.

    In each draw, the signed root of the likelihood ratio says how sure it is that the checkpoint lies below a point; their
    mean over the draws is that of both kinds of error.

    Source: Schweder & Hjort 2016, Confidence, Likelihood, Probability, sections 3.4 and 13.
    """
    usable = np.isfinite(draws.difficulty).all(axis=1)
    difficulty = draws.difficulty[usable][:, rows.benchmark]
    slope = draws.slope[usable][:, rows.benchmark]
    below, positions = np.zeros(len(grid)), np.empty(len(difficulty))
    for draw, (hard, steep) in enumerate(zip(difficulty, slope, strict=True)):
        share = special.expit(steep * (grid[:, None] - hard))
        expected = rows.chance + (1 - rows.chance) * share
        losses = loss_per_row(rows, expected, reference.dispersion).sum(axis=1)
        positions[draw] = _lowest(grid, losses)
        below += special.ndtr(_signed_root(losses, grid >= positions[draw])) / len(difficulty)
    tail = (1 - level) / 2
    low, high = _first_at(grid, below, tail), -_first_at(-grid[::-1], 1 - below[::-1], tail)
    return low, float(np.median(positions)), high


def _signed_root(losses: Floats, is_above: npt.NDArray[np.bool_]) -> Floats:
    """Rising over the points: where a chance floor causes several minima, the outermost counts."""
    excess = np.sqrt(2 * np.maximum(losses - losses.min(), 0))
    from_left, from_right = (
        np.minimum.accumulate(excess),
        np.minimum.accumulate(excess[::-1])[::-1],
    )
    return np.where(is_above, from_right, -from_left)


def _first_at(points: Floats, share: Floats, wanted: float) -> float:
    """Where the share rises to the wanted one, on the normal scale between points; -inf if it is that high at the first."""
    first = int(np.searchsorted(share, wanted))
    if first == 0:
        return -math.inf
    if first == len(share):
        return math.inf
    ends = special.ndtri(np.clip(share[first - 1 : first + 1], _EDGE, 1 - _EDGE))
    part = (special.ndtri(wanted) - ends[0]) / (ends[1] - ends[0])
    return float(points[first - 1] + part * (points[first] - points[first - 1]))


def _lowest(grid: Floats, losses: Floats) -> float:
    """The minimum of the parabola through the lowest point and its neighbours; the point itself at an end."""
    best = int(losses.argmin())
    if not 0 < best < len(grid) - 1:
        return float(grid[best])
    left, middle, right = losses[best - 1 : best + 2]
    bend = left - 2 * middle + right
    step = float(grid[1] - grid[0])
    return float(grid[best] + (step * (left - right) / (2 * bend) if bend > 0 else 0.0))


def _grid(reference: CapabilityFit, scores: Sequence[Score]) -> Floats:
    used = sorted({reference.benchmarks.index(score.benchmark) for score in scores})
    difficulty, reach = reference.difficulty[used], _REACH / reference.slope[used]
    return np.linspace((difficulty - reach).min(), (difficulty + reach).max(), _POINTS)


def _profile(
    loss: Callable[[Floats], Floats], grid: Floats, allowed: float
) -> tuple[float, float, float]:
    """Best point and the outermost ones that are worse by `allowed`, as a chance floor can cause several minima."""
    losses = loss(grid)
    best = int(losses.argmin())
    value, least = _refined(loss, grid, best, float(losses[best]))
    inside = np.flatnonzero(losses <= least + allowed)
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (best, best)

    def excess(point: float) -> float:
        return float(loss(np.array([point]))[0]) - least - allowed

    def crossing(outer: int, inner: int) -> float:
        return float(optimize.brentq(excess, grid[outer], grid[inner] if len(inside) else value))

    low = crossing(first - 1, first) if first else -math.inf
    high = crossing(last + 1, last) if last < len(grid) - 1 else math.inf
    return value, low, high


def _refined(
    loss: Callable[[Floats], Floats], grid: Floats, best: int, least: float
) -> tuple[float, float]:
    """The minimum near the lowest point of the grid; an end of the grid means infinity."""
    if not 0 < best < len(grid) - 1:
        return math.inf if best else -math.inf, least
    found = optimize.minimize_scalar(
        lambda point: float(loss(np.array([point]))[0]),
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
    )
    return float(found.x), min(float(found.fun), least)
