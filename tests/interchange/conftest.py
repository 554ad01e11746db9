"""What lm-eval itself writes, and runs of the store as they come out of ours."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness import paths
from evalharness.interchange.run_data import Stored
from evalharness.store.read import load_manifest
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter

GROUP = """
group: two_tasks
task: [arc_easy_sample, truthfulqa_mc2_sample]
aggregate_metric_list:
  - {metric: acc, weight_by_size: true}
"""
LIMIT = 8


@pytest.fixture(scope="session")
def _written(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import lm_eval
    from lm_eval.loggers import EvaluationTracker

    from evalharness.tasks.suite import task_manager

    folder = tmp_path_factory.mktemp("lm_eval")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "two_tasks.yaml").write_text(GROUP)
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    with pytest.MonkeyPatch.context() as patch:
        own = [folder / "tasks", paths.shipped("tasks")]
        patch.setattr(paths, "search", lambda name: own if name == "tasks" else [])
        results = lm_eval.simple_evaluate(
            model="hf",
            model_args=f"pretrained={tiny_llama},dtype=float32,max_length=128",
            tasks=["two_tasks", "gsm8k_sample"],
            limit=LIMIT,
            device="cpu",
            gen_kwargs="max_gen_toks=8",
            bootstrap_iters=100,
            evaluation_tracker=tracker,
            task_manager=task_manager(),
        )
    assert results is not None
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in results["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    return folder / "out"


@pytest.fixture
def lm_eval_output(_written: Path, tmp_path: Path) -> Path:
    """A folder as `lm_eval --output_path <it> --log_samples` leaves it: 3 tasks, 8 docs each, two in a group."""
    return Path(shutil.copytree(_written, tmp_path / "lm_eval_output"))


@pytest.fixture
def results_file(lm_eval_output: Path) -> Path:
    """The one results file in it."""
    (path,) = lm_eval_output.rglob("results_*.json")
    return path


TASK = TaskSummary(
    task="gsm8k", group="gsm8k", version="3.0", num_fewshot=5, repeats=1, kind="generate_until", num_docs=4,
    num_docs_available=4, num_samples=4, num_errors=0, num_truncated=1, num_empty=0, num_context_overflow=0,
    num_prompt_tokens=400, num_cached_tokens=0, num_generated_tokens=40, wall_s=2.0, dataset="openai/gsm8k/main",
    dataset_fingerprint="f" * 64, task_hash="h" * 64, status="complete",
)  # fmt: skip
METRIC = MetricRecord(
    task="gsm8k", group="gsm8k", metric="exact_match", filter="strict-match", value=0.75, ci_low=0.301, ci_high=0.954,
    stderr=0.25, n=4, higher_is_better=True, is_main=True,
)  # fmt: skip
SAMPLE = SampleRecord(
    task="gsm8k", doc_id=0, doc_hash="d" * 64, repeat=0, filter="strict-match", prompt="How many?", target="72",
    response="So 72 é.", thinking=None, answer="72", scores={"exact_match": 1.0}, finish_reason="stop",
    num_prompt_tokens=100, num_generated_tokens=10, latency_s=0.5, error=None,
)  # fmt: skip
MANIFEST = Manifest(
    run_id="20260102-030405-mine-leaderboard", status="running", model="mine", suite="leaderboard", suite_version="1",
    started_at="2026-01-02T03:04:05+00:00", finished_at="2026-01-02T03:05:05+00:00", wall_s=60.0,
    config={"model": {"name": "mine", "hub_id": "some-lab/Mine-1B"}, "sampling": {"temperature": None}},
    checkpoint={"fingerprint": "ab" * 32, "weights_fingerprint": "fast:ab", "params_total": 10**9},
    engine={"kind": "vllm", "version": "0.32.0", "dtype": "bfloat16", "quantization": None},
    packages={"evalharness": "0.1.0", "lm-eval": "0.4.13"}, seeds={"run": 1234}, identity="i" * 64,
)  # fmt: skip

StoreRun = Callable[..., Stored]


@pytest.fixture
def store_run(tmp_path: Path) -> StoreRun:
    """Writes a run (4 docs of gsm8k unless said otherwise) and loads it for export."""

    def write(
        *,
        tasks: tuple[TaskSummary, ...] = (TASK,),
        metrics: tuple[MetricRecord, ...] = (METRIC,),
        samples: tuple[SampleRecord, ...] | None = None,
        **manifest: Any,
    ) -> Stored:
        begun = replace(MANIFEST, tasks=tasks, **manifest)
        writer = RunWriter.create(tmp_path / "store", begun, "sampling: {temperature: null}\n")
        if samples is None:
            scores = [1.0, 1.0, 1.0, 0.0]
            samples = tuple(
                replace(SAMPLE, doc_id=i, doc_hash=f"{i}" * 64, scores={"exact_match": score})
                for i, score in enumerate(scores)
            )
        for task in tasks:
            writer.write_samples(task.task, [s for s in samples if s.task == task.task])
        writer.write_metrics(metrics)
        status = manifest.get("status", "complete")
        writer.update(replace(begun, status=status))
        writer.release()
        return Stored.load(writer.run_dir, load_manifest(writer.run_dir))

    return write


@pytest.fixture
def task() -> TaskSummary:
    """The task of `store_run`: complete, on all of its docs."""
    return TASK


@pytest.fixture
def metric() -> MetricRecord:
    """Its main metric."""
    return METRIC


@pytest.fixture
def sample() -> SampleRecord:
    """Its first sample."""
    return SAMPLE
