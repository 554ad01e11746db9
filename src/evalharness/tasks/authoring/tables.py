"""A table of one's own as rows: CSV as spreadsheets and other programs write it, or JSON.

.csv, .tsv, .txt   UTF-8, or UTF-16 with its byte order mark; `,` `;` tab or `|` between cells, as the first line has
                   it or Excel's own `sep=;` says; line breaks inside quotes. Every value is text.
.jsonl, .ndjson    an object a line
.json              one list of objects, or an object a line
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from evalharness.errors import TaskError
from evalharness.tasks.local_rows import parse_json, read_rows

_DELIMITERS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n)', re.IGNORECASE)
"""Excel's own first line, which names what stands between the cells."""
_SHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_SHEET_STARTS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How a zip archive and an old Excel file begin, whatever their names."""
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16's, with which it begins
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_AS_CSV = "save it as CSV UTF-8 (File > Save As in Excel and LibreOffice) and give that file"


class Line(NamedTuple):
    """A row and where it is."""

    place: str
    """File and line, or row."""
    values: dict[str, Any]


def read_table(file: Path) -> list[Line]:
    """The rows below the names of the columns, each with every column.

    Raises:
        TaskError: it can't be read, or a row isn't one; the message says where, and the way out.
    """
    try:
        content = file.read_bytes()
    except OSError as e:
        raise TaskError(f"{file}: can't be read: {e.strerror}") from e
    suffix = file.suffix.casefold()
    if suffix in _SHEETS or content.startswith(_SHEET_STARTS):
        raise TaskError(f"{file}: a spreadsheet; {_AS_CSV}")
    if suffix in (".jsonl", ".ndjson"):
        rows = list(read_rows(file))
    elif suffix == ".json":
        rows = _json_list(file, content)
    else:
        lines = list(_csv_lines(file, _decoded(file, content)))
        return lines or _no_rows(file, "no rows below the names of the columns")
    return _with_all_fields(file, rows) if rows else _no_rows(file, "no rows")


def _no_rows(file: Path, what: str) -> NoReturn:
    raise TaskError(f"{file}: {what}")


def _decoded(file: Path, content: bytes) -> str:
    bom, encoding = next(
        ((bom, name) for bom, name in _BOMS.items() if content.startswith(bom)), (b"", "utf-8")
    )
    body = content.removeprefix(bom)
    if not bom and b"\0" in body:
        raise TaskError(f"{file}: binary, or UTF-16 without its byte order mark; {_AS_CSV}")
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as e:
        line = len(re.findall(r"\r\n|\r|\n", body[: e.start].decode(encoding, "replace"))) + 1
        raise TaskError(
            f"{file}, line {line}: not {encoding.upper()} at byte {len(bom) + e.start}; {_AS_CSV}"
        ) from e


def _json_list(file: Path, content: bytes) -> list[dict[str, Any]]:
    text = _decoded(file, content)
    try:
        found = parse_json(text, str(file))
    except TaskError as e:
        if "Extra data" not in str(e):
            raise
        return list(read_rows(file))
    rows = [found] if isinstance(found, dict) and "\n" not in text.strip() else found
    if isinstance(rows, dict):
        raise TaskError(
            f"{file}: one object ({', '.join(list(rows)[:5])}); expected a list of objects, or an object a line"
        )
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
        if not isinstance(row, dict):
            raise TaskError(f"{file}, row {number}: {row!r:.40}; expected an object")
    return list(rows)


def _with_all_fields(file: Path, rows: Sequence[dict[str, Any]]) -> list[Line]:
    """Rows with every field that any of them has; None where one lacks it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [
        Line(f"{file}, row {number}", {name: row.get(name) for name in names})
        for number, row in enumerate(rows, start=1)
    ]


def _csv_lines(file: Path, text: str) -> Iterator[Line]:
    csv.field_size_limit(sys.maxsize)
    sep = _SEP.match(text)
    body = text[sep.end() :] if sep else text
    records = _records(file, body, sep[1] if sep else _delimiter(body), first=2 if sep else 1)
    head_line, head = next(records, (0, []))
    names = [name.strip() for name in head]
    _check_names(names, f"{file}, line {head_line}")
    for number, cells in records:
        place = f"{file}, line {number}"
        extra = [cell for cell in cells[len(names) :] if cell.strip()]
        if extra or len(cells) < len(names):
            raise TaskError(f"{place}: {len(cells)} cells under {len(names)} names")
        values = dict(zip(names, cells, strict=False))
        unnamed = [
            cell for name, cell in zip(names, cells, strict=False) if not name and cell.strip()
        ]
        if unnamed and not (names[0] == "" and unnamed == [cells[0]] and cells[0].isdecimal()):
            raise TaskError(
                f"{place}: {unnamed[0][:40]!r} is in a column without a name; name it in line {head_line}"
            )
        values.pop("", None)  # empty, or the row numbers that pandas writes
        yield Line(place, values)


def _records(
    file: Path, text: str, delimiter: str, *, first: int
) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of every record that isn't empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = first
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begins, cells
            begins = first + reader.line_num
    except csv.Error as e:
        why = "a quote opens and never closes" if "unexpected end" in str(e) else e
        raise TaskError(f"{file}, line {begins}: not CSV: {why}") from e


def _delimiter(text: str) -> str:
    """What makes the most cells of the first line; a comma where nothing does."""

    def num_cells(delimiter: str) -> int:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return len(next((cells for cells in reader if any(c.strip() for c in cells)), []))

    return max(_DELIMITERS, key=num_cells)


def plain_name(name: str) -> str:
    """A column's name as it is compared: `Correct Answer` is correct_answer."""
    return re.sub(r"[ -]", "_", name.casefold())


def _check_names(names: Sequence[str], place: str) -> None:
    seen: dict[str, str] = {}
    for name in filter(None, names):
        if (other := seen.get(plain_name(name))) is not None:
            both = repr(name) if other == name else f"{other!r} and {name!r}"
            raise TaskError(f"{place}: two columns are called {both}; rename one")
        seen[plain_name(name)] = name
