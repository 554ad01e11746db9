"""Boards as tables for a terminal, as Markdown, and as rows for programs; ranked in `comparison.leaderboard`."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalharness.comparison.board_scores import Score
from evalharness.comparison.comparability import suite_changes
from evalharness.comparison.leaderboard import (
    Board,
    Row,
)
from evalharness.report.export import as_rows
from evalharness.report.terminal.format import (
    active_params,
    number,
    params,
    plain,
    rate,
    styled,
)
from evalharness.report.terminal.table_layout import (
    Col,
    fits,
    fitted_table,
)
from evalharness.store.json_codec import as_json
from evalharness.store.records import Manifest
from evalharness.store.subset_words import (
    NOT_COMPARABLE,
    limited,
    subset_kind,
    subset_words,
)

_RANK_NOTE = (
    "rank: the ranks compatible with all pairwise differences at family-wise 95 % (Holm); unpaired, therefore "
    "conservative: `evalharness compare` pairs the docs"
)
APART = "≠"
"""Marks a score whose settings differ from most rows'."""
_LEAST_MODEL = 22
_LEAST_HEADER = 7
"""Least width of a task's name, which is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The parts of a board that are shown."""

    tasks: Sequence[str]
    equal_n: Mapping[str, int]
    """Tasks that all rows have scored on the same number of docs -> that number."""
    with_runs: bool
    has_intervals: bool = True
    has_mean_interval: bool = True
    has_costs: bool = True


def leaderboard_view(
    boards: Sequence[Board], *, width: int, top: int, with_runs: bool = False
) -> Group:
    """One table per suite and version. On a narrow terminal intervals are dropped first, then params and speed, then tasks.

    Args:
        boards: to show.
        width: of the terminal.
        top: rows shown of each.
        with_runs: name the run of each row.
    """
    parts: list[RenderableType] = []
    for board in boards:
        heading = plain(f"{board.suite} version {board.version}")
        heading.stylize("bold")
        shape = _fitting(board, board.rows[:top], width, with_runs)
        parts += [heading, Text(), _table(board, board.rows[:top], shape, width), Text()]
        parts += [styled(line, "yellow") for line in _warnings(board)]
        parts += [styled(line, "dim") for line in _notes(board, shape, top)]
        parts.append(Text())
    if any(row.ranks for board in boards for row in board.rows):
        parts.append(Text(_RANK_NOTE, style="dim"))
    return Group(*parts)


def marks(run: Manifest) -> list[str]:
    """Remarks on a run for readers who quote its numbers."""
    found = []
    if run.status != "complete" or any(task.status != "complete" for task in run.tasks):
        found.append("partial" if run.status == "complete" else run.status)
    if kind := subset_kind(run.tasks):
        found.append(kind)
    num_samples = sum(task.num_samples for task in run.tasks)
    if num_reused := sum(task.num_reused for task in run.tasks):
        found.append(f"{num_reused / max(num_samples, num_reused):.0%} reused")
    if run.is_imported:
        found.append("imported")
    if suite_changes(run):
        found.append("modified suite")
    if str(run.checkpoint.get("weights_fingerprint") or "").startswith("unverified"):
        found.append("weights unverified")
    return found


def missing_mark(row: Row) -> list[str]:
    """Largest share of its scores that is missing."""
    return [f"{100 * max(row.missing.values()):.3g} % missing"] if row.missing else []


