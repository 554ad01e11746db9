"""The real vLLM on the demo checkpoint: log-likelihoods against the plain path and transformers, generations, errors."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from evalharness.config.schema import (
    EngineConfig,
    EngineKind,
    Scoring,
)
from evalharness.engines import Engine, RequestError, Weights, open_engine
from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
)
from evalharness.errors import ConfigError

pytestmark = pytest.mark.vllm

T = TypeVar("T")


@dataclass
class Running:
    """An engine, the loop it lives in, and the tokenizer."""

    engine: Engine
    runner: asyncio.Runner
    tokenizer: Any

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))


@pytest.fixture(scope="module")
def vllm(demo: Path) -> Iterator[Running]:
    from transformers import AutoTokenizer

    with asyncio.Runner() as runner:
        config = EngineConfig(max_model_len=1024, cpu_kv_cache_gib=1)
        engine = runner.run(open_engine(config, Weights(path=demo)))
        yield Running(engine, runner, AutoTokenizer.from_pretrained(demo))
        runner.run(engine.close())


@pytest.fixture(scope="module")
def hf(demo: Path) -> Iterator[Engine]:
    engine = asyncio.run(open_engine(EngineConfig(kind=EngineKind.hf), Weights(path=demo)))
    yield engine
    asyncio.run(engine.close())


LONG = "The river runs from the hills to the sea, past the mill and the old stone bridge. " * 6
CASES = {
    "one-token choices": ("Question: What is the capital of France?\nAnswer:", [" A", " B", " C"]),
    "short context": ("The sky is", [" blue", " green and wide", " green"]),
    "long context": (LONG + "It ends in", [" the sea.", " the hills.", " a lake far away."]),
    "shared first words": (LONG, ["The river runs from the hills to the sea", "The river is old"]),
    "a duplicate and a prefix": (LONG, [" the sea", " the sea", " the"]),
}


@pytest.mark.parametrize("num_choice", [1, 3])
def test_a_context_and_a_choice_that_fill_the_window_exactly_are_scored(
    vllm: Running, hf: Engine, num_choice: int
) -> None:
    token_ids = (vllm.tokens(LONG * 20))[:1024]
    request = ScoreRequest(
        context_token_ids=token_ids[:-num_choice], continuations=(token_ids[-num_choice:],)
    )
    (ours,) = vllm(vllm.engine.score(request)).continuations
    (theirs,) = asyncio.run(hf.score(request)).continuations
    assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)


@pytest.mark.parametrize("num_choice", [1, 3])
def test_the_plain_way_scores_what_fills_the_window_exactly(
    vllm: Running, monkeypatch: pytest.MonkeyPatch, num_choice: int
) -> None:
    token_ids = (vllm.tokens(LONG * 20))[:1024]
    request = ScoreRequest(
        context_token_ids=token_ids[:-num_choice], continuations=(token_ids[-num_choice:],)
    )
    (cached,) = vllm(vllm.engine.score(request)).continuations
    monkeypatch.setattr(vllm.engine, "_scoring", Scoring.plain)
    (plain,) = vllm(vllm.engine.score(request)).continuations
    assert plain.logprob == pytest.approx(cached.logprob, abs=1e-3)


def test_seeded_draws_of_more_prompts_than_a_step_holds_are_those_of_each_alone(
    vllm: Running,
) -> None:
    """Prompts that were computed in parts used to kill vLLM on a CPU."""
    requests = [
        GenerateRequest(
            prompt_token_ids=vllm.tokens(f"Number {i}. {LONG * 7}"),
            sampling=SamplingParams(temperature=0.8, seed=i, max_gen_toks=4),
            repeat=i,
        )
        for i in range(12)
    ]
    assert sum(len(request.prompt_token_ids) for request in requests) > 4096

    async def at_once() -> list[tuple[int, ...]]:
        found = await asyncio.gather(*(vllm.engine.generate(request) for request in requests))
        return [generation.token_ids for generation in found]

    together = vllm(at_once())
    assert together == [vllm(vllm.engine.generate(request)).token_ids for request in requests]


@pytest.mark.parametrize("case", CASES)
def test_cached_plain_and_transformers_agree(vllm: Running, hf: Engine, case: str) -> None:
    context, choices = CASES[case]
    request = ScoreRequest(
        context_token_ids=vllm.tokens(context),
        continuations=tuple(vllm.tokens(choice) for choice in choices),
    )
    engine: Any = vllm.engine
    cold = vllm(engine.score(request)).continuations
    warm = vllm(engine.score(request)).continuations
    engine._scoring = Scoring.plain
    plain = vllm(engine.score(request)).continuations
    engine._scoring = Scoring.prefix
    reference = asyncio.run(hf.score(request)).continuations
    for scores in (cold, warm, plain):
        assert [s.logprob for s in scores] == pytest.approx(
            [s.logprob for s in reference], abs=1e-4
        )
        assert [s.is_greedy for s in scores] == [s.is_greedy for s in reference]


@pytest.mark.parametrize("num_tokens", [15, 16, 17, 31, 32, 33, 47, 48, 49, 95, 96, 97])
def test_contexts_around_block_boundaries(vllm: Running, num_tokens: int) -> None:
    tokens = vllm.tokens(LONG)
    request = ScoreRequest(
        context_token_ids=tokens[:num_tokens],
        continuations=(tokens[num_tokens : num_tokens + 5], tokens[3:8], tokens[3:6]),
    )
    engine: Any = vllm.engine
    cached = vllm(engine.score(request)).continuations
    engine._scoring = Scoring.plain
    plain = vllm(engine.score(request)).continuations
    engine._scoring = Scoring.prefix
    assert [s.logprob for s in cached] == pytest.approx([s.logprob for s in plain], abs=1e-4)
    assert [s.is_greedy for s in cached] == [s.is_greedy for s in plain]


def test_what_a_request_left_in_the_cache_is_scored_again(vllm: Running) -> None:
    tokens = vllm.tokens(LONG)
    request = ScoreRequest(
        context_token_ids=tokens[:20],
        continuations=(tokens[20:60], (*tokens[20:40], 7), (*tokens[20:28], 7, 8, 9)),
    )
    first = vllm(vllm.engine.score(request))
    second = vllm(vllm.engine.score(request))
    assert [s.logprob for s in second.continuations] == pytest.approx(
        [s.logprob for s in first.continuations], abs=1e-4
    )
    assert [s.is_greedy for s in second.continuations] == [s.is_greedy for s in first.continuations]


def test_more_choices_than_vllm_takes_at_once_become_several_prompts(vllm: Running) -> None:
    request = ScoreRequest(
        context_token_ids=vllm.tokens("The capital of France is"),
        continuations=tuple((token,) for token in range(300)),
    )
    scores = vllm(vllm.engine.score(request)).continuations
    alone = ScoreRequest(
        context_token_ids=request.context_token_ids, continuations=request.continuations[299:]
    )
    assert len(scores) == 300
    assert scores[299].logprob == pytest.approx(
        vllm(vllm.engine.score(alone)).continuations[0].logprob, abs=1e-4
    )


def test_the_greedy_continuation_is_greedy(vllm: Running) -> None:
    context = vllm.tokens("1, 2, 3, 4,")
    greedy = vllm(
        vllm.engine.generate(
            GenerateRequest(prompt_token_ids=context, sampling=SamplingParams(max_gen_toks=6))
        )
    ).token_ids
    request = ScoreRequest(
        context_token_ids=context, continuations=(greedy, (*greedy[:-1], 5), (*greedy[:2], 5))
    )
    flags = [s.is_greedy for s in vllm(vllm.engine.score(request)).continuations]
    assert flags == [True, False, False]


def test_greedy_generation_equals_transformers(vllm: Running, hf: Engine) -> None:
    prompt = vllm.tokens("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>")
    request = GenerateRequest(
        prompt_token_ids=(*prompt, *vllm.tokens("assistant\n")),
        sampling=SamplingParams(max_gen_toks=40),
    )
    ours, reference = vllm(vllm.engine.generate(request)), asyncio.run(hf.generate(request))
    assert "Paris" in ours.text
    assert ours.text == reference.text
    assert ours.finish_reason == reference.finish_reason == "stop"


def test_a_stop_string_ends_the_text_before_it(vllm: Running) -> None:
    request = GenerateRequest(
        prompt_token_ids=vllm.tokens("1, 2, 3, 4,"),
        sampling=SamplingParams(max_gen_toks=40, stop=(" 7",)),
    )
    generation = vllm(vllm.engine.generate(request))
    assert generation.text == " 5, 6,"
    assert generation.finish_reason == "stop"


def test_a_cut_answer_says_length(vllm: Running) -> None:
    request = GenerateRequest(
        prompt_token_ids=vllm.tokens("1, 2, 3, 4,"), sampling=SamplingParams(max_gen_toks=3)
    )
    generation = vllm(vllm.engine.generate(request))
    assert generation.finish_reason == "length"
    assert len(generation.token_ids) == 3


def test_the_same_seed_draws_the_same_answer(vllm: Running) -> None:
    def draw(seed: int) -> str:
        sampling = SamplingParams(temperature=1.0, seed=seed, max_gen_toks=12)
        request = GenerateRequest(
            prompt_token_ids=vllm.tokens("Once upon a time"), sampling=sampling
        )
        return vllm(vllm.engine.generate(request)).text

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_refused_request_leaves_the_engine_alive(vllm: Running) -> None:
    too_long = ScoreRequest(context_token_ids=(5,) * 2000, continuations=((6,),))
    with pytest.raises(RequestError):
        vllm(vllm.engine.score(too_long))
    fine = ScoreRequest(context_token_ids=(5, 6), continuations=((7,),))
    assert len(vllm(vllm.engine.score(fine)).continuations) == 1


def test_the_engine_says_what_it_is(vllm: Running) -> None:
    info = vllm.engine.info
    assert (info.kind, info.dtype, info.max_model_len) == ("vllm", "float32", 1024)


def test_an_unknown_vllm_argument_names_the_nearest(demo: Path) -> None:
    config = EngineConfig(extra={"max_num_batched_token": 8})
    with pytest.raises(ConfigError, match=r"engine\.extra.*did you mean"):
        asyncio.run(open_engine(config, Weights(path=demo)))
