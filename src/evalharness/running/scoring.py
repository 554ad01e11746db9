"""Finished samples become scores: lm-eval's filters, metrics and aggregation, over the samples that have an answer.

A sample that failed is a row with its error and no score; it never counts as zero.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lm_eval.api.group import Group

from evalharness.analysis.estimates import bootstrap_estimate, estimate
from evalharness.records import Failure, Generation, MetricRecord, SampleRecord, Scores
from evalharness.running.building import Sample
from evalharness.tasks.loading import LoadedTask, doc_hash

BOOTSTRAP_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What scoring a task gives."""

    samples: list[SampleRecord]
    metrics: list[MetricRecord]
    values: dict[tuple[str, str], list[Any]]
    """(metric, filter) -> one value per scored doc (repeats averaged) or, for other aggregations, per sample."""


async def score_task(loaded: LoadedTask, samples: Sequence[Sample]) -> TaskScores:
    """Score a task's samples, letting other coroutines run between them.

    On the event loop's own thread, because several lm-eval tasks bound their scoring by signals, which only the main
    thread may set.

    Args:
        loaded: the task.
        samples: with `instance.resps` filled for every sample that didn't fail; in any order.
    """
    samples = sorted(samples, key=lambda s: (s.doc_id, s.repeat))
    good = [s for s in samples if s.failure is None]
    _apply_filters(loaded, good)
    rows: list[SampleRecord] = []
    raw: dict[tuple[str, str], dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        await asyncio.sleep(0)
        scores = _scores(loaded, sample)
        for filter_ in loaded.filters():
            for metric, value in scores.get(filter_, {}).items():
                raw[metric, filter_][sample.doc_id].append(value)
            rows.append(_row(loaded, sample, filter_, scores.get(filter_, {})))
    values = {key: _values(loaded, key[0], by_doc) for key, by_doc in raw.items()}
    metrics = [_metric(loaded, metric, filter_, v) for (metric, filter_), v in values.items()]
    return TaskScores(rows, metrics or [no_metric(loaded)], values)


def score_groups(
    groups: Mapping[str, Group],
    tasks: Iterable[LoadedTask],
    scores: Mapping[str, TaskScores],
) -> list[MetricRecord]:
    """Metrics of the groups that a suite names and that lm-eval aggregates; members without a score leave no group.

    A mean over samples gets the interval of the samples together; an unweighted mean over tasks the normal interval
    from the tasks' standard errors.
    """
    suite_groups = {task.group: task for task in tasks}
    records = []
    for name, group in groups.items():
        members = [task.task_name for task in group.get_all_tasks()]
        if name not in suite_groups or not group.aggregate_metric_list:
            continue
        if not all(member in scores for member in members):
            continue
        table = {member: _as_lm_eval(scores[member]) for member in members}
        result = group.aggregate(table)
        main = suite_groups[name].main_metric()
        for aggregation in group.aggregate_metric_list:
            for key in [k for k in result if k.startswith(f"{aggregation.metric},")]:
                metric, filter_ = key.split(",", 1)
                pooled = [v for m in members for v in scores[m].values.get((metric, filter_), [])]
                if aggregation.weight_by_size:
                    e = estimate(pooled)
                    low, high, stderr = e.ci_low, e.ci_high, e.stderr
                else:
                    stderr = float(result.get(f"{metric}_stderr,{filter_}", float("nan")))
                    low, high = result[key] - 1.96 * stderr, result[key] + 1.96 * stderr
                records.append(
                    MetricRecord(
                        task=name,
                        group=name,
                        metric=metric,
                        filter=filter_,
                        value=float(result[key]),
                        ci_low=low,
                        ci_high=high,
                        stderr=stderr,
                        n=len(pooled),
                        higher_is_better=suite_groups[name]
                        .task.higher_is_better()
                        .get(metric, True),
                        is_main=(metric, filter_) == main,
                    )
                )
    return records


def _apply_filters(loaded: LoadedTask, samples: Sequence[Sample]) -> None:
    instances = [instance for sample in samples for instance in sample.instances]
    if instances:
        # `Task.apply_filters` works on the task's own instances; ours are copies, one per repeat.
        loaded.task._instances = instances
        loaded.task.apply_filters()


def _scores(loaded: LoadedTask, sample: Sample) -> dict[str, dict[str, Any]]:
    """Filter -> metric -> score; empty for a sample that failed, and one that can't be scored becomes one."""
    if sample.failure is not None:
        return {}
    instances = sorted(sample.instances, key=lambda i: i.idx)
    try:
        return {
            filter_: dict(
                loaded.task.process_results(
                    instances[0].doc, [i.filtered_resps[filter_] for i in instances]
                )
            )
            for filter_ in loaded.filters()
        }
    except Exception as e:  # a task's own code; one bad sample must not stop the run
        failure = Failure(kind="scoring", message=f"{type(e).__name__}: {e}")
        sample.responses.append(failure)
        return {}


def _values(loaded: LoadedTask, metric: str, by_doc: Mapping[int, list[Any]]) -> list[Any]:
    """Per doc the mean over its repeats, where values are numbers; items are the unit, not samples."""
    flat = [value for values in by_doc.values() for value in values]
    if loaded.repeats == 1 or not _is_mean(loaded, metric, flat):
        return flat
    return [float(np.mean([float(v) for v in values])) for values in by_doc.values()]


def _is_mean(loaded: LoadedTask, metric: str, values: Sequence[Any]) -> bool:
    aggregation = loaded.task.aggregation().get(metric)
    name = getattr(aggregation, "__name__", "")
    return name in ("mean", "nanmean") and all(
        isinstance(v, (int, float, np.number)) for v in values
    )


def _metric(loaded: LoadedTask, metric: str, filter_: str, values: list[Any]) -> MetricRecord:
    aggregate = loaded.task.aggregation().get(metric)
    if aggregate is None or _is_mean(loaded, metric, values):
        e = estimate([float(v) for v in values])
    else:
        # Seeded by what is estimated: scoring the same samples again gives the same interval.
        rng = np.random.default_rng([len(values), *f"{loaded.name}/{metric}".encode()])
        e = bootstrap_estimate(
            values, lambda v: float(aggregate(v)), rng, iterations=BOOTSTRAP_ITERATIONS
        )
    return MetricRecord(
        task=loaded.name,
        group=loaded.group,
        metric=metric,
        filter=filter_,
        value=e.value,
        ci_low=e.ci_low,
        ci_high=e.ci_high,
        stderr=e.stderr,
        n=e.n,
        higher_is_better=bool(loaded.task.higher_is_better().get(metric, True)),
        is_main=(metric, filter_) == loaded.main_metric(),
    )


def no_metric(loaded: LoadedTask) -> MetricRecord:
    """A task without a score: NaN over none, not zero."""
    metric, filter_ = loaded.main_metric()
    nan = float("nan")
    return MetricRecord(
        task=loaded.name,
        group=loaded.group,
        metric=metric,
        filter=filter_,
        value=nan,
        ci_low=nan,
        ci_high=nan,
        stderr=nan,
        n=0,
        higher_is_better=bool(loaded.task.higher_is_better().get(metric, True)),
        is_main=True,
    )


def _row(
    loaded: LoadedTask,
    sample: Sample,
    filter_: str,
    scores: Mapping[str, Any],
) -> SampleRecord:
    instances, error = sample.instances, _message(sample.failure)
    generations = [r for r in sample.responses if isinstance(r, Generation)]
    answers = [] if error else [i.filtered_resps[filter_] for i in instances]
    finish = generations[0].finish_reason if generations else "score"
    return SampleRecord(
        task=loaded.name,
        doc_id=sample.doc_id,
        doc_hash=doc_hash(instances[0].doc),
        repeat=sample.repeat,
        filter=filter_,
        prompt=str(instances[0].args[0]),
        target=str(loaded.task.doc_to_target(instances[0].doc)),
        response=_response_text(sample, generations),
        thinking=generations[0].thinking if generations else None,
        answer=str(answers[0] if len(answers) == 1 else json.dumps(answers, default=str)),
        scores={k: float(v) for k, v in scores.items() if isinstance(v, (int, float, np.number))},
        finish_reason="error" if sample.failure else finish,
        num_prompt_tokens=_total(sample, "num_prompt_tokens"),
        num_generated_tokens=sum(len(g.token_ids) for g in generations),
        latency_s=max((getattr(r, "latency_s", 0.0) for r in sample.responses), default=0.0),
        error=error,
    )


def _response_text(sample: Sample, generations: Sequence[Generation]) -> str:
    if generations:
        texts = [g.text for g in generations]
        return texts[0] if len(texts) == 1 else json.dumps(texts)
    scores = [c.logprob for r in sample.responses if isinstance(r, Scores) for c in r.continuations]
    return json.dumps(scores)


def _total(sample: Sample, name: str) -> int:
    return sum(getattr(r, name, 0) for r in sample.responses)


def _message(failure: Failure | None) -> str | None:
    return f"{failure.kind}: {failure.message}" if failure else None


def _as_lm_eval(scores: TaskScores) -> dict[str, Any]:
    """The table `Group.aggregate` reads."""
    table: dict[str, Any] = {"sample_len": max((len(v) for v in scores.values.values()), default=0)}
    for record in scores.metrics:
        table[f"{record.metric},{record.filter}"] = record.value
        table[f"{record.metric}_stderr,{record.filter}"] = record.stderr
    return table
