"""Speculative decoding: for generations only, since vLLM gives no log-likelihoods meanwhile."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    Scoring,
    StrategyConfig,
    StrategyKind,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines import EngineInfo, RequestError, Weights
from evalharness.engines.requests import ScoreRequest
from evalharness.engines.vllm.engine import VllmEngine
from evalharness.errors import ConfigError
from evalharness.runner.prepare import prepare

DRAFTS = {"speculative_config": {"method": "ngram", "num_speculative_tokens": 2}}


def config(path: Path, results: Path, *tasks: str, **fields: Any) -> Config:
    return Config(
        model=ModelConfig(name="tiny", path=str(path), variant=Variant.instruct),
        engine=EngineConfig(kind=EngineKind.vllm, extra=DRAFTS),
        suite=SuiteConfig(name="test", tasks={task: TaskConfig(limit=2) for task in tasks}),
        results_dir=str(results),
        **fields,
    )


def test_a_task_of_log_likelihoods_is_refused_with_the_reason(
    tiny_llama: Path, tmp_path: Path
) -> None:
    both = config(tiny_llama, tmp_path, "gsm8k_sample", "arc_easy_sample")
    with pytest.raises(
        ConfigError, match=r"speculative_config: .* and arc_easy_sample needs them; leave it out"
    ):
        prepare(both)


def test_a_strategy_of_log_likelihoods_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    strategy = StrategyConfig(kind=StrategyKind.verify, k=2, verify="Is it right?")
    with pytest.raises(ConfigError, match="strategy=verify needs them"):
        prepare(config(tiny_llama, tmp_path, "gsm8k_sample", strategy=strategy))


def test_generations_are_accepted(tiny_llama: Path, tmp_path: Path) -> None:
    assert prepare(config(tiny_llama, tmp_path, "gsm8k_sample")).suite.tasks


def test_the_engine_refuses_a_question_that_it_would_answer_wrongly(
    tiny_llama: Path, byte_tokenizer: Any
) -> None:
    settings = SimpleNamespace(
        cache_config=SimpleNamespace(block_size=16),
        use_v2_model_runner=True,
        speculative_config=SimpleNamespace(),
    )
    llm: Any = SimpleNamespace(vllm_config=settings, get_tokenizer=lambda: byte_tokenizer)
    info = EngineInfo(
        kind="vllm", version="0", device="gpu", dtype="bfloat16", quantization=None, max_model_len=64
    )  # fmt: skip
    engine = VllmEngine(llm, info, Weights(path=tiny_llama), Scoring.prefix)
    request = ScoreRequest(context_token_ids=(3, 4), continuations=((5,),))
    with pytest.raises(RequestError, match="drafts tokens"):
        asyncio.run(engine.score(request))
