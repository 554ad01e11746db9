"""Models against tasks: runs with their main metrics in, one board per suite and version out, ranked.

A board's tasks are the suite's own that at least half of its rows ran (a group counts as one), so that a task added to
one run makes no other row incomplete. The mean is over all of them, with equal weight, or the suite's composite; a row
that lacks one has no mean. A score whose settings differ from most rows' is shown, but neither averaged nor ranked
(`comparability`). Nothing is read or rounded here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalharness.comparison.board_scores import (
    NO_RANGE,
    NO_SCORE,
    Range,
    Score,
    mean_range,
    mean_score,
    missing_share,
    range_of,
    score_of,
)
from evalharness.comparison.comparability import (
    Difference,
    Settings,
    settings,
    suite_changes,
)
from evalharness.comparison.hazards import is_hazard
from evalharness.comparison.peers import (
    apart_from,
    apart_notes,
    doubts,
    find_reference,
    is_ranked,
    repeat_notes,
    standard,
)
from evalharness.comparison.run_mean import composite_name, in_mean, is_finite, units
from evalharness.stats.metrics import COMPOSITE
from evalharness.stats.ranking import (
    Ranks,
    rank_intervals,
)
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    TaskSummary,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run on a board."""

    run: Manifest
    label: str
    """The model, with its strategy unless that is single."""
    scores: Mapping[str, MetricRecord]
    """Task -> its main metric, finite ones only."""
    failed: frozenset[str]
    """Tasks of the board that failed, or whose metric is NaN."""
    mean: Score
    """Its mean, over the docs with a score."""
    num_scored: int
    """Tasks of the mean that can be compared."""
    apart: Mapping[str, tuple[Difference, ...]]
    """Task -> how its score's settings differ from those it would be ranked with."""
    missing: Mapping[str, float]
    """Task -> share of its samples without a score, for tasks with any."""
    ranges: Mapping[str, Range]
    """Task -> bounds of its score over all docs."""
    mean_range: Range
    ranks: Ranks | None = None
    """Its possible ranks; None without a value to rank by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One suite in one version."""

    suite: str
    version: str
    tasks: tuple[str, ...]
    """Columns, in the suite's order."""
    averaged: tuple[str, ...]
    """Tasks that the mean is over; empty: no mean."""
    composite: str | None
    """The suite's composite, if it has one."""
    sorted_by: str | None
    """Task that it is ranked by; None: the mean."""
    rows: tuple[Row, ...]
    """Rows, the best first, those without a value last."""
    notes: tuple[str, ...]
    """Remarks on the columns."""


def build_boards(
    runs: Sequence[Manifest],
    metrics: Mapping[str, Sequence[MetricRecord]],
    sort: str | None = None,
    *,
    any_prompt: bool = False,
) -> list[Board]:
    """A board for each suite and version, suites by name, the newest version first. Runs of the fake engine are on none.

    Args:
        runs: one per row; their order breaks ties.
        metrics: run -> its main metrics; runs without any are on no board.
        sort: task by which boards that have it are ranked; None: all by the mean.
        any_prompt: rank scores whose prompts, settings or scoring differ, too.
    """
    suites: dict[tuple[str, str], list[Manifest]] = {}
    for run in runs:
        if metrics.get(run.run_id) and not run.is_fake:
            suites.setdefault((run.suite, run.suite_version), []).append(run)
    newest = {key: max(run.started_at for run in rows) for key, rows in suites.items()}
    keys = sorted(sorted(suites, key=lambda key: newest[key], reverse=True), key=lambda key: key[0])
    return [_board(suites[key], metrics, sort, any_prompt=any_prompt) for key in keys]


def row_label(run: Manifest) -> str:
    """The model, and its strategy."""
    return run.model if run.strategy == "single" else f"{run.model} ({run.strategy})"


def _board(
    runs: Sequence[Manifest],
    metrics: Mapping[str, Sequence[MetricRecord]],
    sort: str | None,
    *,
    any_prompt: bool,
) -> Board:
    groups = {m.task for run in runs for m in metrics[run.run_id] if m.task == m.group}
    of_run = {run.run_id: units(run, metrics[run.run_id], groups) for run in runs}
    asked = Counter(task for found in of_run.values() for task in found)
    has_score = {task for found in of_run.values() for task, m in found.items() if is_finite(m)}
    tasks = [task for task in _in_order(runs, of_run) if task in has_score or 2 * asked[task] >= len(runs)]  # fmt: skip
    composite = composite_name(runs)
    averaged, notes = in_mean(runs, of_run, tasks, asked, composite)
    settled = {run.run_id: _settings(run, of_run[run.run_id]) for run in runs}
    reference = find_reference(runs, settled)
    normal = standard(reference, runs, settled)
    rows = [
        _row(
            run, of_run[run.run_id], metrics[run.run_id], tasks, averaged, composite,
            apart_from(normal, settled[run.run_id]), any_prompt=any_prompt,
        )
        for run in runs
    ]  # fmt: skip
    sorted_by = sort if sort in has_score else None
    return Board(
        suite=runs[0].suite,
        version=runs[0].suite_version,
        tasks=tuple(tasks),
        averaged=tuple(averaged),
        composite=composite,
        sorted_by=sorted_by,
        rows=tuple(_ranked(rows, sorted_by, any_prompt=any_prompt)),
        notes=(*notes, *_notes(rows, settled, reference, any_prompt=any_prompt)),
    )


