"""A metric with its uncertainty: scores in, estimate out.

No interval has zero width: where the scores show no spread, the interval says what their number alone can say, or is
NaN. On a scale from 0 to 1 that number is also the least that an interval admits: two docs that score 1.0 and 0.9999
say as little of all others as two that score 1.0. Empty input is NaN with n = 0, never 0. Intervals are two-sided.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import special

from evalharness.stats.resampling import resamples
from evalharness.stats.sources import (
    effective_docs,
    numbered,
    spread_of_mean,
)

Item = TypeVar("Item")

LEVEL = 0.95
"""Level of all intervals that are shown."""
MAX_WITHOUT_VALUE = 0.5
"""Share of resamples without a value beyond which the others are not a representative sample."""
_ROUNDING = 1e-12
"""Relative spread below which values are equal except for rounding."""


class Interval(NamedTuple):
    """Confidence interval; both ends NaN when the data can't give one."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A metric with its 95 % interval and standard error."""

    value: float
    ci_low: float
    ci_high: float
    stderr: float
    n: int


NO_INTERVAL = Interval(math.nan, math.nan)


def wilson(num_correct: float, n: float, level: float = LEVEL) -> Interval:
    """Wilson score interval of a share; NaN when n is 0.

    Args:
        num_correct: 0..n.
        n: trials; a fraction when it is an effective sample size.
        level: confidence in (0, 1).

    Raises:
        ValueError: num_correct outside 0..n.

    Source: Wilson 1927, JASA 22:209. Chosen over the normal interval for its coverage at small n and near 1
    (Bowyer et al. 2025, arXiv:2503.01747).
    """
    return wilson_by_quantile(num_correct, n, float(special.ndtri((1 + level) / 2)))


def mean_interval(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, level: float = LEVEL
) -> Interval:
    """Student's t interval of a mean, n - 1 degrees of freedom; with clusters, see `sources.spread_of_mean`.

    One value (or one cluster) has no interval: NaN. Values that are all equal show no spread, and a width of zero
    would claim certainty: when they lie in [0, 1] they are taken for scores on that scale, and the interval is the
    range of means left when up to 1 - (alpha/2)^(1/n) of all docs (Clopper-Pearson: none seen in n) score anything
    else; on any other scale it is NaN.

    Args:
        values: score per doc.
        clusters: the source each doc shares with others, in the order of values.
        level: confidence in (0, 1).
    """
    scores = np.asarray(values, dtype=float)
    units = num_units(scores, clusters)
    if units < 2 or not np.isfinite(scores).all():
        return NO_INTERVAL
    mean = float(scores.mean())
    rounding = _ROUNDING * float(np.abs(scores).max())
    if np.ptp(scores) <= rounding:
        return _constant_interval(float(scores[0]), units, level)
    variance, freedom = spread_of_mean(scores, clusters)
    error = math.sqrt(variance)
    if error <= rounding:
        return NO_INTERVAL
    reach = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(mean - reach, mean + reach)


