"""The context that a run needs is at least what its requests take, is known without drawing few-shots, or is unknown."""

import json
from pathlib import Path
from typing import Any

import pytest

import own_tasks as own
from evalharness.config.schema import (
    Config,
    Device,
    EngineConfig,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines.memory_fit import AS_FITS
from evalharness.engines.requests import GenerateRequest
from evalharness.runner.needed_context import ENDLESS, needed_context
from evalharness.runner.prepare import prepare
from evalharness.runner.samples import Prompting, build_samples
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from tiny_checkpoints import make_tiny_llama

SHOTS = "num_fewshot: 3\nfewshot_split: dev\n"
SUMS = [{"q": "x" * (7 * i % 90), "a": str(i)} for i in range(60)]
OTHERS = [{"q": "y" * (11 * i % 130), "a": "z" * (i % 9)} for i in range(50)]
PICKS = [{"q": "x" * (7 * i % 90), "choices": ["a", "b" * i], "a": 0} for i in range(1, 40)]
ROLLING = own.GENERATE.replace("generate_until", "loglikelihood_rolling").replace(
    "exact_match", "word_perplexity"
)


@pytest.fixture
def lm(byte_tokenizer: Any) -> EngineLM:
    return EngineLM(byte_tokenizer, ENDLESS)


def prompting(is_chat: bool = False) -> Prompting:
    return Prompting(
        is_chat=is_chat, fewshot_as_multiturn=is_chat, system_instruction=None, run_seed=1
    )


def longest(loaded: LoadedTask, lm: EngineLM, how: Prompting) -> int:
    """Tokens of the longest request with its answer, of all that a run sends."""
    sizes = []
    for sample in build_samples(loaded, lm, how):
        for request in sample.plans[0].requests:
            if isinstance(request, GenerateRequest):
                sizes.append(len(request.prompt_token_ids) + request.sampling.max_gen_toks)
            else:
                assert not hasattr(request, "kind")
                sizes.append(len(request.context_token_ids) + max(map(len, request.continuations)))
    return max(sizes)


@pytest.mark.parametrize("is_chat", [False, True])
@pytest.mark.parametrize(
    ("yaml", "rows"),
    [
        (own.GENERATE, SUMS),
        (own.GENERATE + SHOTS, SUMS),
        (own.GENERATE + SHOTS + "fewshot_config: {{sampler: first_n}}\n", SUMS),
        (own.CHOICE, PICKS),
    ],
)
def test_it_is_an_upper_limit_and_no_wild_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lm: EngineLM,
    yaml: str,
    rows: Any,
    is_chat: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path, "mine", yaml, rows, dev=OTHERS)
    how = prompting(is_chat)
    needed = needed_context([own.load("mine").tasks[0]], lm, how)
    taken = longest(own.load("mine").tasks[0], lm, how)
    assert needed is not None
    assert taken <= needed <= 2 * taken + 400


def test_asking_changes_no_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lm: EngineLM
) -> None:
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path, "mine", own.GENERATE + SHOTS, SUMS, dev=OTHERS)
    asked, plain = own.load("mine").tasks[0], own.load("mine").tasks[0]
    assert needed_context([asked], lm, prompting())
    for ours, theirs in zip(
        build_samples(asked, lm, prompting()), build_samples(plain, lm, prompting()), strict=True
    ):
        assert ours.plans[0].requests == theirs.plans[0].requests


def test_texts_scored_as_a_whole_take_whatever_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lm: EngineLM
) -> None:
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path, "rolling", ROLLING, SUMS[1:])
    own.write(tmp_path, "mine", own.GENERATE, SUMS)
    tasks = [own.load("rolling").tasks[0], own.load("mine").tasks[0]]
    assert needed_context(tasks[1:], lm, prompting()) is not None
    assert needed_context(tasks, lm, prompting()) is None


def test_a_run_asks_for_what_it_needs_of_a_context_that_may_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 KiB of KV cache a token: 10 million tokens are more than the 2 GiB of a CPU."""
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path, "mine", own.GENERATE, SUMS)
    own.write(tmp_path, "rolling", ROLLING, SUMS[1:])
    path = make_tiny_llama(tmp_path / "model", max_position_embeddings=10_000_000)
    limits = path / "tokenizer_config.json"
    limits.write_text(json.dumps(json.loads(limits.read_text()) | {"model_max_length": 10**7}))

    def asked(**tasks: TaskConfig) -> int | None:
        config = Config(
            model=ModelConfig(name="tiny", path=str(path)),
            engine=EngineConfig(device=Device.cpu),
            suite=SuiteConfig(name="s", tasks=tasks),
        )
        return prepare(config).max_model_len

    assert asked(mine=TaskConfig()) == 256
    assert asked(mine=TaskConfig(), rolling=TaskConfig()) == AS_FITS


def test_a_prompt_that_cannot_be_written_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lm: EngineLM
) -> None:
    monkeypatch.chdir(tmp_path)
    own.write(tmp_path, "odd", rows=[*SUMS, {"q": "x" * 500, "a": "1", "left": "0"}])
    (loaded,) = own.load("odd").tasks

    def fails(doc: Any, *_: Any) -> str:
        if len(doc["q"]) == 500:
            raise ValueError("no such prompt")
        return str(doc["q"])

    loaded.task.doc_to_text = fails
    assert needed_context([loaded], lm, prompting()) is None
