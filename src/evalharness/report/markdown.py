"""Markdown of tables and notes. Names and texts in it are untrusted and have to be `escaped` before."""

from collections.abc import Iterable, Sequence

from evalharness.report.terminal.format import plain


def escaped(text: str) -> str:
    """Untrusted text for Markdown, also in a table."""
    clean = plain(text).plain
    for char in "\\|<>`*_[]":
        clean = clean.replace(char, "\\" + char)
    return clean


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> list[str]:
    """The lines of a table.

    Args:
        heads: of the columns.
        rows: a cell for each column, escaped already.
        right: the columns that are aligned to the right.
    """
    rule = ["--:" if head in right else "---" for head in heads]
    return [_line(heads), f"|{'|'.join(rule)}|", *map(_line, rows)]


def notes(lines: Iterable[str]) -> list[str]:
    """A list of untrusted lines."""
    return [f"- {escaped(line)}" for line in lines]


def _line(cells: Sequence[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"
