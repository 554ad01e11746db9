"""A team's own line over time: for a terminal, as a table of rows and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.text import Text

from evalharness.comparison.drift import DomainDrift, Step
from evalharness.comparison.family import Family, Member
from evalharness.report.terminal.drift import call_words, lineage_as_json
from evalharness.report.terminal.format import plain
from evalharness.report.terminal.table_layout import Col, fitted_table
from evalharness.report.terminal.trend import pace_words
from evalharness.store.json_codec import as_json
from evalharness.trend.change_point import Pace

_COLUMNS = (
    Col("date", least=5), Col("checkpoint", least=8), Col("mean, % [95 %]", justify="right"),
    Col("to the one before [95 %]", justify="right"), Col("call", least=8), Col("docs", justify="right"),
)  # fmt: skip
_FOOT = (
    "difference: points on the docs of both runs, equal weight per task; calls: Benjamini-Hochberg over all steps",
    "date: of release as the entry says, else of the run (marked ~)",
)


def family_view(found: Family, pace: Pace, *, width: int) -> Group:
    """The checkpoints, each with its step, then the whole line and whether the pace changed."""
    rows = [
        [plain(cell) for cell in _row(member, step, found.lineage.margin)]
        for member, step in _with_steps(found)
    ]
    lines = [
        *_whole(found),
        pace_words(pace, f"{found.name} on {found.suite}"),
        *found.notes,
        *found.lineage.notes,
        *(f"{_between(step)}: {note}" for step in found.lineage.steps for note in step.notes),
    ]
    title = f"{found.name} on {found.suite}: {len(found.members)} checkpoints"
    return Group(
        Text(plain(title).plain, style="bold"),
        fitted_table(_COLUMNS, rows, width),
        Text(),
        *(Text(plain(line).plain) for line in lines),
        *(Text(line, style="dim") for line in _FOOT),
    )


def family_as_json(found: Family, pace: Pace) -> dict[str, Any]:
    """The line for programs."""
    names, rows = family_rows(found)
    result: dict[str, Any] = as_json(
        {
            "family": found.name,
            "suite": found.suite,
            "checkpoints": [dict(zip(names, row, strict=True)) for row in rows],
            "steps": lineage_as_json(found.lineage)["steps"],
            "change_of_pace": pace._asdict(),
            "notes": [*found.notes, *found.lineage.notes],
        }
    )
    return result


def family_rows(found: Family) -> tuple[list[str], list[list[Any]]]:
    """Columns and a row per checkpoint; scores and differences from 0 to 1."""
    names = ["date", "is_released", "model", "run_id", "mean", "ci_low", "ci_high", "difference",
             "difference_low", "difference_high", "call", "num_docs"]  # fmt: skip
    rows = []
    for member, step in _with_steps(found):
        score = member.mean.score if member.mean else None
        domain = step.domain(member.run.domain) if step else None
        moved = domain.mean if domain else None
        rows.append(
            [
                str(member.day), member.is_released, member.run.model, member.run.run_id,
                *((score.value, score.ci_low, score.ci_high) if score else (None,) * 3),
                *((moved.difference, moved.ci_low, moved.ci_high) if moved else (None,) * 3),
                domain.call if domain else None, moved.n if moved else None,
            ]
        )  # fmt: skip
    return names, rows


def _with_steps(found: Family) -> Iterator[tuple[Member, Step | None]]:
    """Each checkpoint with the step that leads to it."""
    steps = [step for step in found.lineage.steps if not step.is_whole]
    yield from zip(found.members, [None, *steps], strict=True)


def _row(member: Member, step: Step | None, margin: float) -> tuple[str, ...]:
    score = member.mean.score if member.mean else None
    mean = "no mean"
    if score and not math.isnan(score.value):
        mean = f"{100 * score.value:.1f} [{100 * score.ci_low:.1f}, {100 * score.ci_high:.1f}]"
    day = f"{member.day}" if member.is_released else f"~{member.day}"
    if step is None:
        return day, member.run.model, mean, "", "", ""
    domain = step.domain(member.run.domain)
    moved, num = _difference(domain)
    return day, member.run.model, mean, moved, call_words(domain, margin), num


def _difference(domain: DomainDrift) -> tuple[str, str]:
    m = domain.mean
    if m is None:
        return "–", ""
    return f"{100 * m.difference:+.1f} [{100 * m.ci_low:+.1f}, {100 * m.ci_high:+.1f}]", str(m.n)


def _whole(found: Family) -> Iterator[str]:
    for step in found.lineage.steps:
        if step.is_whole:
            domain = step.domain(found.members[-1].run.domain)
            moved, num = _difference(domain)
            said = call_words(domain, found.lineage.margin)
            yield f"first to last: {moved}, {said}" + (f", {num} docs" if num else "")


def _between(step: Step) -> str:
    return f"{step.parent} → {step.child}"
