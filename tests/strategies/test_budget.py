import asyncio
from typing import Any

import pytest

from evalharness.config.schema import (
    ModelConfig,
    SamplingConfig,
    StrategyConfig,
    StrategyKind,
)
from evalharness.engines.requests import GenerateRequest
from evalharness.strategies.budget import budget
from evalharness.tasks.conversation import Dialogue
from scripted_model import ScriptedModel, dialogue

MODEL = ModelConfig(name="thinker", think_start="<think>", think_end="</think>")
THOUGHT = "abcdefghij"


def config(*budgets: int) -> StrategyConfig:
    return StrategyConfig(kind=StrategyKind.budget, budgets=list(budgets))


def think(prompt: str, request: GenerateRequest) -> str:
    """Ten tokens of thinking; answers with what it had thought."""
    if "</think>" not in prompt:
        return f"{THOUGHT}</think> unread"
    return prompt.split("<think>")[1].split("</think>")[0].strip() or "nothing"


def converse(
    byte_tokenizer: Any, *budgets: int, prompt: str = "Q"
) -> tuple[ScriptedModel, Dialogue, str]:
    model = ScriptedModel(byte_tokenizer, think)
    talk = dialogue(model, byte_tokenizer, prompt, config=MODEL)
    return model, talk, asyncio.run(budget(config(*budgets), talk))


def test_thinking_is_cut_at_each_budget(byte_tokenizer: Any) -> None:
    _, talk, _ = converse(byte_tokenizer, 0, 3, 6)
    answers = {tried.step: tried.turn.text for tried in talk.attempts}
    assert answers == {0: "nothing", 3: "abc", 6: "abcdef"}


def test_the_answer_is_that_of_the_largest_budget(byte_tokenizer: Any) -> None:
    _, _, answer = converse(byte_tokenizer, 6, 3)
    assert answer == "abcdef"


def test_thinking_is_generated_once_for_all_budgets(byte_tokenizer: Any) -> None:
    model, _, _ = converse(byte_tokenizer, 0, 3, 6)
    assert sum("</think>" not in prompt for prompt in model.prompts) == 1


def test_a_thinking_that_ends_by_itself_is_kept_whole_by_larger_budgets(
    byte_tokenizer: Any,
) -> None:
    _, talk, answer = converse(byte_tokenizer, 100, 200)
    assert answer == THOUGHT
    assert [tried.num_tokens for tried in talk.attempts] == [2 * len(THOUGHT)] * 2


@pytest.mark.parametrize("temperature", [0.0, 0.6])
def test_larger_budgets_than_the_thinking_ask_the_same_request(
    byte_tokenizer: Any, temperature: float
) -> None:
    model = ScriptedModel(byte_tokenizer, think)
    sampling = SamplingConfig(temperature=temperature)
    talk = dialogue(model, byte_tokenizer, "Q", config=MODEL, sampling=sampling)
    asyncio.run(budget(config(100, 200), talk))
    answers = [r for r, p in zip(model.requests, model.prompts, strict=True) if "</think>" in p]
    assert len(set(answers)) == 1


def test_a_prompt_that_opens_the_thinking_is_not_opened_twice(byte_tokenizer: Any) -> None:
    model, _, _ = converse(byte_tokenizer, 3, prompt="Q<think>\n")
    assert all(prompt.count("<think>") == 1 for prompt in model.prompts)


def test_a_thinking_that_was_cut_on_purpose_is_not_counted_as_truncated(
    byte_tokenizer: Any,
) -> None:
    _, talk, _ = converse(byte_tokenizer, 3)
    (thought,) = [turn for turn in talk.turns if turn.purpose == "think"]
    assert thought.generation is not None
    assert thought.generation.finish_reason == "budget"


def test_thinking_that_fills_the_context_leaves_room_for_the_answer(byte_tokenizer: Any) -> None:
    def endless(prompt: str, request: GenerateRequest) -> str:
        return "4" if "</think>" in prompt else "hm " * 500

    model = ScriptedModel(byte_tokenizer, endless)
    talk = dialogue(model, byte_tokenizer, "Q", config=MODEL, max_model_len=300)
    assert asyncio.run(budget(config(0, 64, 4096), talk)) == "4"
    assert [tried.turn.text for tried in talk.attempts] == ["4"] * 3


def test_a_forced_answer_that_its_limit_cut_is_no_answer(byte_tokenizer: Any) -> None:
    def long(prompt: str, request: GenerateRequest) -> str:
        return "4 " * 50 if "</think>" in prompt else "hm</think>"

    talk = dialogue(
        ScriptedModel(byte_tokenizer, long),
        byte_tokenizer,
        "Q",
        config=MODEL,
        gen_kwargs={"until": [], "max_gen_toks": 10},
    )
    assert asyncio.run(budget(config(5), talk)) == ""
