"""Questions from a table of one's own (CSV, also Excel's, or JSON lines) as the docs of a new task.

Columns are found by their names; case doesn't matter, nor whether words are joined by a blank, - or _:

    question   question, prompt, query, text
    answer     answer, correct, correct answer, gold, label, target
    choices    choices (a JSON list, or texts with | between them), or a column each: A, B, C, ...; choice1, ...; option_a, ...

An answer is the text of a choice, its letter, or its number, from 0 or from 1 as the file shows by itself.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.errors import TaskError
from evalharness.tasks.local_rows import read_rows

_QUESTIONS = ("question", "prompt", "query", "text")
_ANSWERS = ("answer", "correct", "correct_answer", "gold", "label", "target")
_ONE_CHOICE = re.compile(r"(?:choice|option|answer)?[ _-]?([a-z]|\d{1,2})", re.IGNORECASE)
_DELIMITERS = ",;\t|"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Row = dict[str, Any]


def choice_docs(file: Path) -> list[Row]:
    """Docs of a multiple-choice task: id, question, choices, the place of the right one, and all other columns.

    Raises:
        TaskError: a column is missing, or a line has no answer among its choices.
    """
    rows = list(_rows(file))
    question, answer = _column(rows, file, _QUESTIONS), _column(rows, file, _ANSWERS)
    letters = _choice_columns(name for name in rows[0][1] if name not in (question, answer))
    listed = next((name for name in rows[0][1] if name.casefold() == "choices"), None)
    if listed is None and not letters:
        raise _missing(file, rows, "choices", "a column `choices`, or one each: A, B, C, ...")
    choices = [_choices(row, listed, letters, place) for place, row in rows]
    places = _places([(place, _text(row[answer], place, "answer")) for place, row in rows], choices)
    used = {question, answer, *([listed] if listed else letters)}
    return [
        {"id": str(number), "question": _text(row[question], place, "question"), "choices": own,
         "answer": right, **_others(row, used)}
        for number, ((place, row), own, right) in enumerate(zip(rows, choices, places, strict=True), start=1)
    ]  # fmt: skip


def answer_docs(file: Path) -> list[Row]:
    """Docs of a task that generates: id, question, answer, and all other columns.

    Raises:
        TaskError: a column is missing, or a line has no question or answer.
    """
    rows = list(_rows(file))
    question, answer = _column(rows, file, _QUESTIONS), _column(rows, file, _ANSWERS)
    return [
        {"id": str(number), "question": _text(row[question], place, "question"),
         "answer": _text(row[answer], place, "answer"), **_others(row, {question, answer})}
        for number, (place, row) in enumerate(rows, start=1)
    ]  # fmt: skip


def _rows(file: Path) -> Iterator[tuple[str, Row]]:
    """(place, row) of every line."""
    if file.suffix in (".xlsx", ".xls", ".ods"):
        raise TaskError(f"{file}: a spreadsheet; save it as CSV (UTF-8) first")
    found = list(_json_rows(file) if file.suffix == ".jsonl" else _csv_rows(file))
    if not found:
        raise TaskError(f"{file}: no rows below the names of the columns")
    yield from found


def _json_rows(file: Path) -> Iterator[tuple[str, Row]]:
    """Rows with every column that any has: None where one lacks it."""
    rows = list(read_rows(file))
    names = dict.fromkeys(name for row in rows for name in row)
    for number, row in enumerate(rows, start=1):
        yield f"{file}, row {number}", {name: row.get(name) for name in names}


def _csv_rows(file: Path) -> Iterator[tuple[str, Row]]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as e:
        raise TaskError(f"{file}: can't be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise TaskError(f"{file}: not UTF-8 at byte {e.start}; save it as CSV UTF-8") from e
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)  # Excel writes ; where a comma is in numbers
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise TaskError(f"{file}, line 1: two columns are called {twice!r}; rename one")
        for cells in reader:
            place = f"{file}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise TaskError(f"{place}: {len(cells)} cells under {len(names)} names")
            yield place, dict(zip(names, cells, strict=True))
    except csv.Error as e:
        raise TaskError(f"{file}, line {reader.line_num}: not CSV: {e}") from e


def _column(rows: Sequence[tuple[str, Row]], file: Path, wanted: Sequence[str]) -> str:
    names = {re.sub(r"[ -]", "_", name.casefold()): name for name in rows[0][1]}
    for name in wanted:
        if name in names:
            return names[name]
    raise _missing(file, rows, wanted[0], f"one of {', '.join(wanted)}")


def _choice_columns(names: Iterable[str]) -> list[str]:
    """The columns of one choice each, in order: A, B, ... or 1, 2, ... without a gap; none of fewer than two."""
    labels = {found[1].casefold(): name for name in names if (found := _ONE_CHOICE.fullmatch(name))}
    numbers = [str(number) for number in range(100)]
    for series in (list(_LETTERS.casefold()), numbers, numbers[1:]):
        columns = [labels[label] for label in itertools.takewhile(labels.__contains__, series)]
        if len(columns) > 1:
            return columns
    return []


def _missing(file: Path, rows: Sequence[tuple[str, Row]], what: str, way_out: str) -> TaskError:
    has = ", ".join(rows[0][1])
    return TaskError(f"{file}: no column for the {what}: it has {has}; name it {way_out}")


def _text(value: Any, place: str, what: str) -> str:
    if isinstance(value, dict | list):
        raise TaskError(f"{place}: the {what} is a {type(value).__name__}, not a text")
    if value is None or not str(value).strip():
        raise TaskError(f"{place}: the {what} is empty")
    return str(value).strip()


def _choices(row: Row, listed: str | None, letters: Sequence[str], place: str) -> list[str]:
    if listed is None:
        own = [_plain(row[name], place) for name in letters]
        while own and not own[-1]:
            own.pop()
    elif isinstance(row[listed], list):
        own = [_plain(choice, place) for choice in row[listed]]
    elif str(row[listed]).lstrip().startswith("["):
        try:
            own = [_plain(choice, place) for choice in json.loads(row[listed])]
        except ValueError as e:
            raise TaskError(f"{place}: {listed} is no JSON list: {e}") from e
    else:
        own = [choice.strip() for choice in _plain(row[listed], place).split("|")]
    if len(own) < 2 or not all(own):
        raise TaskError(
            f"{place}: {len([c for c in own if c])} choices with a text; at least 2, without gaps"
        )
    if len(set(own)) < len(own):
        raise TaskError(f"{place}: two choices are the same: {max(own, key=own.count)!r}")
    return own


def _plain(choice: Any, place: str) -> str:
    """A choice's text; null is none."""
    return "" if choice is None or choice == "" else _text(choice, place, "choice")


