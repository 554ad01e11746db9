"""Intervals over some of the docs, for the score over all of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalharness.stats.estimates import (
    Estimate,
    estimate,
)
from evalharness.stats.finite import (
    correction,
    correction_of_draw,
    group_correction,
    narrowed,
)
from evalharness.stats.weighted_mean import (
    Member,
    weighted_mean,
)

FINITE = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("num", "available", "expected"), [(50, 100, math.sqrt(0.5)), (75, 100, 0.5), (0, 9, 1), (9, 9, 0)]
)  # fmt: skip
def test_the_factor_is_the_root_of_the_share_that_is_unknown(
    num: int, available: int, expected: float
) -> None:
    assert correction(num, available) == expected


@given(FINITE, st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1))
def test_both_ends_come_nearer_by_the_factor(
    value: float, below: float, above: float, factor: float
) -> None:
    wide = Estimate(value, value - below, value + above, 0.1, 30)
    narrow = narrowed(wide, factor)
    assert narrow.value - narrow.ci_low == pytest.approx(factor * below, abs=1e-6)
    assert narrow.ci_high - narrow.value == pytest.approx(factor * above, abs=1e-6)
    assert (narrow.value, narrow.stderr, narrow.n) == (wide.value, wide.stderr, wide.n)


def test_without_a_correction_not_a_digit_changes() -> None:
    wide = Estimate(1.0, 1e-20, 1 + 1e-15, 0.5, 30)
    assert narrowed(wide, 1.0) == wide
    unknown = narrowed(Estimate(0.5, math.nan, math.nan, math.nan, 1), 0.5)
    assert math.isnan(unknown.ci_low)
    assert math.isnan(unknown.ci_high)


def coverage(num_right: int, available: int, num: int, *, is_narrowed: bool) -> float:
    """Exact: over all numbers of right docs that n random ones of N can have."""
    covered = 0.0
    for k in range(max(0, num - available + num_right), min(num, num_right) + 1):
        e = estimate([1.0] * k + [0.0] * (num - k))
        e = narrowed(e, correction(num, available)) if is_narrowed else e
        if e.ci_low <= num_right / available <= e.ci_high:
            covered += float(stats.hypergeom.pmf(k, available, num_right, num))
    return covered


@pytest.mark.parametrize(("available", "num"), [(200, 60), (200, 100), (500, 150)])
def test_of_random_docs_95_percent_of_intervals_hold_the_score_of_all(
    available: int, num: int
) -> None:
    shares = np.linspace(0.03, 0.97, 13)
    rights = [round(share * available) for share in shares]
    found = [coverage(right, available, num, is_narrowed=True) for right in rights]
    assert np.mean(found) == pytest.approx(0.95, abs=0.01)
    assert min(found) > 0.92
    wide = [coverage(right, available, num, is_narrowed=False) for right in rights]
    assert np.mean(wide) > 0.97


def test_a_groups_factor_is_that_of_its_variance() -> None:
    assert group_correction([1, 1], [0.1, 0.1], [0.5, 0.5]) == pytest.approx(0.5)
    # Nine tenths of the variance is of the task that has all its docs.
    factor = group_correction([1, 1], [0.3, 0.1], [1.0, 0.0])
    assert factor == pytest.approx(math.sqrt(0.9))
    assert group_correction([3, 1], [0.1, 0.1], [1.0, 0.0]) == pytest.approx(math.sqrt(0.9))


@pytest.mark.parametrize("errors", [[0.0, 0.0], [math.nan, 0.1]])
def test_where_a_groups_variance_is_unknown_the_least_narrowing_counts(errors: list[float]) -> None:
    assert group_correction([1, 1], errors, [0.5, 0.9]) == 0.9


def test_a_group_of_equally_sampled_tasks_narrows_as_they_do() -> None:
    """On an open scale, where the group's interval is its standard error's."""
    rng = np.random.default_rng(0)
    members = []
    for _ in range(3):
        values = list(10 * rng.normal(size=40))
        members.append(Member(estimate(values), 1.0, values))
    group = weighted_mean(members)
    factor = group_correction([1] * 3, [m.estimate.stderr for m in members], [0.6] * 3)
    assert narrowed(group, factor).ci_high - group.value == pytest.approx(
        0.6 * (group.ci_high - group.value)
    )


def test_a_draw_with_a_doc_missing_is_no_draw() -> None:
    assert correction_of_draw(50, 50, 200) == pytest.approx(math.sqrt(0.75))
    assert correction_of_draw(49, 50, 200) == 1.0
