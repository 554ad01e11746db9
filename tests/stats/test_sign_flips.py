"""The test of random signs and its interval: brute force, agreement, symmetry."""

import itertools

import numpy as np
import pytest

from evalharness.stats.sign_flips import (
    least_p,
    sign_flip_intervals,
    sign_flip_p,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


SIZES = [1, 2, 3, 1, 8, 5, 2, 4]
CODES = np.repeat(np.arange(8), SIZES)


def brute_force_p(d: np.ndarray, codes: np.ndarray) -> float:
    sums = np.array([d[codes == code].sum() for code in np.unique(codes)])
    signed = [abs(np.dot(signs, sums)) for signs in itertools.product((1, -1), repeat=len(sums))]
    return float(np.mean(np.array(signed) >= abs(sums.sum()) - 1e-12))


def test_p_of_sources_counts_all_their_signs() -> None:
    d = rng(1).normal(0.4, 1, size=len(CODES))
    assert sign_flip_p(d, rng(), CODES) == pytest.approx(brute_force_p(d, CODES))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_holds_what_the_test_does_not_reject(level: float) -> None:
    d = rng(2).normal(0.4, 1, size=len(CODES))
    (low, high) = sign_flip_intervals(d, rng(), CODES, (level,))[0]
    for end, inward in ((low, 1e-6), (high, -1e-6)):
        assert brute_force_p(d - end - inward, CODES) > 1 - level
        assert brute_force_p(d - end + inward, CODES) <= 1 - level


def test_drawn_signs_reject_what_lies_outside() -> None:
    codes = np.repeat(np.arange(40), rng(3).geometric(0.2, size=40))
    d = rng(4).normal(0.1, 1, size=len(codes))
    (low, high) = sign_flip_intervals(d, rng(), codes, (0.95,))[0]
    assert sign_flip_p(d - low, rng(5), codes) == pytest.approx(0.05, abs=0.01)
    assert sign_flip_p(d - high, rng(6), codes) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("num", [8, 40])
def test_exchanging_the_models_mirrors_p_and_interval(num: int) -> None:
    codes = np.repeat(np.arange(num), rng(7).geometric(0.2, size=num))
    d = rng(8).choice([-1.0, 0.0, 1.0], size=len(codes))
    assert sign_flip_p(d, rng(), codes) == sign_flip_p(-d, rng(), codes)
    for (low, high), mirrored in zip(
        sign_flip_intervals(d, rng(), codes, (0.95, 0.9)),
        sign_flip_intervals(-d, rng(), codes, (0.95, 0.9)),
        strict=True,
    ):
        assert (low, high) == (-mirrored.high, -mirrored.low)


def test_five_sources_can_exclude_nothing_at_95_percent() -> None:
    codes = np.repeat(np.arange(5), 20)
    ends = sign_flip_intervals(np.ones(100), rng(), codes, (0.95, 0.9))
    assert ends[0] == (-np.inf, np.inf)
    assert np.isfinite(ends[1]).all()
    assert least_p(5) == 2 / 32


def test_least_p_of_many_units_is_one_draw() -> None:
    assert least_p(5000, 999) == 0.001
