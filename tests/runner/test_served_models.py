"""Whole runs against a server: what is checked before, what the manifest owns up to, how it ends when the server does."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.errors import CheckpointError, ConfigError, EngineError
from evalharness.runner.run import run
from evalharness.store.read import iter_samples
from scripted_endpoint import Endpoint, running

GENERATES = {"weekday_arithmetic": TaskConfig(limit=8, num_fewshot=0)}
SCORES = {"arc_easy_sample": TaskConfig(limit=4)}


@pytest.fixture
def unweighted(tiny_llama: Path, tmp_path: Path) -> Path:
    """What somebody has who only uses a server: config and tokenizer."""
    folder = tmp_path / "config-and-tokenizer"
    shutil.copytree(tiny_llama, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def config(end: Endpoint, checkpoint: Path, results_dir: Path, **engine: Any) -> Config:
    return Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=EngineConfig(
            kind=EngineKind.openai,
            **{"base_url": end.url, "max_in_flight": 4, "num_retries": 1, **engine},
        ),
        suite=SuiteConfig(name="test", tasks=GENERATES | SCORES),
        run=RunConfig(id="served"),
        results_dir=str(results_dir),
    )


def test_a_run_needs_no_weights_and_says_they_are_unverified(
    unweighted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret-key")
    with running(key="s3cret-key") as end:
        outcome = run(config(end, unweighted, tmp_path / "results", api_key_env="THE_KEY"))
    manifest = outcome.manifest
    assert manifest.status == "complete"
    assert manifest.checkpoint["weights_fingerprint"] == "unverified"
    assert manifest.engine["endpoint"] == f"{end.url} tiny org/tiny"
    assert manifest.engine["version"] == "vllm 0.32.0"
    files = [path for path in outcome.run_dir.rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cret-key" in path.read_bytes()]


def test_weights_beside_the_tokenizer_prove_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    with running() as end:
        outcome = run(config(end, tiny_llama, tmp_path))
    checkpoint = outcome.manifest.checkpoint
    assert checkpoint["weights_fingerprint"] == "unverified"
    assert checkpoint["params_total"] > 0


def test_a_second_run_reuses_responses_of_the_same_server_and_model_alone(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with running() as end:
        base = config(end, tiny_llama, tmp_path)
        run(base)
        again = run(replace(base, run=RunConfig(id="again")))
        end.models[0]["root"] = "org/another"
        other = run(replace(base, run=RunConfig(id="other")))
    assert [t.num_reused for t in again.manifest.tasks] == [8, 4]
    assert [t.num_reused for t in other.manifest.tasks] == [0, 0]


def test_log_likelihoods_a_server_cant_give_are_refused_before_anything_is_written(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with (
        running(is_ranked=False, is_echoing=False) as end,
        pytest.raises(ConfigError, match=r"arc_easy_sample needs.*~suite\.tasks\.arc_easy"),
    ):
        run(config(end, tiny_llama, tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_tasks_that_generate_run_on_a_server_without_log_likelihoods(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with running(is_ranked=False, is_echoing=False) as end:
        whole = config(end, tiny_llama, tmp_path)
        outcome = run(replace(whole, suite=SuiteConfig(name="test", tasks=GENERATES)))
    assert outcome.manifest.status == "complete"
    assert outcome.manifest.tasks[0].num_errors == 0


def test_a_wrong_model_name_writes_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    with running() as end, pytest.raises(ConfigError, match="did you mean 'tiny'"):
        run(config(end, tiny_llama, tmp_path / "results", served_model="tiyn"))
    assert not (tmp_path / "results").exists()


def test_a_server_that_isnt_running_writes_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    with running() as end:
        pass
    with pytest.raises(EngineError, match="is the server running"):
        run(config(end, tiny_llama, tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_an_adapter_is_the_servers_to_load(tiny_llama: Path, tmp_path: Path) -> None:
    with running() as end:
        whole = config(end, tiny_llama, tmp_path / "results")
        model = replace(whole.model, adapter="org/adapter")
        with pytest.raises((ConfigError, CheckpointError), match="adapter"):
            run(replace(whole, model=model))


def test_a_server_that_dies_leaves_a_partial_run_with_what_was_finished(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with running(latency_s=0.05, dies_after=24) as end:
        outcome = run(config(end, tiny_llama, tmp_path))
    manifest = outcome.manifest
    assert manifest.status == "partial"
    assert "is gone" in str(manifest.reason)
    kept = [s for t in manifest.tasks for s in iter_samples(outcome.run_dir, t.task)]
    assert 0 < sum(t.num_samples for t in manifest.tasks) < 12
    assert kept
    assert all(sample.error is None for sample in kept)


def test_a_setting_that_the_server_has_not_is_refused_before_the_run(
    unweighted: Path, tmp_path: Path
) -> None:
    with running(takes_extras=False) as end:
        base = config(end, unweighted, tmp_path)
        kwargs = {"min_tokens": 3, "presence_penalty": 1.5}
        tasks = {"weekday_arithmetic": TaskConfig(limit=2, num_fewshot=0, gen_kwargs=kwargs)}
        with pytest.raises(ConfigError, match="takes no min_tokens, which task 'weekday_arith"):
            run(replace(base, suite=SuiteConfig(name="test", tasks=tasks)))
    assert not (tmp_path / "served").exists()


def test_special_tokens_that_a_server_may_keep_to_itself_are_remarked(
    unweighted: Path, tmp_path: Path
) -> None:
    kwargs = {"until": ["<|endoftext|>", "Q:"]}
    tasks = {"weekday_arithmetic": TaskConfig(limit=2, num_fewshot=0, gen_kwargs=kwargs)}
    remarks = {}
    for takes_extras in (False, True):
        with running(takes_extras=takes_extras) as end:
            base = replace(
                config(end, unweighted, tmp_path / str(takes_extras)),
                suite=SuiteConfig(name="test", tasks=tasks),
            )
            remarks[takes_extras] = " ".join(run(base).manifest.remarks)
    assert "<|endoftext|> may then end no thinking and no answer" in remarks[False]
    assert "special tokens" not in remarks[True]
