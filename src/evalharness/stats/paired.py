"""Two models on the same docs: pairs of scores in, difference with interval, test and power out.

`a` is the baseline: a difference is b - a. Docs are the unit; repeats are averaged before. Where docs share a source, the
source is the unit of every error and test.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from evalharness.stats.estimates import (
    LEVEL,
    NO_INTERVAL,
    Interval,
    num_units,
    standard_error,
)
from evalharness.stats.flips import mcnemar_exact
from evalharness.stats.sign_flips import (
    PERMUTATIONS,
    least_p,
    sign_flip_intervals,
    sign_flip_p,
)
from evalharness.stats.sources import (
    effective_pairs,
    effective_sources,
    spread_of_mean,
)

Floats = npt.NDArray[np.float64]
Test = Literal["mcnemar", "permutation", "jackknife", "z"]

POWER = 0.8
ALPHA = 0.05
_SAME = 1e-12
_FEW_UNITS = 10
"""Below it the spread of differences is too little known to trust a small one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """What the pairs say of b - a."""

    n: int
    """Docs with a score in both."""
    num_clusters: int | None
    """Sources; None where none are declared."""
    value_a: float
    value_b: float
    """Means over these docs."""
    difference: float
    ci_low: float
    ci_high: float
    """95 %."""
    ci90_low: float
    ci90_high: float
    """90 %: within +-margin is equivalence at 5 % (two one-sided tests); its lower end decides non-inferiority."""
    stderr: float
    p_value: float
    """Two-sided, of no difference."""
    test: Test
    """mcnemar (exact; scores of 0 and 1), permutation (of signs), jackknife (the same, of what docs add to a metric
    that is not a mean), or z (no pairs: from both standard errors)."""
    wins: int
    """Docs on which b scores more."""
    losses: int
    ties: int
    p_b_above_a: float
    """Posterior probability that b's mean is the higher one."""
    mde: float
    """Least true difference that n docs like these would show at 80 % power and alpha 0.05, or the alpha that is left of it
    where several are tested (`mde_at`); NaN where none would show."""
    spread: float = math.nan
    """Standard error that power is computed with; NaN where it is unknown."""
    freedom: float = math.inf
    """Its degrees of freedom."""
    least_p: float = 0.0
    """The smallest p that this many docs (or sources) can give."""


