"""One number over a run's suite: its composite, or the mean of its tasks; and which tasks that is over."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from evalharness.comparison.board_scores import NO_SCORE, Score, mean_score, score_of
from evalharness.comparison.comparability import added_tasks
from evalharness.comparison.hazards import is_hazard
from evalharness.stats.metrics import COMPOSITE
from evalharness.store.records import Manifest, MetricRecord


class RunMean(NamedTuple):
    """One number over a run's suite: its composite, or the mean that a leaderboard has for it."""

    name: str
    """The composite's; mean for a mean of tasks."""
    score: Score
    """NaN if a part has no score."""
    num_parts: int
    """Tasks and groups that it is over."""
    num_scored: int


def run_mean(run: Manifest, metrics: Sequence[MetricRecord]) -> RunMean | None:
    """The run's mean; None for a suite whose tasks have none in common (safety, perplexities).

    Args:
        run: its manifest says what was asked.
        metrics: its metrics.
    """
    groups = {m.task for m in metrics if m.task == m.group}
    found = units(run, metrics, groups)
    composite = composite_name([run])
    parts, _ = in_mean([run], {run.run_id: found}, list(found), Counter(list(found)), composite)
    if not parts:
        return None
    scores = [score_of(m) for part in parts if (m := found.get(part)) and is_finite(m)]
    if composite is not None:
        own = [m for m in metrics if m.task == composite and m.metric == COMPOSITE]
        score = score_of(own[0]) if own else NO_SCORE
    else:
        score = mean_score(scores) if len(scores) == len(parts) else NO_SCORE
    return RunMean(composite or "mean", score, len(parts), len(scores))


def units(
    run: Manifest, metrics: Sequence[MetricRecord], groups: Collection[str]
) -> dict[str, MetricRecord | None]:
    """Parts of a run's suite (tasks, and groups as one) -> their main metric, or None.

    Args:
        run: its manifest says what was asked.
        metrics: its main ones.
        groups: those with their own score, in this run or another; members of others (tags) count as tasks.
    """
    scored = {m.task: m for m in metrics if m.is_main and m.metric != COMPOSITE}
    found: dict[str, MetricRecord | None] = {}
    asked = {**dict.fromkeys(_suite_of(run).get("tasks") or ()), **_members(run)}
    for group, members in asked.items():
        names = [group] if group in groups or not members else members
        found.update({name: scored.get(name) for name in names})
    return found


def in_mean(
    runs: Sequence[Manifest],
    of_run: Mapping[str, Mapping[str, MetricRecord | None]],
    tasks: Sequence[str],
    asked: Counter[str],
    composite: str | None,
) -> tuple[list[str], list[str]]:
    """The tasks of the mean, and why others aren't in it."""
    if composite is not None:
        parts = next(parts for run in runs if (parts := composite_of(run).get("parts")))
        return [str(part) for part in parts], []
    if any(run.domain == "safety" for run in runs):
        return [], ["no mean: the tasks of a safety suite measure different things; --sort TASK ranks by one"]  # fmt: skip
    kept, left_out = [], {}
    own = Counter(
        task for run in runs for task in of_run[run.run_id] if task not in added_tasks(run)
    )
    for task in tasks:
        found = [m for scores in of_run.values() if (m := scores.get(task)) and is_finite(m)]
        if not own[task]:
            left_out[task] = "not the suite's own, added to a run"
        elif 2 * asked[task] < len(runs):
            left_out[task] = f"in {asked[task]} of {len(runs)} rows"
        elif is_hazard(task) or any(not m.higher_is_better for m in found):
            left_out[task] = "lower is better"
        elif any(not 0 <= m.value <= 1 for m in found):
            left_out[task] = "not on a scale from 0 to 1"
        else:
            kept.append(task)
    return kept, [f"not in the mean: {task} ({why})" for task, why in left_out.items()]


def _members(run: Manifest) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for task in run.tasks:
        groups.setdefault(task.group, []).append(task.task)
    return groups


def composite_name(runs: Sequence[Manifest]) -> str | None:
    """The name of the suite's composite; None if it has none."""
    return next((str(name) for run in runs if (name := composite_of(run).get("name"))), None)


def composite_of(run: Manifest) -> Mapping[str, Any]:
    """The suite's composite as configured; empty if it has none."""
    return _suite_of(run).get("composite") or {}


def _suite_of(run: Manifest) -> Mapping[str, Any]:
    return run.config.get("suite") or {}


def is_finite(metric: MetricRecord | None) -> bool:
    """Whether there is a score."""
    return metric is not None and math.isfinite(metric.value)
