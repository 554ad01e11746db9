"""Docs of number_sums: sums of two numbers below 100, drawn from a seed; nothing is stored.

Only `random()` is used: it alone is promised to give the same numbers in every Python version.
"""

import random
from typing import Any

import datasets

SEED = 20250601
NUM_TEST = 200
NUM_FEWSHOT = 8


def load(**_: Any) -> datasets.DatasetDict:
    """Splits `test` and `fewshot`, without a sum in common."""
    docs = [make_doc(a, b) for a, b in held_out()]
    return datasets.DatasetDict(
        fewshot=datasets.Dataset.from_list(docs[:NUM_FEWSHOT]),
        test=datasets.Dataset.from_list(docs[NUM_FEWSHOT:]),
    )


def held_out() -> list[tuple[int, int]]:
    """The pairs of both splits: what a model that is trained on sums must not see."""
    rng = random.Random(SEED)
    pairs: dict[tuple[int, int], None] = {}
    while len(pairs) < NUM_FEWSHOT + NUM_TEST:
        pairs[int(100 * rng.random()), int(100 * rng.random())] = None
    return list(pairs)


def make_doc(a: int, b: int) -> dict[str, Any]:
    """The sum of a and b as a doc."""
    return {"id": f"{a}+{b}", "a": a, "b": b, "question": f"{a}+{b}=", "sum": str(a + b)}
