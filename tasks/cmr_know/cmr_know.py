"""cmr_know: does the model know which of its answers are right?

Three turns: it answers a problem from a ladder that runs from trivial to very hard; it says how sure it is, from 0 to
100; and, beside that, the probability of "Yes" against "No" to "Is this answer right?" is read. With a confidence c and a
correctness y of each doc,

    score = 0.5 * max(0, 2 * AUROC - 1) + 0.5 * max(0, 1 - Brier / 0.25)

AUROC says whether right answers get more confidence than wrong ones (0.5, so 0 here, by chance), Brier whether the
numbers mean what they say (0.25, so 0 here, for a constant 50). The score is not one for being right: 60 % right answers
with a well-placed confidence are better than 90 % with none. AUROC has no value when all answers are right or all wrong.
Then the whole score is the Brier term where all are right, and half of it where all are wrong: 1 is not to be had for
"0" to everything.

A reply without a number from 0 to 100 counts as 50, which says nothing, and in `unparsed`.
"""

import json
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from evalharness.stats import calibration
from evalharness.tasks.conversation import (
    Dialogue,
    together,
)
from evalharness.tasks.python_task import PythonTask

SEED = 20261103
NUM_DOCS = 120
"""20 of each level, the levels by turns."""
SURE = (
    "How sure are you that your answer is right? Reply with a number from 0 (certainly wrong) "
    "to 100 (certainly right) and nothing else."
)
RIGHT = "Is your answer right? Reply with Yes or No."
NO_IDEA = 0.5
SCALE = re.compile(r"\b0\s*%?\s*(?:-|–|to|and)\s*100\b|(?:\bout of|/)\s*100\b")
MAX_NUMBER_TOKS = 16
"""For the confidence, where the model doesn't think first."""
PEOPLE = ("Mia", "Noah", "Lena", "Omar", "Ines", "Paul")
THINGS = ("marbles", "stickers", "coins", "cards", "shells", "stamps")


class Known(NamedTuple):
    """One doc: what it takes for every metric."""

    is_right: bool
    confidence: float
    """As stated, 0 to 1."""
    p_yes: float


class Draw:
    """Random choices out of `random.random`, which alone gives the same numbers in every Python version."""

    def __init__(self, seed: int) -> None:
        """Start from a seed."""
        self._random = random.Random(seed).random

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[str]) -> str:
        """One of the items."""
        return items[self.whole(0, len(items) - 1)]


def make_docs(seed: int, num_docs: int) -> list[dict[str, Any]]:
    """Distinct problems; six consecutive ones are one of each level."""
    draw = Draw(seed)
    docs: dict[str, dict[str, Any]] = {}
    while len(docs) < num_docs:
        i = len(docs)
        question, answer = LEVELS[i % len(LEVELS)](draw)
        docs.setdefault(
            question,
            {
                "id": f"{seed}-{i:03d}",
                "level": i % len(LEVELS) + 1,
                "question": question,
                "answer": answer,
            },
        )
    return list(docs.values())


def digits(draw: Draw) -> tuple[str, int]:
    """3 + 4."""
    a, b = draw.whole(1, 9), draw.whole(1, 9)
    return f"What is {a} + {b}?", a + b


def sums(draw: Draw) -> tuple[str, int]:
    """48 + 27, or 48 - 27."""
    a, b = draw.whole(21, 99), draw.whole(11, 99)
    is_sum = b > a or draw.whole(0, 1) == 1
    return (f"What is {a} + {b}?", a + b) if is_sum else (f"What is {a} - {b}?", a - b)


def tables(draw: Draw) -> tuple[str, int]:
    """48 * 7."""
    a, b = draw.whole(12, 99), draw.whole(3, 9)
    return f"What is {a} * {b}?", a * b


def stories(draw: Draw) -> tuple[str, int]:
    """Three steps in words."""
    who, what = draw.pick(PEOPLE), draw.pick(THINGS)
    have, bags, each, gone = (
        draw.whole(8, 30),
        draw.whole(3, 7),
        draw.whole(6, 15),
        draw.whole(5, 20),
    )
    question = (
        f"{who} has {have} {what}, buys {bags} bags with {each} {what} each and then gives {gone} {what} away. "
        f"How many {what} does {who} have left?"
    )
    return question, have + bags * each - gone


def products(draw: Draw) -> tuple[str, int]:
    """48 * 73."""
    a, b = draw.whole(23, 99), draw.whole(23, 99)
    return f"What is {a} * {b}?", a * b


def long_products(draw: Draw) -> tuple[str, int]:
    """4832 * 7316."""
    a, b = draw.whole(1234, 9876), draw.whole(1234, 9876)
    return f"What is {a} * {b}?", a * b


LEVELS: tuple[Callable[[Draw], tuple[str, int]], ...] = (
    digits,
    sums,
    tables,
    stories,
    products,
    long_products,
)
"""From trivial to very hard, for a model that replies at once."""


