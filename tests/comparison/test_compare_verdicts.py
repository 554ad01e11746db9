"""What a paired result is called, and the mean of several: boundaries on both sides, without any run."""

from dataclasses import replace

import numpy as np
import pytest

from evalharness.comparison.compare import (
    is_share,
    verdict,
)
from evalharness.comparison.compare_rows import TaskComparison, _row
from evalharness.comparison.missing import (
    Bounds,
    exactly,
    mean_of,
)
from evalharness.stats.paired import (
    PairedResult,
    from_normal,
)
from evalharness.store.pairs import Pairs, Possible
from evalharness.store.records import MetricRecord


def result(
    difference: float = 0.0, low: float = -0.1, high: float = 0.1, a: float = 0.5
) -> PairedResult:
    return PairedResult(
        n=100, num_clusters=None, value_a=a, value_b=a + difference, difference=difference,
        ci_low=low, ci_high=high, ci90_low=low, ci90_high=high, stderr=0.05, p_value=0.5,
        test="permutation", wins=1, losses=1, ties=98, p_b_above_a=0.5, mde=0.1,
    )  # fmt: skip


def pairs(num_docs: int, lost_a: int = 0, lost_b: int = 0) -> Pairs:
    """A task's docs, of which each run has lost some scores."""
    ends = [
        (np.zeros(num_docs), (np.arange(num_docs) < lost).astype(float))
        for lost in (lost_a, lost_b)
    ]
    return Pairs(
        a=np.zeros(num_docs), b=np.zeros(num_docs), clusters=None, possible=Possible(*ends[0], *ends[1], None),
        num_only_a=lost_b, num_only_b=lost_a, num_neither=0, num_other=0, num_a=num_docs, num_b=num_docs, mean_a=0.0,
        mean_b=0.0, is_share=True,
    )  # fmt: skip


def row(*found: Pairs, bounds: Bounds | None = None) -> TaskComparison:
    metric = MetricRecord(
        task="g", group="g", metric="acc", filter="none", value=0.0, ci_low=0.0, ci_high=0.0, stderr=0.0, n=1,
        higher_is_better=True, is_main=True,
    )  # fmt: skip
    return _row("g", len(found), metric, result(), found, bounds, ("said before",))


@pytest.mark.parametrize("p", [0.0, 0.0499])
@pytest.mark.parametrize(
    ("difference", "higher_is_better", "word"),
    [(0.2, True, "better"), (-0.2, True, "worse"), (0.2, False, "worse"), (-0.2, False, "better")],
)
def test_a_significant_difference_is_called_by_the_metrics_direction(
    p: float, difference: float, higher_is_better: bool, word: str
) -> None:
    assert verdict(exactly(result(difference)), p, 0.01, higher_is_better=higher_is_better) == word


@pytest.mark.parametrize("p", [0.05, 0.0501, 0.09, 1.0])
def test_a_p_of_a_twentieth_or_more_is_no_difference(p: float) -> None:
    assert verdict(exactly(result(0.2)), p, 0.01, higher_is_better=True) == "no difference resolved"


@pytest.mark.parametrize(
    ("low", "high", "is_equivalent"),
    [(-0.0199, 0.0199, True), (-0.0201, 0.0, False), (0.0, 0.0201, False), (-0.02, 0.0, False), (0.0, 0.02, False)],
)  # fmt: skip
def test_equivalent_is_a_90_percent_interval_inside_the_margin(
    low: float, high: float, is_equivalent: bool
) -> None:
    found = verdict(exactly(result(low=low, high=high)), 0.5, 0.02, higher_is_better=True)
    assert found == ("equivalent" if is_equivalent else "no difference resolved")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(0.0, 1.0, True), (1.0, 0.0, True), (-0.01, 0.5, False), (0.5, -0.01, False), (1.01, 0.5, False), (0.5, 1.01, False)],
)  # fmt: skip
def test_a_margin_holds_only_where_both_scores_lie_on_the_scale_of_shares(
    a: float, b: float, expected: bool
) -> None:
    found = result(b - a, -1e-4, 1e-4, a)
    assert is_share(found) == expected
    assert (verdict(exactly(found), 0.5, 0.01, higher_is_better=True) == "equivalent") == expected


def test_the_mean_of_one_result_is_that_result() -> None:
    alone = result(0.1)
    assert mean_of([alone]) is alone


def test_the_mean_of_three_is_of_equal_weight() -> None:
    found = mean_of([from_normal(0.1, 0.4, 0.03, 10), from_normal(0.2, 0.2, 0.04, 20), from_normal(0.9, 0.3, 0.12, 30)])  # fmt: skip
    assert (found.value_a, found.value_b) == pytest.approx((0.4, 0.3))
    assert found.stderr == pytest.approx(0.13 / 3)  # 3, 4, 12 and 13
    assert found.n == 60


def test_a_row_of_which_nothing_else_is_said_lacks_nothing() -> None:
    row = TaskComparison(
        task="x", num_members=1, metric="acc", filter="none", higher_is_better=True, result=result(), p_adjusted=0.5,
        verdict="no difference resolved",
    )  # fmt: skip
    assert (row.is_missing, row.sure, row.notes) == (False, exactly(result()), ())
    for lacks in ("missing_a", "missing_b", "num_only_a", "num_only_b"):
        less = replace(row, **{lacks: 1})
        assert (less.is_missing, less.sure) == (True, None)
    bounds = Bounds(result(-0.1), result(0.1))
    assert replace(row, missing_a=0.1, bounds=bounds).sure is bounds
    assert not replace(row, num_neither=1).is_missing


def test_the_missing_share_of_a_group_is_over_all_its_docs() -> None:
    found = row(pairs(10, lost_a=5, lost_b=1), pairs(30, lost_a=3, lost_b=11))
    assert (found.missing_a, found.missing_b) == pytest.approx((8 / 40, 12 / 40))
    assert (found.num_only_a, found.num_only_b) == (12, 8)
    assert (row(pairs(1, lost_a=1)).missing_a, row().missing_a) == (1.0, 0.0)


def test_missing_scores_without_bounds_are_said_to_leave_no_verdict() -> None:
    unsure = ("said before", "no verdict: scores are missing and could be anything")
    bounds = Bounds(result(-0.1), result(0.1))
    assert row(pairs(10, lost_a=1)).notes == row(pairs(10, lost_b=1)).notes == unsure
    assert row(pairs(10, lost_a=1), bounds=bounds).notes == row(pairs(10)).notes == ("said before",)
