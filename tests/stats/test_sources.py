"""Docs that share sources: closed forms, an ANOVA oracle, and how many sources a mean rests on."""

import numpy as np
import pytest
from scipy import stats

from evalharness.stats.sources import (
    effective_docs,
    effective_pairs,
    effective_sources,
    few_sources,
    spread_of_mean,
)

RNG = np.random.default_rng(0)


def test_without_sources_it_is_the_error_of_a_mean() -> None:
    values = RNG.random(30)
    variance, freedom = spread_of_mean(values)
    assert variance == pytest.approx(stats.sem(values) ** 2)
    assert freedom == 29


def test_equal_sources_vary_as_their_means_do() -> None:
    values = RNG.random(60) + np.repeat(RNG.normal(size=12), 5)
    variance, freedom = spread_of_mean(values, list(np.repeat(np.arange(12), 5)))
    assert variance == pytest.approx(stats.sem(values.reshape(12, 5).mean(axis=1)) ** 2)
    assert freedom == pytest.approx(11)


def test_sources_without_an_effect_leave_the_docs_variance() -> None:
    """Their means agree better than docs drawn by chance would."""
    values = np.tile([0.0, 1.0, 0.5, 0.25], 10)
    variance, _ = spread_of_mean(values, list(np.repeat(np.arange(10), 4)))
    within = float(values.reshape(10, 4).var(axis=1, ddof=1).mean())
    assert variance == pytest.approx(within / 40)


@pytest.mark.parametrize("effect", [0.0, 0.5, 2.0])
def test_the_variance_is_unbiased_for_unequal_sources(effect: float) -> None:
    sizes = np.array([1, 1, 2, 3, 5, 8, 20, 40] * 4)
    codes = list(np.repeat(np.arange(len(sizes)), sizes))
    shares = sizes / sizes.sum()
    expected = effect**2 * shares @ shares + 1 / sizes.sum()
    found = []
    for _ in range(400):
        values = np.repeat(effect * RNG.normal(size=len(sizes)), sizes) + RNG.normal(
            size=sizes.sum()
        )
        found.append(spread_of_mean(values, codes).variance)
    # Without an effect its estimate is cut at 0, which leaves the mean above.
    assert np.mean(found) == pytest.approx(expected, rel=0.1 if effect else 0.5)


def test_effective_docs_lie_between_sources_and_samples() -> None:
    codes = list(np.repeat(np.arange(20), 5))
    same = np.repeat((RNG.random(20) < 0.5).astype(float), 5)
    mixed = np.tile([0.0, 1.0, 0.0, 1.0, 0.0], 20)
    assert effective_docs(same, codes).at(0.95) == pytest.approx(20)
    assert 60 < effective_docs(mixed, codes).at(0.95) < 100
    assert effective_docs(same, codes).most == 100


def test_docs_that_change_one_way_know_as_much_as_docs_that_are_right() -> None:
    codes = list(np.repeat(np.arange(20), 5))
    right = np.repeat((RNG.random(20) < 0.3).astype(float), 5)
    assert effective_pairs(right, codes, 8) == effective_docs(right, codes, 8)
    assert effective_pairs(-right, codes, 8) == effective_docs(right, codes, 8)
    assert effective_pairs(right) == effective_docs(right)


def test_effective_pairs_in_closed_form() -> None:
    # won + lost - d^2 = 0.375 - 1/64, as if each were one answer; s^2 / 4 = 0.6875 / 12; three docs of four change.
    found = effective_pairs(np.array([0.5, 0.0, -0.5, 0.5]), draws=2)
    possible, variance = 23 / 64, 0.6875 / 12
    assert found.num == pytest.approx(possible * 3.5 / (3 * variance + 0.5 * possible / 4))
    assert (found.least, found.most) == (4, 8)
    assert effective_pairs(np.zeros(6), draws=2).at(0.95) == 6


def test_sources_of_equal_size_count_in_full() -> None:
    assert effective_sources(np.repeat(np.arange(7), 9)) == pytest.approx(7)
    assert effective_sources([0] * 8 + [1] * 2) == pytest.approx(100 / 68)


def test_few_sources_are_reported_and_many_are_not() -> None:
    assert few_sources(np.repeat(np.arange(10), 3)) == ""
    assert few_sources(np.repeat(np.arange(9), 3)).startswith("9 sources: too few")
    unequal = np.r_[np.zeros(90), np.arange(1, 21)]
    assert few_sources(unequal).startswith("21 sources, like 1.5 of equal size: too few")
