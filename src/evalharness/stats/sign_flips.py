"""Paired differences under random signs: a test of no difference and the interval that agrees with it.

If neither model is better, each doc's difference is as likely to have the other sign; where docs share a source, the
source's sum is. Sources may be of any size.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalharness.stats.estimates import Interval

Floats = npt.NDArray[np.float64]

PERMUTATIONS = 10_000
_EXACT_UNITS = 13
"""Up to this many units, all 2^n sign changes are used."""
_CHUNK_CELLS = 20_000_000
_SAME = 1e-12


class _Halves(NamedTuple):
    """What random subsets of the units hold."""

    sums: Floats
    """(subsets,) of differences."""
    sizes: Floats
    """(subsets,) docs."""


def sign_flip_p(
    d: Floats,
    rng: np.random.Generator,
    codes: npt.NDArray[np.intp] | None,
    permutations: int = PERMUTATIONS,
) -> float:
    """Two-sided p of a mean difference of 0: signs of units (docs, or sources) are exchangeable under it.

    Exact up to 13 units that differ; else (1 + draws as extreme) / (1 + draws), which is never 0.

    Args:
        d: (docs,) differences.
        rng: for the signs that are drawn.
        codes: (docs,) the source of each; None where docs are the units.
        permutations: how many are drawn.

    Source: Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39 (the added one).
    """
    sums: Floats = d if codes is None else np.bincount(codes, weights=d).astype(float)
    sums = sums[np.abs(sums) > _SAME]
    if len(sums) == 0:
        return 1.0
    total = float(sums.sum())
    # Sums that are equal except for rounding are as extreme.
    observed = abs(total) * (1 - 1e-5)
    extreme = sum(
        int((np.abs(2 * half.sums - total) >= observed).sum())
        for half in _halves(sums, np.ones(len(sums)), rng, permutations)
    )
    if len(sums) <= _EXACT_UNITS:
        return float(extreme / 2 ** len(sums))
    return (1 + extreme) / (1 + permutations)


def sign_flip_intervals(
    d: Floats,
    rng: np.random.Generator,
    codes: npt.NDArray[np.intp],
    levels: tuple[float, ...],
    permutations: int = PERMUTATIONS,
) -> list[Interval]:
    """Mean differences that the test doesn't reject, per level: infinite where there are too few sources to reject any.

    Turning the signs of a subset S of the sources makes the sum less extreme unless the tested difference lies between
    the mean of S and that of the rest; so the ends are quantiles of the smaller and the larger of the two means.

    Args:
        d: (docs,) differences.
        rng: for the subsets that are drawn.
        codes: (docs,) the source of each.
        levels: of confidence.
        permutations: subsets that are drawn where there are more than 13 sources.

    Source: Hartigan 1969, JASA 64:1303 (typical values); Canay, Romano & Shaikh 2017, Econometrica 85:1013 (few sources).
    """
    sizes = np.bincount(codes).astype(float)
    sums = np.bincount(codes, weights=d).astype(float)
    n, total = float(sizes.sum()), float(sums.sum())
    lows, highs = [], []
    for half in _halves(sums, sizes, rng, permutations):
        is_split = (half.sizes > 0) & (half.sizes < n)
        inside, outside = np.full((2, len(half.sums)), np.nan)
        np.divide(half.sums, half.sizes, out=inside, where=is_split)
        np.divide(total - half.sums, n - half.sizes, out=outside, where=is_split)
        lows.append(np.where(is_split, np.minimum(inside, outside), -np.inf))
        highs.append(np.where(is_split, np.maximum(inside, outside), np.inf))
    low, high = np.sort(np.concatenate(lows)), np.sort(np.concatenate(highs))
    is_exact = len(sizes) <= _EXACT_UNITS
    found = []
    for level in levels:
        # As many subsets as p <= 1 - level allows; of drawn ones the whole itself is one more.
        most = (1 - level) * (len(low) + (not is_exact)) - (not is_exact)
        place = min(int(np.floor(most + 1e-9)), (len(low) - 1) // 2)
        found.append(Interval(float(low[place]), float(high[-1 - place])))
    return found


def least_p(units: int, permutations: int = PERMUTATIONS) -> float:
    """The smallest p that this many units can give."""
    return max(2.0 ** (1 - min(units, 1000)), 1 / (1 + permutations))


def _halves(
    sums: Floats, sizes: Floats, rng: np.random.Generator, permutations: int
) -> Iterator[_Halves]:
    """Sums and docs of all subsets of up to 13 units, of random ones of more; in chunks."""
    units = len(sums)
    if units <= _EXACT_UNITS:
        chosen = (np.arange(2**units)[:, None] >> np.arange(units)) & 1
        yield _Halves(chosen @ sums, chosen @ sizes)
        return
    chunk = max(1, min(permutations, _CHUNK_CELLS // units))
    width = (units + 7) // 8
    columns = np.stack([sums, sizes], axis=1).astype(np.float32)
    for start in range(0, permutations, chunk):
        rows = min(chunk, permutations - start)
        # A random bit is a sign.
        bits = np.frombuffer(rng.bytes(rows * width), dtype=np.uint8).reshape(rows, width)
        picked = np.unpackbits(bits, axis=1, count=units).astype(np.float32)
        found = (picked @ columns).astype(float)
        yield _Halves(found[:, 0], found[:, 1])