def _in_order(runs: Sequence[Manifest], of_run: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """All tasks, in the order of the latest run's suite."""
    latest_first = sorted(runs, key=lambda run: run.started_at, reverse=True)
    return list(dict.fromkeys(task for run in latest_first for task in of_run[run.run_id]))


def _row(
    run: Manifest,
    found: Mapping[str, MetricRecord | None],
    metrics: Sequence[MetricRecord],
    tasks: Sequence[str],
    averaged: Sequence[str],
    composite: str | None,
    apart: Mapping[str, tuple[Difference, ...]],
    *,
    any_prompt: bool,
) -> Row:
    scores = {task: m for task, m in found.items() if m is not None and is_finite(m)}
    own = [m for m in metrics if composite and m.task == composite and m.metric == COMPOSITE]
    members, values = _of_units(run), {m.task: m.value for m in metrics if m.is_main}
    ranges = {
        task: range_of(
            m, members.get(task, ()), [values.get(t.task) for t in members.get(task, ())]
        )
        for task, m in scores.items()
    }
    missing = {task: share for task in scores if (share := missing_share(members.get(task, ())))}
    kept = [task for task in averaged if task in scores and is_ranked(apart.get(task, ()), any_prompt=any_prompt)]  # fmt: skip
    mean, mean_of_all = NO_SCORE, NO_RANGE
    if averaged and len(kept) == len(averaged):
        own_mean = score_of(own[0]) if own else NO_SCORE
        mean = own_mean if composite else mean_score([score_of(scores[task]) for task in kept])
        is_whole = not any(task in missing for task in kept)
        if own and is_whole:
            mean_of_all = range_of(own[0], [t for task in kept for t in members.get(task, ())], [])
        else:
            mean_of_all = mean_range([ranges[task] for task in kept])
    return Row(
        run=run,
        label=row_label(run),
        scores=scores,
        failed=frozenset(task for task in tasks if task in found and task not in scores),
        mean=mean,
        num_scored=len(kept),
        apart=apart,
        missing=missing,
        ranges=ranges,
        mean_range=mean_of_all,
    )


def _ranked(rows: Sequence[Row], sorted_by: str | None, *, any_prompt: bool) -> list[Row]:
    """The rows, best first, each with its possible ranks."""
    of_row = {row.run.run_id: _range_by(row, sorted_by, any_prompt=any_prompt) for row in rows}
    known = [row for row in rows if math.isfinite(of_row[row.run.run_id].low)]
    rest = [row for row in rows if not math.isfinite(of_row[row.run.run_id].low)]
    rest.sort(key=lambda row: (-row.num_scored, row.label))
    if not known:
        return rest
    is_higher = sorted_by is None or _is_higher_better(sorted_by, known)

    def worst(row: Row) -> float:
        return -of_row[row.run.run_id].low if is_higher else of_row[row.run.run_id].high

    known.sort(key=lambda row: (worst(row), row.label))
    low, ci_low, high, ci_high = zip(*(of_row[row.run.run_id] for row in known), strict=True)
    ranks = rank_intervals(low, ci_low, ci_high, best=high, higher_is_better=is_higher)
    return [*(replace(row, ranks=r) for row, r in zip(known, ranks, strict=True)), *rest]


def _range_by(row: Row, task: str | None, *, any_prompt: bool) -> Range:
    if task is None:
        return row.mean_range
    is_apart = not is_ranked(row.apart.get(task, ()), any_prompt=any_prompt)
    return NO_RANGE if is_apart else row.ranges.get(task, NO_RANGE)


def _is_higher_better(task: str, rows: Sequence[Row]) -> bool:
    return not is_hazard(task) and all(row.scores[task].higher_is_better for row in rows)


def _settings(run: Manifest, found: Mapping[str, MetricRecord | None]) -> dict[str, Settings]:
    """Task -> the settings its score depends on, for tasks with a score."""
    members = _of_units(run)
    return {
        task: settings(run, members.get(task, ()), metric.metric, metric.filter)
        for task, metric in found.items()
        if metric is not None and is_finite(metric)
    }


def _notes(
    rows: Sequence[Row],
    settled: Mapping[str, Mapping[str, Settings]],
    reference: Manifest,
    *,
    any_prompt: bool,
) -> Iterator[str]:
    """Remarks on scores with different or unknown settings, and with missing docs."""
    num = Counter(row.label for row in rows)
    names = {row.run.run_id: row.label if num[row.label] == 1 else row.run.run_id for row in rows}
    yield from apart_notes(
        {names[row.run.run_id]: row.apart for row in rows},
        names[reference.run_id],
        any_prompt=any_prompt,
    )
    yield from doubts({names[row.run.run_id]: settled[row.run.run_id] for row in rows})
    yield from repeat_notes({names[row.run.run_id]: _repeats(row) for row in rows})
    for row in rows:
        name = names[row.run.run_id]
        if row.missing:
            shares = ", ".join(f"{task} {100 * share:.3g} %" for task, share in row.missing.items())
            yield f"{name}: scores are missing ({shares}); they count at their worst and at their best for the ranks"
        if text := suite_changes(row.run):
            yield f"{name}: {text}"


def _repeats(row: Row) -> dict[str, str]:
    members = _of_units(row.run)
    found = {task: {t.repeats for t in members.get(task, ())} for task in row.scores}
    return {task: "/".join(map(str, sorted(nums))) for task, nums in found.items() if nums}


def _of_units(run: Manifest) -> dict[str, list[TaskSummary]]:
    """Task or group -> its tasks."""
    members: dict[str, list[TaskSummary]] = {}
    for task in run.tasks:
        for name in {task.task, task.group}:
            members.setdefault(name, []).append(task)
    return members
