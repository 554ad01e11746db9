"""Read a CSV of scores. A row is read completely or not at all; rejected ones are reported with line and column.

A header and one score a row. Columns are the fields of `ReportedScore` (except for where it was read), in any order:
`model`, `benchmark`, `score` (0 to 100) and one of `reported_by` and `source_repo` are required; empty cells mean that
the source doesn't say. UTF-8, commas, quotes where needed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import UserError, did_you_mean
from evalharness.store.csv_cells import unguarded
from evalharness.trend.scores.benchmarks import (
    find_benchmark,
    nearest_benchmark,
)
from evalharness.trend.scores.cells import parsers
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


class Problem(NamedTuple):
    """A remark on a line of the file."""

    line: int
    column: str
    """Empty if it is the whole line."""
    message: str

    def __str__(self) -> str:
        """Number of one line of it."""
        where = f", column {self.column}" if self.column else ""
        return f"line {self.line}{where}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The content of a file."""

    collection: str
    scores: tuple[ReportedScore, ...]
    skipped: tuple[Problem, ...]
    """Remarks on bad cells, one for each; such a row isn't among the scores."""
    duplicates: tuple[Problem, ...]
    """Rows that repeat another one in every field, which aren't among the scores either."""
    unknown: tuple[Problem, ...]
    """Benchmarks that aren't in `benchmarks.yaml`, each once; their scores are kept."""
    notices: tuple[str, ...]
    """Remarks on the file as a whole."""


def read_scores(path: Path, today: date | None = None) -> Reading:
    """The scores in a file that a user imports.

    Args:
        path: of the CSV.
        today: releases after it are refused; None: the day in UTC.

    Raises:
        UserError: there is no file, it isn't CSV, or columns are missing.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as e:
        raise UserError(f"{str(path)!r}: can't read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise UserError(f"{str(path)!r}: not UTF-8 at byte {e.start}; save it as UTF-8 CSV") from e
    return read_text(text, path.name, "imported", today or datetime.now(UTC).date())


def read_text(
    text: str, collection: str, origin: Origin, today: date, *, has_place: bool = False
) -> Reading:
    """The scores in the text of a file named `collection`; raises like `read_scores`.

    With `has_place`, its columns `collection` and `line` give the first source of each score.
    """
    skipped: list[Problem] = []
    rows = _rows(text, skipped)
    header = _header(next(rows, (1, []))[1], collection)
    names = {*COLUMNS, *(PLACE[1:] if has_place else ())} & set(header)
    special = parsers(today)
    read = {name: special.get(name, str) for name in names}
    kept: dict[ReportedScore, ReportedScore] = {}
    duplicates = []
    for line, cells in rows:
        problems, values = _values(line, header, cells, read)
        skipped += problems
        if problems:
            continue
        place = {"collection": collection, "line": line}
        score = ReportedScore(origin=origin, **{**place, **values})
        first = kept.setdefault(score.content, score)
        if first is not score:
            duplicates.append(Problem(line, "", f"the same as line {first.line}; dropped"))
    scores = tuple(kept.values())
    return Reading(
        collection=collection,
        scores=scores,
        skipped=tuple(sorted(skipped)),
        duplicates=tuple(duplicates),
        unknown=tuple(_unknown(scores)),
        notices=tuple(_notices(header, scores)),
    )


def _rows(text: str, skipped: list[Problem]) -> Iterator[tuple[int, list[str]]]:
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


def _header(cells: Sequence[str], collection: str) -> tuple[str, ...]:
    if not cells:
        raise UserError(f"{collection!r} is empty; a CSV with a header is needed")
    twice = sorted({name for name in cells if name and cells.count(name) > 1})
    if twice:
        raise UserError(f"{collection!r}: the header has a column twice: {', '.join(twice)}")
    missing = [name + did_you_mean(name, cells) for name in _NEEDED if name not in cells]
    if not set(_SOURCES) & set(cells):
        missing.append(f"one of {' and '.join(_SOURCES)}")
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


def _unknown(scores: Iterable[ReportedScore]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for score in scores:
        if find_benchmark(score.benchmark) is None:
            first.setdefault(score.benchmark, score.line or 0)
    for label, line in first.items():
        message = f"unknown benchmark {label!r}{nearest_benchmark(label)}; kept under this name"
        yield Problem(line, "benchmark", message)


def _notices(header: Sequence[str], scores: Sequence[ReportedScore]) -> Iterator[str]:
    unused = set(COLUMNS) - set(header)
    for name in header:
        if name not in (*COLUMNS, *PLACE):
            yield f"column {name!r} isn't read{did_you_mean(name, unused)}"
    if scores and all(score.score <= 1 for score in scores) and any(s.score for s in scores):
        yield "every score is at most 1: scores are percentages from 0 to 100; are these shares?"