def leaderboard_as_json(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """The boards for programs: rows with their ranks, means and metrics."""
    result: list[dict[str, Any]] = as_json(
        [
            {
                "suite": board.suite,
                "suite_version": board.version,
                "tasks": board.tasks,
                "mean_over": board.averaged,
                "composite": board.composite,
                "sorted_by": board.sorted_by or "mean",
                "notes": [*board.notes, _RANK_NOTE],
                "rows": [_row_fields(row) for row in board.rows],
            }
            for board in boards
        ]
    )
    return result


def leaderboard_rows(boards: Sequence[Board]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for CSV: one per row of a board and task, and one for its mean (task `mean`)."""
    rows = []
    for board in boards:
        about = {"suite": board.suite, "suite_version": board.version}
        for row in board.rows:
            own = {**about, **_about(row), "marks": ", ".join(marks(row.run))}
            rows.append(
                {**own, "task": "mean", "metric": board.composite or "mean", **row.mean._asdict(),
                 "low": row.mean_range.low, "high": row.mean_range.high}
            )  # fmt: skip
            for task in board.tasks:
                if task in row.scores:
                    fields = _score_fields(row, task)
                    rows.append(
                        {**own, "task": task, **fields, "differs": tuple(fields["differs"])}
                    )
    return as_rows(rows, ["suite", "suite_version"])


def markdown(boards: Sequence[Board]) -> str:
    """The boards as Markdown tables, every task with its interval."""
    blocks = []
    for board in boards:
        shape = _Shape(tasks=board.tasks, equal_n=_equal_n(board), with_runs=True)
        columns = _columns(board, board.rows, shape)
        table = [
            [column.name for column in columns],
            ["--:" if column.justify == "right" else "---" for column in columns],
            *([cell.plain for cell in _cells(board, row, shape)] for row in board.rows),
        ]
        lines = [" | ".join(map(_escaped, cells)) for cells in table]
        notes = [*_warnings(board), *_notes(board, shape, len(board.rows)), _RANK_NOTE]
        blocks.append(
            "\n".join(
                [
                    f"### {_escaped(board.suite)} version {_escaped(board.version)}",
                    "",
                    *(f"| {line} |" for line in lines),
                    "",
                    *(f"- {_escaped(note)}" for note in notes),
                ]
            )
        )
    return "\n\n".join(blocks) + "\n"


def _fitting(board: Board, rows: Sequence[Row], width: int, with_runs: bool) -> _Shape:
    """The parts that fit the terminal."""
    full = _Shape(tasks=board.tasks, equal_n=_equal_n(board), with_runs=with_runs)
    bare = replace(full, has_intervals=False)
    for shape in (full, bare, replace(bare, has_mean_interval=False)):
        if _fits(board, rows, shape, width):
            return shape
    least = replace(bare, has_mean_interval=False, has_costs=False)
    shapes = [replace(least, tasks=board.tasks[:num]) for num in range(len(board.tasks) + 1)]
    too_wide = bisect_left(shapes, True, key=lambda shape: not _fits(board, rows, shape, width))
    return shapes[max(1, too_wide - 1)] if board.tasks else least


def _fits(board: Board, rows: Sequence[Row], shape: _Shape, width: int) -> bool:
    if (_LEAST_HEADER + 1) * len(shape.tasks) > width:  # no need to check the rows
        return False
    return fits(_columns(board, rows, shape), [_cells(board, row, shape) for row in rows], width)


def _table(board: Board, rows: Sequence[Row], shape: _Shape, width: int) -> Table:
    cells = [_cells(board, row, shape) for row in rows]
    return fitted_table(_columns(board, rows, shape), cells, width)


def _columns(board: Board, rows: Sequence[Row], shape: _Shape) -> list[Col]:
    least = {
        task: max(_LEAST_HEADER, *(_task_cell(row, task, shape).cell_len for row in rows))
        for task in shape.tasks
    }
    return [
        Col("rank", justify="right"),
        Col("model", least=_LEAST_MODEL),
        *([Col("run", least=16)] if shape.with_runs else []),
        *([Col(board.composite or "mean", justify="right")] if board.averaged else []),
        *(Col(plain(task).plain, least=least[task], justify="right") for task in shape.tasks),
        *([Col("params", justify="right"), Col("tok/s", justify="right")] if shape.has_costs else []),
        Col("marks", least=8),
    ]  # fmt: skip


def _cells(board: Board, row: Row, shape: _Shape) -> list[Text]:
    return [
        Text(_rank(row)),
        plain(row.label),
        *([plain(row.run.run_id)] if shape.with_runs else []),
        *([_mean_cell(board, row, shape)] if board.averaged else []),
        *(_task_cell(row, task, shape) for task in shape.tasks),
        *([Text(_size(row.run)), Text(rate(row.run.tokens_per_s))] if shape.has_costs else []),
        styled(", ".join([*marks(row.run), *missing_mark(row)]), "yellow"),
    ]


def _rank(row: Row) -> str:
    if row.ranks is None:
        return "-"
    first, last = row.ranks
    return str(first) if first == last else f"{first}-{last}"


def _mean_cell(board: Board, row: Row, shape: _Shape) -> Text:
    if math.isnan(row.mean.value):
        return Text("n/a", style="dim") + Text(f" {row.num_scored} of {len(board.averaged)}")
    return _value(row.mean, has_interval=shape.has_mean_interval, style="bold")


def _task_cell(row: Row, task: str, shape: _Shape) -> Text:
    metric = row.scores.get(task)
    if metric is None:
        return Text("failed", style="red") if task in row.failed else Text("-", style="dim")
    score = Score(metric.value, metric.ci_low, metric.ci_high, metric.n)
    cell = _value(score, has_interval=shape.has_intervals)
    if task in row.apart:
        cell += Text(f" {APART}", style="yellow")
    return cell if task in shape.equal_n else cell + Text(f" n={metric.n}", style="dim")


def _value(score: Score, *, has_interval: bool, style: str = "") -> Text:
    cell = Text(number(score.value), style=style)
    if has_interval:
        is_known = not math.isnan(score.ci_low + score.ci_high)
        ends = f"{number(score.ci_low)}, {number(score.ci_high)}" if is_known else "no CI"
        cell += Text(f" [{ends}]", style="dim")
    return cell


def _equal_n(board: Board) -> dict[str, int]:
    nums = {task: {row.scores[task].n for row in board.rows if task in row.scores} for task in board.tasks}  # fmt: skip
    return {task: found.pop() for task, found in nums.items() if len(found) == 1}


def _size(run: Manifest) -> str:
    total = run.checkpoint.get("params_total")
    active = run.checkpoint.get("params_active", total)  # not there in imported runs
    return ", ".join(filter(None, (params(total), active_params(total, active))))


def _warnings(board: Board) -> list[str]:
    """Differences of a board's rows besides the model."""
    kind = subset_kind(task for row in board.rows for task in row.run.tasks)
    found = [f"{kind}: the run has only these of a task; {NOT_COMPARABLE}"] if kind else []
    return [plain(line).plain for line in (*found, *board.notes)]


def _notes(board: Board, shape: _Shape, top: int) -> list[str]:
    lines = []
    if len(board.rows) > top:
        lines.append(f"{len(board.rows) - top} more rows: --top {len(board.rows)}, --csv or --json")
    if hidden := len(board.tasks) - len(shape.tasks):
        lines.append(f"{hidden} more tasks: a wider terminal, --task, --csv or --md")
    if equal := {task: n for task, n in shape.equal_n.items() if task in shape.tasks}:
        of_all = {task: _of_all(board, task) for task in equal}
        lines.append("n: " + ", ".join(f"{task} {n}{of_all[task]}" for task, n in equal.items()))
    for task in shape.tasks:
        if task not in shape.equal_n and (of := _of_all(board, task)):
            nums = [row.scores[task].n for row in board.rows if task in row.scores]
            lines.append(f"n: {task} {min(nums)} to {max(nums)}{of}")
    if board.averaged and not board.composite:
        num = len(board.averaged)
        over = "one task" if num == 1 else f"{num} tasks with equal weight; a group is one"
        lines.append(f"mean: over {over}")
    if board.composite:
        lines.append(f"{board.composite}: the suite's composite of {len(board.averaged)} tasks")
    if board.sorted_by:
        lines.append(f"ranked by {board.sorted_by}")
    return [plain(line).plain for line in lines]


def _of_all(board: Board, task: str) -> str:
    """Number of docs of a task or group, if a run took fewer."""
    found = [
        [t for t in row.run.tasks if task in (t.task, t.group)]
        for row in board.rows
        if task in row.scores
    ]
    nums = {sum(t.num_docs_available for t in tasks) for tasks in found}
    is_limited = any(limited(tasks) for tasks in found)
    return f" of {' or '.join(map(str, sorted(nums)))}" if is_limited else ""


def _about(row: Row) -> dict[str, Any]:
    run = row.run
    return {
        "rank_first": row.ranks.first if row.ranks else None,
        "rank_last": row.ranks.last if row.ranks else None,
        "model": run.model,
        "strategy": run.strategy,
        "run_id": run.run_id,
        "started_at": run.started_at,
        "status": run.status,
        "params_total": run.checkpoint.get("params_total"),
        "params_active": run.checkpoint.get("params_active"),
        "tokens_per_s": run.tokens_per_s,
        "num_tasks_scored": row.num_scored,
        "subset": subset_words(run.tasks),
    }


def _row_fields(row: Row) -> dict[str, Any]:
    return {
        **_about(row),
        "marks": marks(row.run),
        "mean": {**row.mean._asdict(), "low": row.mean_range.low, "high": row.mean_range.high},
        "scores": {task: _score_fields(row, task) for task in row.scores},
        "failed": sorted(row.failed),
    }


def _score_fields(row: Row, task: str) -> dict[str, Any]:
    """A score, its bounds for any missing part, and how its settings differ from those it isn't ranked with."""
    names = ("metric", "filter", "value", "ci_low", "ci_high", "stderr", "n", "higher_is_better")
    return {
        **{name: getattr(row.scores[task], name) for name in names},
        "missing": row.missing.get(task, 0.0),
        "low": row.ranges[task].low,
        "high": row.ranges[task].high,
        "differs": [part.text for part in row.apart.get(task, ())],
    }


def _escaped(text: str) -> str:
    return plain(text).plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
