"""Read a CSV of scores. A row is read completely or not at all; rejected ones are reported with line and column.

A header and one score a row. Columns are the fields of `ReportedScore` (except for where it was read), in any order:
`model`, `benchmark`, `score` (0 to 100) and one of `reported_by` and `source_repo` are required; empty cells mean that
the source doesn't say. UTF-8, commas, quotes where needed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from evalharness.errors import UserError, did_you_mean
from evalharness.store.csv_cells import unguarded
from evalharness.trend.scores.benchmarks import find_benchmark
from evalharness.trend.scores.cells import parsers
from evalharness.trend.scores.reading import Problem, Reading, assemble
from evalharness.trend.scores.records import (
    Origin,
    ReportedScore,
)

PLACE = ("origin", "collection", "line")
"""Fields on where a score was read, which a file doesn't have."""
COLUMNS = tuple(field.name for field in fields(ReportedScore) if field.name not in PLACE)

_NEEDED = ("model", "benchmark", "score")
_SOURCES = ("reported_by", "source_repo")
_Reader = Callable[[str], Any]


def read_scores(
    path: Path, today: date | None = None, *, chance_corrected: bool = False
) -> Reading:
    """The scores in a file that a user imports.

    Args:
        path: of the CSV.
        today: releases after it are refused; None: the day in UTC.
        chance_corrected: whether rows that don't say it are corrected for chance.

    Raises:
        UserError: there is no file, it isn't CSV, or columns are missing.
    """
    today = today or datetime.now(UTC).date()
    text = file_text(path)
    return read_text(text, path.name, "imported", today, chance_corrected=chance_corrected)


def file_text(path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: it can't be read, or isn't UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as e:
        raise UserError(f"{str(path)!r}: can't read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise UserError(f"{str(path)!r}: not UTF-8 at byte {e.start}; save it as UTF-8 CSV") from e


def read_text(
    text: str,
    collection: str,
    origin: Origin,
    today: date,
    *,
    has_place: bool = False,
    chance_corrected: bool = False,
) -> Reading:
    """The scores in the text of a file named `collection`; raises like `read_scores`.

    With `has_place`, its columns `collection` and `line` give the first source of each score.
    """
    skipped: list[Problem] = []
    rows = csv_rows(text, skipped)
    header = check_header(next(rows, (1, []))[1], collection, _NEEDED, _SOURCES)
    names = {*COLUMNS, *(PLACE[1:] if has_place else ())} & set(header)
    special = parsers(today)
    read = {name: special.get(name, str) for name in names}
    scores = []
    for line, cells in rows:
        problems, values = _values(line, header, cells, read)
        skipped += problems
        if not problems:
            given = {"collection": collection, "line": line, "chance_corrected": chance_corrected}
            scores.append(ReportedScore(origin=origin, **{**given, **values}))
    reading = assemble(
        collection, scores, skipped, is_checked=origin == "imported" and not has_place
    )
    return replace(reading, notices=tuple(_notices(header, reading.scores)))


def csv_rows(text: str, skipped: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that isn't blank; invalid CSV is added to `skipped`."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = [unguarded(cell.strip()) for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as e:
            skipped.append(Problem(line, "", f"not CSV: {e}"))
            continue
        if any(cells):
            yield line, cells


def check_header(
    cells: Sequence[str], collection: str, needed: Sequence[str], one_of: Sequence[str] = ()
) -> tuple[str, ...]:
    """The header.

    Raises:
        UserError: it is empty, has a column twice, lacks a needed one, or has none of `one_of`.
    """
    if not cells:
        raise UserError(f"{collection!r} is empty; a CSV with a header is needed")
    twice = sorted({name for name in cells if name and cells.count(name) > 1})
    if twice:
        raise UserError(f"{collection!r}: the header has a column twice: {', '.join(twice)}")
    missing = [name + did_you_mean(name, cells) for name in needed if name not in cells]
    if one_of and not set(one_of) & set(cells):
        missing.append(f"one of {' and '.join(one_of)}")
    if missing:
        found = f"{len(cells)} columns" if len(cells) > 1 else "one column (no commas?)"
        raise UserError(
            f"{collection!r}: columns missing: {', '.join(missing)}; its first line has {found}"
        )
    return tuple(cells)


def _values(
    line: int, header: Sequence[str], cells: Sequence[str], read: Mapping[str, _Reader]
) -> tuple[list[Problem], dict[str, Any]]:
    """The problems of a row, and the score's fields if there are none; `read` has a reader for each column."""
    if len(cells) != len(header):
        return [Problem(line, "", f"{len(cells)} cells under {len(header)} columns")], {}
    row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    problems = [Problem(line, name, "empty") for name in _NEEDED if name not in row]
    if not set(_SOURCES) & set(row):
        problems.append(Problem(line, " and ".join(_SOURCES), "empty; the source is required"))
    values: dict[str, Any] = {}
    for name in row.keys() & read.keys():
        try:
            values[name] = read[name](row[name])
        except ValueError as e:
            problems.append(Problem(line, name, str(e)))
    if not problems:
        values |= _named(row, values)
    return problems, values


def _named(row: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The benchmark by its known name, and its direction."""
    label = row["benchmark"]
    known = find_benchmark(label)
    is_higher_better = values.get("higher_is_better")
    if is_higher_better is None:
        is_higher_better = not (known and known.lower_is_better)
    return {
        "benchmark": known.name if known else label,
        "benchmark_raw": row.get("benchmark_raw", label),
        "higher_is_better": is_higher_better,
    }


def _notices(header: Sequence[str], scores: Sequence[ReportedScore]) -> Iterator[str]:
    unused = set(COLUMNS) - set(header)
    for name in header:
        if name not in (*COLUMNS, *PLACE):
            yield f"column {name!r} isn't read{did_you_mean(name, unused)}"
    if scores and all(score.score <= 1 for score in scores) and any(s.score for s in scores):
        yield "every score is at most 1: scores are percentages from 0 to 100; are these shares?"
