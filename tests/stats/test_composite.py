"""The composite against its closed form, and what a missing part makes of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.config.schema import CompositeConfig
from evalharness.stats.composite import (
    definition_hash,
    find_parts,
    score_composite,
)
from evalharness.store.records import MetricRecord


def metric(task: str, value: float, low: float, high: float, **changes: object) -> MetricRecord:
    fields: dict[str, object] = {
        "metric": "acc", "filter": "none", "stderr": (high - low) / 4, "n": 100,
        "higher_is_better": True, "is_main": True,
    }  # fmt: skip
    fields |= {"task": task, "group": task, "value": value, "ci_low": low, "ci_high": high}
    return MetricRecord(**{**fields, **changes})  # type: ignore[arg-type]


def composite(*parts: str) -> CompositeConfig:
    return CompositeConfig(name="mix", parts=list(parts))


def test_value_is_the_mean_of_the_main_metrics() -> None:
    metrics = [
        metric("a", 0.2, 0.1, 0.3),
        metric("a", 0.9, 0.8, 1.0, metric="other", is_main=False),
        metric("b", 0.6, 0.5, 0.7),
    ]
    found = score_composite(composite("a", "b"), metrics)
    assert found.value == pytest.approx(0.4)
    assert found.n == 200
    assert (found.task, found.group, found.metric) == ("mix", "mix", "composite")
    assert (found.is_main, found.higher_is_better) == (True, True)


def test_equal_independent_parts_shrink_the_interval_by_the_root_of_their_number() -> None:
    metrics = [metric(name, 0.5, 0.4, 0.6) for name in "abcd"]
    found = score_composite(composite(*"abcd"), metrics)
    assert found.ci_low == pytest.approx(0.5 - 0.1 / math.sqrt(4))
    assert found.ci_high == pytest.approx(0.5 + 0.1 / math.sqrt(4))
    assert found.stderr == pytest.approx(0.05 / math.sqrt(4))


def test_ends_of_lopsided_intervals_add_in_squares_each_by_themselves() -> None:
    metrics = [metric("a", 0.0, 0.0, 0.3), metric("b", 0.5, 0.1, 0.9)]
    found = score_composite(composite("a", "b"), metrics)
    assert found.ci_low == pytest.approx(0.25 - 0.4 / 2)
    assert found.ci_high == pytest.approx(0.25 + math.hypot(0.3, 0.4) / 2)


@given(
    st.lists(
        st.tuples(*[st.floats(0, 1)] * 3).map(sorted),
        min_size=1,
        max_size=6,
    )
)
def test_interval_holds_the_value_and_stays_between_the_parts_ends(ends: list[list[float]]) -> None:
    metrics = [metric(str(i), value, low, high) for i, (low, value, high) in enumerate(ends)]
    found = score_composite(composite(*(m.task for m in metrics)), metrics)
    lows, highs = [m.ci_low for m in metrics], [m.ci_high for m in metrics]
    assert found.ci_low <= found.value + 1e-12
    assert found.ci_high >= found.value - 1e-12
    assert found.ci_low >= math.fsum(lows) / len(lows) - 1e-12
    assert found.ci_high <= math.fsum(highs) / len(highs) + 1e-12


def test_a_part_whose_resamples_agree_has_the_interval_of_equal_scores() -> None:
    alone = metric("a", 0.0, math.nan, math.nan, stderr=math.nan, n=120)
    found = score_composite(composite("a"), [alone])
    assert found.ci_low == 0
    assert found.ci_high == pytest.approx(1 - 0.025 ** (1 / 120))
    assert math.isnan(found.stderr)


@pytest.mark.parametrize(("low", "high"), [(0.4, math.nan), (math.nan, 0.6)])
def test_half_an_interval_is_none(low: float, high: float) -> None:
    found = score_composite(composite("a"), [metric("a", 0.5, low, high, n=120)])
    unseen = 1 - 0.025 ** (1 / 120)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.5 * (1 - unseen), 0.5 * (1 + unseen)))


def test_a_part_of_one_doc_leaves_no_interval() -> None:
    alone = metric("a", 0.5, math.nan, math.nan, n=1)
    found = score_composite(composite("a"), [alone])
    assert found.value == 0.5
    assert math.isnan(found.ci_low)


@pytest.mark.parametrize("rest", [[], [metric("b", math.nan, math.nan, math.nan, n=0)]])
def test_a_part_without_a_score_leaves_none(rest: list[MetricRecord]) -> None:
    metrics = [metric("a", 0.2, 0.1, 0.3), *rest]
    found = score_composite(composite("a", "b"), metrics)
    assert math.isnan(found.value)
    assert math.isnan(found.ci_low)
    assert found.n == 0
    assert [p.task for p in find_parts(["a", "b"], metrics) if not p.is_scored] == ["b"]


def test_another_version_part_or_metric_is_another_definition() -> None:
    parts = [("a", "1.0", "acc"), ("b", "1.0", "score")]
    ours = definition_hash("1", parts)
    assert ours == definition_hash("1", parts[::-1])
    others = [
        definition_hash("2", parts),
        definition_hash("1", parts[:1]),
        definition_hash("1", [("a", "1.1", "acc"), parts[1]]),
        definition_hash("1", [("a", "1.0", "f1"), parts[1]]),
    ]
    assert len({ours, *others}) == 5
