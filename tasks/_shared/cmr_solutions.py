"""Worked solutions, right ones and ones with a single mistake: the docs of cmr_judge and cmr_self_correct.

A problem is a stock of things and five events that change it; its solution has a numbered step for each event. A wrong
solution has one wrong step; the steps after it go on from its result without a further mistake, so that the first wrong
step is the only one, and the answer is always wrong because no event maps two numbers to one.

The mistake is one of three, each equally often at each of the five steps and at both levels:
    result     the step's calculation comes out wrong: 24 + 36 = 70
    operation  another operation than the event's: 24 - 36 for 36 more
    number     another number than the event's: 24 + 63 for 36 more

Docs are made from a seed and are the same in every Python version. Fields of a doc: `problem`, `solution` (numbered
lines), `given` (the solution's answer), `answer` (the right one), `first_wrong` (step, 0 in a right solution), `mistake`,
`level`, `verdict` (what cmr_judge wants), `checking` and `solving` (how a perfect model gets there).
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets

NUM_STEPS = 5
MISTAKES = ("result", "operation", "number")
STORIES = (
    ("A bakery has {} rolls in the morning.", "rolls", "{} more are baked", "{} are sold", "a delivery makes it {} times as many", "the rolls are shared equally among {} shops, and only those of one shop count from here on"),
    ("A library starts with {} books.", "books", "{} books are donated", "{} old books are given away", "a merger makes the stock {} times as large", "the stock is split equally over {} branches, and only one branch counts from here on"),
    ("A farmer picks {} apples.", "apples", "{} more are picked", "{} turn out to be rotten and are thrown away", "the neighbours' harvest makes it {} times as many", "the apples are packed equally into {} crates, and only one crate counts from here on"),
    ("A game begins with {} points.", "points", "a bonus adds {} points", "a penalty takes {} points away", "a joker multiplies the points by {}", "a trap divides the points by {}"),
    ("A warehouse holds {} boxes.", "boxes", "a truck brings {} boxes", "{} boxes are shipped", "a new hall makes the stock {} times as large", "the stock is divided equally among {} sites, and only one site counts from here on"),
)  # fmt: skip
"""Opening, thing, and an event for each of OPERATIONS."""
OPERATIONS = "+-*/"
OTHER = {"+": "-", "-": "+", "*": "+", "/": "-"}
"""Operation -> the one that a mistake takes for it."""
LEVELS = ((12, 60, 3, 40), (110, 600, 35, 400))
"""Start from, to, and what is added or taken away, from, to."""
TRIES = 10_000


class Event(NamedTuple):
    """What happens to the stock."""

    operation: str
    number: int


class Step(NamedTuple):
    """A line of a solution: `before operation number = after`."""

    before: int
    operation: str
    number: int
    after: int

    def __str__(self) -> str:
        return f"{self.before} {self.operation} {self.number} = {self.after}"


class Draw:
    """Random choices out of `random.random`, which alone gives the same numbers in every Python version."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random() * (high - low + 1))


def load(seed: int, num_docs: int, **_: Any) -> datasets.DatasetDict:
    """Splits `test`, and `fewshot` with a right and a wrong solution, made from another seed."""
    return datasets.DatasetDict(
        fewshot=datasets.Dataset.from_list(make_docs(seed - 1, 2, first_wrong=3)),
        test=datasets.Dataset.from_list(make_docs(seed, num_docs)),
    )


def make_docs(seed: int, num_docs: int, first_wrong: int = 0) -> list[dict[str, Any]]:
    """Right and wrong solutions by turns; of 60 consecutive docs 30 are wrong, each step x mistake x level once.

    Args:
        seed: of all that is random.
        num_docs: distinct problems.
        first_wrong: step of the mistake in all wrong ones; 0 for each step in turn.
    """
    draw = Draw(seed)
    docs: dict[str, dict[str, Any]] = {}
    while len(docs) < num_docs:
        i = len(docs)
        turn = i // 2
        is_wrong = i % 2 == 1
        level = turn % 2 + 1
        place = (first_wrong or turn % NUM_STEPS + 1) if is_wrong else 0
        doc = make_doc(draw, level, place, MISTAKES[turn % 3] if is_wrong else "")
        docs.setdefault(doc["problem"], {"id": f"{seed}-{i:03d}", **doc})
    return list(docs.values())