def paired_test(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    rng: np.random.Generator,
    clusters: npt.ArrayLike | None = None,
    permutations: int = PERMUTATIONS,
) -> PairedResult:
    """Compare two models' scores of the same docs.

    Args:
        a: (docs,) the baseline's score per doc, finite.
        b: (docs,) the other's, in the same order.
        rng: for the permutation test.
        clusters: (docs,) the source of each doc, as whole numbers.
        permutations: sign changes that are drawn where there are too many to look at all.

    Raises:
        ValueError: another number of docs in b, or a score that isn't finite.

    Source: Miller 2024, arXiv:2411.00640 (paired and clustered errors, power).
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"{first.size} scores of a but {second.size} of b")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("a score isn't finite: leave the doc out of both")
    d = second - first
    d[np.abs(d) <= _SAME] = 0.0
    n, wins, losses = len(d), int((d > 0).sum()), int((d < 0).sum())
    codes = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    units = n if codes is None else len(np.unique(codes))
    both = np.concatenate([first, second])
    is_share = n > 0 and bool(both.min() >= 0 and both.max() <= 1)
    stderr, freedom = _error(d, codes, units)
    test: Test
    if codes is None and np.isin(both, (0, 1)).all():
        test, p_value = "mcnemar", mcnemar_exact(wins, losses)
        p_b_above_a = binary_posterior(wins, losses)
        ci95, ci90 = (paired_binary_interval(wins, losses, n, level) for level in (0.95, 0.90))
        spread, freedom = math.sqrt((wins + losses + 2) / (n + 2) / n) if n else math.nan, math.inf
    else:
        test, p_value = "permutation", sign_flip_p(d, rng, codes, permutations)
        p_b_above_a = _t_posterior(float(d.mean()), stderr, freedom)
        if codes is None or not stderr > _SAME:
            alone = units if codes is None else effective_sources(codes)
            ci95, ci90 = (
                _difference_interval(d, stderr, alone, level, is_share=is_share)
                for level in (0.95, 0.90)
            )
        else:
            ci95, ci90 = _source_intervals(d, rng, codes, permutations, is_share=is_share)
        spread = stderr if stderr > 0 else math.nan
    found = PairedResult(
        n=n,
        num_clusters=None if codes is None else units,
        value_a=float(first.mean()) if n else math.nan,
        value_b=float(second.mean()) if n else math.nan,
        difference=float(d.mean()) if n else math.nan,
        ci_low=ci95.low,
        ci_high=ci95.high,
        ci90_low=ci90.low,
        ci90_high=ci90.high,
        stderr=stderr,
        p_value=p_value if n else math.nan,
        test=test,
        wins=wins,
        losses=losses,
        ties=n - wins - losses,
        p_b_above_a=p_b_above_a if n else math.nan,
        mde=math.nan,
        spread=spread,
        freedom=freedom,
        least_p=least_p(units, permutations),
    )
    return replace(found, mde=mde_at(found, ALPHA))


def mde_at(result: PairedResult, alpha: float) -> float:
    """Least true difference that a test at this alpha shows at 80 % power; NaN where it would show none.

    Right or wrong answers differ on no fewer docs than the difference says, however few are seen to differ.

    Source: Miller 2024, arXiv:2411.00640, section 5; Connor 1987, Biometrics 43:207 (McNemar's test).
    """
    if result.least_p >= alpha or not result.spread > 0:
        return math.nan
    quantiles = [1 - alpha / 2, POWER]
    if math.isinf(result.freedom):
        factor = float(special.ndtri(quantiles).sum())
    else:
        factor = float(special.stdtrit(result.freedom, quantiles).sum())
    least = factor * result.spread
    if result.test == "mcnemar" and least > result.spread**2 * result.n:
        least = factor**2 / result.n
        return least if least <= 1 else math.nan
    return least


def unpaired_test(
    value_a: float, stderr_a: float, value_b: float, stderr_b: float, n: int
) -> PairedResult:
    """Compare two metrics of which only value and standard error are known: the normal test, no pairs.

    It takes the two for independent, which on the same docs they are not: wider than a paired interval, as a rule.
    """
    stderr = math.hypot(stderr_a, stderr_b)
    return from_normal(value_a, value_b, stderr, n)


def from_normal(value_a: float, value_b: float, stderr: float, n: int) -> PairedResult:
    """The result of a difference whose error is known, by the normal distribution; NaN where it is 0 or unknown."""
    difference = value_b - value_a
    z = difference / stderr if stderr > 0 else math.nan
    reach95, reach90 = (float(special.ndtri(q)) * stderr for q in (0.975, 0.95))
    if not stderr > 0:
        reach95 = reach90 = math.nan
    return PairedResult(
        n=n,
        num_clusters=None,
        value_a=value_a,
        value_b=value_b,
        difference=difference,
        ci_low=difference - reach95,
        ci_high=difference + reach95,
        ci90_low=difference - reach90,
        ci90_high=difference + reach90,
        stderr=stderr,
        p_value=2 * float(special.ndtr(-abs(z))),
        test="z",
        wins=0,
        losses=0,
        ties=0,
        p_b_above_a=float(special.ndtr(z)),
        mde=detectable(stderr if stderr > 0 else math.nan),
        spread=stderr if stderr > 0 else math.nan,
    )


def paired_binary_interval(wins: float, losses: float, n: float, level: float) -> Interval:
    """Interval of the difference of two shares on the same n docs; never of zero width.

    Fractions where n is an effective number of docs.

    Source: Bonett & Price 2012, J. Educ. Behav. Stat. 37:479 (adjusted Wald: one doc added to either side).
    """
    if n == 0:
        return Interval(math.nan, math.nan)
    up, down = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    centre = up - down
    reach = float(special.ndtri((1 + level) / 2)) * math.sqrt((up + down - centre**2) / (n + 2))
    return Interval(max(centre - reach, -1.0), min(centre + reach, 1.0))


def paired_answers_interval(
    differences: Floats, clusters: Sequence[Hashable] | None, draws: float
) -> Interval:
    """95 % of a mean difference that right or wrong answers make: the same, at `sources.effective_pairs`.

    Student's t alone takes the few docs that change for all that may: with a gain in 5 % of 30 sources' docs it holds the
    truth in 82 % (docs/statistics.md). NaN for fewer than two docs (or sources).

    Args:
        differences: (docs,) from -1 to 1.
        clusters: the source of each; None where docs share none.
        draws: answers per doc, on average.
    """
    if num_units(differences, clusters) < 2:
        return NO_INTERVAL
    docs = effective_pairs(differences, clusters, draws).at(LEVEL)
    wins, losses = (docs * float(np.maximum(d, 0).mean()) for d in (differences, -differences))
    return paired_binary_interval(wins, losses, docs, LEVEL)


def binary_posterior(wins: int, losses: int) -> float:
    """P(share of b > share of a) given the docs that only one gets right: a Dirichlet(1/2, ...) prior on the 2x2 table.

    Of the two discordant cells only their ratio matters: it is Beta(wins + 1/2, losses + 1/2).
    """
    if wins == losses:
        return 0.5
    return float(special.betainc(losses + 0.5, wins + 0.5, 0.5))


def detectable(stderr: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Least true difference that a test of this standard error finds with this power (two-sided)."""
    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power)) * stderr


