from dataclasses import replace

import pytest

from evalharness.report.arms import arms
from evalharness.store.records import TurnRecord

TURN = TurnRecord(
    task="t", doc_id=0, doc_hash="h", repeat=0, turn=0, arm="", step=0, purpose="answer", message="", text="4",
    thinking=None, answer="4", score=1.0, p_yes=None, token_ids=(1,), num_prompt_tokens=5, finish_reason="stop",
    latency_s=0.1,
)  # fmt: skip


def turns(*of: tuple[str, int, str]) -> list[TurnRecord]:
    """Turns of (arm, step, purpose), in the order in which they were answered."""
    return [
        replace(TURN, turn=number, arm=arm, step=step, purpose=purpose)
        for number, (arm, step, purpose) in enumerate(of)
    ]


def shown(*of: tuple[str, int, str]) -> dict[str, list[str]]:
    """Heading -> what its turns are."""
    return {arm.heading: [turn.what for turn in arm.turns] for arm in arms(turns(*of))}


def test_controls_are_no_turns_of_the_self_correction() -> None:
    answered = [("", 0, "answer"), ("reanswer", 1, "answer"), ("correct", 1, "critique"), ("vote", 2, "answer"),
                ("correct", 1, "answer"), ("vote", 1, "answer")]  # fmt: skip
    assert list(shown(*answered).items()) == [
        ("First answer", [""]),
        ("Self-correction", ["critique, round 1", "answer, round 1"]),
        ("Control: asked again", ["answer, round 1"]),
        ("Control: independent answers", ["answer, draw 1", "answer, draw 2"]),
    ]


def test_a_draw_and_what_the_model_finds_of_it_stand_together() -> None:
    answered = [("sample", 1, "answer"), ("sample", 0, "answer"), ("sample", 0, "verify"), ("sample", 1, "verify")]  # fmt: skip
    assert shown(*answered) == {
        "Draws": ["answer, draw 0", "verify, draw 0", "answer, draw 1", "verify, draw 1"]
    }


def test_the_thinking_comes_before_the_answers_at_its_budgets() -> None:
    answered = [("budget", 512, "think"), ("budget", 512, "answer"), ("budget", 0, "answer")]
    assert shown(*answered) == {
        "Thinking budgets": ["think", "answer, budget 0", "answer, budget 512"]
    }
    assert {turn.asks for arm in arms(turns(*answered)) for turn in arm.turns} == {
        "the thinking is ended with"
    }


def test_a_tasks_own_conversation_is_read_in_its_order() -> None:
    assert shown(("", 0, "answer"), ("", 1, "guess"), ("", 2, "answer")) == {
        "Conversation": ["", "guess, step 1", "step 2"]
    }
    assert shown(("", 0, "answer"), ("again", 0, "answer")) == {
        "First answer": [""],
        "again": [""],
    }


def test_one_turn_alone_is_a_response() -> None:
    assert shown(("sample", 3, "answer")) == {"Response": ["answer, draw 3"]}
    assert shown(("", 0, "answer")) == {"Response": [""]}


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_is_lost(number: int) -> None:
    given = turns(*[("x", 0, "answer"), ("vote", 3, "answer"), ("", 0, "answer")][: 3 * number])
    assert sorted(t.turn.turn for arm in arms(given) for t in arm.turns) == [t.turn for t in given]