def make_doc(draw: Draw, level: int, first_wrong: int, mistake: str) -> dict[str, Any]:
    """One problem with a solution; `first_wrong` is 0 for a right one."""
    for _ in range(TRIES):
        start, events = _events(draw, level)
        right = solve(start, events)
        shown = right
        if first_wrong:
            shown = corrupted(draw, right, first_wrong, mistake)
        if is_plausible(right) and is_plausible(shown):
            break
    else:
        raise RuntimeError(f"no {mistake} mistake at step {first_wrong}")
    problem = _problem(draw, start, events)
    return {
        "level": level,
        "mistake": mistake,
        "first_wrong": first_wrong,
        "problem": problem,
        "solution": "\n".join(f"Step {i}: {step}" for i, step in enumerate(shown, start=1)),
        "given": str(shown[-1].after),
        "answer": str(right[-1].after),
        "verdict": f"step {first_wrong}" if first_wrong else "correct",
        "checking": _checking(right, shown, first_wrong),
        "solving": "\n".join(map(str, right)),
    }


def solve(start: int, events: Sequence[Event]) -> list[Step]:
    """The right steps."""
    steps, stock = [], start
    for operation, number in events:
        steps.append(Step(stock, operation, number, apply(stock, operation, number)))
        stock = steps[-1].after
    return steps


def corrupted(draw: Draw, right: Sequence[Step], first_wrong: int, mistake: str) -> list[Step]:
    """The steps with one mistake, and what follows from it."""
    before, operation, number, after = right[first_wrong - 1]
    if mistake == "operation":
        operation = OTHER[operation]
        after = apply(before, operation, number)
    elif mistake == "number":
        number = _misread(draw, operation, number)
        after = apply(before, operation, number)
    else:
        after += (1, -1, 10, -10, 2, -2)[draw.whole(0, 5)]
    later = [Event(step.operation, step.number) for step in right[first_wrong:]]
    wrong = Step(before, operation, number, after)
    return [*right[: first_wrong - 1], wrong, *solve(after, later)]


def apply(stock: int, operation: str, number: int) -> int:
    """The stock after an event; -1 where a division leaves a rest."""
    if operation == "/":
        return -1 if stock % number else stock // number
    return {"+": stock + number, "-": stock - number, "*": stock * number}[operation]


def is_plausible(steps: Sequence[Step]) -> bool:
    """Whole positive numbers of a reasonable size all the way."""
    return all(0 < step.after < 10_000 for step in steps)


def _events(draw: Draw, level: int) -> tuple[int, list[Event]]:
    """A start and five events: at least three kinds, one multiplication and one division at most."""
    least, most, low, high = LEVELS[level - 1]
    while True:
        kinds = [OPERATIONS[draw.whole(0, 3)] for _ in range(NUM_STEPS)]
        if len(set(kinds)) >= 3 and kinds.count("*") <= 1 and kinds.count("/") <= 1:
            break
    numbers = [draw.whole(low, high) if kind in "+-" else draw.whole(2, 4) for kind in kinds]
    return draw.whole(least, most), [Event(*event) for event in zip(kinds, numbers, strict=True)]


def _misread(draw: Draw, operation: str, number: int) -> int:
    """Another number: its digits turned round or one of them changed; for a factor, its neighbour."""
    if operation in "*/":
        return number + 1
    turned = int(str(number)[::-1])
    return turned if turned != number and number % 10 else number + 10 * draw.whole(1, 3)


def _problem(draw: Draw, start: int, events: Sequence[Event]) -> str:
    opening, things, *happenings = STORIES[draw.whole(0, len(STORIES) - 1)]
    told = [happenings[OPERATIONS.index(kind)].format(number) for kind, number in events]
    first, *middle, last = [text[0].upper() + text[1:] + "." for text in told]
    sentences = [opening.format(start), first, *(f"Then {t[0].lower()}{t[1:]}" for t in middle)]
    return " ".join([*sentences, f"At last {last[0].lower()}{last[1:]}", f"How many {things} are there in the end?"])  # fmt: skip


def _checking(right: Sequence[Step], shown: Sequence[Step], first_wrong: int) -> str:
    """A line for each step up to the first wrong one."""
    num_right = first_wrong - 1 if first_wrong else len(shown)
    lines = [f"Step {i} is right: {step}." for i, step in enumerate(shown[:num_right], start=1)]
    if first_wrong:
        wanted = right[first_wrong - 1]
        lines.append(f"Step {first_wrong} is wrong: it should be {wanted}.")
    return "\n".join(lines)
