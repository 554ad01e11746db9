"""Runs side by side: the table of a comparison, the docs that changed, and the same for programs.

Text of models is untrusted: it is cut and passed through `plain`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalharness.comparison.compare import Comparison
from evalharness.comparison.compare_rows import TaskComparison
from evalharness.comparison.missing import Bounds
from evalharness.report import markdown as md
from evalharness.report.choices import ShownChoice, choice_line, shown_choices
from evalharness.report.export import as_rows
from evalharness.report.terminal.format import (
    number,
    params,
    plain,
    styled,
)
from evalharness.report.terminal.paired_table import (
    counts,
    difference_cell,
    heads,
    mde,
    missing_note,
    name_cell,
    p_above,
    p_value,
    row_name,
    row_notes,
    scores_texts,
)
from evalharness.report.terminal.table_layout import Col, broken, hiding_table
from evalharness.store.json_codec import as_json
from evalharness.store.pairs import DocChange
from evalharness.store.records import Manifest
from evalharness.store.subset_words import subset_words

VERDICT_STYLE = {"better": "green", "worse": "red", "equivalent": "cyan"}
_LONGEST_ANSWER = 600
_LONGEST_PROMPT = 240
FOOT = (
    "difference: second - first on the docs that both have a score for, 95 % CI; p: exact McNemar or permutation, Benjamini-Hochberg over the rows (of the mean: normal); missing scores count at their worst for the verdict",
    "MDE: least true difference that this verdict, corrected for all rows, would show at 80 % power; P(>): posterior probability that the second is higher",
)
"""What the columns hold."""
NOTHING_IN_COMMON = "compare: the runs have nothing in common that can be compared"


def comparison_view(found: Comparison, *, show_all: bool = False, width: int) -> Group:
    """One run against another: who they are, a row per task, what was left out and why.

    Args:
        found: the comparison.
        show_all: the tasks of groups, too.
        width: of the terminal.
    """
    first, second = labels(found.a, found.b)
    rows = list(shown_rows(found, show_all=show_all))
    if found.overall is not None:
        rows.append(("", found.overall))
    parts: list[RenderableType] = [_heading(found, first, second, width), Text()]
    if rows:
        parts += [_table(rows, first, second, width), Text()]
    parts += [styled(line, "yellow") for line in remarks(found)]
    if rows:
        parts += [Text(line, style="dim") for line in FOOT]
    return Group(*parts)


def comparisons_view(
    comparisons: Sequence[Comparison],
    changes: Sequence[Sequence[DocChange]],
    *,
    show_all: bool,
    width: int,
) -> Group:
    """Comparisons one below the other, each with the docs that changed in it."""
    parts: list[RenderableType] = []
    for found, changed in zip(comparisons, changes, strict=True):
        parts += [Text()] if parts else []
        parts.append(comparison_view(found, show_all=show_all, width=width))
        if changed:
            parts += [Text(), flips_view(changed, labels(found.a, found.b), width=width)]
    return Group(*parts)


def labels(a: Manifest, b: Manifest) -> tuple[str, str]:
    """Short names of two runs: their models, or their ids if the models are the same."""
    return (a.model, b.model) if a.model != b.model else (a.run_id, b.run_id)


def shown_rows(found: Comparison, *, show_all: bool) -> Iterator[tuple[str, TaskComparison]]:
    """(indent, row) in order: each group, with its tasks below it if all are shown."""
    by_group: dict[str, list[TaskComparison]] = {}
    group_of = {task.task: task.group for task in found.a.tasks}
    for member in found.members:
        by_group.setdefault(group_of.get(member.task, member.task), []).append(member)
    for row in found.tasks:
        yield "", row
        if show_all and row.num_members > 1:
            yield from (("  ", member) for member in by_group.get(row.task, ()))


def flips_view(changes: Sequence[DocChange], names: tuple[str, str], *, width: int) -> Group:
    """Docs that changed, both answers side by side (one below the other on a narrow terminal)."""
    parts: list[RenderableType] = []
    for change in changes:
        title = plain(f"{change.task}  doc {change.doc_id}")
        title += Text(f" repeat {change.repeat}" if change.repeat else "")
        title.stylize("bold")
        title += Text("  ") + _move(change)
        sides = [_side(names[0], change, "a"), _side(names[1], change, "b")]
        half = max(20, (width - 4) // 2)
        parts += [
            title,
            _labelled("prompt", _tail(change.prompt)),
            _labelled("target", _cut(change.target)),
            Columns([_boxed(side, half) for side in sides], padding=(0, 2))
            if width >= 80
            else Group(*(Group(*side) for side in sides)),
            Text(),
        ]
    return Group(*parts)


def comparison_as_json(found: Comparison) -> dict[str, Any]:
    """The comparison for programs: its rows flat, the runs by id."""
    result: dict[str, Any] = as_json(
        {
            "a": _run_fields(found.a),
            "b": _run_fields(found.b),
            "margin": found.margin,
            "tasks": [row_fields(row) for row in found.tasks],
            "members": [row_fields(row) for row in found.members],
            "overall": row_fields(found.overall) if found.overall else None,
            "left_out": dict(found.left_out),
            "notes": list(found.notes),
        }
    )
    return result


def change_as_json(change: DocChange) -> dict[str, Any]:
    """A doc that changed, texts whole."""
    choices = {
        name: [choice._asdict() for choice in getattr(change, name)]
        for name in ("choices_a", "choices_b")
    }
    result: dict[str, Any] = as_json(change._asdict() | choices)
    return result


def comparisons_as_json(
    comparisons: Sequence[Comparison], changes: Sequence[Sequence[DocChange]]
) -> list[dict[str, Any]]:
    """The same for several, each with the docs that changed in it."""
    return [
        comparison_as_json(found)
        | ({"flips": [change_as_json(change) for change in changed]} if changed else {})
        for found, changed in zip(comparisons, changes, strict=True)
    ]


def comparison_rows(
    comparisons: Sequence[Comparison], *, show_all: bool
) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of all comparisons, for CSV."""
    rows = [
        {"run_a": c.a.run_id, "run_b": c.b.run_id, "model_a": c.a.model, "model_b": c.b.model,
         **row_fields(row)}
        for c in comparisons
        for row in (*c.tasks, *(c.members if show_all else ()), *((c.overall,) if c.overall else ()))
    ]  # fmt: skip
    return as_rows(rows, ["run_a", "run_b"])


