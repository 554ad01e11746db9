"""A sample's conversation in the terminal, each of its strategy's procedures under a heading."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalharness.report.arms import Arm, ShownTurn, arms
from evalharness.report.terminal.format import number, plain
from evalharness.store.records import TurnRecord


def turns_view(turns: Sequence[TurnRecord]) -> list[RenderableType]:
    """The turns, their texts whole."""
    parts: list[RenderableType] = []
    for arm in arms(turns):
        parts += [*_heading(arm), _table(arm)]
    return parts


def _heading(arm: Arm) -> Iterator[Text]:
    heading = plain(arm.heading)
    heading.stylize("underline")
    yield heading
    if arm.about:
        yield Text(arm.about, style="dim")


def _table(arm: Arm) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for shown in arm.turns:
        if shown.turn.message:
            table.add_row(shown.asks, plain(shown.turn.message, keep_lines=True))
        if shown.turn.thinking:
            table.add_row("thinking", plain(shown.turn.thinking, keep_lines=True))
        table.add_row(plain(shown.what or "assistant"), _said(shown))
    return table


def _said(shown: ShownTurn) -> Text:
    """What the model said, and what was made of it."""
    turn, found = shown.turn, []
    if turn.score is not None:
        found += [f"answer {turn.answer}" if turn.answer is not None else "no answer found"]
        found += [f"score {number(turn.score)}"]
    if turn.p_yes is not None:
        found.append(f"probability of yes {number(turn.p_yes)}")
    about = plain(", ".join(found))
    about.stylize("dim")
    said = plain(turn.text.strip(), keep_lines=True)
    return Text("\n").join(part for part in (said, about) if part.plain)
