"""The reliability of a leaderboard's cells: main metrics in, intervals and bounds for missing scores out.

A board has no samples, only how many of them failed or are missing: their scores may be anything from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evalharness.stats.finite import correction
from evalharness.stats.metrics import NO_SHARES, Z
from evalharness.store.records import (
    MetricRecord,
    TaskSummary,
)

_NO_MEANS = {"f1"}
"""Metrics from 0 to 1 that need not be means: with missing docs only the ends of the scale are known."""


class Score(NamedTuple):
    """A value with its 95 % interval; NaN if there is none."""

    value: float
    ci_low: float
    ci_high: float
    n: int


class Range(NamedTuple):
    """Bounds of a score over all docs; NaN if the missing ones could be anything."""

    low: float
    """The score with all missing scores at 0."""
    ci_low: float
    """Lower end of the 95 % interval of `low`."""
    high: float
    """The score with all of them at 1."""
    ci_high: float
    """Upper end of the interval of `high`."""


NO_SCORE = Score(math.nan, math.nan, math.nan, 0)
NO_RANGE = Range(math.nan, math.nan, math.nan, math.nan)


def score_of(metric: MetricRecord) -> Score:
    """The metric's interval, or the normal one if only its standard error is known."""
    low, high = metric.ci_low, metric.ci_high
    if math.isnan(low + high) and metric.stderr > 0:
        low, high = metric.value - Z * metric.stderr, metric.value + Z * metric.stderr
    return Score(metric.value, low, high, metric.n)


def mean_score(scores: Sequence[Score]) -> Score:
    """Equal weights; the distances to the intervals' ends add in squares, as in `stats.composite`."""
    k = len(scores)
    value = math.fsum(score.value for score in scores) / k
    below = math.hypot(*(score.value - score.ci_low for score in scores)) / k
    above = math.hypot(*(score.ci_high - score.value for score in scores)) / k
    return Score(value, value - below, value + above, sum(score.n for score in scores))


def mean_range(ranges: Sequence[Range]) -> Range:
    """The same for both ends."""
    k = len(ranges)
    low, high = (math.fsum(getattr(one, end) for one in ranges) / k for end in ("low", "high"))
    below = math.hypot(*(one.low - one.ci_low for one in ranges)) / k
    above = math.hypot(*(one.ci_high - one.high for one in ranges)) / k
    return Range(low, low - below, high, high + above)


def missing_share(tasks: Sequence[TaskSummary]) -> float:
    """Share of the tasks' samples that were asked but have no score, 0..1."""
    asked = sum(task.num_docs * task.repeats for task in tasks)
    return max(0.0, 1 - sum(map(_num_scored, tasks)) / asked) if asked else 0.0


def range_of(
    metric: MetricRecord, tasks: Sequence[TaskSummary], values: Sequence[float | None]
) -> Range:
    """Bounds of a metric over all docs.

    Args:
        metric: of a task or a group.
        tasks: the task, or those of the group.
        values: the score of each of these; None if it isn't known.
    """
    score, missing = _of_more_docs(score_of(metric), tasks), missing_share(tasks)
    if not missing:
        return Range(score.value, score.ci_low, score.value, score.ci_high)
    if metric.metric in NO_SHARES or not 0 <= score.value <= 1:
        return NO_RANGE
    if metric.metric in _NO_MEANS:
        return Range(0.0, 0.0, 1.0, 1.0)
    kept = 1 - missing
    # A group's score pools its docs or weighs its tasks equally: take the wider of the two.
    parts = [(missing_share([task]), value) for task, value in zip(tasks, values, strict=True)]
    down = math.fsum(share * (1 if v is None else v) for share, v in parts) / len(parts)
    up = math.fsum(share * (1 - (v or 0)) for share, v in parts) / len(parts)
    low = max(0.0, min(score.value * kept, score.value - down))
    high = min(1.0, max(score.value * kept + missing, score.value + up))
    # The number of missing scores is random too: the law of total variance.
    docs = sum(task.num_docs for task in tasks)
    drawn = Z * math.sqrt(kept * missing / docs)
    below = math.hypot((score.value - score.ci_low) * kept, drawn * score.value)
    above = math.hypot((score.ci_high - score.value) * kept, drawn * (1 - score.value))
    return Range(low, low - below, high, high + above)


def _of_more_docs(score: Score, tasks: Sequence[TaskSummary]) -> Score:
    """The score with the interval for docs beyond the task's own.

    Of a random subset it is narrowed to say what the task's own docs would give (`stats.finite`); ranks are of models,
    and as `compare` and `gate` do they take the docs for a draw of more. A group's is widened by its narrowest task.
    """
    drawn = [t for t in tasks if t.is_limited and t.limit_from == "random"]
    factors = [correction(t.num_docs, t.num_docs_available) for t in drawn if _is_whole(t)]
    if not factors:
        return score
    wide = 1 / min(factors)
    low, high = (score.value + wide * (end - score.value) for end in (score.ci_low, score.ci_high))
    return score._replace(ci_low=low, ci_high=high)


def _is_whole(task: TaskSummary) -> bool:
    return _num_scored(task) == task.num_docs * task.repeats


def _num_scored(task: TaskSummary) -> int:
    return min(task.num_samples, task.num_docs * task.repeats) - task.num_errors
