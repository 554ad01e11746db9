"""Worked solutions, from the text that a model sees: exactly one step is wrong, and it is the one that the doc names."""

import hashlib
import json
import re
from collections import Counter
from typing import Any, NamedTuple

import pytest

from shipped_tasks import module

solutions = module("_shared/cmr_solutions.py")
JUDGE, CORRECT = 20261102, 20261104
SPLITS = {seed: solutions.load(seed=seed, num_docs=120) for seed in (JUDGE, CORRECT)}
DOCS = {seed: list(splits["test"]) for seed, splits in SPLITS.items()}
ALL = [doc for docs in DOCS.values() for doc in docs]
WRONG = [doc for doc in ALL if doc["first_wrong"]]

WORDS = {
    "+": "more are|books are donated|bonus adds|truck brings",
    "-": "sold|given away|rotten|penalty takes|shipped",
    "*": "times as|multiplies",
    "/": "equally|divides",
}
"""Operation -> what an event of it is described with."""


class Line(NamedTuple):
    before: int
    operation: str
    number: int
    after: int

    @property
    def is_calculated_right(self) -> bool:
        return self.after == calculated(self.before, self.operation, self.number)


def calculated(before: int, operation: str, number: int) -> float:
    return {"+": before + number, "-": before - number, "*": before * number, "/": before / number}[
        operation
    ]


def events_of(doc: dict[str, Any]) -> tuple[int, list[tuple[str, int]]]:
    """Start and events, read from the problem's sentences."""
    opening, *sentences, question = re.findall(r"[^.?]+[.?]", doc["problem"])
    assert question.strip().startswith("How many")
    events = []
    for sentence in sentences:
        (number,) = re.findall(r"\d+", sentence)
        (operation,) = [o for o, words in WORDS.items() if re.search(words, sentence)]
        events.append((operation, int(number)))
    (start,) = re.findall(r"\d+", opening)
    return int(start), events


def lines(doc: dict[str, Any]) -> list[Line]:
    found = re.findall(r"^Step (\d): (\d+) ([-+*/]) (\d+) = (\d+)$", doc["solution"], re.MULTILINE)
    assert [step for step, *_ in found] == list("12345")
    return [Line(int(a), o, int(b), int(c)) for _, a, o, b, c in found]


def wrong_steps(doc: dict[str, Any]) -> list[int]:
    """Steps that don't follow from the problem and the step before them."""
    start, events = events_of(doc)
    before, wrong = start, []
    for step, (line, event) in enumerate(zip(lines(doc), events, strict=True), start=1):
        is_right = line[:1] == (before,) and line[1:3] == event and line.is_calculated_right
        wrong += [] if is_right else [step]
        before = line.after
    return wrong


def test_right_solutions_have_no_wrong_step() -> None:
    for doc in ALL:
        if not doc["first_wrong"]:
            assert wrong_steps(doc) == []


def test_wrong_solutions_are_wrong_at_the_stated_step_and_nowhere_else() -> None:
    for doc in WRONG:
        assert wrong_steps(doc) == [doc["first_wrong"]]


def test_answer_is_what_the_problem_tells() -> None:
    for doc in ALL:
        stock, events = events_of(doc)
        for event in events:
            stock = calculated(stock, *event)
        assert str(stock).removesuffix(".0") == doc["answer"]


def test_given_answer_is_the_last_step_and_wrong_only_in_wrong_solutions() -> None:
    for doc in ALL:
        assert doc["given"] == str(lines(doc)[-1].after)
        assert (doc["given"] == doc["answer"]) == (not doc["first_wrong"])


def test_mistakes_are_what_they_are_called() -> None:
    for doc in WRONG:
        line, event = lines(doc)[doc["first_wrong"] - 1], events_of(doc)[1][doc["first_wrong"] - 1]
        seen = {
            "result": not line.is_calculated_right,
            "operation": line.operation != event[0],
            "number": line.number != event[1],
        }
        assert [kind for kind, is_there in seen.items() if is_there] == [doc["mistake"]]


@pytest.mark.parametrize("seed", DOCS)
def test_steps_mistakes_and_levels_are_balanced(seed: int) -> None:
    wrong = [doc for doc in DOCS[seed] if doc["first_wrong"]]
    assert len(wrong) == 60
    counts = Counter((doc["first_wrong"], doc["mistake"], doc["level"]) for doc in wrong)
    assert len(counts) == 30
    assert set(counts.values()) == {2}
    assert Counter(d["level"] for d in DOCS[seed] if not d["first_wrong"]) == {1: 30, 2: 30}


@pytest.mark.parametrize("seed", DOCS)
def test_every_even_number_of_first_docs_is_half_wrong(seed: int) -> None:
    for num_docs in range(2, 121, 2):
        assert sum(d["first_wrong"] > 0 for d in DOCS[seed][:num_docs]) == num_docs // 2


def test_no_story_gives_the_verdict_away() -> None:
    """A judge that sees only the kinds of events, not whether the steps fit them, is no better than chance."""
    for operation in "+-*/":
        shares = [
            sum(operation in [o for o, _ in events_of(doc)[1]] for doc in docs) / len(docs)
            for docs in (WRONG, [d for d in ALL if not d["first_wrong"]])
        ]
        assert abs(shares[0] - shares[1]) < 0.2


def test_both_tasks_have_problems_of_their_own() -> None:
    problems = [{doc["problem"] for doc in docs} for docs in DOCS.values()]
    assert not problems[0] & problems[1]


def test_checking_names_what_the_step_should_be() -> None:
    for doc in WRONG:
        start, events = events_of(doc)
        right = solutions.solve(start, [solutions.Event(*event) for event in events])
        assert doc["checking"].splitlines()[-1] == (
            f"Step {doc['first_wrong']} is wrong: it should be {right[doc['first_wrong'] - 1]}."
        )


@pytest.mark.parametrize(
    ("seed", "sha256"),
    [
        (JUDGE, "882738bb0982bd548a7592ab319c377bc63bf2721b361074126be927054f2f87"),
        (CORRECT, "116e7688369f98eaf616a1c439aa0f2732ac4bf60bd7ca3d24a631d480524c91"),
    ],
)
def test_no_python_version_changes_the_docs(seed: int, sha256: str) -> None:
    dumped = json.dumps([list(split) for split in SPLITS[seed].values()], sort_keys=True)
    assert hashlib.sha256(dumped.encode()).hexdigest() == sha256


def test_another_seed_makes_other_problems() -> None:
    other = {doc["problem"] for doc in solutions.make_docs(JUDGE + 10, 120)}
    assert not other & {doc["problem"] for doc in DOCS[JUDGE]}
