"""A lineage step by step, with capability and safety side by side: for a terminal, as Markdown and for programs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalharness.comparison.compare_rows import Verdict
from evalharness.comparison.drift import (
    Call,
    DomainDrift,
    DriftRow,
    Lineage,
    Step,
)
from evalharness.report import markdown as md
from evalharness.report.export import as_rows
from evalharness.report.terminal.compare import (
    VERDICT_STYLE,
    bound_fields,
    left_out_lines,
    row_fields,
)
from evalharness.report.terminal.format import (
    number,
    plain,
)
from evalharness.report.terminal.paired_table import (
    difference,
    heads,
    left_open,
    mde,
    missing_note,
    name_cell,
    p_value,
    row_name,
    row_notes,
    suite_of,
)
from evalharness.report.terminal.table_layout import WIDE, Col, hiding_table, is_fitting
from evalharness.stats.paired import PairedResult
from evalharness.store.json_codec import as_json
from evalharness.store.subset_words import subset_words

_SHORT: Mapping[Verdict, str] = {"no difference resolved": "not resolved"}
_CALL_STYLE: Mapping[Call, str] = {
    "up": "green",
    "down": "red",
    "kept": "cyan",
    "not worse": "cyan",
}
_GAP = 4
_ROOMY = 76
"""Columns of a table below which numbers are hidden to keep names complete."""
_FOOT = (
    "difference: second - first on the same docs, 95 % CI; p: Benjamini-Hochberg over the rows of a suite, of the means "
    "over steps and domains; MDE: least true difference that the corrected test would show at 80 % power",
    "mean: equal weight per row, 1 - score where lower is better; up and down are significant, kept is shown to be within "
    "the margin by its 90 % interval, not worse by the lower end of it; each holds for any missing scores",
)
_HEADS = (
    "domain",
    "task",
    "n",
    "first",
    "second",
    "difference [95 % CI]",
    "p (BH)",
    "MDE",
    "verdict",
)
_RIGHT = ("n", "first", "second", "p (BH)", "MDE")
_HIDE = (("p (BH)",), ("MDE",), ("first", "second"))


def drift_view(found: Lineage, *, width: int) -> Group:
    """Every step: its call, then safety and capability next to each other (below each other if narrow)."""
    parts: list[RenderableType] = [_heading(found), Text()] if len(found.steps) > 1 else []
    for step in found.steps:
        parts += _step(step, found.margin, width)
    parts += [Text(note, style="yellow") for note in map(_plain, found.notes)]
    parts += [Text(line, style="dim") for line in _FOOT]
    return Group(*parts)


def call_text(step: Step, margin: float) -> str:
    """The step's changes in words, as far as they are resolved."""
    if all(domain.call == "not resolved" for domain in step.domains):
        return "not resolved"
    return ", ".join(f"{domain.domain} {call_words(domain, margin)}" for domain in step.domains)


def call_words(domain: DomainDrift, margin: float) -> str:
    """A domain's change in words."""
    match domain.call:
        case "up" | "down" if domain.is_within:
            return f"{domain.call}, within ±{number(margin)}"
        case "kept":
            return f"kept within ±{number(margin)}"
        case "not worse":
            return f"not worse by more than {number(margin)}"
    return domain.call


def lineage_as_json(found: Lineage) -> dict[str, Any]:
    """The lineage for programs."""
    result: dict[str, Any] = as_json(
        {
            "models": found.models,
            "margin": found.margin,
            "steps": [_step_fields(step, found.margin) for step in found.steps],
            "notes": found.notes,
        }
    )
    return result


