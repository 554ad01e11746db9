"""Scores that aren't independent docs: docs that share a source, repeated answers of a doc.

Scores and sources in, the variance of their mean and the number of independent docs that say as much out. A source is a
passage or a template that several docs share; sources are drawn, and with them their docs.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]

FEW_SOURCES = 10
"""Below it neither the variance between sources nor the quantile that it needs is well known."""
_CORRELATION = 0.05
"""Within sources, for the weights of the estimate: it needn't be true, and any other leaves the estimate unbiased."""
_PRIOR_DOCS, _PRIOR_SOURCES = 0.5, 0.25
"""Docs (sources) that are all right or all wrong, counted with those that hold the rarer answer: few of them know their
spread. Of sources Student's quantile knows that, too. By simulation: see docs/statistics.md."""


class Spread(NamedTuple):
    """How far a mean may lie from the truth."""

    variance: float
    """Of the mean."""
    freedom: float
    """Degrees of freedom of that variance."""


class EffectiveDocs(NamedTuple):
    """Independent docs, scored 0 or 1, that would know the mean as well."""

    num: float
    freedom: float
    """Degrees of freedom behind `num`; infinite where it is known."""
    least: float
    """If all docs of a source were one: 1 / sum of squared shares of docs (Kish)."""
    most: float
    """If no doc shared anything: all samples."""

    def at(self, level: float) -> float:
        """Docs at which the normal quantile gives the interval that Student's would at `num`.

        Source: Korn & Graubard 1998, Survey Methodology 24:193 (degrees of freedom folded into the effective size).
        """
        normal, student = (float(f) for f in _quantiles(level, self.freedom))
        return min(max(self.num * (normal / student) ** 2, self.least), self.most)


class _Sources(NamedTuple):
    sizes: Floats
    """(sources,) docs."""
    means: Floats
    """(sources,) score."""
    weights: Floats
    """(sources,) of the estimate of the variance between sources, sum 1."""
    within: float
    """Variance of docs within sources, pooled; NaN where every source has one doc."""


def spread_of_mean(scores: Floats, clusters: Sequence[Hashable] | None = None) -> Spread:
    """Variance of the mean of all docs: s^2 / n, or by a random effect of sources.

    With sources it is (between) * sum of squared shares of docs + (within) / docs, where the variance between sources
    comes from weighted squares of source means. The sources' sizes may differ as they like: the usual sandwich has hardly
    any degrees of freedom once a few sources hold most docs. Equal sources: s^2 / C of their means, C - 1 degrees.

    Args:
        scores: (docs,) at least two, and two sources.
        clusters: the source of each.

    Source: Searle, Casella & McCulloch 1992, Variance Components, chapter 3 (moments in unbalanced data); Rao 1997,
        Variance Components Estimation, 2.2 (weights); Carter, Schnepel & Steigerwald 2017, Rev. Econ. Stat. 99:698
        (effective number of sources).
    """
    n = len(scores)
    if clusters is None:
        return Spread(float(scores.var(ddof=1)) / n, n - 1)
    found = _sources(scores, clusters)
    shares = found.sizes / n
    within = 0.0 if math.isnan(found.within) else found.within
    weights, left = found.weights, found.weights * (1 - found.weights)
    squares = float(weights @ (found.means - weights @ found.means) ** 2)
    between = max(0.0, (squares - within * float(left @ (1 / found.sizes))) / float(left.sum()))
    variance = between * float(shares @ shares) + within / n
    return Spread(variance, max(1.0, 1 / float(weights @ weights) - 1))