def final_number(text: str) -> float | None:
    """The last number of a reply, without thousands separators: "48 + 27 = 75." is 75."""
    found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return float(found[-1].replace(",", "")) if found else None


def stated_confidence(text: str) -> float | None:
    """A reply's first number as 0 to 1, None where it is none from 0 to 100; "0.85" is taken for 85.

    Where the reply repeats the scale ("from 0 to 100", "out of 100"), that isn't the number.
    """
    found = re.search(r"-?\d+(?:\.\d+)?", SCALE.sub(" ", text))
    if found is None:
        return None
    number = float(found[0])
    if "." in found[0] and 0 <= number <= 1:
        return number
    return number / 100 if 0 <= number <= 100 else None


def score(items: Sequence[Known]) -> float:
    """The formula above, with the stated confidence."""
    return _score([i.confidence for i in items], _right(items))


def score_p_yes(items: Sequence[Known]) -> float:
    """The same with P(yes)."""
    return _score([i.p_yes for i in items], _right(items))


def _score(confidence: Sequence[float], right: Sequence[bool]) -> float:
    if not right:
        return math.nan
    calibrated = max(0.0, 1 - calibration.brier(confidence, right) / 0.25)
    area = calibration.auroc(confidence, right)
    if math.isnan(area):
        return calibrated if right[0] else 0.5 * calibrated
    return 0.5 * max(0.0, 2 * area - 1) + 0.5 * calibrated


def _right(items: Sequence[Known]) -> list[bool]:
    return [item.is_right for item in items]


def _stated(metric: Callable[..., float]) -> Callable[[Sequence[Known]], float]:
    return lambda items: metric([i.confidence for i in items], _right(items))


def _p_yes(metric: Callable[..., float]) -> Callable[[Sequence[Known]], float]:
    return lambda items: metric([i.p_yes for i in items], _right(items))


class CmrKnow(PythonTask):
    """Answer, stated confidence, P(yes)."""

    version = "1.0"
    max_gen_toks = 96
    stop = ("\n\n", "Question:")
    metrics = (
        *("score", "accuracy", "auroc", "brier", "ece"),
        *("score_p_yes", "auroc_p_yes", "brier_p_yes", "ece_p_yes", "unparsed"),
    )
    lower_is_better = ("brier", "ece", "brier_p_yes", "ece_p_yes", "unparsed")
    aggregations: Mapping[str, Callable[[list[Any]], float]] = {
        "score": score,
        "auroc": _stated(calibration.auroc),
        "brier": _stated(calibration.brier),
        "ece": _stated(calibration.ece),
        "score_p_yes": score_p_yes,
        "auroc_p_yes": _p_yes(calibration.auroc),
        "brier_p_yes": _p_yes(calibration.brier),
        "ece_p_yes": _p_yes(calibration.ece),
    }

    def docs(self) -> Iterable[Mapping[str, Any]]:
        """The ladder."""
        return make_docs(SEED, NUM_DOCS)

    def prompt(self, doc: Mapping[str, Any]) -> str:
        """One question, to be answered at once."""
        return f"Question: {doc['question']}\nReply with the number alone.\nAnswer:"

    def target(self, doc: Mapping[str, Any]) -> str:
        """The number."""
        return str(doc["answer"])

    def gold(self, doc: Mapping[str, Any]) -> str:
        """Right, and sure of it."""
        return json.dumps({"answer": self.target(doc), "confidence": "100", "p_yes": 1.0})

    async def solve(self, doc: Mapping[str, Any], dialogue: Dialogue) -> str:
        """Answer, then the two questions about it, which don't see each other."""
        first = await dialogue.generate()
        sure, right = await together(
            dialogue.generate(
                dialogue.follow_up(dialogue.prompt, first.text, SURE),
                purpose="confidence",
                message=SURE,
                max_gen_toks=None if dialogue.think_end else MAX_NUMBER_TOKS,
            ),
            dialogue.choose(
                dialogue.follow_up(dialogue.prompt, first.text, RIGHT), ("Yes", "No"), message=RIGHT
            ),
        )
        reply = {"answer": first.text, "confidence": sure.text, "p_yes": right.p_yes}
        return json.dumps(reply, ensure_ascii=False)

    def score(self, doc: Mapping[str, Any], answer: str) -> Mapping[str, Any]:
        """One doc's part in every metric."""
        reply = json.loads(answer) if answer.strip() else {"answer": "", "confidence": ""}
        confidence = stated_confidence(reply["confidence"])
        known = Known(
            is_right=final_number(reply["answer"]) == doc["answer"],
            confidence=NO_IDEA if confidence is None else confidence,
            p_yes=reply.get("p_yes", NO_IDEA),
        )
        return {
            **dict.fromkeys(self.aggregations, known),
            "accuracy": float(known.is_right),
            "unparsed": float(confidence is None),
        }
