"""Runs of the store as scores: complete ones, main metrics only, with all that their manifests say of the protocol."""

import logging
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from evalharness.store import layout
from evalharness.store.read import load_metrics
from evalharness.store.records import Manifest
from evalharness.trend.scores.measured import (
    measured_scores,
    run_scores,
)
from evalharness.trend.scores.records import ReportedScore
from stores import make_run

VLLM = {"kind": "vllm", "version": "0.32.0", "dtype": "bfloat16", "quantization": None}
MODEL = {
    "name": "llama-3.1-8b", "family": "Llama 3.1", "variant": "base", "release_date": "2024-07-23",
    "hub_id": "meta-llama/Llama-3.1-8B", "release_source": "https://example.org/card",
}  # fmt: skip
CHECKPOINT = {
    "fingerprint": "abc", "is_chat": False, "params_total": 8_030_261_248, "params_active": 8_030_261_248,
    "num_experts": 0,
}  # fmt: skip


def run(results_dir: Path, run_id: str = "r", tasks: Any = None, **other: Any) -> Manifest:
    manifest = {"engine": VLLM, "config": {"model": MODEL}, "checkpoint": CHECKPOINT, **other}
    return make_run(
        results_dir, run_id, "llama-3.1-8b", "s", tasks or {"gsm8k": [1, 1, 1, 0]}, **manifest
    )


def only(results_dir: Path) -> ReportedScore:
    (score,) = measured_scores(results_dir)
    return score


def test_a_run_becomes_a_score_with_its_model_protocol_and_n(tmp_path: Path) -> None:
    run(tmp_path)
    score = only(tmp_path)
    assert score.ci_low is not None
    assert score.ci_high is not None
    assert 0 <= score.ci_low < 75 < score.ci_high <= 100
    assert replace(score, ci_low=None, ci_high=None) == ReportedScore(
        origin="measured", collection="store", model="llama-3.1-8b", family="Llama 3.1",
        release_date=date(2024, 7, 23), total_params_b=8.030261248, active_params_b=8.030261248, n_experts=1,
        open_weight=True, variant="base", benchmark="GSM8K", benchmark_raw="gsm8k", metric="acc", score=75.0, n=4,
        n_shot="0", chat=False, harness="evalharness", strategy="single", definition="gsm8k 1.0 #h",
        reported_by="measured here", source_repo="meta-llama/Llama-3.1-8B", source_commit="abc",
        date_source="https://example.org/card", notes="vllm 0.32.0 bfloat16", run_id="r", task="gsm8k",
    )  # fmt: skip


