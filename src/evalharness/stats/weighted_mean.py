"""A weighted mean of tasks with its uncertainty: members of a group in, the group's estimate out.

The tasks are fixed, their docs are drawn: the variance is the weighted sum of the members' own (the delta method; the
mean is linear, so it is exact), never that between tasks.
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from evalharness.stats.estimates import (
    LEVEL,
    NO_INTERVAL,
    Estimate,
    Interval,
    num_units,
    unseen_interval,
    wilson_by_quantile,
)
from evalharness.stats.sources import (
    EffectiveDocs,
    effective_docs,
    spread_of_mean,
)

_SAME = 1e-12
_ADDED = 2
"""Docs at the group's mean that a task's variance is computed with, beside its own."""


class Member(NamedTuple):
    """One task of a group."""

    estimate: Estimate
    weight: float
    """Of the task's value in the group's; any scale."""
    values: Sequence[float] | None
    """Score per doc; None if the task's metric is not a mean of them."""
    clusters: Sequence[Hashable] | None = None
    """The source each doc shares with others of its task, in the order of values."""
    draws: float = 1.0
    """Answers per doc, on average, each 0 or 1, that a value is the mean of."""


class _Part(NamedTuple):
    """A member's share of the group's variance."""

    variance: float
    """Of the member's mean, times its squared weight."""
    freedom: float
    """Degrees of freedom of that variance."""


def weighted_mean(members: Sequence[Member]) -> Estimate:
    """The group's mean with its 95 % interval and standard error.

    - Scores that are all 0 or 1, or means of such answers: Wilson at the effective sample size m(1-m) / SE^2, or Kish's
      1 / sum(w^2 / n) where all docs are scored alike. It stays within [0, 1]. For SE each task's share is drawn to the group's mean by two docs, so
      that a task of few docs which all agree isn't taken for certain.
    - Other scores from 0 to 1: Student's t with Satterthwaite's degrees of freedom, but never narrower than what Kish's
      number of docs can say alone (`estimates.unseen_interval`), cut at 0 and 1.
    - Scores on an open scale: the same t; no interval where they show no spread.
    - Metrics that are no means: the members' own intervals, put together (MOVER).

    A member with one doc (or one source) has no spread of its own: its distance from the group's mean stands for it, as
    for a stratum with a single unit in surveys. NaN where a member's value is; one member alone stays as it is.

    Args:
        members: at least one, of positive weight.

    Source: Korn & Graubard 1998, Survey Methodology 24:193 (effective sample size); Kish 1965, Survey Sampling, 11.7;
        Satterthwaite 1946, Biometrics Bulletin 2:110; Zou & Donner 2008, Statistics in Medicine 27:1693 (MOVER);
        Lumley 2004, J. Stat. Software 9(8) (single units: `survey.lonely.psu = "adjust"`).
    """
    first, *others = members
    if not others:
        return first.estimate
    total = math.fsum(member.weight for member in members)
    weights = [member.weight / total for member in members]
    terms = [w * m.estimate.value for w, m in zip(weights, members, strict=True)]
    value = math.fsum(terms) if all(map(math.isfinite, terms)) else sum(terms)
    n = sum(member.estimate.n for member in members)
    if not math.isfinite(value):
        return Estimate(value, math.nan, math.nan, math.nan, n)
    if any(member.values is None for member in members):
        return _of_intervals(members, weights, value, n)
    parts = _parts(members, weights, value)
    variance = math.fsum(part.variance for part in parts)
    error = math.sqrt(variance)
    scores = np.concatenate([m.values or () for m in members])
    if all(m.draws > 1 or np.isin(m.values or (), (0.0, 1.0)).all() for m in members):
        interval = _of_right_and_wrong(members, weights, value)
    else:
        is_share = bool(scores.min() >= 0 and scores.max() <= 1)
        sizes = [float(num_units(m.values or (), m.clusters)) for m in members]
        docs = _kish(weights, sizes)
        interval = _of_scores(value, error, _freedom(parts), docs, is_share=is_share)
    return Estimate(value, *interval, error, n)


