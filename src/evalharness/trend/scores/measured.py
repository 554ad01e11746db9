"""Scores that were measured here, in the same records as reported ones: the main metrics of complete runs.

They are added to the reported scores and replace none. Runs of the fake engine are left out, and so are metrics that
are not a share of a maximum (perplexity, BLEU), as the record's scores are 0 to 100.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from evalharness.errors import StoreError
from evalharness.stats.metrics import COMPOSITE, NO_SHARES
from evalharness.store.read import list_runs, load_metrics
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    TaskSummary,
)
from evalharness.store.subset_words import subset_words
from evalharness.trend.scores.benchmarks import benchmark_of_task
from evalharness.trend.scores.records import ReportedScore

logger = logging.getLogger(__name__)

_BILLION = 1e9
_SHORT = 8


def measured_scores(results_dir: Path) -> list[ReportedScore]:
    """The scores of all complete runs in the store, oldest first; two runs of a model are two scores.

    A run whose metrics are damaged is logged as a warning and left out.

    Raises:
        StoreError: results_dir can't be read.
    """
    runs = [run for run in reversed(list_runs(results_dir)) if run.status == "complete"]
    real = [run for run in runs if not run.is_fake]
    return [score for run in real for score in run_scores(run, _metrics(results_dir, run))]


def run_scores(run: Manifest, metrics: Sequence[MetricRecord]) -> list[ReportedScore]:
    """A run's scores: of tasks outside groups, of groups, of the composite; of a group's tasks only if it has no score."""
    main = [metric for metric in metrics if metric.is_main]
    scored = {metric.task for metric in main}
    whole = [m for m in main if m.task == m.group or m.group not in scored]
    about = _about(run)
    return [_score(run, main, metric, about) for metric in whole if _is_share(run, metric)]


def _metrics(results_dir: Path, run: Manifest) -> list[MetricRecord]:
    try:
        return load_metrics(results_dir / run.run_id)
    except StoreError as e:
        logger.warning("scores of run %s left out: %s", run.run_id, e)
        return []


def _is_share(run: Manifest, metric: MetricRecord) -> bool:
    if math.isnan(metric.value) or metric.n == 0:
        return False
    if metric.metric in NO_SHARES or not 0 <= metric.value <= 1:
        logger.info(
            "%s: %s %s = %s is not a share; not among the scores",
            run.run_id, metric.task, metric.metric, metric.value,
        )  # fmt: skip
        return False
    return True


def _score(
    run: Manifest, main: Sequence[MetricRecord], metric: MetricRecord, about: dict[str, Any]
) -> ReportedScore:
    tasks = _tasks(run, metric)
    benchmark = benchmark_of_task(metric.task)
    shots = {str(task.num_fewshot) for task in tasks}
    return ReportedScore(
        **about,
        benchmark=benchmark.name if benchmark else metric.task,
        benchmark_raw=metric.task,
        metric=metric.metric if metric.filter == "none" else f"{metric.metric} ({metric.filter})",
        score=100 * metric.value,
        n=metric.n,
        ci_low=_percent(metric.ci_low),
        ci_high=_percent(metric.ci_high),
        higher_is_better=metric.higher_is_better,
        n_shot=shots.pop() if len(shots) == 1 else None,
        subset=_subset(tasks),
        strategy=", ".join(sorted({task.strategy for task in tasks})),
        definition=_definition(run, main, metric, tasks),
        task=metric.task,
    )


def _about(run: Manifest) -> dict[str, Any]:
    """The fields that all scores of a run share."""
    model = run.config.get("model") or {}
    checkpoint, engine = run.checkpoint, run.engine
    released, hub_id = model.get("release_date"), model.get("hub_id")
    kind = str(engine.get("kind") or "")
    engine_words = (kind, engine.get("version"), engine.get("dtype"), engine.get("quantization"))
    return {
        "origin": "measured",
        "collection": "store",
        "model": run.model,
        "reported_as": str(model.get("reported_as") or ""),
        "family": str(model.get("family") or ""),
        "release_date": _date(released),
        "total_params_b": _billions(checkpoint.get("params_total")),
        "active_params_b": _billions(checkpoint.get("params_active")),
        "n_experts": _experts(checkpoint.get("num_experts")),
        # Released and on the Hub, so open to others; unknown for a local folder.
        "open_weight": True if released and hub_id else None,
        "variant": str(model.get("variant") or ""),
        "chat": checkpoint.get("is_chat"),
        "harness": "lm-eval" if run.is_imported else "evalharness",
        "reported_by": "measured here",
        "source_repo": str(hub_id or ""),
        "source_commit": str(checkpoint.get("fingerprint") or ""),
        "date_source": str(model.get("release_source") or ""),
        "notes": " ".join(str(word) for word in engine_words if word),
        "run_id": run.run_id,
    }


def _tasks(run: Manifest, metric: MetricRecord) -> list[TaskSummary]:
    """The tasks behind a metric: one, a group's or a composite's."""
    names = {metric.task, *(_composite(run).get("parts", ()) if _is_composite(run, metric) else ())}
    return [task for task in run.tasks if names & {task.task, task.group}]


def _is_composite(run: Manifest, metric: MetricRecord) -> bool:
    return metric.metric == COMPOSITE and metric.task == _composite(run).get("name")


def _composite(run: Manifest) -> dict[str, Any]:
    return (run.config.get("suite") or {}).get("composite") or {}


def _definition(
    run: Manifest,
    main: Sequence[MetricRecord],
    metric: MetricRecord,
    tasks: Sequence[TaskSummary],
) -> str:
    """Exactly what was measured; numbers with different definitions are different quantities."""
    if not _is_composite(run, metric):
        versions = sorted({task.version for task in tasks})
        return f"{metric.task} {'/'.join(versions)}{_hash(tasks)}".strip()
    composite = _composite(run)
    parts = "; ".join(_parts(run, main, composite.get("parts", ())))
    return f"{composite['name']} v{composite.get('version', '')}: {parts}"


def _hash(tasks: Sequence[TaskSummary]) -> str:
    """Hash of prompts, filters and metrics; empty if a run doesn't have it."""
    hashes = [task.task_hash for task in tasks]
    if not hashes or not all(hashes):
        return ""
    whole = hashes[0] if len(hashes) == 1 else sha256(" ".join(sorted(hashes)).encode()).hexdigest()
    return f" #{whole[:_SHORT]}"


def _parts(run: Manifest, main: Sequence[MetricRecord], names: Sequence[str]) -> Iterator[str]:
    metrics = {metric.task: metric.metric for metric in main}
    for name in sorted(names):
        versions = sorted({task.version for task in run.tasks if name in (task.task, task.group)})
        yield f"{name} {'/'.join(versions)} {metrics.get(name, '')}".strip()


def _subset(tasks: Sequence[TaskSummary]) -> str:
    return subset_words(tasks)


def _date(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else 100 * value


def _billions(count: Any) -> float | None:
    return count / _BILLION if isinstance(count, int) and count > 0 else None


def _experts(count: Any) -> int | None:
    """Number of experts as in reported scores: 1 for a dense model."""
    return max(count, 1) if isinstance(count, int) else None
