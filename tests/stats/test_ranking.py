"""Rank intervals hold all true ranks at once; simulated, and where the answer is known."""

import numpy as np
import pytest

from evalharness.stats.estimates import wilson
from evalharness.stats.ranking import (
    Ranks,
    rank_intervals,
)

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def simulate(truth: Floats, n: int, draws: int) -> tuple[float, float]:
    """Share of draws in which all true ranks lie in their intervals, and the intervals' mean width."""
    rng = np.random.default_rng(0)
    first = np.array([1 + (truth > t).sum() for t in truth])
    last = np.array([len(truth) - (truth < t).sum() for t in truth])
    num_held, width = 0, 0.0
    for _ in range(draws):
        correct = rng.binomial(n, truth)
        intervals = [wilson(c, n) for c in correct]
        ranks = rank_intervals(correct / n, [i.low for i in intervals], [i.high for i in intervals])
        low, high = np.array(ranks).T
        num_held += bool((low <= first).all() and (last <= high).all())
        width += float((high - low + 1).mean())
    return num_held / draws, width / draws


@pytest.mark.parametrize(
    ("truth", "n"),
    [
        (np.linspace(0.3, 0.8, 10), 200),
        (np.full(10, 0.6), 200),
        (np.repeat([0.5, 0.52, 0.9, 0.95], 3), 100),
        (np.full(6, 0.97), 60),
    ],
    ids=["spread", "all equal", "groups", "near 1"],
)
def test_all_true_ranks_are_inside_at_once(truth: Floats, n: int) -> None:
    held, _ = simulate(truth, n, 600)
    assert held >= 0.95


def test_more_docs_tell_more_ranks_apart() -> None:
    truth = np.linspace(0.3, 0.8, 10)
    widths = [simulate(truth, n, 20)[1] for n in (50, 500, 50_000)]
    assert widths[0] > widths[1] > widths[2] == 1.0


def test_far_apart_is_distinct_and_near_is_not() -> None:
    ranks = rank_intervals([0.9, 0.5, 0.49], [0.88, 0.48, 0.47], [0.92, 0.52, 0.51])
    assert ranks == [Ranks(1, 1), Ranks(2, 3), Ranks(2, 3)]


def test_lower_is_better_turns_the_ranks_round() -> None:
    ranks = rank_intervals([9, 5], [8.9, 4.9], [9.1, 5.1], higher_is_better=False)
    assert ranks == [Ranks(2, 2), Ranks(1, 1)]


def test_nothing_is_sure_of_a_score_without_interval() -> None:
    ranks = rank_intervals([0.9, 0.5, 0.1], [0.89, np.nan, 0.09], [0.91, np.nan, 0.11])
    assert ranks == [Ranks(1, 2), Ranks(1, 3), Ranks(2, 3)]


def test_one_model_is_the_first() -> None:
    assert rank_intervals([0.5], [0.4], [0.6]) == [Ranks(1, 1)]
    assert rank_intervals([], [], []) == []


def test_the_stepwise_limit_is_holms() -> None:
    """Six ordered pairs of three: the first limit is 2.394, the one for the four that are left 2.241."""
    half = 1.959963984540054 / np.sqrt(2)  # a standard error of 1 for each difference
    value = np.array([10.0, 2.2, 0.0])
    ranks = rank_intervals(value, value - half, value + half)
    # Two pairs go (10 against both); 2.2 is below the limit for the rest.
    assert ranks == [Ranks(1, 1), Ranks(2, 3), Ranks(2, 3)]
    value[1] = 2.3  # above the second limit, below the first
    assert rank_intervals(value, value - half, value + half)[1] == Ranks(2, 2)


def test_a_model_is_better_only_than_the_best_that_another_may_be() -> None:
    value, ci_low, ci_high = [0.9, 0.3], [0.85, 0.25], [0.95, 0.86]
    assert rank_intervals(value, ci_low, [0.95, 0.35]) == [Ranks(1, 1), Ranks(2, 2)]
    assert rank_intervals(value, ci_low, ci_high, best=[0.9, 0.85]) == [Ranks(1, 2), Ranks(1, 2)]
    lower = rank_intervals(
        [0.1, 0.1], [0.05, 0.05], [0.75, 0.15], best=[0.7, 0.1], higher_is_better=False
    )
    assert lower == [Ranks(1, 2), Ranks(1, 2)]
