"""Models against tasks: runs with their main metrics in, one board per suite and version out, ranked.

A suite's tasks are those that at least half of its rows asked for (a group counts as one): a task that one run added makes
nobody else incomplete. The mean is over all of them, with equal weight, or the suite's composite; a row that lacks one has
no mean. Nothing is read or rounded here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from evalharness.analysis.hazards import is_hazard
from evalharness.analysis.ranking import Ranks, rank_intervals
from evalharness.records import Manifest, MetricRecord, TaskSummary
from evalharness.scores.measured import COMPOSITE

_Z95 = 1.959963984540054


class Score(NamedTuple):
    """A value with its 95 % interval; NaN where there is none."""

    value: float
    ci_low: float
    ci_high: float
    n: int


NO_SCORE = Score(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run on a board."""

    run: Manifest
    label: str
    """The model; with its strategy where that isn't single."""
    scores: Mapping[str, MetricRecord]
    """Task -> its main metric, finite ones only."""
    failed: frozenset[str]
    """Tasks of the board that failed, or whose metric is NaN."""
    mean: Score
    num_scored: int
    """Of the tasks that the mean is over."""
    ranks: Ranks | None = None
    """None without a value to rank by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One suite in one version."""

    suite: str
    version: str
    tasks: tuple[str, ...]
    """Columns, in the suite's order."""
    averaged: tuple[str, ...]
    """What the mean is over; empty: no mean."""
    composite: str | None
    """The suite's own mean, where it has one."""
    sorted_by: str | None
    """Task; None: the mean."""
    rows: tuple[Row, ...]
    """The best first, those without a value last."""
    notes: tuple[str, ...]
    """What a reader has to know of the columns."""


def build_boards(
    runs: Sequence[Manifest], metrics: Mapping[str, Sequence[MetricRecord]], sort: str | None = None
) -> list[Board]:
    """A board for each suite and version, suites by name, the newest version first.

    Args:
        runs: one a row; their order settles ties.
        metrics: run -> its main metrics; runs without any are on no board.
        sort: task by which boards that have it are ranked; None: all by the mean.
    """
    suites: dict[tuple[str, str], list[Manifest]] = {}
    for run in runs:
        if metrics.get(run.run_id):
            suites.setdefault((run.suite, run.suite_version), []).append(run)
    newest = {key: max(run.started_at for run in rows) for key, rows in suites.items()}
    keys = sorted(sorted(suites, key=lambda key: newest[key], reverse=True), key=lambda key: key[0])
    return [_board(suites[key], metrics, sort) for key in keys]


def row_label(run: Manifest) -> str:
    """The model, and what was done to its answers."""
    return run.model if run.strategy == "single" else f"{run.model} ({run.strategy})"


def units(
    run: Manifest, metrics: Sequence[MetricRecord], groups: Collection[str]
) -> dict[str, MetricRecord | None]:
    """What a run's suite is made of -> its main metric, None where there is none: tasks, and groups as one.

    Args:
        run: its manifest says what was asked.
        metrics: its main ones.
        groups: that have a score of their own, in this run or another; the members of others (tags) stand for themselves.
    """
    scored = {m.task: m for m in metrics if m.is_main and m.metric != COMPOSITE}
    found: dict[str, MetricRecord | None] = {}
    asked = {**dict.fromkeys(_suite(run).get("tasks") or ()), **_members(run)}
    for group, members in asked.items():
        names = [group] if group in groups or not members else members
        found.update({name: scored.get(name) for name in names})
    return found


def _board(
    runs: Sequence[Manifest], metrics: Mapping[str, Sequence[MetricRecord]], sort: str | None
) -> Board:
    groups = {m.task for run in runs for m in metrics[run.run_id] if m.task == m.group}
    of_run = {run.run_id: units(run, metrics[run.run_id], groups) for run in runs}
    asked = Counter(task for found in of_run.values() for task in found)
    has_score = {task for found in of_run.values() for task, m in found.items() if _is_finite(m)}
    tasks = [task for task in _in_order(runs, of_run) if task in has_score or 2 * asked[task] >= len(runs)]  # fmt: skip
    composite = _composite_name(runs)
    averaged, notes = _averaged(runs, of_run, tasks, asked, composite)
    rows = [
        _row(run, of_run[run.run_id], metrics[run.run_id], tasks, averaged, composite)
        for run in runs
    ]
    sorted_by = sort if sort in has_score else None
    return Board(
        suite=runs[0].suite,
        version=runs[0].suite_version,
        tasks=tuple(tasks),
        averaged=tuple(averaged),
        composite=composite,
        sorted_by=sorted_by,
        rows=tuple(_ranked(rows, sorted_by)),
        notes=(*notes, *_mixed_settings(rows, tasks)),
    )