def _parts(members: Sequence[Member], weights: Sequence[float], value: float) -> list[_Part]:
    """Each member's contribution to the variance; of a single unit, its distance from the group's mean."""
    parts, lonely = [], []
    for member, weight in zip(members, weights, strict=True):
        units = num_units(member.values or (), member.clusters)
        if units > 1:
            values = np.asarray(member.values, dtype=float)
            spread = spread_of_mean(values, member.clusters)
            parts.append(_Part(weight**2 * spread.variance, spread.freedom))
        else:
            lonely.append((weight * (member.estimate.value - value)) ** 2)
    if lonely:
        parts.append(_Part(math.fsum(lonely), max(1, len(lonely) - 1)))
    return parts


def _freedom(parts: Sequence[_Part]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances; infinite where there is no variance."""
    total = math.fsum(part.variance for part in parts)
    below = math.fsum(part.variance**2 / part.freedom for part in parts)
    return total**2 / below if below > 0 else math.inf


def _kish(weights: Sequence[float], sizes: Sequence[float]) -> float:
    return 1 / math.fsum(w * w / size for w, size in zip(weights, sizes, strict=True))


def _of_right_and_wrong(
    members: Sequence[Member], weights: Sequence[float], value: float
) -> Interval:
    found = [_effective_docs(member) for member in members]
    sizes = [min(max(docs.num, docs.least), docs.most) for docs in found]
    value = min(max(value, 0.0), 1.0)
    variance = 0.0
    for weight, member, size in zip(weights, members, sizes, strict=True):
        n = member.estimate.n
        share = (n * member.estimate.value + _ADDED * value) / (n + _ADDED)
        variance += weight**2 * share * (1 - share) / size
    docs = value * (1 - value) / variance if variance > 0 else _kish(weights, sizes)
    return wilson_by_quantile(value * docs, docs, _quantile(members, found))


def _effective_docs(member: Member) -> EffectiveDocs:
    scores, n = np.asarray(member.values, dtype=float), float(member.estimate.n)
    units = num_units(scores, member.clusters)
    if units < 2:
        return EffectiveDocs(1.0, 0.0, 1.0, n)
    return effective_docs(scores, member.clusters, member.draws)


def _quantile(members: Sequence[Member], found: Sequence[EffectiveDocs]) -> float:
    """The normal one; Student's for the degrees of freedom of all tasks where any shares sources."""
    if all(member.clusters is None for member in members):
        return float(special.ndtri((1 + LEVEL) / 2))
    freedom = math.fsum(
        docs.freedom if math.isfinite(docs.freedom) else docs.least - 1 for docs in found
    )
    return float(special.stdtrit(max(1, freedom), (1 + LEVEL) / 2))


def _of_scores(
    value: float, error: float, freedom: float, docs: float, *, is_share: bool
) -> Interval:
    has_spread = error > _SAME * max(1.0, abs(value))
    if not has_spread and not is_share:
        return NO_INTERVAL
    reach = 0.0
    if has_spread:
        reach = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * error
    if not is_share:
        return Interval(value - reach, value + reach)
    alone = unseen_interval(value, docs, LEVEL)
    return Interval(
        max(0.0, min(value - reach, alone.low)), min(1.0, max(value + reach, alone.high))
    )


def _of_intervals(
    members: Sequence[Member], weights: Sequence[float], value: float, n: int
) -> Estimate:
    below, above, error = (
        math.hypot(*(w * part for w, part in zip(weights, found, strict=True)))
        for found in (
            [m.estimate.value - m.estimate.ci_low for m in members],
            [m.estimate.ci_high - m.estimate.value for m in members],
            [m.estimate.stderr for m in members],
        )
    )
    if math.isnan(below) or math.isnan(above) or below + above == 0:
        return Estimate(value, *NO_INTERVAL, error, n)
    return Estimate(value, value - below, value + above, error, n)
