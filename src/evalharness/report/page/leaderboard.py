"""The models that were run here, a board per suite: scores with intervals, and ranges of ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from evalharness.comparison.board_scores import Score
from evalharness.comparison.leaderboard import (
    Board,
    Row,
    build_boards,
)
from evalharness.report.page import texts
from evalharness.report.page.blocks import Block, Fold, Section, Table, table, words
from evalharness.report.page.collect import Findings
from evalharness.report.terminal.leaderboard import (
    APART,
    missing_mark,
)
from evalharness.store.records import Manifest
from evalharness.store.select_runs import best_run
from evalharness.store.subset_words import limited

_MOST_OPEN = 4
"""Number of boards that are shown open."""


def leaderboard_section(found: Findings) -> Section:
    """Boards of the models' best runs."""
    boards = build_boards(_best_runs(found), found.metrics)
    if not boards:
        fill = "`evalharness run model=... suite=quick`"
        return Section(key="leaderboard", title="Leaderboard", missing=(fill,))
    parts = [block for board in boards[:_MOST_OPEN] for block in _blocks(board)]
    rest = boards[_MOST_OPEN:]
    if rest:
        folded = tuple(block for board in rest for block in _blocks(board))
        parts.append(Fold(title=f"{texts.plural(len(rest), 'further suite')}", blocks=folded))
    intro = words(
        "Each model's best run of a suite: complete before partial, most docs, then the latest. Scores are per cent with "
        "95 % intervals; the ranks are those compatible with the intervals, for all models of a board at once. * only some of the docs (n of N). "
        "The runs' ids are under Runs used, at the end."
    )
    return Section(key="leaderboard", title="Leaderboard", blocks=(intro, *parts))


def _best_runs(found: Findings) -> list[Manifest]:
    groups: dict[tuple[str, str, str, str], list[Manifest]] = {}
    for run in found.real_runs:
        if run.status != "running":
            key = (run.model, run.strategy, run.suite, run.suite_version)
            groups.setdefault(key, []).append(run)
    return [best for runs in groups.values() if (best := best_run(runs))]


def _blocks(board: Board) -> Iterator[Block]:
    yield _table(board)
    names = {*board.tasks, *(row.label for row in board.rows), *(row.run.run_id for row in board.rows)}  # fmt: skip
    notes = [
        f"{note if note.partition(':')[0] in names else texts.capital(note)}."
        for note in board.notes
        if not note.startswith("no mean")
    ]
    if notes:
        yield words(*notes)


def _table(board: Board) -> Table:
    has_mean = bool(board.averaged)
    mean = [f"#{board.composite or 'mean'} [95 %]"] if has_mean else []
    heads = [
        "model",
        *(["#rank"] if has_mean else []),
        *mean,
        *(f"#{task}" for task in board.tasks),
    ]
    rows = [_cells(board, row, has_mean=has_mean) for row in board.rows]
    caption = f"{board.suite}, version {board.version}: {texts.plural(len(rows), 'model')}"
    found = table(caption, [*heads, "#docs", "#run of (UTC)"], rows)
    return replace(found, is_board=True)


def _cells(board: Board, row: Row, *, has_mean: bool) -> Sequence[str]:
    num, available = (
        sum(getattr(t, n) for t in row.run.tasks) for n in ("num_docs", "num_docs_available")
    )
    is_limited = bool(limited(row.run.tasks))
    status = "" if row.run.status == "complete" else f" ({row.run.status})"
    missing = "".join(f", {mark}" for mark in missing_mark(row))
    cells = [f"{row.label}{'*' * is_limited}{status}{missing}"]
    if has_mean:
        cells += [_ranks(row), _mean(row.mean)]
    cells += [_task(row, task) for task in board.tasks]
    docs = f"{num} of {available}" if is_limited else str(num)
    return [*cells, docs, row.run.started_at[:16].replace("T", " ")]


def _ranks(row: Row) -> str:
    if row.ranks is None:
        return texts.NOTHING
    first, last = row.ranks
    return str(first) if first == last else f"{first} to {last}"


def _mean(score: Score) -> str:
    return _unbroken(texts.percent(score.value, score.ci_low, score.ci_high))


def _unbroken(text: str) -> str:
    """With both ends of its interval on one line."""
    return text.replace(", ", ",\u00a0")


def _task(row: Row, task: str) -> str:
    """Percent if the score is a share, else unchanged."""
    m = row.scores.get(task)
    if m is None:
        return "failed" if task in row.failed else texts.NOTHING
    arrow = ("" if m.higher_is_better else " ↓") + (f" {APART}" if task in row.apart else "")
    if 0 <= m.value <= 1:
        return _unbroken(texts.percent(m.value, m.ci_low, m.ci_high)) + arrow
    interval = "" if math.isnan(m.ci_low) else f" {texts.span(m.ci_low, m.ci_high, 2)}"
    return f"{m.value:.2f}{interval}{arrow}"
