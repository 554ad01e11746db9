"""The table of one run: a row per task with its score, a group's tasks folded into one row, and its environment."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from evalharness.comparison.comparability import suite_changes
from evalharness.comparison.run_mean import RunMean, run_mean
from evalharness.report.terminal.composite import (
    composite_view,
    find_composite,
)
from evalharness.report.terminal.format import (
    duration,
    number,
    plain,
    rate,
)
from evalharness.report.terminal.run_footer import footer
from evalharness.report.terminal.run_list import (
    STATUS_STYLE,
    mean_cell,
    status_text,
)
from evalharness.report.terminal.table_layout import (
    WIDE,
    Col,
    hiding_table,
)
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    TaskSummary,
)
from evalharness.store.subset_words import subset_note


def run_table(
    manifest: Manifest,
    metrics: Sequence[MetricRecord],
    *,
    run_dir: str,
    width: int = 80,
    show_all: bool = False,
) -> Group:
    """One run: heading, a row per task (groups folded into one), its composite, notes, and its environment.

    Args:
        manifest: the run.
        metrics: all its metrics, including a group's own (task == group).
        run_dir: its folder, as shown in the footer.
        width: of the terminal.
        show_all: every metric and filter, and the members of every group.
    """
    rows = _rows(manifest, metrics, show_all)
    return Group(
        _heading(manifest),
        Text(),
        _task_table(rows, width),
        *composite_view(find_composite(manifest, metrics), width),
        *mean_line(run_mean(manifest, metrics)),
        Text(),
        *_notes(manifest),
        *footer(manifest, run_dir),
    )


def mean_line(mean: RunMean | None) -> list[Text]:
    """The mean under the table; nothing for one task, for a composite, which has its own view, and without a mean."""
    if mean is None or mean.name != "mean" or mean.num_parts < 2:
        return []
    line = Text("mean", style="bold") + Text(" ") + mean_cell(mean)
    return [
        Text(),
        line + Text(f" over {mean.num_parts} tasks with equal weight; a group is one", style="dim"),
    ]


class _Row(NamedTuple):
    """A task or group with its first metric, or (`task` is None) a further metric of the row above."""

    name: str
    task: TaskSummary | None
    metric: MetricRecord | None
    status: str = "complete"
    note: str = ""


Found = Mapping[str, Sequence[MetricRecord]]
"""Task or group -> its metrics, the main one first."""


def _rows(manifest: Manifest, metrics: Sequence[MetricRecord], show_all: bool) -> list[_Row]:
    found: dict[str, list[MetricRecord]] = {}
    for metric in sorted(metrics, key=lambda metric: not metric.is_main):
        found.setdefault(metric.task, []).append(metric)
    groups: dict[str, list[TaskSummary]] = {}
    for task in manifest.tasks:
        groups.setdefault(task.group, []).append(task)
    rows: list[_Row] = []
    for group, members in groups.items():
        is_group = [member.task for member in members] != [group]
        if not is_group:
            rows += _task_rows(members[0], found, "", show_all)
            continue
        rows += _group_rows(group, members, found, show_all)
        rows += _rows_below(members, manifest.groups, found, show_all, group not in found)
    return rows


def _rows_below(
    members: Sequence[TaskSummary],
    inner: Mapping[str, Sequence[str]],
    found: Found,
    show_all: bool,
    has_no_score: bool,
) -> list[_Row]:
    """A group's groups, each after those that contain it, with its own tasks below it if they are shown."""
    names = {member.task for member in members}
    groups = {name: set(tasks) & names for name, tasks in inner.items() if name in found}
    groups = {name: tasks for name, tasks in groups.items() if tasks}
    above = {
        name: [o for o, others in groups.items() if o != name and tasks < others]
        for name, tasks in groups.items()
    }
    shown = members if show_all or has_no_score else ()
    rows: list[_Row] = []

    def add(holder: str | None, depth: int) -> None:
        indent = "  " * depth
        below = [n for n, found_above in above.items() if _nearest(found_above, groups) == holder]
        for name in below:
            tasks = [member for member in members if member.task in groups[name]]
            rows.extend(_group_rows(name, tasks, found, show_all, indent))
            add(name, depth + 1)
        deeper = set().union(*(groups[name] for name in below))
        for member in shown:
            if member.task not in deeper and (holder is None or member.task in groups[holder]):
                rows.extend(_task_rows(member, found, indent, show_all))

    add(None, 1)
    return rows


def _nearest(names: Sequence[str], groups: Mapping[str, set[str]]) -> str | None:
    """The smallest of these groups; None for none."""
    return min(names, key=lambda name: len(groups[name]), default=None)


def _task_rows(task: TaskSummary, found: Found, indent: str, show_all: bool) -> list[_Row]:
    metrics = found.get(task.task, ())
    first = metrics[0] if metrics else None
    return [
        _Row(indent + task.task, task, first, task.status),
        *_further(metrics, show_all and task.status != "failed"),
    ]


def _group_rows(
    group: str, members: Sequence[TaskSummary], found: Found, show_all: bool, indent: str = ""
) -> list[_Row]:
    num_failed = sum(member.status == "failed" for member in members)
    num_open = sum(member.status != "complete" for member in members)
    status = "failed" if num_failed == len(members) else "partial" if num_open else "complete"
    note = f": {num_open} of {len(members)}" if num_open else ""
    metrics = found.get(group, ())
    first = metrics[0] if metrics else None
    name = f"{indent}{group} ({len(members)} tasks)"
    return [
        _Row(name, _sum(group, members), first, status, note),
        *_further(metrics, show_all and status != "failed"),
    ]


def _further(metrics: Sequence[MetricRecord], show: bool) -> list[_Row]:
    return [_Row("", None, metric) for metric in metrics[1:]] if show else []


