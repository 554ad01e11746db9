"""Comparisons with missing scores: bounds over all values that they may have.

Docs that a run has no score for are not a random part of all: the hardest ones fail, overflow or time out. So nothing
is assumed about them except that their scores are between 0 and 1. A verdict holds if it holds at both ends.

Source: Manski 1990, American Economic Review 80(2):319 (worst-case bounds); Horowitz & Manski 2000, Journal of the American
    Statistical Association 95:77 (with missing outcomes).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalharness.stats.paired import (
    PairedResult,
    from_normal,
    paired_test,
)
from evalharness.store.pairs import Possible

_REACH_90 = 2 * 1.6448536269514722
"""Standard errors between the ends of a 90 % interval."""


class Bounds(NamedTuple):
    """b compared with a, with every missing score against b, and with every one in its favour."""

    low: PairedResult
    high: PairedResult

    @property
    def p_value(self) -> float:
        """The p of no difference for any missing scores: 1 if they decide its sign, else that of the nearer end.

        A one-sided sign test is monotone in each doc's difference, so that the largest p is at an end.
        """
        if self.low.difference > 0:
            return self.low.p_value
        if self.high.difference < 0:
            return self.high.p_value
        # Nothing is missing, or the missing scores decide the sign.
        return self.low.p_value if self.low == self.high else 1.0

    def is_within(self, margin: float) -> bool:
        """Whether the 90 % interval lies within +-margin at both ends."""
        return -margin < self.low.ci90_low and self.high.ci90_high < margin


def p_values(found: Iterable[Bounds | None]) -> list[float]:
    """Of each; NaN where nothing is known."""
    return [math.nan if bounds is None else bounds.p_value for bounds in found]


def exactly(result: PairedResult) -> Bounds:
    """The bounds if nothing is missing."""
    return Bounds(result, result)


def bounds_of(possible: Possible, seed: Sequence[int]) -> Bounds:
    """The bounds of two runs' scores from 0 to 1, doc by doc.

    Args:
        possible: of all docs that were asked.
        seed: of the permutation test, the same at both ends.
    """

    def test(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> PairedResult:
        return paired_test(a, b, np.random.default_rng(seed), possible.clusters)

    return Bounds(test(possible.high_a, possible.low_b), test(possible.low_a, possible.high_b))


def pooled(parts: Sequence[Possible]) -> Possible:
    """The docs of several tasks as one; sources belong to one task."""
    low_a, high_a, low_b, high_b = (
        np.concatenate([getattr(part, end) for part in parts])
        for end in ("low_a", "high_a", "low_b", "high_b")
    )
    sizes = [len(part.low_a) for part in parts]
    clusters = pooled_clusters([part.clusters for part in parts], sizes)
    return Possible(low_a, high_a, low_b, high_b, clusters)


def pooled_clusters(
    clusters: Sequence[npt.NDArray[np.int64] | None], sizes: Sequence[int]
) -> npt.NDArray[np.int64] | None:
    """The sources of several tasks, none of them shared; docs of a task that declares none are their own."""
    if all(codes is None for codes in clusters):
        return None
    start, parts = 0, []
    for given, size in zip(clusters, sizes, strict=True):
        codes = np.unique(np.arange(size) if given is None else given, return_inverse=True)[1]
        parts.append(codes + start)
        start += int(codes.max()) + 1 if size else 0
    found: npt.NDArray[np.int64] = np.concatenate(parts).astype(np.int64)
    return found


def mean_of(results: Sequence[PairedResult]) -> PairedResult:
    """The mean difference over independent sets of docs, with equal weight; a single one is unchanged."""
    first, *others = results
    if not others:
        return first
    k = len(results)
    return from_normal(
        math.fsum(r.value_a for r in results) / k,
        math.fsum(r.value_b for r in results) / k,
        math.hypot(*(_stderr(r) for r in results)) / k,
        sum(r.n for r in results),
    )


def mean_bounds(parts: Sequence[Bounds]) -> Bounds:
    """The bounds of such a mean: all ends against b, and all in its favour."""
    return Bounds(mean_of([part.low for part in parts]), mean_of([part.high for part in parts]))


def flipped(result: PairedResult) -> PairedResult:
    """The result of 1 - score."""
    return replace(
        result,
        value_a=1 - result.value_a,
        value_b=1 - result.value_b,
        difference=-result.difference,
        ci_low=-result.ci_high,
        ci_high=-result.ci_low,
        ci90_low=-result.ci90_high,
        ci90_high=-result.ci90_low,
        wins=result.losses,
        losses=result.wins,
        p_b_above_a=1 - result.p_b_above_a,
    )


def _stderr(result: PairedResult) -> float:
    """A row without any change isn't certain; its interval says how uncertain."""
    if result.stderr > 0:
        return result.stderr
    return (result.ci90_high - result.ci90_low) / _REACH_90
