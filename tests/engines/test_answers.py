"""What a model says is known to the word, and every engine must score and show the same of it."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lm_eval.api.instance import Instance

from evalharness.config.schema import (
    Device,
    EngineConfig,
    EngineKind,
    ModelConfig,
)
from evalharness.engines import Weights, open_engine
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
)
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.plans import send
from tiny_checkpoints import make_chains
from vllm_server import serving

END = "<|im_end|>"
UNTIL = {"until": [END, "Question:"], "max_gen_toks": 12}
CONTEXT = 128


class Case(NamedTuple):
    prompt: str
    """Its last token begins the chain."""
    said: tuple[str, ...]
    gen_kwargs: Mapping[str, Any]
    """Tokens stand for their ids."""
    answer: str
    thinking: str | None = None
    finish_reason: str = "stop"
    num_tokens: int = 0
    tag: str = "think"

    @property
    def special(self) -> list[str]:
        """Those of its tokens that are special."""
        return [token for token in self.said if token.startswith("<|")]


CASES = {
    "answers without tags, and runs on": Case(
        "a", ("A 5.", "A Question:", "A 9.", END), UNTIL, "A 5.A ", num_tokens=4
    ),
    "thinks, answers, and runs on to the limit": Case(
        "b",
        ("<b>", "B Question: hm", "</b>", "B 5.", "B Question:", "B 9.", "B 9."),
        UNTIL,
        "B 5.B ",
        "B Question: hm",
        num_tokens=12,
        tag="b",
    ),
    "answers behind its thinking until the limit": Case(
        "z", ("<z>", "Z hm", "</z>", "Z 5.", "Z 5."), UNTIL, "Z 5." * 9, "Z hm", "length", 12, "z"
    ),
    "thinks until the limit": Case(
        "y", ("<y>", "Y hm", "Y hm"), UNTIL, "", "Y hm" * 11, "unclosed", 12, "y"
    ),
    "thinking tags are special tokens": Case(
        "c",
        ("<|c|>", "C 9.", "</|c|>", "C 5.", END),
        UNTIL,
        "C 5.",
        "C 9.",
        num_tokens=5,
        tag="|c|",
    ),
    "the prompt opens the thinking with a special token": Case(
        "Q<|d|>", ("D 9.", "</|d|>", "D 5.", END), UNTIL, "D 5.", "D 9.", num_tokens=4, tag="|d|"
    ),
    "the prompt closes the thinking": Case(
        "Q<e></e>", ("E 5.", "E Question:", "E 9.", END), UNTIL, "E 5.E ", num_tokens=2, tag="e"
    ),
    "a stop string is a special token": Case(
        "f", ("F 5.", "<|f|>", "F 9.", END), {"until": ["<|f|>"]}, "F 5.", num_tokens=4
    ),
    "an end token of generation_config.json": Case(
        "g", ("G 5.", "<|eot|>", "G 9.", END), UNTIL, "G 5.", num_tokens=2
    ),
    "a stop string that only prompt and answer make together": Case(
        "h", ("hi", "H 5.", END), {"until": ["hhi"]}, "hiH 5.", num_tokens=3
    ),
    "another special token": Case(
        "m", ("M 5.", "<|m|>", "M 9.", END), {}, "M 5.<|m|>M 9.", num_tokens=4
    ),
    "skip_special_tokens": Case(
        "m",
        ("M 5.", "<|m|>", "M 9.", END),
        {"skip_special_tokens": True},
        "M 5.M 9.",
        num_tokens=4,
    ),
    "half a character at the limit": Case("s", ("Ã",), {"max_gen_toks": 1}, "", None, "length", 1),
    "min_tokens": Case(
        "i", ("I 5.", END), {"min_tokens": 2, "max_gen_toks": 2}, "I 5.", None, "length", 2
    ),
    "stop_token_ids": Case(
        "j", ("J 5.", "J 9.", END), {"stop_token_ids": ["J 9."]}, "J 5.", num_tokens=2
    ),
    "logit_bias": Case(
        "k",
        ("K 5.", "K 9.", END),
        {"logit_bias": {"K 5.": -100, "K 9.": 50}, "max_gen_toks": 1},
        "K 9.",
        None,
        "length",
        1,
    ),
    "ignore_eos": Case(
        "l", ("L 5.", END), {"ignore_eos": True, "max_gen_toks": 4}, "L 5.", None, "length", 4
    ),
    "frequency_penalty": Case(  # a logit of 20 less 1.9 for each time before
        "o",
        ("O la", "O la"),
        {"frequency_penalty": 1.9, "max_gen_toks": 12},
        "O la" * 11,
        None,
        "length",
        12,
    ),
    "presence_penalty": Case(
        "p",
        ("P la", "P la"),
        {"presence_penalty": 2, "logit_bias": {"P di": 19}, "max_gen_toks": 2},
        "P laP di",
        None,
        "length",
        2,
    ),
    "repetition_penalty": Case(
        "r",
        ("R la", "R la"),
        {"repetition_penalty": 2, "logit_bias": {"R di": 19}, "max_gen_toks": 2},
        "R laR di",
        None,
        "length",
        2,
    ),
}
EXTRAS: dict[str, Any] = {
    "no_repeat_ngram_size": 1,
    "num_beams": 3,
    "min_new_tokens": 9,
    "repetition_penalty": 9.0,
    "do_sample": True,
    "temperature": 2.0,
}
"""Of the checkpoint's generation_config.json, beside its end tokens and tokens to suppress: none counts."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    chains = {_start(case.prompt): case.said for case in CASES.values()}
    others: dict[str, tuple[str, ...]] = {"P di": (), "R di": ()}
    special = [token for case in CASES.values() for token in case.special]
    special += ["<|d|>", "</|d|>", "</|c|>"]
    path = make_chains(tmp_path_factory.mktemp("chains"), chains | others, special=special)
    ids = AutoTokenizer.from_pretrained(path).convert_tokens_to_ids
    ends = {"eos_token_id": [ids(END), ids("<|eot|>")]}
    suppressed = {key: [ids("A 5.")] for key in ("suppress_tokens", "begin_suppress_tokens")}
    (path / "generation_config.json").write_text(json.dumps(EXTRAS | ends | suppressed))
    return path


