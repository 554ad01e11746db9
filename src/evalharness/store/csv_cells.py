"""Text as a cell of a CSV that a spreadsheet opens and a terminal shows: never a formula, never a control sequence."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that a spreadsheet may compute. Source: OWASP, CSV injection,
https://owasp.org/www-community/attacks/CSV_Injection."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARK = "'"
"""Before a cell that begins like a formula: spreadsheets take the rest as text, and don't show it."""


def guarded(text: str) -> str:
    """The text as a cell: marked where it begins like a formula and is no number, control characters as U+FFFD.

    Line breaks and tabs stay; a carriage return becomes a line break.
    """
    mark = _MARK if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else ""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return mark + _CONTROL.sub("�", text)


def unguarded(cell: str) -> str:
    """The text of a cell that `guarded` marked; all others as they are."""
    is_marked = cell.startswith(_MARK) and _FORMULA.match(cell[1:])
    return cell[1:] if is_marked else cell
