"""Kinds of checkpoint that the real vLLM has to load: experts, experts beside a vision tower, a LoRA adapter."""

import asyncio
import json
from pathlib import Path

import pytest

import tiny_checkpoints as tiny
from evalharness.config import EngineConfig
from evalharness.engines import Weights, open_engine
from evalharness.records import (
    GenerateRequest,
    Generation,
    SamplingParams,
    ScoreRequest,
    Scores,
)

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PROMPT = tuple(range(3, 40))


def answers(weights: Weights) -> tuple[Generation, Scores]:
    async def ask() -> tuple[Generation, Scores]:
        engine = await open_engine(EngineConfig(max_model_len=256, cpu_kv_cache_gib=1), weights)
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
    if is_text_only:
        # vLLM imports the image processor of a multimodal model even when no image can come.
        pytest.importorskip("torchvision", exc_type=ImportError)
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


def make_adapter(path: Path, base: str) -> Path:
    """A LoRA adapter in PEFT format with random weights, over the attention of `make_tiny_llama`."""
    import torch
    from safetensors.torch import save_file

    path.mkdir()
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for layer in range(4):
        at = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{at}.lora_A.weight"] = torch.randn(8, 64, generator=generator)
        weights[f"{at}.lora_B.weight"] = torch.randn(64, 8, generator=generator)
    save_file(weights, path / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj"],
    }
    (path / "adapter_config.json").write_text(json.dumps(config))
    return path
