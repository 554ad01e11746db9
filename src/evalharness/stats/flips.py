"""Which docs change between two answers of one model: paired scores in, counts and an exact test out."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from evalharness.stats.sign_flips import sign_flip_p
from evalharness.stats.sources import numbered


class Flips(NamedTuple):
    """Docs that change sides, and the probability of a split at least as uneven if either way were as likely."""

    gained: int
    """Wrong before, right after."""
    lost: int
    """Right before, wrong after."""
    p_value: float
    """Exact two-sided McNemar, or by the signs of whole sources; 1 when no doc changes."""


def flips(
    before: Sequence[float] | npt.NDArray[np.float64],
    after: Sequence[float] | npt.NDArray[np.float64],
    clusters: Sequence[Hashable] | None = None,
) -> Flips:
    """Docs gained and lost from `before` to `after`.

    Args:
        before: score per doc. A score that isn't 0 or 1 counts by the sign of its change (a sign test).
        after: of the same docs in the same order.
        clusters: the source that each doc shares with others: docs of one source gain and lose together, so its sum is
            one sign of the test (`sign_flips.sign_flip_p`).

    Raises:
        ValueError: another number of docs in `after`, or a NaN.
    """
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"{first.size} scores before but {second.size} after")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("a score is NaN: leave the doc out of both")
    gained, lost = int((second > first).sum()), int((second < first).sum())
    if clusters is None:
        return Flips(gained, lost, mcnemar_exact(gained, lost))
    rng = np.random.default_rng([len(first), gained, lost])
    return Flips(gained, lost, sign_flip_p(np.sign(second - first), rng, numbered(clusters)))


def mcnemar_exact(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p of no change: the smaller count is Binomial(gained + lost, 1/2), both tails.

    Raises:
        ValueError: a negative count.

    Source: McNemar 1947, Psychometrika 12:153, with the binomial in place of its chi-square approximation.
    """
    if min(gained, lost) < 0:
        raise ValueError(f"counts are {gained} and {lost}, not 0 or more")
    return min(1.0, 2 * float(special.bdtr(min(gained, lost), gained + lost, 0.5)))
