"""Intervals of scores that somebody else computed."""

import math

import pytest

from evalharness.interchange.lm_eval_files import Reported, TaskResult
from evalharness.interchange.lm_eval_metrics import disagreement, metric_record
from evalharness.stats.estimates import (
    estimate,
    standard_error,
    wilson,
)
from evalharness.store.records import MetricRecord

KEY = ("acc", "none")


def _result(value: float, stderr: float, **config: object) -> TaskResult:
    return TaskResult(
        name="t", metrics={KEY: Reported(value, stderr)}, group="t", config=dict(config)
    )


def _record(value: float, stderr: float, n: int, scores: list[float] | None = None) -> MetricRecord:
    return metric_record(_result(value, stderr), KEY, scores or [], n, is_main=True)


@pytest.mark.parametrize("scores", [[1, 1, 0, 1, 0], [0] * 9, [1] * 30, [1] + [0] * 199])
def test_right_and_wrong_follow_from_value_error_and_n(scores: list[float]) -> None:
    metric = _record(sum(scores) / len(scores), standard_error(scores), len(scores))
    assert (metric.ci_low, metric.ci_high) == pytest.approx(wilson(sum(scores), len(scores)))


def test_scores_that_are_all_equal_follow_too() -> None:
    metric = _record(0.5, 0.0, 20)
    assert (metric.ci_low, metric.ci_high) == pytest.approx(estimate([0.5] * 20)[1:3])


@pytest.mark.parametrize("scores", [[0.2, 0.9, 0.4, 0.6], [0.5, 0.6, 0.2, 0.7]])
def test_else_the_interval_is_the_normal_one(scores: list[float]) -> None:
    value, stderr = sum(scores) / 4, standard_error(scores)
    metric = _record(value, stderr, 4)
    assert (metric.ci_low, metric.ci_high) == pytest.approx(
        (value - 1.96 * stderr, value + 1.96 * stderr), abs=1e-4
    )


def test_the_samples_win_when_their_mean_is_the_value() -> None:
    scores = [0.2, 0.9, 0.4, 0.6]
    metric = _record(0.525, standard_error(scores), 4, scores)
    assert (metric.ci_low, metric.ci_high) == pytest.approx(estimate(scores)[1:3])


def test_without_a_standard_error_there_is_no_interval() -> None:
    metric = _record(12.5, math.nan, 100)
    assert math.isnan(metric.ci_low)
    assert (metric.value, metric.n) == (12.5, 100)


def test_no_value_is_nan_over_none() -> None:
    metric = _record(math.nan, math.nan, 100)
    assert math.isnan(metric.value)
    assert metric.n == 0


METRIC_LIST = [{"metric": "acc", "aggregation": "mean"}]


def test_a_mean_that_differs_is_reported() -> None:
    result = _result(0.5, 0.1, metric_list=METRIC_LIST)
    assert disagreement(result, KEY, [1.0, 1.0], 2) == (
        "t: acc,none is 0.5 in the results but 1 over the samples"
    )
    assert disagreement(result, KEY, [1.0, 0.0], 2) is None


@pytest.mark.parametrize("aggregation", ["f1", "perplexity", "def agg(items): ..."])
def test_what_is_no_mean_has_nothing_to_differ_from(aggregation: str) -> None:
    config = [{"metric": "acc", "aggregation": aggregation}]
    assert disagreement(_result(0.5, 0.1, metric_list=config), KEY, [1.0, 1.0], 2) is None
    assert disagreement(_result(0.5, 0.1), KEY, [1.0, 1.0], 2) is None
