"""Runs on disk without running anything: scores in, a folder as `run` leaves it out."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalharness.stats.estimates import estimate
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter

Scores = Sequence[float | None]
"""Per doc; None for a failed sample."""


def make_run(
    results_dir: Path,
    run_id: str,
    model: str,
    suite: str,
    tasks: Mapping[str, Scores],
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    clusters: Mapping[str, Sequence[str]] | None = None,
    first_doc: int = 0,
    lower_is_better: Collection[str] = (),
    on_task: Mapping[str, Mapping[str, Any]] | None = None,
    on_sample: Mapping[str, Any] | None = None,
    **manifest: Any,
) -> Manifest:
    """Write a run.

    Args:
        results_dir: where.
        run_id: its folder.
        model: name.
        suite: name.
        tasks: task -> a score per doc; docs of equal place have equal hashes in all runs.
        groups: group -> its tasks; the group's own metric is the mean over their docs.
        clusters: task -> source per doc.
        first_doc: place of the first doc: another one makes other docs.
        lower_is_better: tasks of which less is better.
        on_task: task -> fields of its summary that are otherwise.
        on_sample: fields of every sample that are otherwise.
        manifest: fields of the manifest that are otherwise.
    """
    group_of = {task: group for group, members in (groups or {}).items() for task in members}
    summaries = [
        replace(_summary(task, group_of.get(task, task), scores), **(on_task or {}).get(task, {}))
        for task, scores in tasks.items()
    ]
    base = Manifest(
        run_id=run_id, status="running", model=model, suite=suite, suite_version="1",
        started_at="2026-01-01T00:00:00+00:00", finished_at="2026-01-01T00:10:00+00:00", wall_s=600.0,
        tasks=tuple(summaries), checkpoint={"fingerprint": f"fp-{model}", "is_chat": True},
        engine={"kind": "vllm", "version": "1", "dtype": "float32", "quantization": None},
        packages={"lm-eval": "0.4.13"}, seeds={"run": 1234},
    )  # fmt: skip
    run = replace(base, **manifest)
    writer = RunWriter.create(results_dir, replace(run, status="running"), "")
    metrics = [_metric(t, group_of.get(t, t), s, (clusters or {}).get(t)) for t, s in tasks.items()]
    metrics += [
        _metric(group, group, [score for task in members for score in tasks[task]])
        for group, members in (groups or {}).items()
    ]
    metrics = [replace(m, higher_is_better=m.task not in lower_is_better) for m in metrics]
    for task, scores in tasks.items():
        sources = (clusters or {}).get(task)
        samples = (
            _sample(task, first_doc + i, score, sources[i] if sources else None)
            for i, score in enumerate(scores)
        )
        writer.write_samples(task, [replace(s, **(on_sample or {})) for s in samples])
    writer.write_metrics(metrics)
    status = manifest.get("status", "complete")
    writer.update(replace(run, status=status))
    writer.release()
    return writer.manifest


def _summary(task: str, group: str, scores: Scores) -> TaskSummary:
    return TaskSummary(
        task=task, group=group, version="1.0", num_fewshot=0, repeats=1, kind="generate_until",
        num_docs=len(scores), num_docs_available=len(scores), num_samples=len(scores),
        num_errors=sum(s is None for s in scores), num_truncated=0, num_empty=0, num_context_overflow=0,
        num_prompt_tokens=100, num_cached_tokens=0, num_generated_tokens=10, wall_s=1.0, dataset="d",
        dataset_fingerprint="f", task_hash="h", status="complete", request_hash="r",
        sampling="greedy, max_gen_toks 256",
    )  # fmt: skip


def _metric(
    task: str, group: str, scores: Scores, clusters: Sequence[str] | None = None
) -> MetricRecord:
    kept = [i for i, s in enumerate(scores) if s is not None]
    e = estimate(
        [float(scores[i]) for i in kept],  # type: ignore[arg-type]
        [clusters[i] for i in kept] if clusters else None,
    )
    return MetricRecord(
        task=task, group=group, metric="acc", filter="none", **e._asdict(), higher_is_better=True, is_main=True,
    )  # fmt: skip


def _sample(task: str, doc: int, score: float | None, cluster: str | None) -> SampleRecord:
    return SampleRecord(
        task=task, doc_id=doc, doc_hash=hashlib.sha256(f"{task} {doc}".encode()).hexdigest(), repeat=0,
        filter="none", prompt=f"Question {doc}?", target="yes", response=f"I say {score}.", thinking=None,
        answer="yes" if score else "no", scores={} if score is None else {"acc": float(score)},
        finish_reason="stop", num_prompt_tokens=10, num_generated_tokens=1, latency_s=0.1,
        error="request: lost" if score is None else None, cluster=cluster,
    )  # fmt: skip
