"""What is asked, said and scored of models that always say the same, and that the engines agree on it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lm_eval.api.instance import Instance

from evalharness.config import Device, EngineConfig, EngineKind, ModelConfig
from evalharness.engines import Engine, Weights, open_engine
from evalharness.records import GenerateRequest, Generation
from evalharness.tasks.lm import EngineLM
from evalharness.tasks.plans import send
from tiny_checkpoints import make_chain

FIVE, NINE, NEXT, END = "The answer is 5.", "The answer is 9.", " Question: 4+5?", "<|im_end|>"
START, STOP = "<think>", "</think>"


class Case(NamedTuple):
    chain: Mapping[str, Any]
    gen_kwargs: Mapping[str, Any]
    text: str
    thinking: str | None
    finish_reason: str
    num_tokens: int


UNTIL = {"until": ["<|im_end|>", "Question:"], "max_gen_toks": 12}
CASES = {
    "answers without tags and runs on": Case(
        {"said": [FIVE, NEXT, NINE, END]}, UNTIL, FIVE + " ", None, "stop", 4
    ),
    "thinks, answers and runs on to the limit": Case(
        {"said": [START, "ab", STOP, FIVE, NEXT, NINE], "loops": True},
        UNTIL,
        FIVE + " ",
        "ab",
        "stop",
        12,
    ),
    "tags are special tokens": Case(
        {"said": [START, NINE, STOP, FIVE, END], "special": [START, STOP]},
        UNTIL,
        FIVE,
        NINE,
        "stop",
        5,
    ),
    "tags are special tokens, and the prompt opens the thinking": Case(
        {"said": [START, NINE, STOP, FIVE, END], "special": [START, STOP], "opens": START},
        UNTIL,
        FIVE,
        NINE,
        "stop",
        4,
    ),
    "tags are plain text": Case(
        {"said": [START, NINE, STOP, FIVE, END]}, UNTIL, FIVE, NINE, "stop", 5
    ),
    "a stop string is a special token": Case(
        {"said": [FIVE, "<|eot|>", NINE, END], "special": ["<|eot|>"]},
        {"until": ["<|eot|>"], "max_gen_toks": 12},
        FIVE,
        None,
        "stop",
        4,
    ),
    "an end token of generation_config.json": Case(
        {
            "said": [FIVE, "<|eot|>", NINE, END],
            "special": ["<|eot|>"],
            "generation_config": {"eos_token_id": [2, 259 + 1]},
        },
        UNTIL,
        FIVE,
        None,
        "stop",
        2,
    ),
    "the prompt's last word and the answer's first are no stop string": Case(
        {"said": ["\n5", NINE, END]},
        {"until": ["\n\n"], "max_gen_toks": 12},
        "\n5" + NINE,
        None,
        "stop",
        3,
    ),
    "settings of generation_config.json are none of ours": Case(
        {
            "said": [FIVE, NEXT, NINE, END],
            "generation_config": {
                "eos_token_id": 2,
                "suppress_tokens": [259],
                "begin_suppress_tokens": [259],
                "forced_eos_token_id": 261,
                "no_repeat_ngram_size": 1,
                "num_beams": 3,
                "min_new_tokens": 9,
                "repetition_penalty": 9.0,
            },
        },
        UNTIL,
        FIVE + " ",
        None,
        "stop",
        4,
    ),
    "min_tokens": Case(
        {"said": [FIVE, END]}, {"min_tokens": 2, "max_gen_toks": 2}, FIVE, None, "length", 2
    ),
    "stop_token_ids": Case(
        {"said": [FIVE, NINE, END]},
        {"stop_token_ids": [260], "max_gen_toks": 12},
        FIVE,
        None,
        "stop",
        2,
    ),
    "logit_bias": Case(
        {"said": [FIVE, NINE, END]},
        {"logit_bias": {259: -100, 260: 50}, "max_gen_toks": 1},
        NINE,
        None,
        "length",
        1,
    ),
    "ignore_eos": Case(
        {"said": [FIVE, END], "loops": True},
        {"ignore_eos": True, "max_gen_toks": 4},
        FIVE,
        None,
        "length",
        4,
    ),
    "skip_special_tokens": Case(
        {"said": [FIVE, "<|eot|>", NINE, END], "special": ["<|eot|>"]},
        {"skip_special_tokens": True, "max_gen_toks": 12},
        FIVE + NINE,
        None,
        "stop",
        4,
    ),
}
"""Of each: the model, the task's settings, and what is right."""


def ask(kind: EngineKind, path: Path, gen_kwargs: Mapping[str, Any]) -> Generation:
    """One question through the harness's own way to an engine."""

    async def run() -> Generation:
        config = EngineConfig(kind=kind, device=Device.cpu, max_model_len=128)
        engine: Engine = await open_engine(config, Weights(path=path))
        try:
            return await answer(engine, path, gen_kwargs)
        finally:
            await engine.close()

    return asyncio.run(run())


async def answer(engine: Engine, path: Path, gen_kwargs: Mapping[str, Any]) -> Generation:
    from transformers import AutoTokenizer

    model = ModelConfig(name="chain", think_start=START, think_end=STOP)
    lm = EngineLM(AutoTokenizer.from_pretrained(path), 128, model=model)
    prompt = lm.apply_chat_template([{"role": "user", "content": "2+3?"}])
    instance = Instance("generate_until", {}, (prompt, dict(gen_kwargs)), 0, ("t", 0, 1))
    plan = lm.plan([instance])
    (request,) = plan.requests
    assert isinstance(request, GenerateRequest)
    (finished,) = plan.finish([await send(engine, request)])
    assert isinstance(finished, Generation)
    return finished


def check(generation: Generation, case: Case) -> None:
    found = (generation.text, generation.thinking, generation.finish_reason)
    assert found == (case.text, case.thinking, case.finish_reason)
    assert len(generation.token_ids) == case.num_tokens


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint for each case."""
    folder = tmp_path_factory.mktemp("chains")
    return {
        name: make_chain(folder / str(number), **case.chain)
        for number, (name, case) in enumerate(CASES.items())
    }


@pytest.mark.parametrize("name", CASES)
def test_transformers_says_what_is_right(chains: dict[str, Path], name: str) -> None:
    case = CASES[name]
    check(ask(EngineKind.hf, chains[name], case.gen_kwargs), case)
