"""The pages of all runs and of one run, from manifests and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

from evalharness.comparison.run_mean import RunMean, run_mean
from evalharness.errors import StoreError
from evalharness.report.terminal.composite import find_composite
from evalharness.report.terminal.run_footer import footer
from evalharness.report.terminal.run_list import Listed, listed_runs
from evalharness.store import layout
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    TaskSummary,
)
from evalharness.store.subset_words import subset_note
from evalharness.viewer.runs import (
    Other,
    as_other,
    get_metrics,
    get_run,
    list_runs,
    other_runs,
)

RUNS_A_PAGE = 100
_LABEL = 9
"""Most characters of a footer's label."""


class Filter(NamedTuple):
    """A choice among the values that occur."""

    name: str
    values: list[str]
    chosen: str


class Pager(NamedTuple):
    """Position in a list of several pages."""

    page: int
    num_pages: int
    first: int
    """Index of the page's first and last entry, from 0."""
    last: int
    num: int
    previous: str
    """Address; empty on the first page."""
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """All runs, or those of a model, suite or status."""

    results_dir: str
    runs: Sequence[Listed]
    filters: Sequence[Filter]
    pager: Pager
    num_all: int
    others: Sequence[Other]
    """The page's runs, to compare two of them."""
    damaged: Sequence[str]


class TaskRow(NamedTuple):
    """A task or a group of them with its main metric."""

    name: str
    task: TaskSummary | None
    """None for a group's own score."""
    metric: MetricRecord | None
    is_member: bool
    """Of the group above it."""
    address: str
    """Address of its samples; empty while there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One run: its tasks with their scores, and what it ran on."""

    run: Manifest
    rows: Sequence[TaskRow]
    metrics: Sequence[MetricRecord]
    notes: Sequence[str]
    """Remarks for readers who quote a number."""
    mean: RunMean | None
    """Over its tasks; None where the suite has none."""
    statement: str
    """Which composite the suite has; empty without one."""
    facts: Sequence[tuple[str, str]]
    others: Sequence[Other]
    """Runs to compare it with."""
    curves: str
    """Address of its strategy's curves; empty where there are none."""
    damaged: Sequence[str]


def runs_page(results_dir: Path, chosen: dict[str, str], page: int) -> RunsPage:
    """The runs that have the chosen values; an empty one leaves all in.

    Raises:
        StoreError: results_dir can't be read.
    """
    runs, damaged = list_runs(results_dir)
    kept = [r for r in runs if all(getattr(r, k) == v for k, v in chosen.items() if v)]
    address = "?" + urlencode({name: value for name, value in chosen.items() if value})
    pager = make_pager(len(kept), RUNS_A_PAGE, page, address)
    shown = kept[pager.first : pager.last]
    return RunsPage(
        results_dir=str(results_dir),
        runs=listed_runs(results_dir, shown),
        filters=[
            Filter(name, sorted({getattr(run, name) for run in runs}), value)
            for name, value in chosen.items()
        ],
        pager=pager,
        num_all=len(runs),
        others=[as_other(run) for run in shown],
        damaged=damaged,
    )


def run_page(results_dir: Path, run_id: str) -> RunPage:
    """One run.

    Raises:
        StoreError: there is none of this id, or its manifest is damaged.
    """
    run = get_run(results_dir, run_id)
    run_dir = results_dir / run_id
    damaged: list[str] = []
    metrics: Sequence[MetricRecord] = ()
    try:
        metrics = get_metrics(run_dir)
    except StoreError as e:
        damaged = [str(e)]
    composite = find_composite(run, metrics)
    lines = [line.plain for line in footer(run, str(run_dir))]
    return RunPage(
        run=run,
        rows=_rows(run_dir, run, metrics),
        metrics=metrics,
        mean=run_mean(run, metrics),
        notes=_notes(run),
        statement=composite.statement if composite else "",
        facts=[(line[:_LABEL].strip(), line[_LABEL:]) for line in lines],
        curves=run_address(run_id, "curves") if (run_dir / layout.CURVES).is_file() else "",
        others=other_runs(results_dir, run, {task.task for task in run.tasks}),
        damaged=damaged,
    )


def run_address(run_id: str, page: str = "") -> str:
    """Address of a run, or of a page below it."""
    return f"/runs/{quote(run_id, safe='')}{page and '/'}{page}"


def make_pager(num: int, size: int, page: int, address: str) -> Pager:
    """The pages of a list; a page beyond the last is the last.

    Args:
        num: entries.
        size: of them on a page.
        page: from 1.
        address: that of the list with a query, to which the page is added.
    """
    num_pages = max(1, -(-num // size))
    page = min(page, num_pages)
    return Pager(
        page,
        num_pages,
        first=(page - 1) * size,
        last=min(page * size, num),
        num=num,
        previous=f"{address}&page={page - 1}" if page > 1 else "",
        next=f"{address}&page={page + 1}" if page < num_pages else "",
    )


def _rows(run_dir: Path, run: Manifest, metrics: Sequence[MetricRecord]) -> list[TaskRow]:
    """Composites, then each group with its tasks below it."""
    main = {metric.task: metric for metric in metrics if metric.is_main}
    groups: dict[str, list[TaskSummary]] = {}
    for task in run.tasks:
        groups.setdefault(task.group, []).append(task)
    names = {task.task for task in run.tasks}
    rows = [
        TaskRow(name, None, metric, False, "")
        for name, metric in main.items()
        if name not in names and name not in groups and name not in run.groups
    ]
    for group, members in groups.items():
        is_group = [member.task for member in members] != [group]
        if is_group:
            rows.append(TaskRow(group, None, main.get(group), False, ""))
            mine = {member.task for member in members}
            rows += [
                TaskRow(name, None, main[name], True, "")
                for name, tasks in run.groups.items()
                if name in main and mine.issuperset(tasks)
            ]
        rows += [_row(run_dir, task, main.get(task.task), is_group) for task in members]
    return rows


def _row(run_dir: Path, task: TaskSummary, metric: MetricRecord | None, is_member: bool) -> TaskRow:
    address = ""
    if layout.samples_path(run_dir, task.task).is_file():
        address = run_address(run_dir.name, "samples") + "?" + urlencode({"task": task.task})
    return TaskRow(task.task, task, metric, is_member, address)


def _notes(run: Manifest) -> list[str]:
    notes = [f"left out: {name}: {why}" for name, why in run.left_out.items()]
    if run.status == "running":
        notes.append("running: tasks appear when they are finished")
    if note := subset_note(run.tasks):
        notes.append(note)
    if any(task.num_errors for task in run.tasks):
        notes.append("errors: samples without an answer, not scored")
    if any(task.num_truncated for task in run.tasks):
        notes.append("truncated: answers that reached their token limit, scored as they are")
    if any(task.num_empty for task in run.tasks):
        notes.append("empty: answers without text, scored as they are")
    if num := sum(task.num_unclosed_thinking for task in run.tasks):
        notes.append(
            f"thinking that never ended in {num} samples: without an answer, counted as truncated"
        )
    for task in run.tasks:
        notes += [f"{task.task}: {num} x {reason}" for reason, num in task.reasons.items()]
        notes += [f"{task.task}: {remark}" for remark in task.remarks]
    return notes