def row_fields(row: TaskComparison) -> dict[str, Any]:
    """A row's fields, those of its result and its bounds, side by side."""
    hidden = ("result", "bounds")
    own = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in hidden}
    return {**own, **asdict(row.result), **bound_fields(row.sure)}


def bound_fields(sure: Bounds | None) -> dict[str, float]:
    """The difference with the missing scores at their worst and at their best, with 95 % intervals and the p that is adjusted.

    NaN without bounds.
    """
    low, high = sure or (None, None)
    return {
        "difference_low": low.difference if low else math.nan,
        "difference_high": high.difference if high else math.nan,
        "bound_ci_low": low.ci_low if low else math.nan,
        "bound_ci_high": high.ci_high if high else math.nan,
        "bound_p_value": sure.p_value if sure else math.nan,
    }


def markdown(comparisons: Sequence[Comparison], *, show_all: bool) -> str:
    """The comparisons as Markdown tables."""
    blocks = []
    for found in comparisons:
        first, second = (md.escaped(name) for name in labels(found.a, found.b))
        heads = ["task", "n", first, second, "difference [95 % CI]", "p (BH)", "MDE", "verdict"]
        rows = [*shown_rows(found, show_all=show_all)]
        if found.overall:
            rows.append(("", found.overall))
        cells = [
            [md.escaped(indent.replace(" ", "&nbsp;") + row_name(row)),
             *scores_texts(row), p_value(row.p_adjusted), mde(row.result), row.verdict]
            for indent, row in rows
        ]  # fmt: skip
        notes = [*_subsets(found), *row_notes(row for _, row in rows), *remarks(found)]
        title = (
            f"**{second}** against **{first}** "
            f"(`{md.escaped(found.b.run_id)}` against `{md.escaped(found.a.run_id)}`)"
        )
        table = md.table(heads, cells, right=("n", first, second, "p (BH)", "MDE"))
        blocks.append("\n".join([title, "", *table, *(["", *md.notes(notes)] if notes else [])]))
    return "\n\n".join(blocks) + "\n"


def _subsets(found: Comparison) -> Iterator[str]:
    """Which docs a run took, if fewer than there are; on a terminal this is in the heading."""
    for run in (found.a, found.b):
        if words := subset_words(run.tasks):
            yield f"{run.run_id}: {words}"


def _heading(found: Comparison, first: str, second: str, width: int) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    rows = []
    for letter, label, run in (("first", first, found.a), ("second", second, found.b)):
        name = plain(label)
        name.stylize("bold")
        names = [name] if label == run.run_id else [name, plain(run.run_id)]
        rows.append([Text(letter, style="dim"), *names, plain(about(run))])
    space = (width - len("second") - 2 * len(rows[0])) // (len(rows[0]) - 1)
    is_too_wide = any(sum(cell.cell_len + 2 for cell in row) > width for row in rows)
    for row in rows:
        table.add_row(*(broken(cell, space) if is_too_wide else cell for cell in row))
    return table


