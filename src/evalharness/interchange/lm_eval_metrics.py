"""lm-eval's reported scores as metric records: the value is theirs, the interval ours if possible.

Three ways to an interval, the first that works: from the samples' own scores, if their mean is the reported value; from
scores that value, standard error and n determine; the normal one from the standard error.
"""

import math
from collections.abc import Sequence

from evalharness.interchange.lm_eval_files import Key, Reported, TaskResult
from evalharness.stats.estimates import (
    Estimate,
    Interval,
    estimate,
)
from evalharness.stats.finite import (
    correction_of_draw,
    narrowed,
)
from evalharness.stats.metrics import Z
from evalharness.store.records import MetricRecord

"""Of a two-sided 95 % interval."""
_TOLERANCE = 1e-6
_MEANS = {"acc", "acc_norm", "exact_match"}
"""Metrics that lm-eval averages if a task doesn't say how."""


def metric_record(
    result: TaskResult, key: Key, scores: Sequence[float], n: int, *, is_main: bool
) -> MetricRecord:
    """One metric of a task or group.

    Args:
        result: the task or group.
        key: metric and filter.
        scores: one per doc with samples.
        n: docs that the reported value is over.
        is_main: whether it is the task's main metric.
    """
    reported = result.metrics[key]
    found = _estimate(reported, scores, n)
    if result.drawn and result.num_docs_available and result.num_docs:
        factor = correction_of_draw(found.n, result.num_docs, result.num_docs_available)
        found = narrowed(found, factor)
    return MetricRecord(
        task=result.name,
        group=result.group,
        metric=key[0],
        filter=key[1],
        value=reported.value,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        stderr=found.stderr if math.isnan(reported.stderr) else reported.stderr,
        n=found.n,
        higher_is_better=result.higher_is_better.get(key[0], True),
        is_main=is_main,
    )


def disagreement(result: TaskResult, key: Key, scores: Sequence[float], n: int) -> str | None:
    """A remark if all samples are there but their mean isn't the reported score; None if it is.

    A metric that is not a mean (F1, BLEU, perplexity, or one of the task's own code) can't be compared.
    """
    value = result.metrics[key].value
    if len(scores) != n or not _is_mean(result, key[0]) or _agrees(value, scores):
        return None
    mean = estimate(scores).value
    return f"{result.name}: {key[0]},{key[1]} is {value:.6g} in the results but {mean:.6g} over the samples"


def _estimate(reported: Reported, scores: Sequence[float], n: int) -> Estimate:
    value, stderr = reported
    if math.isnan(value):
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    if len(scores) == n and _agrees(value, scores):
        return estimate(scores)
    if (only := _only_scores(value, stderr, n)) is not None:
        return estimate(only)
    return Estimate(value, *_normal(value, stderr), stderr, n)


def _agrees(value: float, scores: Sequence[float]) -> bool:
    mean = estimate(scores).value
    both_nan = math.isnan(mean) and math.isnan(value)
    return both_nan or math.isclose(mean, value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _is_mean(result: TaskResult, metric: str) -> bool:
    """Whether it is a mean by the task's configuration; a task with its own scoring may have any aggregation."""
    metrics = result.config.get("metric_list")
    for entry in metrics if isinstance(metrics, list) else ():
        if isinstance(entry, dict) and entry.get("metric") == metric:
            aggregation = entry.get("aggregation")
            return aggregation == "mean" or (aggregation is None and metric in _MEANS)
    return False


def _only_scores(value: float, stderr: float, n: int) -> list[float] | None:
    """The scores, if value, standard error and n allow no others; None if they do.

    The variance of scores in [0, 1] is largest, and then p (1 - p), only when all are 0 or 1; it is 0 only when all
    are equal.
    """
    if n < 2 or math.isnan(stderr):
        return None
    if stderr == 0:
        return [value] * n
    num_right = round(value * n) if 0 <= value <= 1 else -1
    is_whole = math.isclose(value * n, num_right, abs_tol=_TOLERANCE)
    is_largest = math.isclose(stderr**2 * (n - 1), value * (1 - value), rel_tol=_TOLERANCE)
    return [1.0] * num_right + [0.0] * (n - num_right) if is_whole and is_largest else None


def _normal(value: float, stderr: float) -> Interval:
    """NaN without a standard error: no interval has zero width."""
    if math.isnan(stderr) or stderr <= 0:
        return Interval(math.nan, math.nan)
    return Interval(value - Z * stderr, value + Z * stderr)
