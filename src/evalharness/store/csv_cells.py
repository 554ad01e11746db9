"""Text as a cell of a CSV that a spreadsheet opens and a terminal shows: never a formula, never a control sequence."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
"""First characters of a cell that a spreadsheet may compute. Source: OWASP, CSV injection,
https://owasp.org/www-community/attacks/CSV_Injection."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARK = "'"
"""Put before a cell that begins like a formula: spreadsheets then take the rest as text, and don't show this."""


def guarded(text: str) -> str:
    """The text as a cell: marked if it begins like a formula and isn't a number, with control characters as U+FFFD.

    Line breaks and tabs stay; a carriage return becomes a line break.
    """
    mark = _MARK if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else ""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return mark + _CONTROL.sub("�", text)


def unguarded(cell: str) -> str:
    """The text of a cell that `guarded` marked; others are unchanged."""
    is_marked = cell.startswith(_MARK) and _FORMULA.match(cell[1:])
    return cell[1:] if is_marked else cell
