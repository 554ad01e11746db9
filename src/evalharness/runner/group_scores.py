"""Scores of groups: lm-eval's own aggregation of the tasks below a group, however deep, with an interval.

A group within a group has its own scores, under its own name; `group` of such a record is the one that the suite names.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lm_eval.api.group import Group

from evalharness.runner.score import (
    TaskScores,
    is_higher_better,
)
from evalharness.stats.estimates import Estimate
from evalharness.stats.finite import (
    group_correction,
    narrowed,
)
from evalharness.stats.weighted_mean import (
    Member,
    weighted_mean,
)
from evalharness.store.records import MetricRecord
from evalharness.tasks.loaded_task import LoadedTask

Key = tuple[str, str]
"""Metric and filter."""


def score_groups(
    groups: Mapping[str, Group],
    tasks: Iterable[LoadedTask],
    scores: Mapping[str, TaskScores],
) -> list[MetricRecord]:
    """Metrics of all groups that lm-eval aggregates, also within groups; a group with a member without a score has none.

    The value is lm-eval's; the interval is that of the members' weighted means. Members of which random docs were taken
    are weighted by the docs they have in all, so that the group's score estimates that of all docs.

    Args:
        groups: by name, as loaded.
        tasks: of the suite.
        scores: task -> its scores; tasks that failed have none.
    """
    loaded = {task.name: task for task in tasks}
    return [
        record
        for name, group in groups.items()
        if group.aggregate_metric_list
        and (members := members_of(group))
        and all(member in scores and member in loaded for member in members)
        for record in _records(name, group, loaded[members[0]], {m: scores[m] for m in members})
    ]


def inner_groups(groups: Mapping[str, Group], tasks: Iterable[LoadedTask]) -> dict[str, list[str]]:
    """Aggregated groups within the suite's own -> the tasks below them."""
    named = {task.group for task in tasks}
    return {
        name: members_of(group)
        for name, group in groups.items()
        if name not in named and group.aggregate_metric_list
    }


def members_of(group: Group) -> list[str]:
    """Names of the tasks below a group, each once."""
    return list(dict.fromkeys(str(task.task_name) for task in group.get_all_tasks()))


def _records(
    name: str, group: Group, first: LoadedTask, scores: Mapping[str, TaskScores]
) -> Iterator[MetricRecord]:
    table = {member: _as_lm_eval(found) for member, found in scores.items()}
    result = group.aggregate(table)
    by_size = {a.metric: bool(a.weight_by_size) for a in group.aggregate_metric_list or ()}
    keys = [k for key in result if (k := _key(key)) and k[0] in by_size]
    wanted = first.main_metric()
    main = wanted if wanted in keys else keys[0] if keys else None
    for metric, filter_ in keys:
        key = f"{metric},{filter_}"
        sized = [
            (found, float(times * size))
            for member, found in scores.items()
            if key in table[member]
            for times in [sum(task.task_name == member for task in group.get_all_tasks())]
            for size in [table[member]["sample_len"] if by_size[metric] else 1]
        ]
        members = [_member(found, (metric, filter_), weight) for found, weight in sized]
        factor = group_correction(
            [member.weight for member in members],
            [member.estimate.stderr for member in members],
            [_factor(found, (metric, filter_)) for found, _ in sized],
        )
        estimate = narrowed(weighted_mean(members)._replace(value=float(result[key])), factor)
        yield MetricRecord(
            task=name,
            group=first.group,
            metric=metric,
            filter=filter_,
            **estimate._asdict(),
            higher_is_better=is_higher_better(first, metric),
            is_main=(metric, filter_) == main,
        )


def _key(name: str) -> Key | None:
    """Metric and filter of a result's name; None for other entries."""
    metric, comma, filter_ = name.partition(",")
    return (metric, filter_) if comma else None


def _member(scores: TaskScores, key: Key, weight: float) -> Member:
    record = next(m for m in scores.metrics if (m.metric, m.filter) == key)
    estimate = Estimate(record.value, record.ci_low, record.ci_high, record.stderr, record.n)
    full = narrowed(estimate, 1 / _factor(scores, key))
    clusters, draws = scores.clusters.get(key) or None, scores.draws.get(key, 1.0)
    return Member(full, weight, _numbers(scores, key), clusters, draws)


def _factor(scores: TaskScores, key: Key) -> float:
    return scores.corrections.get(key, 1.0)


def _numbers(scores: TaskScores, key: Key) -> Sequence[float] | None:
    """Score per doc; None if the metric is not a mean of numbers."""
    values = scores.values.get(key, ())
    return values if isinstance(values, array) else None


def _as_lm_eval(scores: TaskScores) -> dict[str, Any]:
    """The table that `Group.aggregate` reads, without anything that makes it divide by zero.

    No standard errors, which it pools over the docs less the tasks (ours are used); and a size above zero.
    """
    num_scored = max([1, *map(len, scores.values.values())])
    table: dict[str, Any] = {"sample_len": num_scored * scores.docs_per_draw}
    for record in scores.metrics:
        table[f"{record.metric},{record.filter}"] = record.value
    return table
