"""What the manifest says of a run: what it ran, on what, and what each task came to."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from evalharness.config import Config
from evalharness.records import Failure, Generation, Manifest, MetricRecord, TaskSummary
from evalharness.running import environment
from evalharness.running.building import Sample
from evalharness.running.executing import TaskProgress
from evalharness.running.preparing import Prepared
from evalharness.running.resuming import run_identity
from evalharness.tasks.loading import LoadedTask


def begin_manifest(prepared: Prepared) -> Manifest:
    """The manifest of a run that is about to start: its input in full, nothing of its outcome."""
    config = prepared.config
    plain = _plain(config)
    return Manifest(
        identity=run_identity(prepared, plain),
        run_id=_run_id(config),
        status="running",
        model=config.model.name,
        suite=config.suite.name,
        suite_version=config.suite.version,
        started_at=now(),
        config=plain,
        checkpoint=dataclasses.asdict(prepared.info) | {"is_chat": prepared.prompting.is_chat},
        packages=environment.package_versions(),
        hardware=environment.hardware(),
        seeds={
            "run": config.run.seed,
            "sampling": config.sampling.seed,
            "engine": config.engine.seed,
        },
    )


def _plain(config: Config) -> dict[str, Any]:
    container = OmegaConf.to_container(OmegaConf.structured(config), resolve=True, enum_to_str=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _run_id(config: Config) -> str:
    if config.run.id:
        return config.run.id
    base = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{config.model.name}-{config.suite.name}"
    name, number = base, 1
    while (Path(config.results_dir) / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def summarize(loaded: LoadedTask, task: TaskProgress, max_error_rate: float) -> TaskSummary:
    """What a task came to: counts of all that went wrong, tokens, time, identity."""
    responses = [r for s in task.samples for r in s.responses]
    generations = [r for r in responses if isinstance(r, Generation)]
    computed = [r for r in responses if not getattr(r, "is_reused", False)]
    failures = [s.failure for s in task.samples if isinstance(s.failure, Failure)]
    status = "complete" if task.is_done else "partial"
    if task.samples and len(failures) > max_error_rate * len(task.samples):
        status = "failed"
    return TaskSummary(
        task=loaded.name,
        group=loaded.group,
        version=loaded.version,
        num_fewshot=loaded.task.config.num_fewshot or 0,
        repeats=loaded.repeats,
        kind=loaded.kind,
        num_docs=loaded.num_docs,
        num_docs_available=loaded.num_docs_available,
        num_samples=len(task.samples),
        num_errors=len(failures),
        num_truncated=sum(g.finish_reason == "length" for g in generations),
        num_empty=sum(not g.text.strip() for g in generations),
        num_context_overflow=sum(f.kind == "context_overflow" for f in failures),
        num_prompt_tokens=sum(getattr(r, "num_prompt_tokens", 0) for r in computed),
        num_cached_tokens=sum(getattr(r, "num_cached_tokens", 0) for r in computed),
        num_generated_tokens=sum(len(getattr(r, "token_ids", ())) for r in computed),
        wall_s=task.wall_s,
        dataset=loaded.dataset,
        dataset_fingerprint=loaded.docs_fingerprint(),
        task_hash=loaded.task_hash(),
        status=status,
        num_reused=sum(_is_reused(s) for s in task.samples),
    )


def _is_reused(sample: Sample) -> bool:
    return bool(sample.responses) and all(getattr(r, "is_reused", False) for r in sample.responses)


def what_failed(summary: TaskSummary) -> str:
    """Why a task is not complete, and the way out where there is one."""
    if summary.status == "partial":
        return f"{summary.num_samples} of {summary.num_docs * summary.repeats} samples"
    what = f"{summary.num_errors} of {summary.num_samples} samples failed"
    if summary.num_context_overflow:
        what += (
            f", {summary.num_context_overflow} because the prompt is longer than the context "
            "(fewer few-shots, a larger engine.max_model_len, or run.truncation=left)"
        )
    return what


def describe_task(summary: TaskSummary, metrics: list[MetricRecord]) -> str:
    """One line for the log."""
    main = next(m for m in metrics if m.is_main)
    return (
        f"{summary.task}: {summary.num_docs} docs x {summary.repeats}, {main.value:.3f} "
        f"[{main.ci_low:.3f}, {main.ci_high:.3f}], {summary.num_truncated} truncated, "
        f"{summary.num_errors} errors, {summary.wall_s:.0f} s, {summary.tokens_per_s:.0f} tok/s"
    )


def now() -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