def share_interval(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Interval:
    """Interval of the mean of scores from 0 to 1: Student's t, but no end nearer than `unseen_interval`'s, cut at 0 and 1.

    The t interval alone takes the spread of the docs at hand for that of all: when the few docs that fail are not among
    them it is next to nothing wide, and of scores that are 0.99 but for one doc in ten, 10 docs would miss the mean in
    one of three runs. NaN for fewer than two values (or clusters).

    Args:
        values: score per doc, 0..1.
        clusters: the source each doc shares with others, in the order of values.

    Source: Clopper & Pearson 1934, Biometrika 26:404 (none seen in n); the t interval's failure on bounded scores:
        Gaffke 2004 and Learned-Miller & Thomas 2019, arXiv:1905.06208.
    """
    scores = np.asarray(values, dtype=float)
    units = num_units(scores, clusters)
    if units < 2 or not np.isfinite(scores).all():
        return NO_INTERVAL
    t = mean_interval(values, clusters)
    alone = unseen_interval(float(scores.mean()), units, LEVEL)
    if math.isnan(t.low):
        return alone
    return Interval(max(0.0, min(t.low, alone.low)), min(1.0, max(t.high, alone.high)))


def unseen_interval(mean: float, units: float, level: float) -> Interval:
    """Range of means in [0, 1] left when the share of docs that may score anything else is what n docs can't exclude.

    That share is 1 - (alpha/2)^(1/n): Clopper-Pearson for none seen in n.

    Args:
        mean: of the docs seen, 0..1.
        units: docs (or sources); a fraction when it is an effective sample size.
        level: confidence in (0, 1).
    """
    unseen = 1 - ((1 - level) / 2) ** (1 / units)
    return Interval(mean * (1 - unseen), mean * (1 - unseen) + unseen)


def standard_error(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> float:
    """Standard error of a mean: sd / sqrt(n) with n - 1, as lm-eval's, or cluster-robust with C / (C - 1).

    NaN for fewer than two values (or clusters). 0 when all values are equal: weigh by the interval then, not by it.

    Source: Miller 2024, arXiv:2411.00640, eq. 1 and 4; the factor C / (C - 1) as in inspect_ai and statsmodels.
    """
    scores = np.asarray(values, dtype=float)
    n, units = len(scores), num_units(scores, clusters)
    if units < 2 or not np.isfinite(scores).all():
        return math.nan
    residuals = scores - scores.mean()
    if clusters is None:
        return math.sqrt(float(residuals @ residuals) / (n * (n - 1)))
    sums = np.bincount(numbered(clusters), weights=residuals)
    return math.sqrt(float(sums @ sums) * units / (units - 1)) / n


def estimate(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, draws: float = 1.0
) -> Estimate:
    """Mean of the scores with its 95 % interval: Wilson's when all are 0 or 1, else t's.

    Where docs share sources, and where a score is the mean of answers that are 0 or 1, it is Wilson's at the number of
    independent docs that say as much (`sources.effective_docs`), which stays within [0, 1]. Other scores from 0 to 1:
    see `share_interval`. On an open scale t's interval is unchanged, and equal scores have none, as nothing shows how
    far another doc could be from them. Sources of one doc each are no clusters. A NaN or infinite score makes all NaN
    but n (and the value when infinite).

    Args:
        values: score per doc.
        clusters: the source each doc shares with others, in the order of values.
        draws: answers per doc, on average, each 0 or 1, that a value is the mean (or another expectation) of.
    """
    scores = np.asarray(values, dtype=float)
    n = len(scores)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    if num_units(scores, clusters) == n:
        clusters = None
    value = float(scores.mean()) if not np.isinf(scores).any() else _infinite_mean(scores)
    error = standard_error(values, clusters)
    if np.isin(scores, (0.0, 1.0)).all():
        draws = 1.0  # each draw was only right or wrong
    elif draws == 1:
        return Estimate(value, *_score_interval(values, clusters, scores), error, n)
    if clusters is None and draws == 1:
        return Estimate(value, *wilson(float(scores.sum()), n), error, n)
    if num_units(scores, clusters) < 2 or not np.isfinite(scores).all():
        return Estimate(value, *NO_INTERVAL, error, n)
    docs = effective_docs(scores, clusters, draws).at(LEVEL)
    return Estimate(value, *wilson(min(max(value, 0.0), 1.0) * docs, docs), error, n)


def bootstrap_estimate(
    items: Sequence[Item],
    aggregation: Callable[[list[Item]], float],
    rng: np.random.Generator,
    iterations: int = 1000,
    clusters: Sequence[Hashable] | None = None,
) -> Estimate:
    """A metric that is no mean (F1, BLEU, perplexity) with its percentile bootstrap interval and standard error.

    No interval for fewer than two items, when all resamples agree, and when more than half of them have no value (the
    aggregation raises an ArithmeticError or ValueError, or returns NaN); fewer are left out. Pairs of labels: see
    `resampling.resamples`.

    Args:
        items: what the aggregation takes, one per doc; any objects.
        aggregation: list of items -> metric.
        rng: seeded from (run seed, task, metric), so that a second run gives the same interval.
        iterations: resamples.
        clusters: the source each item shares with others: sources are drawn then, with all their items.

    Source: Efron & Tibshirani 1993, chapter 13.
    """
    n = len(items)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    drawn = resamples(items, aggregation, rng, iterations, clusters)
    value, interval = float(aggregation(list(items))), _percentiles(drawn)
    error = math.nan
    if not math.isnan(interval.low):
        error = float(drawn[np.isfinite(drawn)].std(ddof=1))
        interval = Interval(min(interval.low, value), max(interval.high, value))
    return Estimate(value, *interval, error, n)


def num_units(
    scores: Sequence[float] | npt.NDArray[np.float64], clusters: Sequence[Hashable] | None
) -> int:
    """Independent units: docs, or the sources that they share.

    Raises:
        ValueError: not as many clusters as scores.
    """
    if clusters is None:
        return len(scores)
    if len(clusters) != len(scores):
        raise ValueError(f"{len(scores)} values but {len(clusters)} clusters")
    return len(set(clusters))


def wilson_by_quantile(num_correct: float, n: float, z: float) -> Interval:
    """Wilson's interval at another quantile than the normal distribution's, such as Student's."""
    if n == 0:
        return NO_INTERVAL
    if not 0 <= num_correct <= n:
        raise ValueError(f"num_correct is {num_correct} of {n}")
    share = num_correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if share == 0 else max(0.0, centre - reach)
    high = 1.0 if share == 1 else min(1.0, centre + reach)
    return Interval(low, high)


def _score_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None,
    scores: npt.NDArray[np.float64],
) -> Interval:
    if scores.min() >= 0 and scores.max() <= 1:
        return share_interval(values, clusters)
    return mean_interval(values, clusters)


def _constant_interval(value: float, units: int, level: float) -> Interval:
    return unseen_interval(value, units, level) if 0 <= value <= 1 else NO_INTERVAL


def _infinite_mean(scores: npt.NDArray[np.float64]) -> float:
    """Mean without numpy's warning about inf - inf."""
    signs = {float(score) for score in scores if not math.isfinite(score)}
    return signs.pop() if len(signs) == 1 else math.nan


def _percentiles(drawn: npt.NDArray[np.float64]) -> Interval:
    found = drawn[np.isfinite(drawn)]
    if len(found) == 0 or len(found) < (1 - MAX_WITHOUT_VALUE) * len(drawn):
        return NO_INTERVAL
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high)) if low < high else NO_INTERVAL