def test_two_runs_of_a_model_are_two_scores(tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b")
    assert [score.run_id for score in measured_scores(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("status", ["partial", "failed", "running"])
def test_only_complete_runs_count(tmp_path: Path, status: str) -> None:
    run(tmp_path, status=status)
    assert measured_scores(tmp_path) == []


def test_a_fake_engine_measures_nothing(tmp_path: Path) -> None:
    run(tmp_path, engine={**VLLM, "kind": "fake"})
    assert measured_scores(tmp_path) == []


def test_a_task_without_a_benchmark_keeps_its_name(tmp_path: Path) -> None:
    run(tmp_path, tasks={"arc_easy_sample": [1, 0]})
    assert only(tmp_path).benchmark == "arc_easy_sample"


def test_first_docs_only_is_said(tmp_path: Path) -> None:
    run(tmp_path, on_task={"gsm8k": {"num_docs_available": 1319}})
    assert only(tmp_path).subset == "first 4 of 1319 docs"


def test_a_group_stands_for_its_tasks(tmp_path: Path) -> None:
    tasks = {"mmlu_a": [1, 0], "mmlu_b": [1, 1]}
    on_task = {"mmlu_a": {"num_docs_available": 10}}
    run(tmp_path, tasks=tasks, groups={"mmlu": list(tasks)}, on_task=on_task)
    score = only(tmp_path)
    assert (score.benchmark, score.score, score.n) == ("MMLU", 75.0, 4)
    assert score.subset == "first 2 of 10 docs in 1 of 2 tasks"


def test_shots_that_differ_within_a_group_are_no_number_of_shots(tmp_path: Path) -> None:
    tasks = {"mmlu_a": [1, 0], "mmlu_b": [1, 1]}
    run(tmp_path, tasks=tasks, groups={"mmlu": list(tasks)}, on_task={"mmlu_a": {"num_fewshot": 5}})
    assert only(tmp_path).n_shot is None


def test_the_tasks_of_a_group_without_a_score_stand_for_themselves(tmp_path: Path) -> None:
    manifest = run(tmp_path, tasks={"a": [1], "b": [0]}, groups={"tag": ["a", "b"]})
    metrics = [m for m in load_metrics(tmp_path / "r") if m.task != "tag"]
    assert [score.task for score in run_scores(manifest, metrics)] == ["a", "b"]


def test_a_composite_has_its_definition_with_it(tmp_path: Path) -> None:
    tasks = {"cmr_judge": [1, 0], "cmr_know": [1, 1]}
    composite = {"name": "cmr", "version": "1", "parts": list(tasks)}
    manifest = run(
        tmp_path, tasks=tasks, config={"model": MODEL, "suite": {"composite": composite}}
    )
    whole = replace(
        load_metrics(tmp_path / "r")[0], task="cmr", group="cmr", metric="composite", n=4
    )
    score = run_scores(manifest, [*load_metrics(tmp_path / "r"), whole])[-1]
    assert (score.benchmark, score.metric, score.n) == ("cmr", "composite", 4)
    assert score.definition == "cmr v1: cmr_judge 1.0 acc; cmr_know 1.0 acc"


def test_another_version_of_a_task_is_another_quantity(tmp_path: Path) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b", on_task={"gsm8k": {"version": "2.0"}})
    first, second = measured_scores(tmp_path)
    assert first.quantity != second.quantity


def test_a_filter_is_part_of_the_metric(tmp_path: Path) -> None:
    manifest = run(tmp_path)
    (metric,) = load_metrics(tmp_path / "r")
    (score,) = run_scores(manifest, [replace(metric, filter="strict-match")])
    assert score.metric == "acc (strict-match)"


@pytest.mark.parametrize(
    ("metric", "value"), [("bits_per_byte", 0.8), ("word_perplexity", 12.0), ("acc", float("nan"))]
)
def test_what_is_no_share_is_left_out(tmp_path: Path, metric: str, value: float) -> None:
    manifest = run(tmp_path)
    (found,) = load_metrics(tmp_path / "r")
    assert run_scores(manifest, [replace(found, metric=metric, value=value)]) == []
    assert run_scores(manifest, [replace(found, is_main=False)]) == []


def test_an_interval_that_isnt_known_is_none(tmp_path: Path) -> None:
    manifest = run(tmp_path)
    (metric,) = load_metrics(tmp_path / "r")
    (score,) = run_scores(manifest, [replace(metric, ci_low=float("nan"), ci_high=float("nan"))])
    assert (score.ci_low, score.ci_high) == (None, None)


def test_a_manifest_that_says_nothing_leaves_unknowns(tmp_path: Path) -> None:
    run(tmp_path, config={}, checkpoint={})
    score = only(tmp_path)
    assert (score.release_date, score.total_params_b, score.n_experts, score.chat) == (None,) * 4
    assert (score.family, score.variant, score.open_weight) == ("", "", None)


def test_weights_of_ones_own_are_not_called_open(tmp_path: Path) -> None:
    run(tmp_path, config={"model": {**MODEL, "hub_id": None}})
    assert only(tmp_path).open_weight is None


def test_a_run_that_lm_eval_made_says_so(tmp_path: Path) -> None:
    run(tmp_path, engine={"kind": "lm-eval import"})
    assert only(tmp_path).harness == "lm-eval"


def test_a_run_with_damaged_metrics_is_reported_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, "a")
    run(tmp_path, "b")
    (tmp_path / "a" / layout.METRICS).write_bytes(b"no parquet")
    with caplog.at_level(logging.WARNING):
        assert [score.run_id for score in measured_scores(tmp_path)] == ["b"]
    assert "scores of run a left out" in caplog.text
