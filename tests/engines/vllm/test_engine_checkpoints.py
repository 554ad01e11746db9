"""Kinds of checkpoint that the real vLLM has to load: experts, experts beside a vision tower, a LoRA adapter."""

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import tiny_checkpoints as tiny
from evalharness.config.schema import (
    EngineConfig,
    EngineKind,
)
from evalharness.engines import Weights, open_engine
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from evalharness.engines.vllm.text_only import FOLDER

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PROMPT = tuple(range(3, 40))


def answers(weights: Weights, kind: EngineKind = EngineKind.vllm) -> tuple[Generation, Scores]:
    async def ask() -> tuple[Generation, Scores]:
        config = EngineConfig(kind=kind, max_model_len=256, cpu_kv_cache_gib=1)
        engine = await open_engine(config, weights)
        try:
            generate = GenerateRequest(
                prompt_token_ids=PROMPT, sampling=SamplingParams(max_gen_toks=4)
            )
            score = ScoreRequest(context_token_ids=PROMPT, continuations=((50, 51), (52,)))
            return await engine.generate(generate), await engine.score(score)
        finally:
            await engine.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("make", "is_text_only"),
    [
        (tiny.make_tiny_mixtral, False),
        (tiny.make_tiny_llama4, False),
        (tiny.make_tiny_llama4_vision, True),
    ],
)
def test_experts_and_text_only_multimodal(tmp_path: Path, make: object, is_text_only: bool) -> None:
    if is_text_only and not find_spec("torchvision") and not FOLDER.is_dir():
        pytest.skip(f"no torchvision in {FOLDER}; scripts/install puts one there")
    path = make(tmp_path / "checkpoint")  # type: ignore[operator]
    generation, scores = answers(Weights(path=path, is_text_only=is_text_only))
    assert len(generation.token_ids) > 0
    assert all(c.logprob < 0 for c in scores.continuations)


def test_an_adapter_changes_the_answers(tiny_llama: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", str(tiny_llama))
    _, base = answers(Weights(path=tiny_llama))
    _, adapted = answers(Weights(path=tiny_llama, adapter=adapter))
    for mine, theirs in zip(adapted.continuations, base.continuations, strict=True):
        assert abs(mine.logprob - theirs.logprob) > 1e-3


SETTINGS = {
    "rank_pattern": {"rank_pattern": {"q_proj": 24}, "use_rslora": True},
    "alpha_pattern": {"alpha_pattern": {"layers.1.self_attn.q_proj": 64}},
    "dora": {"use_dora": True},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_adapter_gives_what_the_reference_engine_gives(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rank = 24 if kind == "rank_pattern" else 8
    adapter = make_adapter(tmp_path / "adapter", str(tiny_llama), rank=rank, **SETTINGS[kind])
    weights = Weights(path=tiny_llama, adapter=adapter)
    _, reference = answers(weights, EngineKind.hf)
    _, scores = answers(weights)
    for mine, theirs in zip(scores.continuations, reference.continuations, strict=True):
        assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-4)


def make_adapter(path: Path, base: str, *, rank: int = 8, **settings: Any) -> Path:
    """A LoRA adapter in PEFT format with random weights, over the attention of `make_tiny_llama`."""
    import torch
    from safetensors.torch import save_file

    path.mkdir()
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for layer in range(4):
        at = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{at}.lora_A.weight"] = torch.randn(rank, 64, generator=generator)
        weights[f"{at}.lora_B.weight"] = torch.randn(64, rank, generator=generator)
        if settings.get("use_dora"):
            magnitude = torch.rand(64, generator=generator)
            weights[f"{at}.lora_magnitude_vector"] = magnitude
    if settings.get("modules_to_save"):
        weights["base_model.model.lm_head.weight"] = torch.randn(320, 64, generator=generator)
    save_file(weights, path / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj"],
    }
    (path / "adapter_config.json").write_text(json.dumps(config | settings))
    return path