def _in_order(runs: Sequence[Manifest], of_run: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """All tasks, in the order of the latest run's suite."""
    latest_first = sorted(runs, key=lambda run: run.started_at, reverse=True)
    return list(dict.fromkeys(task for run in latest_first for task in of_run[run.run_id]))


def _averaged(
    runs: Sequence[Manifest],
    of_run: Mapping[str, Mapping[str, MetricRecord | None]],
    tasks: Sequence[str],
    asked: Counter[str],
    composite: str | None,
) -> tuple[list[str], list[str]]:
    """What the mean is over, and why other tasks aren't in it."""
    if composite is not None:
        parts = next(parts for run in runs if (parts := _composite(run).get("parts")))
        return [str(part) for part in parts], []
    if any(run.domain == "safety" for run in runs):
        return [], ["no mean: the tasks of a safety suite measure different things; --sort TASK ranks by one"]  # fmt: skip
    kept, left_out = [], {}
    for task in tasks:
        found = [m for scores in of_run.values() if (m := scores.get(task)) and _is_finite(m)]
        if 2 * asked[task] < len(runs):
            left_out[task] = f"in {asked[task]} of {len(runs)} rows"
        elif is_hazard(task) or any(not m.higher_is_better for m in found):
            left_out[task] = "lower is better"
        elif any(not 0 <= m.value <= 1 for m in found):
            left_out[task] = "not on a scale from 0 to 1"
        else:
            kept.append(task)
    return kept, [f"not in the mean: {task} ({why})" for task, why in left_out.items()]


def _row(
    run: Manifest,
    found: Mapping[str, MetricRecord | None],
    metrics: Sequence[MetricRecord],
    tasks: Sequence[str],
    averaged: Sequence[str],
    composite: str | None,
) -> Row:
    scores = {task: m for task, m in found.items() if m is not None and _is_finite(m)}
    own = [m for m in metrics if composite and m.task == composite and m.metric == COMPOSITE]
    parts = [scores[task] for task in averaged if task in scores]
    mean = NO_SCORE
    if averaged and len(parts) == len(averaged):
        mean = (_score(own[0]) if own else NO_SCORE) if composite else _mean(parts)
    return Row(
        run=run,
        label=row_label(run),
        scores=scores,
        failed=frozenset(task for task in tasks if task in found and task not in scores),
        mean=mean,
        num_scored=len(parts),
    )


def _mean(parts: Sequence[MetricRecord]) -> Score:
    """Equal weights; the distances to the intervals' ends add in squares, as in `analysis.composite`."""
    scores, k = [_score(part) for part in parts], len(parts)
    value = math.fsum(score.value for score in scores) / k
    below = math.hypot(*(score.value - score.ci_low for score in scores)) / k
    above = math.hypot(*(score.ci_high - score.value for score in scores)) / k
    return Score(value, value - below, value + above, sum(score.n for score in scores))


def _score(metric: MetricRecord) -> Score:
    """The metric's interval, or the normal one where only its standard error is known."""
    low, high = metric.ci_low, metric.ci_high
    if math.isnan(low + high) and metric.stderr > 0:
        low, high = metric.value - _Z95 * metric.stderr, metric.value + _Z95 * metric.stderr
    return Score(metric.value, low, high, metric.n)


def _ranked(rows: Sequence[Row], sorted_by: str | None) -> list[Row]:
    """The rows, best first, each with the ranks it may have."""
    score = {row.run.run_id: _score_by(row, sorted_by) for row in rows}
    known = [row for row in rows if math.isfinite(score[row.run.run_id].value)]
    rest = [row for row in rows if not math.isfinite(score[row.run.run_id].value)]
    rest.sort(key=lambda row: (-row.num_scored, row.label))
    if not known:
        return rest
    is_higher = sorted_by is None or _is_higher_better(sorted_by, known)
    sign = -1 if is_higher else 1
    known.sort(key=lambda row: (sign * score[row.run.run_id].value, row.label))
    columns = zip(*(score[row.run.run_id][:3] for row in known), strict=True)
    ranks = rank_intervals(*columns, higher_is_better=is_higher)
    return [*(replace(row, ranks=r) for row, r in zip(known, ranks, strict=True)), *rest]


def _score_by(row: Row, task: str | None) -> Score:
    if task is None:
        return row.mean
    return _score(row.scores[task]) if task in row.scores else NO_SCORE


def _is_higher_better(task: str, rows: Sequence[Row]) -> bool:
    return not is_hazard(task) and all(row.scores[task].higher_is_better for row in rows)


def _mixed_settings(rows: Sequence[Row], tasks: Sequence[str]) -> Iterator[str]:
    """The columns whose rows were not asked the same, and in what they differ."""
    of_rows = [_settings(row) for row in rows]
    for task in tasks:
        found = [settings[task] for settings in of_rows if task in settings]
        columns = zip(*found, strict=True)
        differ = [
            what
            for what, values in zip(_SETTINGS, columns, strict=False)
            if len({value for value in values if value}) > 1
        ]
        if differ:
            yield f"{task}: rows differ in {', '.join(differ)}"


_SETTINGS = ("metric", "task version", "shots", "prompt or generation settings")


def _settings(row: Row) -> dict[str, tuple[Any, ...]]:
    """Task -> a value for each of _SETTINGS; an empty one is unknown."""
    members: dict[str, list[TaskSummary]] = {}
    for task in row.run.tasks:
        for name in {task.task, task.group}:
            members.setdefault(name, []).append(task)
    return {
        task: (
            (metric.metric, metric.filter),
            tuple(sorted({t.version for t in members.get(task, ())})),
            tuple(sorted({t.num_fewshot for t in members.get(task, ())})),
            _hashes(members.get(task, ())),
        )
        for task, metric in row.scores.items()
    }


def _hashes(members: Sequence[TaskSummary]) -> tuple[str, ...]:
    hashes = sorted({t.request_hash for t in members})
    return () if "" in hashes else tuple(hashes)


def _members(run: Manifest) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for task in run.tasks:
        groups.setdefault(task.group, []).append(task.task)
    return groups


def _composite_name(runs: Sequence[Manifest]) -> str | None:
    return next((str(name) for run in runs if (name := _composite(run).get("name"))), None)


def _composite(run: Manifest) -> Mapping[str, Any]:
    return _suite(run).get("composite") or {}


def _suite(run: Manifest) -> Mapping[str, Any]:
    return run.config.get("suite") or {}


def _is_finite(metric: MetricRecord | None) -> bool:
    return metric is not None and math.isfinite(metric.value)
