"""The verdict of a gate, its basis and reasons: for a terminal, as Markdown and for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalharness.comparison.gate import (
    Gate,
    GateRow,
    Outcome,
    Word,
)
from evalharness.report import markdown as md
from evalharness.report.terminal.compare import row_fields
from evalharness.report.terminal.format import (
    number,
    plain,
    signed,
)
from evalharness.report.terminal.paired_table import (
    difference_cell,
    heads,
    mde,
    missing_note,
    name_cell,
    p_value,
    row_name,
    row_notes,
    scores_texts,
    suite_of,
)
from evalharness.report.terminal.table_layout import Col, hiding_table
from evalharness.store.json_codec import as_json
from evalharness.store.subset_words import subset_words

WORD_STYLE: dict[Word, str] = {
    "PASS": "bold black on green",
    "WARN": "bold black on yellow",
    "BLOCK": "bold white on red",
    "INCONCLUSIVE": "bold black on cyan",
}
OUTCOME_STYLE: dict[Outcome, str] = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
MEANING: dict[Word, str] = {
    "PASS": "no critical or supporting task loses more than its margin",
    "WARN": "critical tasks hold; a supporting task fails or is inconclusive",
    "BLOCK": "a critical task loses more than its margin",
    "INCONCLUSIVE": "a critical task can't be judged",
}
_NOTHING = "nothing could be compared"
_SHORT_SHA = 12


def gate_view(gate: Gate, names: tuple[str, str], *, width: int) -> Group:
    """The verdict first, then policy and runs, a row per task, and the reasons.

    Args:
        gate: the result.
        names: of base and candidate.
        width: of the terminal.
    """
    second, first = plain(names[1]), plain(names[0])
    title = Text(f" {gate.word} ", style=WORD_STYLE[gate.word]) + Text("  ") + second
    title += Text(" against ", style="dim") + first + Text(f": {meaning(gate)}")
    parts: list[RenderableType] = [title, Text(), _heading(gate)]
    compared = [row for row in gate.rows if row.row is not None]
    if compared:
        parts += [Text(), _table(compared, names, width)]
    found = list(_reason_lines(gate))
    parts += [Text(), *found] if found else []
    parts += [Text(note, style="yellow") for note in notes(gate)]
    if compared:
        level = f"{100 * (1 - gate.policy.alpha):g} %"
        parts += [
            Text(),
            Text(f"at worst: one-sided {level} bound of the loss or gain, positive if better, missing scores at their worst; a task "
                 "passes above -margin and fails if the other bound is below it", style="dim"),
            Text("difference: second - first on the docs that both have a score for, 95 % CI; p: of no difference, "
                 "Benjamini-Hochberg over the rows, decides nothing; MDE: least true difference that the one-sided test would show at "
                 "80 % power",
                 style="dim"),
        ]  # fmt: skip
    return Group(*parts)


def meaning(gate: Gate) -> str:
    """The verdict in a few words."""
    if not any(row.row for row in gate.rows):
        return _NOTHING
    has_critical = any(row.tier == "critical" for row in gate.rows)
    if gate.word == "INCONCLUSIVE" and not has_critical:
        return "no critical task was judged (the policy's needs_critical)"
    if gate.word == "WARN" and not has_critical:
        return "a supporting task fails or is inconclusive (the policy needs no critical one)"
    return MEANING[gate.word]


def reason(row: GateRow, alpha: float) -> str:
    """Why a row has its outcome, in a sentence."""
    lost, margin, r = signed(row.gain), number(row.margin), row.row.result if row.row else None
    if r is None:
        return f"not compared: {row.why}"
    units = f"{r.num_clusters} sources" if r.num_clusters else f"{r.n} pairs"
    match row.cause:
        case "kept":
            return f"at worst {signed(row.worst)}, within {margin}"
        case "beyond":
            return f"loses more than {margin}: {lost}, at best {signed(row.best)}"
        case "few pairs":
            return f"too few: {units}{_more(row, 'hold ' + margin)}"
        case "no interval":
            return f"its difference {lost} has no interval"
        case "docs missing":
            if row.row is not None and row.row.sure is None:
                return "scores are missing and could be anything, so nothing is shown"
            return (
                f"the missing scores decide it: at worst {signed(row.worst)}, at best {signed(row.best)}, "
                f"margin {margin}"
            )
        case "no margin":
            return (
                "the base scores 0, and a share of that is no margin; give the task an absolute one"
            )
        case "close":
            stays = f"decide it if it stays at {lost}"
            return (
                f"at worst {signed(row.worst)}, so close to the margin {margin}{_more(row, stays)}"
            )
    least = "-" if r.mde != r.mde else number(r.mde)
    return (
        f"at worst {signed(row.worst)}: {units} can't tell a loss of {margin} (MDE {least})"
        + _more(row, "do if nothing is lost")
    )


def notes(gate: Gate) -> list[str]:
    """Other differences between the runs, unmatched runs, and domains that weren't judged."""
    many = len(gate.comparisons) > 1
    found = [
        f"{plain(c.a.suite).plain}: {note}" if many else note
        for c in gate.comparisons
        for note in c.notes
    ]
    found += [f"suite {plain(u.run.suite).plain} isn't compared: {u.why}" for u in gate.unmatched]
    seen = {c.a.domain for c in gate.comparisons} | {u.run.domain for u in gate.unmatched}
    found += [f"no {domain} suite was run" for domain in gate.policy.domains if domain not in seen]
    found += [note for row in gate.rows if row.row is not None and (note := missing_note(row.row))]
    return [plain(note).plain for note in found]