def _places(answers: Sequence[tuple[str, str]], choices: Sequence[Sequence[str]]) -> list[int]:
    """Where the right choice is, from 0.

    A number may count from 0 or from 1: a 0, or the number of choices, in any line says which for all.
    """
    numbers = [
        (int(answer), len(own))
        for (_, answer), own in zip(answers, choices, strict=True)
        if answer.isdecimal() and answer not in own
    ]
    from_0 = any(number == 0 for number, _ in numbers)
    from_1 = any(number == size for number, size in numbers)
    if numbers and from_0 == from_1:
        both = (
            "counts from 0 in one line and from 1 in another"
            if from_0
            else "may count from 0 or from 1"
        )
        raise TaskError(
            f"{answers[0][0]}: the answer's number {both}; write letters (A, B, ...) or the choice's text"
        )
    are_texts = all(answer in own for (_, answer), own in zip(answers, choices, strict=True))
    return [
        _place(answer, own, place, first=0 if from_0 else 1, are_texts=are_texts)
        for (place, answer), own in zip(answers, choices, strict=True)
    ]


def _place(answer: str, choices: Sequence[str], place: str, *, first: int, are_texts: bool) -> int:
    """Where the right choice is; an answer that is one choice's text and another's letter is refused, unless all are texts."""
    by_text = choices.index(answer) if answer in choices else None
    by_letter = None
    if len(answer) == 1 and answer.upper() in _LETTERS[: len(choices)]:
        by_letter = _LETTERS.index(answer.upper())
    elif answer.isdecimal() and 0 <= int(answer) - first < len(choices):
        by_letter = int(answer) - first
    found = {at for at in (by_text, by_letter) if at is not None}
    if are_texts and by_text is not None:
        return by_text
    if len(found) > 1:
        raise TaskError(
            f"{place}: the answer {answer!r} is the text of one choice and the letter or number of another; write texts in all lines"
        )
    if not found:
        raise TaskError(f"{place}: the answer {answer!r} is none of its {len(choices)} choices")
    return found.pop()


def _others(row: Mapping[str, Any], used: set[str]) -> Row:
    reserved = {"id", "question", "choices", "answer"}
    return {name: value for name, value in row.items() if name not in used | reserved and name}