def about(run: Manifest) -> str:
    """A run's parameters, the beginning of its fingerprint, and which docs it took if not all."""
    size = params(run.checkpoint.get("params_total"))
    print_ = str(run.checkpoint.get("fingerprint") or "")[:12]
    return ", ".join(filter(None, (f"{size} {print_}", subset_words(run.tasks))))


def _table(
    rows: Sequence[tuple[str, TaskComparison]], first: str, second: str, width: int
) -> Table:
    columns = [
        Col("task", least=16),
        Col("n", justify="right"),
        *(Col(name, justify="right") for name in heads(first, second, width)),
        Col("difference [95 % CI]"),
        Col("p (BH)", justify="right"),
        Col("MDE", justify="right"),
        Col("win/loss/tie", justify="right"),
        Col("P(>)", justify="right"),
        Col("verdict", least=10),
    ]
    cells = [_cells(indent, row) for indent, row in rows]
    return hiding_table(columns, cells, width, [["P(>)"], ["win/loss/tie"], ["MDE"], ["n"]])


def _cells(indent: str, row: TaskComparison) -> list[Text]:
    r = row.result
    lines = name_cell(row).split("\n")
    return [
        Text("\n").join(Text(indent) + line for line in lines),
        Text(str(r.n)),
        Text(number(r.value_a)),
        Text(number(r.value_b)),
        difference_cell(row, "bold" if row.verdict in ("better", "worse") else ""),
        Text(p_value(row.p_adjusted)),
        Text(mde(r)),
        Text(counts(r)),
        Text(p_above(row)),
        Text(row.verdict, style=VERDICT_STYLE.get(row.verdict, "")),
    ]


def remarks(found: Comparison) -> list[str]:
    """Remarks on the comparison, a line each."""
    rows = [*found.tasks, *([found.overall] if found.overall else [])]
    lines = [note for row in rows if (note := missing_note(row))]
    lines += [*found.notes, *left_out_lines(found.left_out)]
    return [plain(line).plain for line in lines]


def left_out_lines(left_out: Mapping[str, str]) -> Iterator[str]:
    """A line per reason, with the tasks that have it."""
    of_why: dict[str, list[str]] = {}
    for task, why in left_out.items():
        of_why.setdefault(why, []).append(task)
    for why, tasks in of_why.items():
        yield f"left out: {', '.join(tasks)}: {why}"


def _move(change: DocChange) -> Text:
    style = "green" if change.score_b > change.score_a else "red"
    return Text(f"{number(change.score_a)} -> {number(change.score_b)}", style=style)


def _side(name: str, change: DocChange, side: Literal["a", "b"]) -> list[RenderableType]:
    score, answer, response, error, stored, chosen = (
        getattr(change, f"{field}_{side}")
        for field in ("score", "answer", "response", "error", "choices", "chosen")
    )
    choices = shown_choices(response, stored, chosen, change.gold)
    title = plain(name)
    title.stylize("underline")
    answer = choice_line(choices, change.metric) or _cut(answer)
    lines: list[RenderableType] = [title + Text(f"  {number(score)}"), _labelled("answer", answer)]
    if error:
        return [*lines, _labelled("error", _cut(error))]
    if choices:
        return [*lines, *map(_choice, choices)]
    return [*lines, _labelled("response", _cut(response))] if response != answer else lines


def _choice(choice: ShownChoice) -> Text:
    """A choice in a line: its number, log-likelihood and text, whether it is right, and what takes it."""
    marks = [*(["right"] if choice.is_gold else []), *choice.chosen_by]
    line = Text(f"  {choice.place} {choice.logprob:8.2f}  ", style="dim") + plain(_cut(choice.text))
    return line + Text(f"  {', '.join(marks)}", style="cyan" if choice.is_gold else "dim")


def _labelled(label: str, text: str) -> Text:
    return Text(f"{label} ", style="dim") + plain(text, keep_lines=True)


def _boxed(lines: Sequence[RenderableType], width: int) -> Table:
    table = Table(box=None, show_header=False, width=width, padding=0, pad_edge=False)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(line)
    return table


def _cut(text: str) -> str:
    more = f"... ({len(text):,} characters)"
    return text if len(text) <= _LONGEST_ANSWER else text[:_LONGEST_ANSWER] + more


def _tail(text: str) -> str:
    return text if len(text) <= _LONGEST_PROMPT else "..." + text[-_LONGEST_PROMPT:]


def _run_fields(run: Manifest) -> Mapping[str, Any]:
    return {
        "run_id": run.run_id,
        "model": run.model,
        "suite": run.suite,
        "suite_version": run.suite_version,
        "subset": subset_words(run.tasks),
        "fingerprint": run.checkpoint.get("fingerprint"),
        "status": run.status,
    }
