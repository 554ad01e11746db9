"""Bounds over missing scores by themselves: their ends, several tasks together, and turned round."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evalharness.comparison.missing import (
    Bounds,
    bounds_of,
    exactly,
    flipped,
    mean_bounds,
    mean_of,
    pooled,
    pooled_clusters,
)
from evalharness.stats.paired import (
    PairedResult,
    from_normal,
    paired_test,
)
from evalharness.store.pairs import Possible

RESULT = PairedResult(
    n=10, num_clusters=None, value_a=0.5, value_b=0.75, difference=0.25, ci_low=0.125, ci_high=0.5, ci90_low=0.1875,
    ci90_high=0.375, stderr=0.0625, p_value=0.03, test="permutation", wins=5, losses=2, ties=3, p_b_above_a=0.875, mde=0.2,
)  # fmt: skip


def result(**changes: Any) -> PairedResult:
    return PairedResult(**asdict(RESULT) | changes)


def test_the_other_direction_of_a_score_is_the_mirror_image() -> None:
    expected = result(
        value_a=0.5, value_b=0.25, difference=-0.25, ci_low=-0.5, ci_high=-0.125, ci90_low=-0.375, ci90_high=-0.1875,
        wins=2, losses=5, p_b_above_a=0.125,
    )  # fmt: skip
    assert flipped(RESULT) == expected
    assert flipped(flipped(RESULT)) == RESULT
    uneven = flipped(result(value_a=0.125))
    assert (uneven.value_a, uneven.value_b) == (0.875, 0.25)


@pytest.mark.parametrize(
    ("low", "high", "p"),
    [(0.25, 0.5, 0.2), (-0.5, -0.25, 0.1), (-0.25, 0.25, 1.0), (0.0, 0.25, 1.0), (-0.25, 0.0, 1.0)],
)
def test_p_is_that_of_the_end_nearer_to_no_difference(low: float, high: float, p: float) -> None:
    bounds = Bounds(result(difference=low, p_value=0.2), result(difference=high, p_value=0.1))
    assert bounds.p_value == p


def test_where_nothing_is_missing_p_is_the_results_own() -> None:
    for difference in (-0.25, 0.0, 0.25):
        assert exactly(result(difference=difference)).p_value == 0.03


@pytest.mark.parametrize(
    ("low", "high", "is_within"),
    [(-0.09, 0.09, True), (-0.1, 0.09, False), (-0.09, 0.1, False), (-0.2, 0.2, False)],
)
def test_bounds_are_within_a_margin_by_their_outer_ends(
    low: float, high: float, is_within: bool
) -> None:
    ends = result(ci90_low=low, ci90_high=0.5), result(ci90_low=-0.5, ci90_high=high)
    assert Bounds(*ends).is_within(0.1) is is_within


def test_each_end_takes_all_missing_scores_one_way() -> None:
    clusters = np.array([0, 0, 1, 2])
    low_a, high_a = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0, 1.0])
    low_b, high_b = np.array([1.0, 0.0, 1.0, 0.5]), np.array([1.0, 0.0, 1.0, 1.0])
    found = bounds_of(Possible(low_a, high_a, low_b, high_b, clusters), [3])
    for end, a, b in ((found.low, high_a, low_b), (found.high, low_a, high_b)):
        assert end == paired_test(a, b, np.random.default_rng([3]), clusters)
    assert found.low.num_clusters == 3


def possible(*ends: list[float], clusters: list[int] | None = None) -> Possible:
    return Possible(*map(np.array, ends), None if clusters is None else np.array(clusters))


def test_the_docs_of_tasks_are_put_one_after_the_other() -> None:
    first = possible([0.0], [0.25], [0.5], [0.75], clusters=[7])
    second = possible([0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8])
    found = pooled([first, second])
    assert [end.tolist() for end in found[:4]] == [[0.0, 0.1, 0.2], [0.25, 0.3, 0.4], [0.5, 0.5, 0.6], [0.75, 0.7, 0.8]]  # fmt: skip
    assert found.clusters is not None
    assert found.clusters.tolist() == [0, 1, 2]
    assert pooled([second, second]).clusters is None


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        ([[5, 5, 7], None, [5]], [0, 0, 1, 2, 3, 4]),
        ([None, [9, 3, 9]], [0, 1, 3, 2, 3]),
        ([[], [1, 1]], [0, 0]),
        ([[4, 4], [4, 4]], [0, 0, 1, 1]),
    ],
)
def test_tasks_share_no_source(clusters: list[list[int] | None], expected: list[int]) -> None:
    sizes = [2 if codes is None else len(codes) for codes in clusters]
    given = [None if codes is None else np.array(codes, dtype=np.int64) for codes in clusters]
    found = pooled_clusters(given, sizes)
    assert found is not None
    assert (found.tolist(), found.dtype) == (expected, np.int64)
    assert pooled_clusters([None, None], [1, 2]) is None


def test_a_mean_of_rows_has_the_root_of_their_variances() -> None:
    other = result(value_a=0.25, value_b=0.375, stderr=0.125, n=30)
    found = mean_of([RESULT, other])
    expected = from_normal(0.375, 0.5625, math.sqrt(0.0625**2 + 0.125**2) / 2, 40)
    assert asdict(found) == pytest.approx(asdict(expected), nan_ok=True)
    assert mean_of([RESULT]) is RESULT
    assert mean_bounds([Bounds(RESULT, other)] * 2) == Bounds(mean_of([RESULT] * 2), mean_of([other] * 2))  # fmt: skip


def test_a_row_on_which_nothing_changed_is_as_unsure_as_its_interval() -> None:
    still = result(stderr=0.0, ci90_low=-0.1, ci90_high=0.2)
    error = 0.3 / (2 * float(stats.norm.ppf(0.95)))
    assert mean_of([still, still]).stderr == pytest.approx(error * math.sqrt(2) / 2)
    tiny = result(stderr=1e-3)
    assert mean_of([tiny, tiny]).stderr == pytest.approx(1e-3 * math.sqrt(2) / 2)
