"""A real vLLM server on loopback: its answers against transformers', whole runs, and what happens when it is killed."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    EngineConfig,
    EngineKind,
    PromptFormat,
    Scoring,
)
from evalharness.engines import Engine, RequestError, Weights, open_engine
from evalharness.engines.openai.engine import OpenAIEngine
from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from vllm_server import Server, serving

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(demo, tmp_path_factory.mktemp("serve") / "log.txt") as running:
        yield running


@pytest.fixture(scope="module")
def hf(demo: Path) -> Iterator[Engine]:
    engine = asyncio.run(open_engine(EngineConfig(kind=EngineKind.hf), Weights(path=demo)))
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module")
def tokenizer(demo: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(demo)


def ask(server: Server, demo: Path, *requests: Any, **changes: Any) -> list[Any]:
    """Answers to generate and score requests, sent all at once."""

    async def run() -> list[Any]:
        config = EngineConfig(kind=EngineKind.openai, base_url=server.url, **changes)
        engine = await open_engine(config, Weights(path=demo))
        try:
            return await asyncio.gather(
                *(
                    engine.score(r) if isinstance(r, ScoreRequest) else engine.generate(r)
                    for r in requests
                )
            )
        finally:
            await engine.close()

    return asyncio.run(run())


LONG = "The river runs from the hills to the sea, past the mill and the old stone bridge. " * 14
CASES = {
    "one-token choices": ("Question: What is the capital of France?\nAnswer:", [" A", " B", " C"]),
    "short context": ("The sky is", [" blue", " green and wide", " green"]),
    "long context": (LONG + "It ends in", [" the sea.", " the hills.", " a lake far away."]),
    "long choices": (LONG[:80], [LONG[80:300], LONG[80:200] + "mill"]),
    "a duplicate and a prefix": (LONG, [" the sea", " the sea", " the"]),
}


@pytest.mark.parametrize("scoring", Scoring)
def test_scores_equal_those_of_transformers(
    server: Server, hf: Engine, demo: Path, tokenizer: Any, scoring: Scoring
) -> None:
    requests = [
        ScoreRequest(
            context_token_ids=tuple(tokenizer.encode(context)),
            continuations=tuple(tuple(tokenizer.encode(c)) for c in choices),
        )
        for context, choices in CASES.values()
    ]
    served: list[Scores] = ask(server, demo, *requests, scoring=scoring)
    for request, scores in zip(requests, served, strict=True):
        reference = asyncio.run(hf.score(request)).continuations
        assert [s.logprob for s in scores.continuations] == pytest.approx(
            [s.logprob for s in reference], abs=1e-4
        )
        assert [s.is_greedy for s in scores.continuations] == [s.is_greedy for s in reference]


def test_long_contexts_are_read_out_of_the_servers_cache(
    server: Server, demo: Path, tokenizer: Any
) -> None:
    context, choices = CASES["long context"]
    request = ScoreRequest(
        context_token_ids=tuple(tokenizer.encode(context)),
        continuations=tuple(tuple(tokenizer.encode(c)) for c in choices),
    )
    (scores,) = ask(server, demo, request)
    assert scores.num_cached_tokens > 0.7 * scores.num_prompt_tokens


CHAT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("form", PromptFormat)
def test_greedy_generation_equals_transformers(
    server: Server, hf: Engine, demo: Path, tokenizer: Any, form: PromptFormat
) -> None:
    request = GenerateRequest(
        prompt_token_ids=tuple(tokenizer.encode(CHAT)), sampling=SamplingParams(max_gen_toks=40)
    )
    (served,) = ask(server, demo, request, prompt_format=form)
    reference = asyncio.run(hf.generate(request))
    assert "Paris" in served.text
    assert (served.text, served.token_ids) == (reference.text, reference.token_ids)
    assert served.finish_reason == "stop"


def test_a_stop_string_ends_the_text_before_it(server: Server, demo: Path, tokenizer: Any) -> None:
    request = GenerateRequest(
        prompt_token_ids=tuple(tokenizer.encode("1, 2, 3, 4,")),
        sampling=SamplingParams(max_gen_toks=40, stop=(" 7",)),
    )
    (generation,) = ask(server, demo, request)
    assert (generation.text, generation.finish_reason) == (" 5, 6,", "stop")


def test_the_same_seed_draws_the_same_answer(server: Server, demo: Path, tokenizer: Any) -> None:
    def draw(seed: int) -> GenerateRequest:
        sampling = SamplingParams(temperature=1.0, seed=seed, max_gen_toks=12)
        return GenerateRequest(
            prompt_token_ids=tuple(tokenizer.encode("Once upon a time")), sampling=sampling
        )

    one, same, other = ask(server, demo, draw(1), draw(1), draw(2))
    assert one.text == same.text != other.text


def test_a_refused_request_tells_what_the_server_said(server: Server, demo: Path) -> None:
    too_long = ScoreRequest(context_token_ids=(5,) * 3000, continuations=((6,),))
    with pytest.raises(RequestError, match=r"400.*2048"):
        ask(server, demo, too_long)


def test_the_server_says_what_it_is(server: Server, demo: Path) -> None:
    async def opened() -> OpenAIEngine:
        config = EngineConfig(kind=EngineKind.openai, base_url=server.url)
        engine = await open_engine(config, Weights(path=demo))
        await engine.close()
        assert isinstance(engine, OpenAIEngine)
        return engine

    engine = asyncio.run(opened())
    assert engine.info.version.startswith("vllm 0.")
    assert (engine.info.max_model_len, engine.info.gives_logprobs) == (2048, True)
    assert (engine.dialect.gives_next, engine.dialect.block_size) == (True, 32)


COMMAND = [sys.executable, "-m", "evalharness", "run", "model=smollm2-135m", "engine=openai"]


def test_one_command_evaluates_through_the_server(
    server: Server, demo: Path, tmp_path: Path
) -> None:
    arguments = [f"engine.base_url={server.url}", f"results_dir={tmp_path}", "run.id=served"]
    done = subprocess.run(
        [*COMMAND, *arguments, "run.limit=2", "~suite.tasks.gsm8k_sample"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "120"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "weekday_arithmetic" in done.stdout
    manifest = json.loads((tmp_path / "served" / "manifest.json").read_text())
    assert manifest["engine"]["endpoint"].startswith(f"{server.url} smol ")
    assert sum(task["num_errors"] for task in manifest["tasks"]) == 0


def test_a_killed_server_leaves_a_partial_run(server: Server, demo: Path, tmp_path: Path) -> None:
    """The last test of this file, for obvious reasons."""
    process = subprocess.Popen(
        [*COMMAND, f"engine.base_url={server.url}", f"results_dir={tmp_path}", "run.id=killed"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    journal = tmp_path / "killed" / "journal"
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in journal.glob("*")):
        assert process.poll() is None, "the run ended before its server could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.kill()
    process.communicate(timeout=120)
    assert process.returncode == 3
    manifest = json.loads((tmp_path / "killed" / "manifest.json").read_text())
    assert manifest["status"] == "partial"
    assert "is gone" in manifest["reason"]
    assert 0 < sum(task["num_samples"] for task in manifest["tasks"]) < 312