def lineage_rows(found: Lineage) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for CSV: a row per task and a row per mean."""
    rows = [
        {"parent": step.parent, "child": step.child, "is_whole": step.is_whole, "domain": domain.domain, **row}
        for step in found.steps
        for domain in step.domains
        for row in _csv_rows(domain)
    ]  # fmt: skip
    return as_rows(rows, ["parent", "child"])


def markdown(found: Lineage) -> str:
    """The lineage as Markdown: per step the call and one table."""
    blocks = []
    if len(found.steps) > 1:
        blocks.append(" → ".join(f"**{md.escaped(model)}**" for model in found.models))
    for step in found.steps:
        title = f"### {md.escaped(_title(step))}\n\n**{call_text(step, found.margin)}**"
        cells = [
            _markdown_cells(domain.domain, *texts)
            for domain in step.domains
            for texts in _row_texts(domain, found.margin)
        ]
        rows = [row for domain in step.domains for _, row in domain.rows]
        blocks.append(title)
        blocks.append("\n".join(md.notes(_run_lines(step))))
        blocks.append("\n".join(md.table(_HEADS, cells, right=_RIGHT)))
        blocks.append("\n".join(md.notes((*row_notes(rows), *_notes(step)))))
    blocks.append("\n".join(md.notes(found.notes)))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _heading(found: Lineage) -> Text:
    title = Text(" → ", style="dim").join(plain(model) for model in found.models)
    title.stylize("bold")
    return title


def _title(step: Step) -> str:
    return f"{step.parent} → {step.child}" + (" (the whole lineage)" if step.is_whole else "")


def _step(step: Step, margin: float, width: int) -> Iterator[RenderableType]:
    yield (
        plain(_title(step)) + Text("  ") + Text(f" {call_text(step, margin)} ", style=_style(step))
    )
    for text in _run_lines(step):
        line = plain(text)
        line.stylize("dim")
        yield line
    yield Text()
    shown = [domain for domain in step.domains if domain.rows]
    half = (width - _GAP) // 2
    is_beside = width >= WIDE and len(shown) > 1
    is_beside = is_beside and all(_is_fitting(domain, margin, half) for domain in shown)
    tables = [_table(domain, step, margin, half if is_beside else width) for domain in shown]
    if is_beside:
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        for _ in tables:
            grid.add_column(vertical="top")
        grid.add_row(*tables)
        yield grid
    else:
        yield from tables
    notes = [Text(note, style="yellow") for note in _notes(step)]
    yield from [*notes, Text()] if notes else []


def _run_lines(step: Step) -> Iterator[str]:
    """Which runs of each suite are compared, over which docs."""
    for c in step.comparisons:
        first, second = (
            " ".join(filter(None, (run.run_id, subset_words(run.tasks)))) for run in (c.a, c.b)
        )
        yield f"{c.a.suite} ({c.a.domain}): first {first}, second {second}"


def _style(step: Step) -> str:
    calls: set[Call] = {domain.call for domain in step.domains}
    if "down" in calls:
        return "bold white on red"
    return "bold black on " + ("yellow" if calls & {"not resolved", "not measured"} else "green")


def _columns(first: str, second: str, width: int) -> list[Col]:
    return [
        Col("task", least=18 if width >= _ROOMY else 12),
        Col("n", justify="right"),
        Col(first, justify="right"),
        Col(second, justify="right"),
        Col("difference [95 % CI]"),
        Col("p (BH)", justify="right"),
        Col("MDE", justify="right"),
        Col("verdict", least=10),
    ]


def _is_fitting(domain: DomainDrift, margin: float, width: int) -> bool:
    return is_fitting(_columns("first", "second", width), _rows(domain, margin), width, _HIDE)


def _table(domain: DomainDrift, step: Step, margin: float, width: int) -> Group:
    first, second = heads(step.parent, step.child, width)
    hide = (*_HIDE[:-1], (first, second))
    title = Text(domain.domain, style="bold") + Text(
        f" {call_words(domain, margin)}", style=_CALL_STYLE.get(domain.call, "")
    )
    table = hiding_table(_columns(first, second, width), _rows(domain, margin), width, hide)
    return Group(title, table, Text())


def _rows(domain: DomainDrift, margin: float) -> list[list[Text]]:
    among = [(suite, row.task) for suite, row in domain.rows]
    rows = [
        _cells(
            name_cell(row, suite_of(suite, row.task, among)),
            row.result,
            row.p_adjusted,
            row.verdict,
        )
        for suite, row in domain.rows
    ]
    if domain.mean is not None and len(domain.rows) > 1:
        name = Text(_mean_name(domain), style="bold")
        rows.append(_cells(name, domain.mean, domain.p_adjusted, call_words(domain, margin)))
    return rows


def _cells(name: Text, r: PairedResult, p: float, verdict: str) -> list[Text]:
    style = VERDICT_STYLE.get(verdict, "")
    return [
        name,
        Text(str(r.n)),
        Text(number(r.value_a)),
        Text(number(r.value_b)),
        Text(difference(r)),
        Text(p_value(p)),
        Text(mde(r)),
        Text(_SHORT.get(verdict, verdict), style=style),  # type: ignore[call-overload]
    ]


def _mean_name(domain: DomainDrift) -> str:
    of = "" if domain.num_in_mean == len(domain.rows) else f" of {len(domain.rows)}"
    return f"mean of {domain.num_in_mean}{of}"


def _notes(step: Step) -> list[str]:
    """Remarks on a step: on its runs, and on tasks that aren't compared."""
    found = list(step.notes)
    for c in step.comparisons:
        found += [f"{c.a.suite}: {note}" for note in c.notes]
        if c.a.is_fake or c.b.is_fake:
            found.append(f"{c.a.suite}: not measured: the fake engine's answers represent no model")
        found += [f"{c.a.suite}: {note}" for row in c.tasks if (note := missing_note(row))]
        found += [f"{c.a.suite}: {line}" for line in left_out_lines(c.left_out)]
    for domain in step.domains:
        if note := _missing_in_mean(domain):
            found.append(note)
    return [_plain(note) for note in found]


