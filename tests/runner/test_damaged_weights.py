"""Weights and adapters that don't fit are refused before anything is loaded; what was merged or unchecked is said."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    Device,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines.base import RequestError, Weights
from evalharness.engines.hf import HfEngine
from evalharness.engines.requests import ScoreRequest
from evalharness.errors import CheckpointError
from evalharness.runner.prepare import prepare
from evalharness.runner.run import run

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

TASKS = {"arc_easy_sample": TaskConfig(limit=2)}


def config(path: Path, results_dir: Path, kind: EngineKind = EngineKind.hf, **model: Any) -> Config:
    return Config(
        model=ModelConfig(name="tiny", path=str(path), variant=Variant.instruct, **model),
        engine=EngineConfig(kind=kind),
        suite=SuiteConfig(name="test", tasks=TASKS),
        run=RunConfig(id="it"),
        results_dir=str(results_dir),
    )


@pytest.fixture
def damaged(tiny_llama: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint without one layer's feed-forward part."""
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_llama, folder)
    weights = safetensors.load_file(tiny_llama / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layers.1.mlp" not in name}
    safetensors.save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("kind", [EngineKind.hf, EngineKind.vllm])
def test_missing_tensors_end_the_run_before_it_begins(
    damaged: Path, tmp_path: Path, kind: EngineKind
) -> None:
    with pytest.raises(CheckpointError, match=r"missing: model\.layers\.1\.mlp\.down_proj"):
        prepare(config(damaged, tmp_path / "results", kind))
    assert not (tmp_path / "results").exists()


def test_an_engine_without_weights_does_not_ask_for_them(damaged: Path, tmp_path: Path) -> None:
    info = prepare(config(damaged, tmp_path / "results", EngineKind.fake)).info
    assert (info.fits_architecture, info.remarks) == (None, ())


@pytest.mark.parametrize("kind", [EngineKind.hf, EngineKind.vllm])
def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(
    tiny_llama: Path, tmp_path: Path, kind: EngineKind
) -> None:
    folder = tmp_path / "smaller"
    shutil.copytree(tiny_llama, folder)
    weights = safetensors.load_file(tiny_llama / "model.safetensors")
    outer = {name: value[:100].clone() for name, value in weights.items() if len(value) > 100}
    outer = {k: v for k, v in outer.items() if "embed_tokens" in k or "lm_head" in k}
    safetensors.save_file(weights | outer, folder / "model.safetensors", {"format": "pt"})
    text = json.loads((folder / "config.json").read_text()) | {"vocab_size": 100}
    (folder / "config.json").write_text(json.dumps(text))
    with pytest.raises(CheckpointError, match=r"has \d+ tokens, and config\.json says 100"):
        prepare(config(folder, tmp_path / "results", kind))


def test_a_token_that_the_model_lacks_is_a_requests_error(tiny_llama: Path) -> None:
    weights = Weights(path=tiny_llama)
    config = EngineConfig(kind=EngineKind.hf, device=Device.cpu)
    engine = asyncio.run(HfEngine.load(config, weights))
    request = ScoreRequest(context_token_ids=(1, 2), continuations=((10**6,),))
    with pytest.raises(RequestError, match=r"the tokenizer gives the ids \[1000000\]"):
        asyncio.run(engine.score(request))


def make_adapter(folder: Path, base: str = "llama", size: int = 64) -> Path:
    folder.mkdir()
    tensors = {}
    for layer in range(4):
        at = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{at}.lora_A.weight"] = torch.ones(4, size)
        tensors[f"{at}.lora_B.weight"] = torch.ones(64, 4)
    safetensors.save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    settings |= {"base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("kind", "merged"),
    [(EngineKind.hf, "engine=hf merges every adapter"), (EngineKind.vllm, None)],
)
def test_the_manifest_will_say_how_an_adapter_is_applied(
    tiny_llama: Path, tmp_path: Path, kind: EngineKind, merged: str | None
) -> None:
    adapter = make_adapter(tmp_path / "adapter")
    info = prepare(config(tiny_llama, tmp_path / "results", kind, adapter=str(adapter))).info
    assert info.adapter_merged == merged
    assert info.fits_architecture == "LlamaForCausalLM"


def test_an_adapter_for_another_base_is_refused_before_loading(
    tiny_llama: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", size=32)
    with pytest.raises(CheckpointError, match="it is for another base"):
        prepare(config(tiny_llama, tmp_path / "results", adapter=str(adapter)))


def test_a_run_with_an_adapter_is_another_than_one_without_and_says_over_what_it_was_trained(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    adapter = make_adapter(tmp_path / "adapter", base="org/other")
    outcome = run(config(tiny_llama, tmp_path / "results", adapter=str(adapter)))
    checkpoint = outcome.manifest.checkpoint
    assert outcome.manifest.status == "complete"
    assert list(checkpoint["remarks"]) == [
        "The adapter was trained over org/other, and is used over tiny."
    ]
    assert checkpoint["adapter_rank"] == 4
    assert list((tmp_path / "cache" / "evalharness" / "merged").glob("*/model.safetensors"))
