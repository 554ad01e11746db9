"""Which ranks are really distinct: scores with their intervals in, the possible ranks of each out.

A rank interval holds a model's true rank, for all models at once, with 95 % probability: its lower end is one more than the
number of models that are surely better, its upper end leaves out those that are surely worse.

Source: Mogstad, Romano, Shaikh & Wilhelm 2024, Review of Economic Studies 91:476 (confidence sets for ranks from
one-sided tests of all pairs with family-wise error control, stepwise); Al Mohamad, Goeman & van Zwet 2022, Biometrika
109:361 (simultaneous for all ranks, ties included).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalharness.stats.estimates import LEVEL


class Ranks(NamedTuple):
    """The possible ranks of a model; 1 is the best."""

    first: int
    last: int


def rank_intervals(
    value: npt.ArrayLike,
    ci_low: npt.ArrayLike,
    ci_high: npt.ArrayLike,
    *,
    best: npt.ArrayLike | None = None,
    higher_is_better: bool = True,
) -> list[Ranks]:
    """The ranks compatible with the scores, for all models at once.

    The error of a difference comes from the two models' intervals: the better one's lower half and the worse one's upper
    half, added in squares (Zou & Donner 2008, Statistics in Medicine 27:1693). That takes the scores for independent; on the
    same docs they agree more than that, which makes the ranks wider than they need be, never narrower. All ordered pairs
    are one family, tested by Holm's procedure. A model whose scores are missing in part is better than another only with
    all of these at their lowest, and worse only with all of them at their highest.

    Args:
        value: (models,) scores, finite; the lowest they can be where some are missing.
        ci_low: (models,) lower end of their 95 % interval; NaN: unknown, then nothing is sure of the model.
        ci_high: (models,) upper end of that of `best`.
        best: (models,) the highest they can be; None: nothing is missing.
        higher_is_better: else the lowest score is rank 1.
    """
    given = (value, value if best is None else best, ci_low, ci_high)
    least, most, low, high = (np.asarray(x, dtype=np.float32) for x in given)
    if not higher_is_better:
        least, most, low, high = -most, -least, -high, -low
    z = _standardized(least, most, low, high)
    is_better = z > _critical(z, 1 - LEVEL)
    num = len(least)
    above, below = is_better.sum(axis=0), is_better.sum(axis=1)
    return [Ranks(1 + int(a), num - int(b)) for a, b in zip(above, below, strict=True)]


def _standardized(
    least: npt.NDArray[np.float32],
    most: npt.NDArray[np.float32],
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """(models, models): by how many standard errors the first is better than the second; -inf where it isn't or is unknown."""
    reach = np.float32(NormalDist().inv_cdf((1 + LEVEL) / 2))
    below, above = (least - low) / reach, (high - most) / reach
    difference = least[:, None] - most[None, :]
    error = np.hypot(below[:, None], above[None, :])
    known = (difference > 0) & (error > 0)
    z = np.full_like(difference, -np.inf)
    np.divide(difference, error, out=z, where=known)
    return z


def _critical(z: npt.NDArray[np.float32], alpha: float) -> float:
    """What z has to exceed. Holm's steps, taken together: all that exceed the limit go, and those left have a lower one."""
    family, rejected = len(z) * (len(z) - 1), -1
    limit = np.inf
    while (num := int((z > limit).sum())) > rejected and num < family:
        rejected = num
        limit = NormalDist().inv_cdf(1 - alpha / (family - rejected))
    return float(limit)