def docs_needed(
    effect: float,
    variance: float,
    within: Sequence[tuple[float, int]] = (),
    power: float = POWER,
    alpha: float = ALPHA,
) -> int:
    """Docs that show a true difference `effect` with this power.

    Args:
        effect: b - a, not 0.
        variance: of the paired differences of expected scores.
        within: per model (variance of a doc's score between repeats, repeats per doc).
        power: probability to find it.
        alpha: of the two-sided test.

    Source: Miller 2024, arXiv:2411.00640, eq. 9.
    """
    z = float(special.ndtri(1 - alpha / 2) + special.ndtri(power))
    total = variance + sum(v / repeats for v, repeats in within)
    return math.ceil(z**2 * total / effect**2 - 1e-9)


def _error(d: Floats, codes: npt.NDArray[np.intp] | None, units: int) -> tuple[float, float]:
    """Standard error of the mean difference and its degrees of freedom."""
    if codes is None or units < 2:
        clusters = None if codes is None else list(codes)
        return standard_error(list(d), clusters), max(1.0, units - 1.0)
    variance, freedom = spread_of_mean(d, list(codes))
    return math.sqrt(variance), freedom


def _source_intervals(
    d: Floats,
    rng: np.random.Generator,
    codes: npt.NDArray[np.intp],
    permutations: int,
    *,
    is_share: bool,
) -> list[Interval]:
    """What the test by sources leaves, at 95 and 90 %: all of -1 to 1 with 5 sources or fewer, none on an open scale."""
    found = []
    for low, high in sign_flip_intervals(d, rng, codes, (0.95, 0.90), permutations):
        if is_share:
            found.append(Interval(max(low, -1.0), min(high, 1.0)))
        else:
            is_known = math.isfinite(low) and low < high
            found.append(Interval(low, high) if is_known else Interval(math.nan, math.nan))
    return found


def _t_posterior(difference: float, stderr: float, freedom: float) -> float:
    if difference == 0:
        return 0.5
    if not stderr > 0:
        return math.nan
    return float(special.stdtr(freedom, difference / stderr))


def _difference_interval(
    d: Floats, stderr: float, units: float, level: float, *, is_share: bool
) -> Interval:
    """Student's t over the units, on a scale from -1 to 1 for shares.

    Where shares' differences are few or show no spread, no end is nearer than what their number alone can say (see
    `estimates.unseen_interval`).
    """
    if units < 2:
        return Interval(math.nan, math.nan)
    mean = float(d.mean())
    if not is_share and not stderr > _SAME:
        return Interval(math.nan, math.nan)
    low = high = mean
    if stderr > _SAME:
        reach = float(special.stdtrit(units - 1, (1 + level) / 2)) * stderr
        low, high = mean - reach, mean + reach
    if not is_share:
        return Interval(low, high)
    if units < _FEW_UNITS or not stderr > _SAME:
        unseen = 1 - ((1 - level) / 2) ** (1 / units)
        low = min(low, mean - unseen * (1 + mean))
        high = max(high, mean + unseen * (1 - mean))
    return Interval(max(low, -1.0), min(high, 1.0))
