import asyncio
from typing import Any

import pytest

from evalharness.config.schema import (
    ModelConfig,
    StrategyConfig,
    StrategyKind,
)
from evalharness.engines.requests import GenerateRequest
from evalharness.strategies.self_correct import self_correct
from evalharness.tasks.conversation import (
    Dialogue,
    TurnError,
)
from scripted_model import ScriptedModel, dialogue

CONFIG = StrategyConfig(
    kind=StrategyKind.self_correct,
    rounds=2,
    max_critique_toks=32,
    critique="CRITIQUE",
    correct="CORRECT",
    reanswer="AGAIN",
)


def reply(prompt: str, request: GenerateRequest) -> str:
    """Says what it was asked last."""
    last = max(("CRITIQUE", "CORRECT", "AGAIN"), key=prompt.rfind)
    return f"after {last}" if last in prompt else "first"


def converse(byte_tokenizer: Any, config: StrategyConfig = CONFIG) -> tuple[Dialogue, str]:
    talk = dialogue(ScriptedModel(byte_tokenizer, reply), byte_tokenizer)
    return talk, asyncio.run(self_correct(config, talk))


def test_the_answer_is_that_of_the_last_round(byte_tokenizer: Any) -> None:
    _, answer = converse(byte_tokenizer)
    assert answer == "after CORRECT"


def test_each_round_is_a_critique_and_an_answer(byte_tokenizer: Any) -> None:
    talk, _ = converse(byte_tokenizer)
    turns = [(t.step, t.purpose, t.message) for t in talk.turns if t.arm == "correct"]
    assert turns == [
        (1, "critique", "CRITIQUE"),
        (1, "answer", "CORRECT"),
        (2, "critique", "CRITIQUE"),
        (2, "answer", "CORRECT"),
    ]


def test_both_arms_begin_with_the_same_answer(byte_tokenizer: Any) -> None:
    talk, _ = converse(byte_tokenizer)
    (one, other) = [tried.turn for tried in talk.attempts if tried.step == 0]
    assert one is other


def test_the_control_is_asked_again_without_a_critique(byte_tokenizer: Any) -> None:
    model = ScriptedModel(byte_tokenizer, reply)
    talk = dialogue(model, byte_tokenizer)
    asyncio.run(self_correct(CONFIG, talk))
    again = [prompt for prompt in model.prompts if "AGAIN" in prompt]
    assert len(again) == CONFIG.rounds
    assert not any("CRITIQUE" in prompt or "CORRECT" in prompt for prompt in again)


def test_nobody_tells_the_model_whether_it_was_right(byte_tokenizer: Any) -> None:
    model = ScriptedModel(byte_tokenizer, reply)
    asyncio.run(self_correct(CONFIG, dialogue(model, byte_tokenizer)))
    said = {"Q: 2+2?\nA:", "first", "after CRITIQUE", "after CORRECT", "CRITIQUE", "CORRECT"}
    longest = max((p for p in model.prompts if "CRITIQUE" in p), key=len)
    for text in sorted(said, key=len, reverse=True):
        longest = longest.replace(text, "")
    assert longest.strip() == byte_tokenizer.bos_token or not longest.strip()


def test_votes_cost_at_least_as_much_as_the_correction(byte_tokenizer: Any) -> None:
    talk, _ = converse(byte_tokenizer)
    cost = max(t.num_tokens for t in talk.attempts if t.arm == "correct")
    first = next(t for t in talk.attempts if t.step == 0).num_tokens
    votes = [t.num_tokens for t in talk.attempts if t.arm == "vote"]
    assert first + sum(votes) >= cost > first + sum(votes[:-1])


def test_votes_are_draws_with_seeds_of_their_own(byte_tokenizer: Any) -> None:
    model = ScriptedModel(byte_tokenizer, reply)
    asyncio.run(self_correct(CONFIG, dialogue(model, byte_tokenizer)))
    seeds = [r.sampling.seed for r in model.requests if r.sampling.temperature > 0]
    assert len(set(seeds)) == len(seeds) > 2


def test_a_turn_that_does_not_fit_the_context_fails_the_sample(byte_tokenizer: Any) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, reply), byte_tokenizer, max_model_len=40)
    with pytest.raises(TurnError, match="context_overflow"):
        asyncio.run(self_correct(CONFIG, talk))


def test_a_thinking_model_has_the_tasks_room_for_its_critique(byte_tokenizer: Any) -> None:
    def think(prompt: str, request: GenerateRequest) -> str:
        return f"<think>{'hm ' * 15}</think>{reply(prompt, request)}"

    thinker = ModelConfig(name="t", think_start="<think>", think_end="</think>")
    talk = dialogue(
        ScriptedModel(byte_tokenizer, think),
        byte_tokenizer,
        config=thinker,
        gen_kwargs={"until": [], "max_gen_toks": 128},
    )
    asyncio.run(self_correct(CONFIG, talk))
    critiques = [turn.text for turn in talk.turns if turn.purpose == "critique"]
    assert critiques == ["after CRITIQUE"] * CONFIG.rounds