def _missing_in_mean(domain: DomainDrift) -> str:
    """The effect of missing scores on a domain's mean; empty if none are missing."""
    if domain.mean is None or not (domain.missing_first or domain.missing_second):
        return ""
    sides = (("first", domain.missing_first), ("second", domain.missing_second))
    missing = " and ".join(f"{100 * share:.3g} % of the {side}'s" for side, share in sides if share)
    return f"{domain.domain}: scores are missing: {missing}; {left_open(domain.bounds, 'the mean difference')}"


def _row_texts(
    domain: DomainDrift, margin: float
) -> Iterator[tuple[str, PairedResult, float, str]]:
    for _, row in domain.rows:
        arrow = "" if row.higher_is_better else " ↓"
        yield md.escaped(row_name(row)) + arrow, row.result, row.p_adjusted, row.verdict
    if domain.mean is not None and len(domain.rows) > 1:
        words = call_words(domain, margin)
        yield f"**{_mean_name(domain)}**", domain.mean, domain.p_adjusted, f"**{words}**"


def _markdown_cells(domain: str, name: str, r: PairedResult, p: float, verdict: str) -> list[str]:
    return [domain, name, str(r.n), number(r.value_a), number(r.value_b), difference(r),
            p_value(p), mde(r), verdict]  # fmt: skip


def _step_fields(step: Step, margin: float) -> dict[str, Any]:
    return {
        "parent": step.parent,
        "child": step.child,
        "is_whole": step.is_whole,
        "call": call_text(step, margin),
        "runs": [
            {
                "suite": c.a.suite,
                "domain": c.a.domain,
                "parent": c.a.run_id,
                "child": c.b.run_id,
                "parent_subset": subset_words(c.a.tasks),
                "child_subset": subset_words(c.b.tasks),
            }
            for c in step.comparisons
        ],
        "domains": {domain.domain: _domain_fields(domain, margin) for domain in step.domains},
        "left_out": {c.a.suite: dict(c.left_out) for c in step.comparisons if c.left_out},
        "notes": _notes(step),
    }


def _domain_fields(domain: DomainDrift, margin: float) -> dict[str, Any]:
    return {
        "call": domain.call,
        "is_within_margin": domain.is_within,
        "words": call_words(domain, margin),
        "num_in_mean": domain.num_in_mean,
        "p_adjusted": domain.p_adjusted,
        "mean": {**asdict(domain.mean), **bound_fields(domain.bounds)} if domain.mean else None,
        "missing_first": domain.missing_first,
        "missing_second": domain.missing_second,
        "tasks": [_task_fields(row) for row in domain.rows],
    }


def _task_fields(row: DriftRow) -> dict[str, Any]:
    return {"suite": row.suite, **row_fields(row.row)}


def _csv_rows(domain: DomainDrift) -> Iterator[dict[str, Any]]:
    yield from (_task_fields(row) for row in domain.rows)
    if domain.mean is not None:
        yield {
            "task": "mean", "num_members": domain.num_in_mean, "metric": "mean", "filter": "none",
            "higher_is_better": True, "p_adjusted": domain.p_adjusted, "verdict": domain.call,
            **asdict(domain.mean), **bound_fields(domain.bounds),
            "missing_a": domain.missing_first, "missing_b": domain.missing_second,
        }  # fmt: skip


def _plain(text: str) -> str:
    return plain(text).plain
