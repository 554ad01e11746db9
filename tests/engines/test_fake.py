import asyncio
from dataclasses import replace

import pytest

from evalharness.engines import RequestError
from evalharness.engines.fake import FakeEngine
from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
)
from evalharness.errors import EngineError

GENERATE = GenerateRequest(prompt_token_ids=(1, 2), sampling=SamplingParams())
SCORE = ScoreRequest(context_token_ids=(1, 2), continuations=((3,), (4, 5)))


def test_same_request_same_answer() -> None:
    first, second = FakeEngine(), FakeEngine()
    assert asyncio.run(first.generate(GENERATE)) == asyncio.run(second.generate(GENERATE))
    assert asyncio.run(first.score(SCORE)) == asyncio.run(second.score(SCORE))


def test_another_seed_another_answer() -> None:
    first, second = FakeEngine(), FakeEngine(seed=1)
    assert asyncio.run(first.score(SCORE)) != asyncio.run(second.score(SCORE))


def test_it_dies_when_configured() -> None:
    engine = FakeEngine(die_after=1)
    asyncio.run(engine.score(SCORE))
    with pytest.raises(EngineError):
        asyncio.run(engine.score(SCORE))


def test_it_fails_requests_when_configured() -> None:
    with pytest.raises(RequestError):
        asyncio.run(FakeEngine(fail_share=1.0).generate(GENERATE))


def test_a_stop_string_ends_the_answer() -> None:
    request = replace(GENERATE, sampling=SamplingParams(stop=(" is",), max_gen_toks=2))
    said = asyncio.run(FakeEngine().generate(request))
    assert (said.text, said.finish_reason) == (" The answer", "stop")
