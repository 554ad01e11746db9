"""Docs in a task's folder: data/<split>.jsonl or data/<split>.csv beside its YAML.

    custom_dataset: !function evalharness.tasks.local_rows.load
    test_split: test                                             # data/test.jsonl

Values are those of the file: JSON's own types, each row with its own fields; in CSV, whose first line names the fields,
every value is text. Lines end only at line feeds. Ambiguous lines are refused.

lm-eval's own `dataset_path: json` searches for its files in the working directory, wherever the YAML is, and guesses
one type for all values of a field.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalharness.errors import TaskError
from evalharness.tasks.rows import Row, Rows

FORMATS = (".jsonl", ".csv")
_DEEPEST = 100
_BOM = "\ufeff".encode()
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


# Its source, docstring included, is part of the hash of every task that names it: a change is another task.
def load(config_source: str, **_: Any) -> dict[str, Rows]:
    """Every data/<split>.jsonl and data/<split>.csv as a split, held in memory: no cache is written, no network asked.

    Args:
        config_source: the task's YAML, as lm-eval hands it over.

    Raises:
        TaskError: there is no file, an empty one, two of one split, or a line that isn't a row.
    """
    folder = Path(config_source).parent / "data"
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*")):
        if file.suffix not in FORMATS or file.name.startswith("."):
            continue
        if other := found.get(file.stem):
            raise TaskError(
                f"data/: the split {file.stem!r} is in {other.name} and in {file.name}; keep one"
            )
        found[file.stem] = file
    if not found:
        raise TaskError(
            f"no file data/<split>.jsonl or data/<split>.csv beside {Path(config_source).name}"
        )
    return {split: Rows(_some_rows(file)) for split, file in found.items()}


def num_rows(folder: Path, split: str) -> int | None:
    """Number of rows of a task's split, from the lines if possible, without reading values; None if its file is invalid."""
    try:
        for file in (folder / "data" / f"{split}{suffix}" for suffix in FORMATS):
            if file.is_file() and file.suffix == ".jsonl":
                with file.open("rb") as lines:
                    return sum(1 for line in lines if line.strip())
            if file.is_file():
                return sum(1 for _ in read_rows(file))
    except (OSError, TaskError):
        return None
    return None


def read_rows(file: Path) -> Iterator[Row]:
    """The rows of a file: CSV by its suffix, else a JSON mapping per line; blank lines are skipped.

    Raises:
        TaskError: what is wrong, with file and line.
    """
    where = f"{file.parent.name}/{file.name}"
    if not file.is_file():
        raise TaskError(f"{where}: not a file")
    try:
        content = file.read_bytes().removeprefix(_BOM)
    except OSError as e:
        raise TaskError(f"{where}: can't be read: {e.strerror}") from e
    yield from (_csv_rows if file.suffix == ".csv" else _json_rows)(content, where)


def _some_rows(file: Path) -> Iterator[Row]:
    row = None
    for row in read_rows(file):
        yield row
    if row is None:
        raise TaskError(f"data/{file.name}: no docs in it")


def _json_rows(content: bytes, where: str) -> Iterator[Row]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{where}, line {number}"
        row = parse_json(_decoded(line, place), place)
        if not isinstance(row, dict):
            raise TaskError(f"{place}: expected {{...}}, a field: value mapping")
        yield row


def parse_json(text: str, place: str) -> Any:
    """A JSON value, without ambiguities.

    Raises:
        TaskError: not JSON, a field given twice, a number that isn't finite, half a character, or too deep.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_constant=_no_number,
            parse_float=_finite,
        )
        if text.count("[") + text.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
            raise RecursionError
        if _ESCAPED_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        half = e.object[e.start]
        raise TaskError(
            f"{place}: {half!r} is half a character (a surrogate without its pair)"
        ) from e
    except RecursionError as e:
        raise TaskError(f"{place}: nested deeper than {_DEEPEST} levels") from e
    except ValueError as e:
        digits = "a number with too many digits" if "integer string conversion" in str(e) else e
        raise TaskError(f"{place}: not JSON: {digits}") from e
    return value


def _depth(value: Any) -> int:
    """Depth of lists and mappings, found without recursion."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return depth


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the field {name!r} is given twice")
    return made


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number; write null, or a text")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is larger than a number can be")
    return value


def _csv_rows(content: bytes, where: str) -> Iterator[Row]:
    text = _decoded(content, where, lines=True)
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] = []
    try:
        for fields in reader:
            if not fields:
                continue
            place = f"{where}, line {reader.line_num}"
            if not names:
                names = _checked_header(fields, place)
                continue
            if len(fields) != len(names):
                raise TaskError(
                    f"{place}: {len(fields)} fields, and {len(names)} in the first line"
                )
            yield dict(zip(names, fields, strict=True))
    except csv.Error as e:
        raise TaskError(f"{where}, line {reader.line_num}: not CSV: {e}") from e


def _checked_header(names: list[str], place: str) -> list[str]:
    for name in names:
        if not name or names.count(name) > 1:
            what = f"the field {name!r} is given twice" if name else "a field without a name"
            raise TaskError(f"{place}: {what}")
    return names


def _decoded(content: bytes, place: str, *, lines: bool = False) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as e:
        number = content[: e.start].count(b"\n") + 1
        at = f"{place}, line {number}" if lines else place
        raise TaskError(f"{at}: not UTF-8: {e.reason}") from e
