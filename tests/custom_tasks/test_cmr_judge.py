"""The judge's score: what is worth 1, and what a model that doesn't look is worth."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from shipped_tasks import module

utils = module("cmr_judge/utils.py")
DOCS = module("_shared/cmr_solutions.py").make_docs(20261102, 120)

Judge = Callable[[dict[str, Any]], str]


def judged(judge: Judge) -> list[Any]:
    return [utils.process_results(doc, [judge(doc)])["score"] for doc in DOCS]


def test_naming_every_step_scores_1() -> None:
    assert utils.score(judged(lambda doc: doc["verdict"])) == 1


def test_right_verdicts_without_a_step_score_the_weight_of_mcc() -> None:
    items = judged(lambda doc: "step 9" if doc["first_wrong"] else "correct")
    assert utils.mcc(items) == 1
    assert utils.score(items) == pytest.approx(0.4)


def test_always_correct_scores_0() -> None:
    assert utils.score(judged(lambda doc: "correct")) == 0


@pytest.mark.parametrize("step", range(1, 6))
def test_always_naming_one_step_scores_what_the_readme_says(step: int) -> None:
    assert utils.score(judged(lambda doc: f"step {step}")) == pytest.approx(0.12)


def test_verdicts_by_lot_score_next_to_nothing() -> None:
    rng = random.Random(0)
    values = [
        utils.score(judged(lambda _: rng.choice(["correct", f"step {rng.randint(1, 5)}"])))
        for _ in range(100)
    ]
    assert sum(values) / len(values) < 0.09


def test_a_verdict_that_is_always_false_scores_0() -> None:
    items = judged(lambda doc: "correct" if doc["first_wrong"] else "step 1")
    assert utils.mcc(items) == -1
    assert utils.score(items) == 0


def test_a_reply_without_a_verdict_counts_as_the_false_one() -> None:
    for doc in DOCS[:2]:
        scores = utils.process_results(doc, ["I don't know"])
        assert scores["unparsed"] == 1
        assert scores["verdict_acc"] == 0
        assert scores["score"].says_wrong != scores["score"].is_wrong


def test_step_accuracy_is_over_wrong_solutions_only() -> None:
    right, wrong = DOCS[:2]
    assert "step_acc" not in utils.process_results(right, ["correct"])
    assert utils.process_results(wrong, [wrong["verdict"]])["step_acc"] == 1


def test_no_wrong_solution_has_no_score() -> None:
    assert math.isnan(utils.score(judged(lambda doc: "correct")[:1]))


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        ("correct", 0), ("**Correct**.", 0), ("correct, all steps are right", 0), ("step 3", 3), ("Step 3.", 3),
        ("The first wrong step is step 4", 4), ("step **2**", 2), ("5", 5), ("incorrect", None), ("42", None),
        ("", None), ("[invalid]", None), ("not correct", None),
    ],
)  # fmt: skip
def test_verdict_is_read(answer: str, step: int | None) -> None:
    assert utils.named_step(answer) == step


def test_the_instruction_echoed_is_no_verdict() -> None:
    assert utils.named_step('step N" if step N is the first wrong one.') is None
