"""A rich table with our own column widths: numbers are never cut, and text is narrowed, the widest first.

Names are broken where their words end, not inside a word, unless there is no other way. If a table is too wide, rich
shrinks all columns alike, cuts numbers, and breaks names anywhere.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

WIDE = 110
"""Columns of a terminal from which a table shows more."""
_WORD = re.compile(r"[^\s_/,+=|-]*[\s_/,+=|-]*")
_LONGEST_WORD = 24
"""A longer one may be broken: a hash, an address."""


class Col(NamedTuple):
    """A column to fit."""

    name: str
    least: int | None = None
    """Least width of a text column, which is narrower than its longest word only if no other column can give way; None:
    always as wide as its content."""
    overflow: Literal["fold", "ellipsis"] = "fold"
    justify: Literal["left", "right"] = "left"


def fitted_table(
    columns: Sequence[Col], rows: Sequence[Sequence[Text]], width: int, *, dim: Sequence[bool] = ()
) -> Table:
    """The rows under their headers in at most `width` characters, if they `fits`.

    Args:
        columns: one for each cell of a row.
        rows: cells, already safe to print.
        width: of the terminal.
        dim: per row, whether it is dimmed; () for none.
    """
    gap = 2 if width >= WIDE else 1
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
        header_style="bold",
    )
    space = width - gap * (len(columns) - 1)
    least = _least(columns, rows)
    if sum(least) > space:
        least = _least(columns, rows, breaks_words=True)
    widths = _shrunk(_natural(columns, rows), least, space)
    # On a terminal that is too narrow, numbers are broken over lines, never cut.
    is_too_wide = sum(widths) > space
    for column, size in zip(columns, widths, strict=True):
        table.add_column(
            Text(column.name),
            width=None if is_too_wide else size,
            justify=column.justify,
            overflow="fold" if is_too_wide else column.overflow,
            no_wrap=not is_too_wide and (column.overflow == "ellipsis" or column.least is None),
        )
    for place, row in enumerate(rows):
        cells = row if is_too_wide else map(_folded, row, columns, widths)
        table.add_row(*cells, style="dim" if dim and dim[place] else "")
    return table


def fits(columns: Sequence[Col], rows: Sequence[Sequence[Text]], width: int) -> bool:
    """Whether the table can be that narrow without breaking words."""
    gap = 2 if width >= WIDE else 1
    return sum(_least(columns, rows)) + gap * (len(columns) - 1) <= width


def hiding_table(
    columns: Sequence[Col],
    rows: Sequence[Sequence[Text]],
    width: int,
    hide: Sequence[Sequence[str]],
    *,
    dim: Sequence[bool] = (),
) -> Table:
    """The table without as many of the columns as it takes to fit: those of the first set in `hide` go first."""
    kept = _kept(columns, rows, width, hide)
    return fitted_table(*_only(columns, rows, kept), width, dim=dim)


def is_fitting(
    columns: Sequence[Col],
    rows: Sequence[Sequence[Text]],
    width: int,
    hide: Sequence[Sequence[str]],
) -> bool:
    """Whether `hiding_table` can be that narrow."""
    return fits(*_only(columns, rows, _kept(columns, rows, width, hide)), width)


def _natural(columns: Sequence[Col], rows: Sequence[Sequence[Text]]) -> list[int]:
    return [
        max(
            len(column.name),
            *(line.cell_len for row in rows for line in row[place].split("\n")),
            1,
        )
        for place, column in enumerate(columns)
    ]


def _least(
    columns: Sequence[Col], rows: Sequence[Sequence[Text]], *, breaks_words: bool = False
) -> list[int]:
    least = []
    for place, (column, natural) in enumerate(zip(columns, _natural(columns, rows), strict=True)):
        if column.least is None:
            least.append(natural)
            continue
        keeps_words = column.overflow == "fold" and not breaks_words
        words = (cell_len(w) for row in rows for w in _words(row[place].plain) if keeps_words)
        word = min(max(words, default=0), _LONGEST_WORD)
        least.append(min(natural, max(column.least, word)))
    return least


def _words(text: str) -> list[str]:
    """The words of a text, with what separates each from the next; spaces at the end of a line take no room."""
    return [word.rstrip() for word in _WORD.findall(text)]


def _folded(cell: Text, column: Col, width: int) -> Text:
    return cell if column.overflow != "fold" or column.least is None else broken(cell, width)


def broken(cell: Text, width: int) -> Text:
    """A text with line breaks after whole words, so that lines have at most `width` characters where words allow it."""
    lines: list[Text] = []
    for line in cell.split("\n", allow_blank=True):
        breaks, start = [], 0
        for word in _WORD.finditer(line.plain):
            if word.start() > start and cell_len(line.plain[start : word.end()].rstrip()) > width:
                breaks.append(start := word.start())
        lines += line.divide(breaks)
    return Text("\n").join(lines)


def _shrunk(widths: Sequence[int], least: Sequence[int], space: int) -> list[int]:
    result = list(widths)
    while sum(result) > space:
        over = [place for place, size in enumerate(result) if size > least[place]]
        if not over:
            break
        result[max(over, key=lambda place: result[place])] -= 1
    return result


def _kept(
    columns: Sequence[Col],
    rows: Sequence[Sequence[Text]],
    width: int,
    hide: Sequence[Sequence[str]],
) -> list[int]:
    kept = list(range(len(columns)))
    for names in hide:
        if fits(*_only(columns, rows, kept), width):
            break
        kept = [place for place in kept if columns[place].name not in names]
    return kept


def _only(
    columns: Sequence[Col], rows: Sequence[Sequence[Text]], kept: Sequence[int]
) -> tuple[list[Col], list[list[Text]]]:
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]
