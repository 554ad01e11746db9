"""Questions from a table of one's own (see `tables`) as the docs of a new task.

Columns are found by their names; case doesn't matter, nor whether words are joined by a blank, - or _:

    question   question, prompt, query, text
    answer     answer, correct, correct answer, gold, label, target
    choices    choices (a JSON list, or texts with | between them), or a column each: A, B, C, ...; choice1, ...; option_a, ...

What an answer may be is in `own_answers`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import TaskError
from evalharness.tasks.authoring.own_answers import LETTERS, Answers, Asked, places
from evalharness.tasks.authoring.tables import Line, plain_name, read_table

_QUESTIONS = ("question", "prompt", "query", "text")
_ANSWERS = ("answer", "correct", "correct_answer", "gold", "label", "target")
_ONE_CHOICE = re.compile(r"(?:choice|option|answer)?[ _-]?([a-z]|\d{1,2})", re.IGNORECASE)

Row = dict[str, Any]


class OwnDocs(NamedTuple):
    """What was read of a table."""

    rows: list[Row]
    source: str
    """Which columns became what, in one line."""


def choice_docs(file: Path, answers: Answers | None = None) -> OwnDocs:
    """Docs of a multiple-choice task: id, question, choices, the place of the right one, and all other columns.

    Args:
        file: the table.
        answers: what its answers are, where it doesn't show.

    Raises:
        TaskError: a column is missing, a line has no answer among its choices, or it can be read in two ways.
    """
    lines = read_table(file)
    names = list(lines[0].values)
    question, answer = _column(names, file, _QUESTIONS), _column(names, file, _ANSWERS)
    each = _choice_columns([name for name in names if name not in (question, answer)], file)
    listed = next((name for name in names if plain_name(name) == "choices"), None)
    if listed is None and not each:
        way_out = "name it choices, or one each A, B, C, ...; without choices, --kind generate"
        raise _missing(file, names, "choices", way_out)
    asked = [
        Asked(place, _text(row[answer], place, "answer"), _choices(row, listed, each, place))
        for place, row in lines
    ]
    taken = [listed] if listed else each
    rows = [
        {**_asked_row(number, line, question), "choices": one.choices, "answer": right}
        | _others(line.values, {question, answer, *taken})
        for number, (line, one, right) in enumerate(
            zip(lines, asked, places(asked, answers), strict=True), start=1
        )
    ]
    return OwnDocs(rows, _source(file, rows, question, answer, taken))


def answer_docs(file: Path) -> OwnDocs:
    """Docs of a task that generates: id, question, answer, and all other columns.

    Raises:
        TaskError: a column is missing, or a line has no question or answer.
    """
    lines = read_table(file)
    names = list(lines[0].values)
    question, answer = _column(names, file, _QUESTIONS), _column(names, file, _ANSWERS)
    rows = [
        {**_asked_row(number, line, question), "answer": _text(line.values[answer], line.place, "answer")}
        | _others(line.values, {question, answer})
        for number, line in enumerate(lines, start=1)
    ]  # fmt: skip
    return OwnDocs(rows, _source(file, rows, question, answer, []))


def _asked_row(number: int, line: Line, question: str) -> Row:
    """Id and question; the file's own id where it has one."""
    own = line.values.get("id")
    name = str(number) if own is None or not str(own).strip() else str(own).strip()
    return {"id": name, "question": _text(line.values[question], line.place, "question")}


def _source(
    file: Path, rows: Sequence[Row], question: str, answer: str, taken: Sequence[str]
) -> str:
    choices = f", choices from {', '.join(map(repr, taken))}" if taken else ""
    return (
        f"{len(rows)} docs from {file}: question from {question!r}{choices}, answer from {answer!r}"
    )


def _column(names: Sequence[str], file: Path, wanted: Sequence[str]) -> str:
    found = {plain_name(name): name for name in names}
    for name in wanted:
        if name in found:
            return found[name]
    raise _missing(file, names, wanted[0], f"name it one of {', '.join(wanted)}")


def _choice_columns(names: Sequence[str], file: Path) -> list[str]:
    """The columns of one choice each, in order: A, B, ... or 1, 2, ...; none of fewer than two.

    Raises:
        TaskError: one of them is missing before the last.
    """
    labels = {found[1].casefold(): name for name in names if (found := _ONE_CHOICE.fullmatch(name))}
    numbers = [str(number) for number in range(100)]
    for series in (list(LETTERS.casefold()), numbers, numbers[1:]):
        columns = [labels[label] for label in itertools.takewhile(labels.__contains__, series)]
        if len(columns) > 1:
            like = {_like(name) for name in columns}
            lost = [n for n in labels.values() if n not in columns and _like(n) in like]
            if lost:
                raise TaskError(
                    f"{file}: a column {lost[0]!r} after {columns[-1]!r}, and none between them; add it, or rename {lost[0]!r}"
                )
            return columns
    return []


def _like(name: str) -> tuple[str, bool, bool]:
    """What the columns of one series share: the word before the label, and how the label is written."""
    label = _ONE_CHOICE.fullmatch(name)[1]  # type: ignore[index]
    return name.removesuffix(label).casefold(), label.isdecimal(), label.isupper()


def _missing(file: Path, names: Sequence[str], what: str, way_out: str) -> TaskError:
    return TaskError(f"{file}: no column for the {what}: it has {', '.join(names)}; {way_out}")


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


def _others(row: Mapping[str, Any], used: set[str]) -> Row:
    reserved = {"id", "question", "choices", "answer"}
    return {name: value for name, value in row.items() if name not in used | reserved and name}
