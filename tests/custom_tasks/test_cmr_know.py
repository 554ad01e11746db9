"""Confidence against correctness: the ladder, the conversation, and what each way of being sure is worth."""

import asyncio
import hashlib
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from shipped_tasks import module

know = module("cmr_know/cmr_know.py")
TASK = know.CmrKnow()
DOCS = list(TASK.docs())


def known(right: Sequence[bool], confidence: Callable[[int], float]) -> list[Any]:
    return [know.Known(r, confidence(i), 0.5) for i, r in enumerate(right)]


HALF = [i % 2 == 0 for i in range(120)]


def test_sure_of_right_answers_alone_scores_1() -> None:
    assert know.score(known(HALF, lambda i: float(HALF[i]))) == 1


def test_the_same_50_everywhere_scores_0() -> None:
    assert know.score(known(HALF, lambda i: 0.5)) == 0


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_the_same_certainty_everywhere_scores_0_when_half_is_right(confidence: float) -> None:
    assert know.score(known(HALF, lambda i: confidence)) == 0


def test_confidence_by_lot_scores_next_to_nothing() -> None:
    rng = random.Random(0)
    values = [know.score(known(HALF, lambda i: rng.random())) for _ in range(200)]
    assert sum(values) / len(values) < 0.05


def test_sure_of_wrong_answers_alone_scores_0() -> None:
    assert know.score(known(HALF, lambda i: float(not HALF[i]))) == 0


def test_ranked_well_and_off_in_number_scores_its_half() -> None:
    items = known(HALF, lambda i: 0.02 if HALF[i] else 0.01)
    assert know.score(items) == pytest.approx(0.5)


def test_all_right_scores_the_brier_term_alone() -> None:
    assert know.score(known([True] * 5, lambda i: 0.9)) == pytest.approx(1 - 0.01 / 0.25)


def test_all_wrong_scores_no_more_than_a_half() -> None:
    assert know.score(known([False] * 5, lambda i: 0.0)) == 0.5


def test_nothing_has_no_score() -> None:
    assert math.isnan(know.score([]))


def test_p_yes_is_scored_beside() -> None:
    items = [know.Known(r, 0.5, float(r)) for r in HALF]
    assert (know.score(items), know.score_p_yes(items)) == (0, 1)


@pytest.mark.parametrize(
    ("reply", "confidence"),
    [
        ("80", 0.8), ("80%", 0.8), ("I'd say 80/100.", 0.8), ("0", 0), ("100", 1), ("0.85", 0.85), ("1", 0.01),
        ("1.0", 1), ("99.5", 0.995), ("150", None), ("-5", None), ("very", None), ("", None),
    ],
)  # fmt: skip
def test_confidence_is_read(reply: str, confidence: float | None) -> None:
    assert know.stated_confidence(reply) == confidence


@pytest.mark.parametrize(
    "reply",
    [
        "Confidence (0-100): 85",
        "On a scale from 0 to 100, I'd say 85",
        "85 out of 100",
        "85/100",
        "out of 100: 85",
        "85 (0 % to 100 %)",
    ],
)
def test_the_scale_is_not_the_confidence(reply: str) -> None:
    assert know.stated_confidence(reply) == 0.85


@pytest.mark.parametrize(
    ("reply", "number"),
    [("75", 75), ("48 + 27 = 75.", 75), ("1,250", 1250), ("**75**", 75), ("", None)],
)
def test_answer_is_the_last_number(reply: str, number: int | None) -> None:
    assert know.final_number(reply) == number


def test_an_unread_confidence_counts_as_50_and_is_counted() -> None:
    reply = json.dumps({"answer": "3", "confidence": "quite", "p_yes": 0.9})
    scores = TASK.score({"answer": 3}, reply)
    assert (scores["score"].confidence, scores["unparsed"]) == (0.5, 1)


def test_every_metric_gets_its_part() -> None:
    assert set(TASK.score(DOCS[0], TASK.gold(DOCS[0]))) == set(TASK.metrics)


def test_every_answer_is_found_again() -> None:
    for doc in DOCS:
        if found := re.fullmatch(r"What is (\d+) ([-+*]) (\d+)\?", doc["question"]):
            a, operation, b = int(found[1]), found[2], int(found[3])
            assert doc["answer"] == {"+": a + b, "-": a - b, "*": a * b}[operation]
        else:
            have, bags, each, gone = map(int, re.findall(r"\d+", doc["question"]))
            assert doc["answer"] == have + sum([each] * bags) - gone


def test_no_python_version_changes_the_docs() -> None:
    dumped = json.dumps(DOCS, sort_keys=True)
    assert hashlib.sha256(dumped.encode()).hexdigest() == (
        "e47cfdcde5a97ebd586cc40cffb83223d30a7dcec044e19d6272d21600d29b33"
    )


@pytest.mark.parametrize("num_docs", [6, 60, 120])
def test_every_level_is_there_equally_often(num_docs: int) -> None:
    counts = Counter(doc["level"] for doc in DOCS[:num_docs])
    assert counts == dict.fromkeys(range(1, 7), num_docs // 6)


class FakeDialogue:
    """A model with fixed replies; keeps what it was asked."""

    prompt, think_end = "PROMPT", ""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, int | None]] = []

    async def generate(self, prompt: str | None = None, **options: Any) -> Any:
        self.asked.append((prompt, options.get("max_gen_toks")))
        return SimpleNamespace(text="70" if prompt else "12")

    async def choose(self, prompt: str, choices: Sequence[str], **_: Any) -> Any:
        assert tuple(choices) == ("Yes", "No")
        self.asked.append((prompt, None))
        return SimpleNamespace(p_yes=0.25)

    def follow_up(self, prompt: str, answer: str, message: str) -> str:
        return f"{prompt}|{answer}|{message}"


def test_the_conversation_asks_for_answer_confidence_and_yes() -> None:
    dialogue = FakeDialogue()
    reply = asyncio.run(TASK.solve(DOCS[0], dialogue))
    assert json.loads(reply) == {"answer": "12", "confidence": "70", "p_yes": 0.25}
    assert [prompt for prompt, _ in dialogue.asked] == [
        None,
        f"PROMPT|12|{know.SURE}",
        f"PROMPT|12|{know.RIGHT}",
    ]


def test_a_thinking_model_has_room_to_think_about_its_confidence() -> None:
    limits = []
    for think_end in ("", "</think>"):
        dialogue = FakeDialogue()
        dialogue.think_end = think_end
        asyncio.run(TASK.solve(DOCS[0], dialogue))
        limits.append(dialogue.asked[1][1])
    assert limits == [know.MAX_NUMBER_TOKS, None]