def _start(prompt: str) -> str:
    return prompt[prompt.rindex("<") :] if prompt.endswith(">") else prompt


@contextmanager
def configured(kind: EngineKind, path: Path, tmp_path: Path) -> Iterator[EngineConfig]:
    config = EngineConfig(
        kind=kind, device=Device.cpu, max_model_len=CONTEXT, cpu_kv_cache_gib=1, max_in_flight=4
    )
    if kind is not EngineKind.openai:
        yield config
        return
    with serving(path, tmp_path / "log.txt", CONTEXT) as server:
        yield replace(config, base_url=server.url, max_model_len=None)


async def _answers(config: EngineConfig, path: Path) -> dict[str, Generation]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    engine = await open_engine(config, Weights(path=path))
    try:
        found = {}
        for name, case in CASES.items():
            start, end = f"<{case.tag}>", f"</{case.tag}>"
            model = ModelConfig(name="chain", think_start=start, think_end=end)
            kwargs = _with_ids(case.gen_kwargs, tokenizer)
            instance = Instance("generate_until", {}, (case.prompt, kwargs), 0, ("t", 0, 1))
            plan = EngineLM(tokenizer, CONTEXT, model=model).plan([instance])
            (request,) = plan.requests
            assert isinstance(request, GenerateRequest)
            (answer,) = plan.finish([await send(engine, request)])
            assert isinstance(answer, Generation)
            found[name] = answer
        return found
    finally:
        await engine.close()


def _with_ids(gen_kwargs: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    kwargs, ids = dict(gen_kwargs), tokenizer.convert_tokens_to_ids
    if "stop_token_ids" in kwargs:
        kwargs["stop_token_ids"] = ids(kwargs["stop_token_ids"])
    if "logit_bias" in kwargs:
        kwargs["logit_bias"] = {ids(token): bias for token, bias in kwargs["logit_bias"].items()}
    return kwargs


HEAVY = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(
    scope="module",
    params=[
        EngineKind.hf,
        pytest.param(EngineKind.vllm, marks=HEAVY),
        pytest.param(EngineKind.openai, marks=HEAVY),
    ],
)
def answers(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Generation]:
    """Of one engine, to every case."""
    kind: EngineKind = request.param
    with configured(kind, checkpoint, tmp_path_factory.mktemp("server")) as config:
        return asyncio.run(_answers(config, checkpoint))


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_what_was_said_to_the_word(answers: dict[str, Generation], name: str) -> None:
    case, answer = CASES[name], answers[name]
    found = (answer.text, answer.thinking, answer.finish_reason, len(answer.token_ids))
    assert found == (case.answer, case.thinking, case.finish_reason, case.num_tokens)
