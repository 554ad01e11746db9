"""Shared parts of tables of paired comparisons: a row's name, difference, p and MDE."""

import math
from collections.abc import Iterable, Iterator

from rich.text import Text

from evalharness.comparison.compare_rows import TaskComparison
from evalharness.comparison.missing import Bounds
from evalharness.report.terminal.format import (
    number,
    plain,
    signed,
)
from evalharness.report.terminal.table_layout import (
    WIDE,
)
from evalharness.stats.paired import PairedResult

_LONGEST_NAME, _SHORT_NAME = 20, 7
"""Longest name of a model as the head of a column; otherwise it is first or second, as in the heading."""


def heads(first: str, second: str, width: int) -> tuple[str, str]:
    """The heads of two columns of scores: the names, or first and second if the names are too long."""
    names = plain(first).plain, plain(second).plain
    is_short = max(map(len, names)) <= (_LONGEST_NAME if width >= WIDE else _SHORT_NAME)
    return names if is_short else ("first", "second")


def row_name(row: TaskComparison) -> str:
    """The task; a group with its number of tasks."""
    if row.metric == "mean":
        return f"{row.task} of {row.num_members}"
    return row.task if row.num_members == 1 else f"{row.task} ({row.num_members} tasks)"


def name_cell(row: TaskComparison, suite: str = "") -> Text:
    """The task (with its suite, if several have it), below it its metric and remarks."""
    cell = plain(row_name(row))
    if suite:
        cell += _dim(f" {suite}")
    if row.metric != "mean":
        cell += Text("\n") + _dim(row.metric + ("" if row.higher_is_better else " ↓"))
    for note in row.notes:
        cell += Text("\n") + Text(note, style="yellow")
    return cell


def row_notes(rows: Iterable[TaskComparison]) -> Iterator[str]:
    """Remarks on each row, a line each, for tables without room for them in the row."""
    return (f"{row_name(row)}: {', '.join(row.notes)}" for row in rows if row.notes)


def suite_of(suite: str, task: str, among: Iterable[tuple[str, str]]) -> str:
    """The suite, if a task of this name is in several of these (suite, task); else empty."""
    return suite if len({other for other, name in among if name == task}) > 1 else ""


def difference(r: PairedResult) -> str:
    """The second minus the first, with its 95 % interval."""
    if math.isnan(r.ci_low):
        return f"{signed(r.difference)} [no CI]"
    return f"{signed(r.difference)} [{signed(r.ci_low)}, {signed(r.ci_high)}]"


def difference_cell(row: TaskComparison, style: str = "") -> Text:
    """The difference; if scores are missing, the bounds over all docs below it."""
    cell = Text(difference(row.result), style=style)
    return cell + Text(f"\n{over_all(row)}", style="yellow") if row.is_missing else cell


def over_all(row: TaskComparison) -> str:
    """Bounds of the difference over all docs, for any missing scores."""
    if row.bounds is None:
        return "all docs: anything"
    low, high = (signed(end.difference) for end in row.bounds)
    return f"all docs: {low} to {high}"


def scores_texts(row: TaskComparison) -> list[str]:
    """n, both scores, and the difference with its bounds for missing scores, for Markdown."""
    r = row.result
    open_ = f"; {over_all(row)}" if row.is_missing else ""
    return [str(r.n), number(r.value_a), number(r.value_b), difference(r) + open_]


def missing_note(row: TaskComparison) -> str:
    """How many scores are missing on each side, with the effect; empty if none are missing."""
    if not row.is_missing:
        return ""
    num = row.result.n + row.num_only_a + row.num_only_b + row.num_neither
    missing = []
    for side, share, lacking in (
        ("first", row.missing_a, row.num_only_b + row.num_neither),
        ("second", row.missing_b, row.num_only_a + row.num_neither),
    ):
        docs = f" ({lacking} of {num} docs)" if lacking else ""
        missing += [f"{100 * share:.3g} % of the {side}'s{docs}"] if share else []
    return f"{row.task}: scores are missing: {' and '.join(missing)}; {left_open(row.bounds, 'the difference over all docs')}"


def left_open(bounds: Bounds | None, what: str) -> str:
    """The effect of missing scores, in words."""
    if bounds is None:
        return "they could be anything, so there is no verdict"
    low, high = (signed(end.difference) for end in bounds)
    return f"whatever they are, {what} lies between {low} and {high}, and the verdict is about all of that"


def p_value(value: float) -> str:
    """Three decimals; - for NaN."""
    if math.isnan(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def mde(r: PairedResult) -> str:
    """The least detectable difference; - for NaN."""
    return "-" if math.isnan(r.mde) else number(r.mde)


def counts(r: PairedResult) -> str:
    """Docs on which the second scores more, less and the same; - without pairs."""
    return "-" if r.test == "z" else f"{r.wins}/{r.losses}/{r.ties}"


def p_above(row: TaskComparison) -> str:
    """Posterior probability that the second is higher; - if it is unknown, or if scores are missing."""
    above = row.result.p_b_above_a
    return "-" if row.is_missing or math.isnan(above) else f"{above:.3f}"


def _dim(text: str) -> Text:
    cell = plain(text)
    cell.stylize("dim")
    return cell