def _sum(group: str, members: Sequence[TaskSummary]) -> TaskSummary:
    """The members as one task; its wall time is unknown because members overlap, -1 shots are mixed ones."""
    counts = (
        "num_docs",
        "num_docs_available",
        "num_samples",
        "num_errors",
        "num_truncated",
        "num_empty",
        "num_context_overflow",
        "num_prompt_tokens",
        "num_cached_tokens",
        "num_generated_tokens",
        "num_reused",
        "num_unclosed_thinking",
    )
    shots = {member.num_fewshot for member in members}
    return TaskSummary(
        task=group,
        group=group,
        version="",
        num_fewshot=shots.pop() if len(shots) == 1 else -1,
        repeats=members[0].repeats,
        kind="",
        **{name: sum(getattr(member, name) for member in members) for name in counts},
        wall_s=math.nan,
        dataset="",
        dataset_fingerprint="",
        task_hash="",
        status="",
    )


FAKE = "the answers are made up by the fake engine: these are no model's scores"
_REASONS_SHOWN = 2
"""Reasons of failed samples under the table, for each task; the manifest has more."""

_COLUMNS = (
    Col("task", least=10),
    Col("score [95 % CI]"),
    Col("metric", least=11),
    Col("n", justify="right"),
    Col("shots", justify="right"),
    Col("trunc", justify="right"),
    Col("err", justify="right"),
    Col("time", justify="right"),
    Col("tok/s", justify="right"),
)
_GOES_FIRST = (("time",), ("shots",))
"""Columns that a narrow terminal lacks, the first of them first."""


def _task_table(rows: Sequence[_Row], width: int) -> Table:
    columns = _COLUMNS if width >= WIDE else _COLUMNS[:-1]
    cells = [_cells(row)[: len(columns)] for row in rows]
    return hiding_table(columns, cells, width, _GOES_FIRST, dim=[row.task is None for row in rows])


def _cells(row: _Row) -> list[Text]:
    task, empty = row.task, Text()
    cells = [plain(row.name), _score(row), _metric(row.metric), Text(_n(row))]
    if task is None:
        return [*cells, empty, empty, empty, empty, empty]
    return [
        *cells,
        Text(str(task.num_fewshot) if task.num_fewshot >= 0 else ""),
        Text(_truncated(task)),
        Text(_errors(task)),
        Text(duration(task.wall_s)),
        Text(rate(task.tokens_per_s)),
    ]


def _score(row: _Row) -> Text:
    status = Text(row.status + row.note, style=STATUS_STYLE.get(row.status, "yellow"))
    if row.status == "failed":
        return status
    mark = Text() if row.status == "complete" else Text("\n") + status
    if row.metric is None:
        return Text("-", style="dim") + mark
    value, low, high = row.metric.value, row.metric.ci_low, row.metric.ci_high
    score = Text(number(value), style="" if row.task is None else "bold")
    if not math.isnan(value):
        has_interval = not (math.isnan(low) or math.isnan(high))
        interval = f"{number(low)}, {number(high)}" if has_interval else "no CI"
        score += Text(f" [{interval}]", style="dim")
    return score + mark


def _metric(metric: MetricRecord | None) -> Text:
    if metric is None:
        return Text()
    name = plain(metric.metric + ("" if metric.higher_is_better else " ↓"))
    if metric.filter == "none":
        return name
    filter_name = plain(metric.filter)
    filter_name.stylize("dim")
    return name + Text("\n") + filter_name


def _n(row: _Row) -> str:
    if row.metric is None or row.status == "failed":
        return "-"
    if row.task is None or row.task.num_docs >= row.task.num_docs_available:
        return str(row.metric.n)
    return f"{row.metric.n}/{row.task.num_docs_available}"


def _truncated(task: TaskSummary) -> str:
    unclosed = [f"{task.num_unclosed_thinking} think"] if task.num_unclosed_thinking else []
    return "\n".join([str(task.num_truncated or "-"), *unclosed])


def _errors(task: TaskSummary) -> str:
    kinds = [(task.num_context_overflow, "ctx"), (task.num_empty, "empty")]
    parts = [f"{num} {word}" for num, word in kinds if num]
    return "\n".join([str(task.num_errors or "-"), *parts])


def _heading(manifest: Manifest) -> Text:
    heading = plain(manifest.run_id)
    heading.stylize("bold")
    heading += Text("  ") + status_text(manifest.status)
    return heading + plain(f": {manifest.reason}") if manifest.reason else heading


def _notes(manifest: Manifest) -> list[Text]:
    """Remarks for readers who quote a number."""
    tasks = manifest.tasks
    notes = [FAKE] if manifest.is_fake else []
    if note := subset_note(tasks):
        notes.append(note)
    if any(task.num_errors for task in tasks):
        notes.append("err: samples without an answer, not scored (ctx: the prompt was too long)")
        notes += [
            f"{task.task}: {num} x {reason}"
            for task in tasks
            for reason, num in list(task.reasons.items())[:_REASONS_SHOWN]
        ]
    if any(task.num_empty for task in tasks):
        notes.append("empty: answers without text, scored as they are")
    if any(task.num_unclosed_thinking for task in tasks):
        notes.append(
            "think: cut before the thinking ended, so without an answer (a larger sampling.max_gen_toks helps)"
        )
    if changes := suite_changes(manifest):
        notes.append(f"{changes}: means are over the suite's own tasks, unmodified")
    notes += manifest.remarks
    if manifest.template_date:
        notes.append(
            f"the chat template writes the date, here {manifest.template_date}; a run with "
            f"model.template_date={manifest.template_date} has the same prompts on any day"
        )
    notes += [f"{task.task}: {remark}" for task in tasks for remark in task.remarks]
    return [Text(plain(note).plain, style="yellow") for note in notes]