def numbered(clusters: Iterable[Hashable]) -> npt.NDArray[np.intp]:
    """The sources as whole numbers, in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(c, len(numbers)) for c in clusters], dtype=np.intp)


def effective_sources(clusters: npt.ArrayLike) -> float:
    """Number of sources of equal size with the same information: 1 / sum of squared shares of docs; NaN without docs.

    Source: Kish 1965, Survey Sampling, 11.7.
    """
    sizes = np.unique(np.asarray(clusters), return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes @ sizes)) if len(sizes) else math.nan


def few_sources(clusters: npt.ArrayLike) -> str:
    """Remark on docs that share fewer than 10 sources (or the equivalent of fewer); empty for more."""
    num, effective = len(np.unique(np.asarray(clusters))), effective_sources(clusters)
    if not effective < FEW_SOURCES:
        return ""
    counted = (
        f"{num} sources"
        if effective > num - 0.5
        else f"{num} sources, like {effective:.1f} of equal size"
    )
    return f"{counted}: too few to know how far others would differ"


def effective_docs(
    scores: Floats, clusters: Sequence[Hashable] | None = None, draws: float = 1.0
) -> EffectiveDocs:
    """Independent right-or-wrong docs that know a mean as well as these: m (1 - m) / SE^2, within what is possible.

    Where few docs (or sources) hold the rarer answer, SE^2 says little: half a doc (a quarter of a source) that is all right
    or all wrong is counted with them, which draws the number to the least that is possible.

    Args:
        scores: (docs,) from 0 to 1, at least two docs and two sources.
        clusters: the source of each.
        draws: answers per doc, on average, each 0 or 1, that a score is the mean of.

    Source: Korn & Graubard 1998, Survey Methodology 24:193; Kish 1965, Survey Sampling, 11.7 (the bound).
    """
    mean = float(scores.mean())
    units = _sources(scores, clusters if clusters is not None else range(len(scores)))
    rarer = units.means if mean <= 0.5 else 1 - units.means
    return _effective(scores, clusters, draws, mean * (1 - mean), units, rarer)


def effective_pairs(
    differences: Floats, clusters: Sequence[Hashable] | None = None, draws: float = 1.0
) -> EffectiveDocs:
    """Independent docs, each won, lost or neither, that know a mean difference as well: (won + lost - d^2) / SE^2.

    As `effective_docs`, where it is the docs that change which hold the rarer answer.

    Args:
        differences: (docs,) from -1 to 1, at least two docs and two sources.
        clusters: the source of each.
        draws: answers per doc, on average, each 0 or 1, that a difference is made of.
    """
    changed = np.abs(differences)
    possible = float(changed.mean()) - float(differences.mean()) ** 2
    units = _sources(changed, clusters if clusters is not None else range(len(changed)))
    return _effective(differences, clusters, draws, possible, units, units.means)


def _effective(
    values: Floats,
    clusters: Sequence[Hashable] | None,
    draws: float,
    possible: float,
    units: _Sources,
    rarer: Floats,
) -> EffectiveDocs:
    """Of values with variance `possible` if each were one answer; `rarer` is the share of it in each source."""
    n = len(values)
    least = n**2 / float(units.sizes @ units.sizes)
    most = n * draws
    if draws == 1 and len(units.sizes) == n:
        return EffectiveDocs(float(n), math.inf, least, most)
    if not possible > 0:
        return EffectiveDocs(least, math.inf, least, most)
    variance, freedom = spread_of_mean(values, clusters)
    held = units.weights * rarer
    informed = float(held.sum()) ** 2 / float(held @ held)
    prior = _PRIOR_DOCS if clusters is None else _PRIOR_SOURCES
    num = possible * (informed + prior) / (informed * variance + prior * possible / least)
    return EffectiveDocs(num, freedom if clusters is not None else math.inf, least, most)


def _sources(scores: Floats, clusters: Sequence[Hashable]) -> _Sources:
    codes = numbered(clusters)
    sizes = np.bincount(codes).astype(float)
    means = np.bincount(codes, weights=scores) / sizes
    weights = sizes / (1 + (sizes - 1) * _CORRELATION)
    inner = len(scores) - len(sizes)
    within = float(((scores - means[codes]) ** 2).sum()) / inner if inner else math.nan
    return _Sources(sizes, means, weights / weights.sum(), within)


def _quantiles(level: float, freedom: float) -> tuple[float, float]:
    upper = (1 + level) / 2
    normal = special.ndtri(upper)
    return normal, normal if math.isinf(freedom) else special.stdtrit(freedom, upper)
