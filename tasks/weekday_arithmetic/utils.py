"""Docs of weekday_arithmetic: made here from a seed, not stored.

The same seed gives the same docs in every Python version; a set that no model has seen is one new seed (and a new
task version) away.
"""

import random
from typing import Any

import datasets

SEED = 20250101
NUM_TEST = 126
"""Three times 42 = 3 levels x 7 weekdays x 2 directions, each of them equally often; so are the first 42 and 84."""
NUM_FEWSHOT = 6
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LEVELS = ((1, 6), (7, 60), (100, 999))
"""Distance in days, both ends included: within a week, some weeks, years."""


def load(**_: Any) -> datasets.DatasetDict:
    """Splits `test` and `fewshot`, without a question in common."""
    docs = make_docs(SEED, NUM_FEWSHOT + NUM_TEST)
    return datasets.DatasetDict(
        fewshot=datasets.Dataset.from_list(docs[:NUM_FEWSHOT]),
        test=datasets.Dataset.from_list(docs[NUM_FEWSHOT:]),
    )


def make_docs(seed: int, num_docs: int) -> list[dict[str, Any]]:
    """Distinct questions; 42 consecutive ones hold every level, answer and direction once."""
    rng = random.Random(seed)
    docs: dict[str, dict[str, Any]] = {}
    while len(docs) < num_docs:
        i = len(docs)
        level, answer, is_later = i % 3, 5 * i % 7, i % 2 == 0
        low, high = LEVELS[level]
        # Only random() is promised to give the same numbers in every Python version.
        days = low + int(rng.random() * (high - low + 1))
        doc = make_doc(answer, days, is_later)
        docs.setdefault(doc["question"], {"id": f"{seed}-{i:03d}", "level": level + 1, **doc})
    return list(docs.values())


def make_doc(answer: int, days: int, is_later: bool) -> dict[str, Any]:
    """The question whose answer is WEEKDAYS[answer], with its working."""
    start = WEEKDAYS[(answer - days if is_later else answer + days) % 7]
    weeks, rest = divmod(days, 7)
    when = f"{days} day{'s' if days > 1 else ''} {'after' if is_later else 'before'}"
    step = f"{rest} day{'s' if rest > 1 else ''} {'after' if is_later else 'before'}"
    split = f"{days} = {weeks} * 7 + {rest}, and " if weeks else ""
    moved = f"{step} {start} is {WEEKDAYS[answer]}." if rest else "whole weeks change nothing."
    working = split + moved
    return {
        "question": f"Which day of the week is {when} a {start}?",
        "working": working[0].upper() + working[1:],
        "weekday": WEEKDAYS[answer],
    }
