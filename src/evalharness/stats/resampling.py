"""Metrics that are not means: resamples of docs (or of the sources that they share), and the jackknife of a ratio.

Items in, values of resamples out. Labels that were never seen together may be in the next docs: see `resamples`.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import special

from evalharness.stats.sources import numbered

Item = TypeVar("Item")
Floats = npt.NDArray[np.float64]

_LEVEL = 0.95
_PRIOR_DOCS = 2.0
"""Docs that are added to those seen, any pair of labels as likely: half a doc for each of the four pairs of two labels."""


class Ratio(NamedTuple):
    """Sum of amounts over sum of weights."""

    value: float
    low: float
    """NaN for fewer than two units, and where they don't differ."""
    high: float
    stderr: float


def resamples(
    items: Sequence[Item],
    aggregation: Callable[[list[Item]], float],
    rng: np.random.Generator,
    iterations: int,
    clusters: Sequence[Hashable] | None,
) -> Floats:
    """The metric of `iterations` resamples; NaN where one has no value. None at all for fewer than two units.

    Items that are pairs of a few labels (gold and predicted, as F1 and Matthews' correlation take) are drawn from the docs
    seen and two more, spread evenly over all pairs of these labels (Jeffreys' prior of two labels). The plain bootstrap
    can't draw what wasn't seen: with one doc of a rare class all resamples agree, or have no value.

    Source: Efron & Tibshirani 1993, chapter 13; Rubin 1981, Annals of Statistics 9:130 (the prior of the bootstrap).
    """
    units: list[list[Item]] = [[item] for item in items]
    if clusters is not None:
        by_cluster: dict[Hashable, list[Item]] = {}
        for cluster, item in zip(clusters, items, strict=True):
            by_cluster.setdefault(cluster, []).append(item)
        units = list(by_cluster.values())
    n = len(units)
    if n < 2:
        return np.array([])
    pairs = _label_pairs(items, n)

    def draw() -> list[Item]:
        drawn = [units[i] for i in rng.integers(n, size=n)]
        if pairs:
            for place in np.flatnonzero(rng.random(n) < _PRIOR_DOCS / (n + _PRIOR_DOCS)):
                any_pair = pairs[int(rng.integers(len(pairs)))]
                drawn[place] = [any_pair] * len(drawn[place])
        return [item for unit in drawn for item in unit]

    return np.array([_value(aggregation, draw()) for _ in range(iterations)])


def ratio(
    amounts: Sequence[float],
    weights: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
) -> Ratio:
    """Sum of amounts over sum of weights, with Student's t interval by the jackknife over docs or their sources.

    Of log-likelihoods and words it is the logarithm of a perplexity, which is near to normal where the perplexity is not.

    Source: Cochran 1977, Sampling Techniques, 6.15 (the jackknife of a ratio).
    """
    codes = numbered(clusters if clusters is not None else range(len(amounts)))
    above = np.bincount(codes, weights=np.asarray(amounts, dtype=float))
    below = np.bincount(codes, weights=np.asarray(weights, dtype=float))
    value, units = float(above.sum() / below.sum()), len(above)
    if units < 2:
        return Ratio(value, math.nan, math.nan, math.nan)
    without = (above.sum() - above) / (below.sum() - below)
    error = math.sqrt((units - 1) / units * float(((without - without.mean()) ** 2).sum()))
    if not error > 1e-12 * max(1.0, abs(value)):
        return Ratio(value, math.nan, math.nan, error)
    reach = float(special.stdtrit(units - 1, (1 + _LEVEL) / 2)) * error
    return Ratio(value, value - reach, value + reach, error)


def _label_pairs(items: Sequence[Any], num_units: int) -> list[Any]:
    """All pairs of the labels seen; none if items aren't pairs, or have more labels than docs could distinguish."""
    try:
        pairs = [tuple(item) for item in items if isinstance(item, tuple | list)]
        labels = {label for pair in pairs for label in pair}
    except TypeError:  # not hashable
        return []
    is_pair = len(pairs) == len(items) and all(len(pair) == 2 for pair in pairs)
    if not is_pair or not 2 <= len(labels) <= math.isqrt(num_units):
        return []
    ordered = sorted(labels, key=repr)  # a set's order changes from run to run
    return [(gold, predicted) for gold in ordered for predicted in ordered]


def _value(aggregation: Callable[[list[Item]], float], items: list[Item]) -> float:
    try:
        return float(aggregation(items))
    except (ArithmeticError, ValueError):
        return math.nan
