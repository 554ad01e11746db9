import asyncio
from typing import Any

import pytest

from evalharness.config.schema import (
    StrategyConfig,
    StrategyKind,
)
from evalharness.engines.requests import GenerateRequest
from evalharness.strategies.verify import verify
from scripted_model import ScriptedModel, dialogue

CONFIG = StrategyConfig(kind=StrategyKind.verify, k=4, verify="RIGHT?")


def numbered(prompt: str, request: GenerateRequest) -> str:
    return f"draw {request.repeat}"


def likes_two(prompt: str) -> float:
    return 0.9 if "draw 2" in prompt else 0.2


def test_the_answer_is_the_draw_that_the_model_trusts_most(byte_tokenizer: Any) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, numbered, p_yes=likes_two), byte_tokenizer)
    assert asyncio.run(verify(CONFIG, talk)) == "draw 2"


def test_every_draw_has_its_own_probability(byte_tokenizer: Any) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, numbered, p_yes=likes_two), byte_tokenizer)
    asyncio.run(verify(CONFIG, talk))
    assert [tried.step for tried in talk.attempts] == [0, 1, 2, 3]
    assert [tried.p_yes for tried in talk.attempts] == pytest.approx([0.2, 0.2, 0.9, 0.2])


def test_of_equals_the_first_draw_wins(byte_tokenizer: Any) -> None:
    talk = dialogue(ScriptedModel(byte_tokenizer, numbered), byte_tokenizer)
    assert asyncio.run(verify(CONFIG, talk)) == "draw 0"


def test_an_answer_is_judged_behind_its_own_question(byte_tokenizer: Any) -> None:
    seen = []

    def p_yes(prompt: str) -> float:
        seen.append(prompt)
        return 0.5

    talk = dialogue(ScriptedModel(byte_tokenizer, numbered, p_yes=p_yes), byte_tokenizer)
    asyncio.run(verify(CONFIG, talk))
    assert all("2+2?" in prompt and "draw" in prompt and "RIGHT?" in prompt for prompt in seen)


def test_the_draws_of_a_docs_second_sample_are_others(byte_tokenizer: Any) -> None:
    model = ScriptedModel(byte_tokenizer, numbered)
    for first_draw in (0, 1 << 16):
        talk = dialogue(model, byte_tokenizer, first_draw=first_draw)
        asyncio.run(verify(CONFIG, talk))
    seeds = [request.sampling.seed for request in model.requests]
    assert len(set(seeds)) == 2 * CONFIG.k