def gate_as_json(gate: Gate, names: tuple[str, str]) -> dict[str, Any]:
    """The gate for programs: rows flat, with their reasons."""
    result: dict[str, Any] = as_json(
        {
            "verdict": gate.word,
            "exit_code": gate.exit_code,
            "meaning": meaning(gate),
            "base": names[0],
            "candidate": names[1],
            "policy": {
                "path": gate.policy.path,
                "sha256": gate.policy.sha256,
                "alpha": gate.policy.alpha,
                "min_pairs": gate.policy.min_pairs,
            },
            "runs": [
                {
                    "suite": c.a.suite, "domain": c.a.domain, "base": c.a.run_id, "candidate": c.b.run_id,
                    "base_subset": subset_words(c.a.tasks), "candidate_subset": subset_words(c.b.tasks),
                }
                for c in gate.comparisons
            ],
            "rows": [_fields(row, gate.policy.alpha) for row in gate.rows],
            "notes": notes(gate),
        }
    )  # fmt: skip
    return result


def markdown(gate: Gate, names: tuple[str, str]) -> str:
    """The gate as Markdown: the verdict, the table, the reasons."""
    first, second = (md.escaped(name) for name in names)
    heads = [
        "task",
        "tier",
        "n",
        first,
        second,
        "difference [95 % CI]",
        "at worst",
        "margin",
        "p (BH)",
        "MDE",
        "verdict",
    ]
    right = ("n", first, second, "at worst", "margin", "p (BH)", "MDE")
    found = [row for row in gate.rows if row.outcome != "pass"]
    reasons = [
        f"{row.outcome}: {row.task} ({row.tier}): {reason(row, gate.policy.alpha)}" for row in found
    ]
    rows = [row.row for row in gate.rows if row.row is not None]
    reasons += [*row_notes(rows), *notes(gate)]
    lines = [
        f"**{gate.word}**: {second} against {first}: {meaning(gate)}",
        "",
        f"Policy `{plain(gate.policy.path).plain.replace('`', '')}` (sha256 `{gate.policy.sha256[:_SHORT_SHA]}`), "
        f"alpha {gate.policy.alpha:g}, one-sided.",
        "",
        *md.notes(" ".join(line).strip() for line in _runs(gate)),
        "",
        *md.table(heads, map(_markdown_cells, gate.rows), right=right),
        *(["", *md.notes(reasons)] if reasons else []),
    ]
    return "\n".join(lines) + "\n"


def _markdown_cells(row: GateRow) -> list[str]:
    name = md.escaped(row_name(row.row) if row.row else row.task)
    cells = ["-"] * 8
    if row.row is not None:
        cells = [*scores_texts(row.row), signed(row.worst), number(row.margin),
                 p_value(row.p_adjusted), mde(row.row.result)]  # fmt: skip
    return [name, row.tier, *cells, row.outcome]


def _heading(gate: Gate) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    policy = gate.policy
    table.add_row(
        Text("policy", style="dim"),
        plain(policy.path),
        Text(f"sha256 {policy.sha256[:_SHORT_SHA]}, alpha {policy.alpha:g}"),
    )
    for side, run_id, about in _runs(gate):
        table.add_row(Text(side, style="dim"), plain(run_id), plain(about))
    return table


def _runs(gate: Gate) -> Iterator[tuple[str, str, str]]:
    """Each run, with its docs if it took fewer than there are."""
    for c in gate.comparisons:
        about = (c.a.suite, c.a.domain, subset_words(c.a.tasks))
        yield "first", c.a.run_id, ", ".join(filter(None, about))
        yield "second", c.b.run_id, subset_words(c.b.tasks)


def _table(rows: Sequence[GateRow], names: tuple[str, str], width: int) -> Table:
    columns = [
        Col("task", least=14),
        Col("tier"),
        Col("n", justify="right"),
        *(Col(name, justify="right") for name in heads(*names, width)),
        Col("difference [95 % CI]"),
        Col("at worst", justify="right"),
        Col("margin", justify="right"),
        Col("p (BH)", justify="right"),
        Col("MDE", justify="right"),
        Col("verdict"),
    ]
    score_names = [column.name for column in columns[3:5]]
    hide = (["MDE"], ["p (BH)"], ["at worst"], score_names, ["margin"])
    among = [(row.suite, row.task) for row in rows]
    cells = [_cells(row, suite_of(row.suite, row.task, among)) for row in rows]
    return hiding_table(columns, cells, width, hide)


def _cells(row: GateRow, suite: str) -> list[Text]:
    assert row.row is not None
    r = row.row.result
    return [
        name_cell(row.row, suite),
        Text(row.tier),
        Text(str(r.n)),
        Text(number(r.value_a)),
        Text(number(r.value_b)),
        difference_cell(row.row),
        Text(signed(row.worst)),
        Text(number(row.margin)),
        Text(p_value(row.p_adjusted)),
        Text(mde(r)),
        Text(row.outcome, style=OUTCOME_STYLE[row.outcome]),
    ]


def _reason_lines(gate: Gate) -> Iterator[Text]:
    for row in gate.rows:
        if row.outcome != "pass":
            line = Text(f"{row.outcome} ", style=OUTCOME_STYLE[row.outcome])
            yield line + plain(f"{row.task} ({row.tier}): {reason(row, gate.policy.alpha)}")


def _more(row: GateRow, would: str) -> str:
    if not row.docs_needed:
        return ""
    return f"; about {float(f'{row.docs_needed:.2g}'):,.0f} docs would {would}"


def _fields(row: GateRow, alpha: float) -> dict[str, Any]:
    own = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in ("row", "rule")}
    rest = row_fields(row.row) if row.row else {}
    rest = {key: value for key, value in rest.items() if key not in (*own, "verdict")}
    reasons = {"tier": row.tier, "rule": row.rule.source, "reason": reason(row, alpha)}
    return {**own, **reasons, **rest}
