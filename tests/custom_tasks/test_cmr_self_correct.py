"""Fixing and keeping: only a model that tells the two apart scores."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from shipped_tasks import module

utils = module("cmr_self_correct/utils.py")
DOCS = module("_shared/cmr_solutions.py").make_docs(20261104, 120)


def score(answer: Callable[[dict[str, Any]], str]) -> float:
    found = utils.score([utils.process_results(doc, [answer(doc)])["score"] for doc in DOCS])
    assert isinstance(found, float)
    return found


def test_always_right_scores_1() -> None:
    assert score(lambda doc: doc["answer"]) == 1


def test_always_leaving_the_given_answer_scores_0() -> None:
    assert score(lambda doc: doc["given"]) == 0


def test_always_changing_the_answer_scores_0() -> None:
    assert score(lambda doc: str(int(doc["given"]) + 1)) == 0


def test_mending_every_wrong_one_and_spoiling_every_right_one_scores_0() -> None:
    assert score(lambda doc: doc["answer"] if doc["first_wrong"] else "1") == 0


def test_solving_half_of_all_problems_anew_scores_0() -> None:
    right = {doc["id"] for doc in DOCS if DOCS.index(doc) % 4 < 2}
    assert score(lambda doc: doc["answer"] if doc["id"] in right else "1") == 0


def test_leaving_or_mending_by_lot_scores_next_to_nothing() -> None:
    rng = random.Random(0)
    values = [
        score(lambda doc: rng.choice([doc["given"], str(int(doc["given"]) + 1)]))
        for _ in range(100)
    ]
    assert sum(values) / len(values) < 0.02


def test_leaving_right_ones_and_mending_half_of_the_wrong_ones_scores_a_half() -> None:
    wrong = [doc["id"] for doc in DOCS if doc["first_wrong"]]
    mended = set(wrong[:30])
    assert score(lambda doc: doc["answer"] if doc["id"] in mended else doc["given"]) == 0.5


def test_a_doc_counts_for_fixing_or_for_keeping() -> None:
    right, wrong = (utils.process_results(doc, [doc["answer"]]) for doc in DOCS[:2])
    assert (right["keep_rate"], "fix_rate" in right) == (1, False)
    assert (wrong["fix_rate"], "keep_rate" in wrong) == (1, False)


def test_a_reply_without_a_number_is_neither_fixed_nor_kept() -> None:
    right, wrong = (utils.process_results(doc, ["it is fine"]) for doc in DOCS[:2])
    assert (right["keep_rate"], right["unparsed"]) == (0, 1)
    assert (wrong["fix_rate"], wrong["unparsed"]) == (0, 1)


def test_one_half_alone_has_no_score() -> None:
    assert math.isnan(utils.score([utils.Checked(is_wrong=True, is_right_now=True)]))


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("60", 60), ("1,250 rolls.", 1250), ("24 + 36 = 60", 60), ("**60** (of 2 kinds)", 60), ("60.0", 60),
        ("", None), ("[invalid]", None), (r"$\boxed{60}$", 60),
    ],
)  # fmt: skip
def test_number_is_read(answer: str, number: int | None) -> None:
    assert utils.final_number(answer) == number
