"""What the answers of a table are: the texts of choices, their letters, or their numbers from 0 or from 1.

A file shows it by itself, as a rule. Where it can be read in two ways (the answer 3 of the choices 1, 2, 3 and 4) it is
refused until `Answers` says which one is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from evalharness.errors import TaskError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Answers(StrEnum):
    """What a file's answers are."""

    texts = "texts"
    """The texts of the choices."""
    letters = "letters"
    from_0 = "from-0"
    """The number of a choice, the first of which is 0."""
    from_1 = "from-1"


class Asked(NamedTuple):
    """A line's choices and its answer as it is written."""

    place: str
    answer: str
    choices: list[str]

    def under(self, answers: Answers) -> int | None:
        """The place of the answer if it is one of these; None if it can't be."""
        if answers is Answers.texts:
            return self.choices.index(self.answer) if self.answer in self.choices else None
        if answers is Answers.letters:
            place = LETTERS.find(self.answer.upper()) if len(self.answer) == 1 else -1
        elif self.answer.isdecimal() and self.answer.isascii():
            place = int(self.answer) - (answers is Answers.from_1)
        else:
            return None
        return place if 0 <= place < len(self.choices) else None


def places(asked: Sequence[Asked], answers: Answers | None) -> list[int]:
    """Where the right choices are, from 0.

    Args:
        asked: all lines of a file.
        answers: what their answers are; None to find it out.

    Raises:
        TaskError: an answer is none of the choices, or the file can be read in two ways.
    """
    if answers is not None:
        return [_as_given(one, answers) for one in asked]
    by_text = _all_under(asked, Answers.texts)
    if by_text is not None:
        for other in Answers:
            if _all_under(asked, other) not in (None, by_text):
                raise _ambiguous(asked, other)
        return by_text
    numbers = _counted(asked)
    return [_place(one, numbers) for one in asked]


def _as_given(one: Asked, answers: Answers) -> int:
    place = one.under(answers)
    if place is None:
        what = {
            Answers.texts: "the text",
            Answers.letters: "the letter",
            Answers.from_0: "the number (from 0)",
            Answers.from_1: "the number (from 1)",
        }[answers]
        raise TaskError(
            f"{one.place}: the answer {one.answer!r} is {what} of none of its {len(one.choices)} choices (--answers {answers})"
        )
    return place


def _all_under(asked: Sequence[Asked], answers: Answers) -> list[int] | None:
    places = [one.under(answers) for one in asked]
    return None if None in places else [place for place in places if place is not None]


def _ambiguous(asked: Sequence[Asked], other: Answers) -> TaskError:
    one = next(one for one in asked if one.under(other) != one.under(Answers.texts))
    is_letter = other is Answers.letters
    what = "letter" if is_letter else f"number ({other.replace('-', ' ')})"
    ways = "texts or letters" if is_letter else "texts, from-0 or from-1"
    return TaskError(
        f"{one.place}: the answer {one.answer!r} is the text of one choice and the {what} of another, and every line "
        f"can be read both ways; say which with --answers {ways}"
    )


def _counted(asked: Sequence[Asked]) -> Answers:
    """Whether numbers count from 0 or from 1: a 0, or the number of choices, in any line says which for all."""
    numbers = [one for one in asked if one.answer.isdecimal() and one.answer not in one.choices]
    from_0 = any(int(one.answer) == 0 for one in numbers)
    from_1 = any(int(one.answer) == len(one.choices) for one in numbers)
    if numbers and from_0 and from_1:
        raise TaskError(
            f"{numbers[0].place}: the answer's number counts from 0 in one line and from 1 in another; "
            "write letters (A, B, ...) or the choice's text"
        )
    if numbers and not from_0 and not from_1:
        raise TaskError(
            f"{numbers[0].place}: the answer's number may count from 0 or from 1; say which with --answers from-0 or "
            "--answers from-1, or write letters (A, B, ...)"
        )
    return Answers.from_0 if from_0 else Answers.from_1


def _place(one: Asked, numbers: Answers) -> int:
    """Where the right choice is, in a file of several kinds of answers."""
    found = {
        place
        for kind in (Answers.texts, Answers.letters, numbers)
        if (place := one.under(kind)) is not None
    }
    if len(found) > 1:
        raise TaskError(
            f"{one.place}: the answer {one.answer!r} is the text of one choice and the letter or number of another; "
            f"say which it is in every line with --answers texts, letters or {numbers}"
        )
    if not found:
        raise TaskError(
            f"{one.place}: the answer {one.answer!r} is none of its {len(one.choices)} choices"
        )
    return found.pop()
