"""Score stored responses again, after a task's filter or metric changed: no engine, no weights, no tokenizer.

The responses are those in a run's samples. A task whose requests changed, or whose docs did, can't be scored again,
because its responses answer other questions. The new scores go to a new run; the old run is not changed.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from evalharness.config.schema import Config
from evalharness.engines.requests import Failure
from evalharness.errors import StoreError, TaskError, did_you_mean
from evalharness.runner import environment
from evalharness.runner.asked_docs import with_asked_docs
from evalharness.runner.group_scores import score_groups
from evalharness.runner.manifest import (
    CUT_REASONS,
    now,
    task_status,
    with_scores,
    without_score_remarks,
)
from evalharness.runner.metric_values import numbers
from evalharness.runner.record import (
    failure_text,
    logprobs,
    paired_choices,
    parse_response,
)
from evalharness.runner.score import (
    Scored,
    TaskScorer,
    TaskScores,
    no_metric,
)
from evalharness.stats.composite import score_composite
from evalharness.stats.rescore_changes import (
    Change,
    changes_of_sample,
)
from evalharness.store import layout
from evalharness.store.read import iter_docs, iter_samples, load_metrics
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter
from evalharness.tasks.choices import Choices, asked_choices, chosen_by
from evalharness.tasks.dataset_mirror import go_offline
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.suite import (
    LoadedSuite,
    load_suite,
)
from evalharness.tasks.user_code import UserCodeError

UNSCORED = "scoring: "
"""Prefix of the error of a sample that has a response but no score."""


@dataclass(slots=True)
class Rescored:
    """A run and the outcome of scoring it again."""

    manifest: Manifest
    """The new run's manifest; the old one's if nothing was written."""
    metrics_before: list[MetricRecord]
    metrics_after: list[MetricRecord]
    num_samples: int = 0
    """Samples scored again, whatever the number of their filters."""
    changes: list[Change] = field(default_factory=list)
    run_dir: Path | None = None
    """The new run's folder; None if nothing was written."""


def rescore(
    results_dir: Path,
    manifest: Manifest,
    config: Config,
    *,
    tasks: Collection[str] = (),
    is_dry: bool = False,
) -> Rescored:
    """Score a run's samples again with its tasks as they are now.

    Args:
        results_dir: where the run is, and where the new one goes.
        manifest: of the run.
        config: it was started with.
        tasks: those to score again, the others keep their scores; empty for all.
        is_dry: write nothing.

    Returns:
        What changed. Nothing is written if nothing changed.

    Raises:
        StoreError: the run has no samples, or they are damaged.
        TaskError: a task's requests or docs are not those that were answered.
    """
    if config.data.offline or config.data.mirror:
        go_offline()
    run_dir = results_dir / manifest.run_id
    suite = load_suite(config)
    chosen = _chosen(run_dir, manifest, suite, tasks)
    before = load_metrics(run_dir)
    rescored = Rescored(manifest, before, before)
    started = time.perf_counter()
    writer = None if is_dry else _new_run(results_dir, run_dir, manifest)
    try:
        scores, summaries = _score_all(run_dir, manifest, suite, chosen, rescored, writer)
        after = _metrics(suite, chosen, before, scores, summaries)
        if composite := config.suite.composite:
            after = [metric for metric in after if metric.task != composite.name]
            after.append(score_composite(composite, after))
        rescored.metrics_after = after
        if writer is not None and rescored.changes:
            writer.write_metrics(rescored.metrics_after)
            writer.update(_finished(writer.manifest, summaries, time.perf_counter() - started))
            rescored.manifest, rescored.run_dir = writer.manifest, writer.run_dir
    finally:
        if writer is not None and rescored.run_dir is None:
            shutil.rmtree(writer.run_dir)
    return rescored


def _chosen(
    run_dir: Path, manifest: Manifest, suite: LoadedSuite, names: Collection[str]
) -> dict[str, LoadedTask]:
    """The tasks to score again, after checking that all can be."""
    summaries = {summary.task: summary for summary in manifest.tasks}
    for name in names:
        if name not in summaries:
            raise TaskError(
                f"run {manifest.run_id!r} has no task {name!r}{did_you_mean(name, summaries)}"
            )
    loaded = {task.name: task for task in suite.tasks}
    chosen = {}
    for name, summary in summaries.items():
        if names and name not in names:
            continue
        if name not in loaded:
            raise TaskError(
                f"task {name!r} of run {manifest.run_id!r} isn't in suite {manifest.suite!r} any more"
            )
        _check_same_questions(loaded[name], summary)
        chosen[name] = loaded[name]
        is_random = summary.limit_from == "random"  # the same docs may have other positions by now
        if is_random or loaded[name].docs_fingerprint() != summary.dataset_fingerprint:
            chosen[name] = with_asked_docs(loaded[name], run_dir, summary)
    for task in suite.tasks:
        siblings = {name for name in chosen if loaded[name].group == task.group}
        if siblings and task.name in summaries and task.name not in chosen:
            raise TaskError(
                f"{sorted(siblings)[0]!r} and {task.name!r} are both in {task.group!r}: score all of it again, or none of it"
            )
    if not chosen:
        raise StoreError(
            f"run {manifest.run_id!r} has no scored tasks; `evalharness resume` continues it"
        )
    return chosen


def _check_same_questions(task: LoadedTask, summary: TaskSummary) -> None:
    what = None
    if summary.strategy != "single":
        raise TaskError(
            f"task {task.name!r} was answered with strategy={summary.strategy}, which has more answers than are scored "
            "again here: repeat the run's command, which reuses all its responses and loads no engine"
        )
    if not summary.request_hash:
        what = "was run by a version that didn't store what rescoring needs"
    elif task.request_hash() != summary.request_hash:
        what = "sends other requests than it did (prompt, choices, few-shots or generation settings changed)"
    if what:
        raise TaskError(f"task {task.name!r} {what}: run it again, or leave it out with --task")


def _new_run(results_dir: Path, run_dir: Path, manifest: Manifest) -> RunWriter:
    run_id = layout.free_id(results_dir, f"{manifest.run_id}-rescored")
    new = replace(
        manifest,
        run_id=run_id,
        status="running",
        started_at=now(),
        identity="",
        rescored_from=manifest.run_id,
        packages=manifest.packages | environment.package_versions(),
        hardware=manifest.hardware | {"host": socket.gethostname(), "pid": os.getpid()},
    )
    return RunWriter.create(results_dir, new, (run_dir / layout.CONFIG).read_text(encoding="utf-8"))


def _score_all(
    run_dir: Path,
    manifest: Manifest,
    suite: LoadedSuite,
    chosen: dict[str, LoadedTask],
    rescored: Rescored,
    writer: RunWriter | None,
) -> tuple[dict[str, TaskScores], list[TaskSummary]]:
    scores, summaries = {}, []
    for summary in manifest.tasks:
        rows: Iterator[SampleRecord] = iter_samples(run_dir, summary.task)
        if summary.task in chosen:
            again = _TaskAgain(chosen[summary.task], rescored)
            rows = again.rows(rows)
        samples = writer.open_samples(summary.task) if writer else None
        if writer is not None and layout.docs_path(run_dir, summary.task).is_file():
            writer.write_docs(summary.task, iter_docs(run_dir, summary.task))
        try:
            for row in rows:
                if samples is not None:
                    samples.add([row])
            if samples is not None:
                samples.close()
        finally:
            if samples is not None:
                samples.discard()
        if summary.task in chosen:
            summary = again.summary(summary, manifest.config["run"]["max_error_rate"])
            scores[summary.task] = again.scorer.finish()
            summary = with_scores(summary, chosen[summary.task], scores[summary.task])
        summaries.append(summary)
    return scores, summaries


class _TaskAgain:
    """One task's stored samples, scored by the task as it is now."""

    def __init__(self, task: LoadedTask, rescored: Rescored) -> None:
        self.scorer = TaskScorer(task)
        self._task, self._rescored = task, rescored
        self._num_errors = 0

    def rows(self, stored: Iterator[SampleRecord]) -> Iterator[SampleRecord]:
        """New rows for the stored ones, sample by sample."""
        for (doc_id, repeat), group in itertools.groupby(stored, lambda r: (r.doc_id, r.repeat)):
            before = {row.filter: row for row in group}
            after = self._again(doc_id, repeat, next(iter(before.values())))
            self._num_errors += after[0].error is not None
            self._rescored.num_samples += 1
            self._rescored.changes += changes_of_sample(before, {row.filter: row for row in after})
            yield from after

    def summary(self, before: TaskSummary, max_error_rate: float) -> TaskSummary:
        """The task's summary, with the fields that scoring changes."""
        task = self._task
        status = task_status(
            before.num_samples, self._num_errors, before.num_docs * task.repeats, max_error_rate
        )
        return replace(
            without_score_remarks(before, task),
            version=task.version,
            task_hash=task.task_hash(),
            num_errors=self._num_errors,
            status=status,
        )

    def _again(self, doc_id: int, repeat: int, row: SampleRecord) -> list[SampleRecord]:
        doc = self._task.docs[doc_id]
        scored: dict[str, Scored] | Failure | None = None
        instances: list[Instance] = []
        if row.error is None or row.error.startswith(UNSCORED):
            scored, instances = self._score(doc_id, repeat, doc, row)
        by_filter = scored if isinstance(scored, dict) else {}
        error = row.error if scored is None else None
        if isinstance(scored, Failure):
            error = failure_text(scored)
        choices = self._choices(doc, row) if isinstance(scored, dict) else Choices()
        found_logprobs = logprobs(instances) if choices.texts else []
        paired = paired_choices(choices, found_logprobs, [c.num_tokens for c in row.choices])
        rows = []
        for filter_ in self._task.filters():
            found = by_filter.get(filter_, Scored("", {}))
            rows.append(
                replace(
                    row,
                    filter=filter_,
                    is_main=filter_ == self._task.main_metric()[1],
                    cluster=self._task.cluster(doc_id),
                    target=self._target(doc_id, doc, row) if scored else row.target,
                    answer=found.answer,
                    scores=numbers(found.scores),
                    gold_answer=found.gold_answer,
                    error=error,
                    choices=paired,
                    gold=choices.gold if paired else (),
                    chosen=chosen_by(choices, found_logprobs, found.scores),
                )
            )
        return rows

    def _target(self, doc_id: int, doc: Any, row: SampleRecord) -> str:
        try:
            with self._task.bounds.contain("doc_to_target"):
                return self._task.target(doc_id, doc)
        except UserCodeError:  # scored without it
            return row.target

    def _choices(self, doc: Any, row: SampleRecord) -> Choices:
        try:
            with self._task.bounds.contain("doc_to_choice"):
                return asked_choices(self._task.task, doc)
        except UserCodeError:  # scored without them
            return Choices()

    def _score(
        self, doc_id: int, repeat: int, doc: Any, row: SampleRecord
    ) -> tuple[dict[str, Scored] | Failure, list[Instance]]:
        try:
            with self._task.bounds.contain("construct_requests", ValueError):
                instances = self._instances(doc_id, doc, row)
        except UserCodeError as e:
            return Failure(kind="scoring", message=str(e)), []
        except ValueError as e:
            return Failure(kind="scoring", message=f"the stored response can't be read: {e}"), []
        is_generation = self._task.kind == "generate_until"
        is_empty = is_generation and not all(str(r).strip() for i in instances for r in i.resps)
        is_cut = row.finish_reason in CUT_REASONS or is_empty
        return self.scorer.score(doc_id, repeat, instances, is_cut=is_cut), instances

    def _instances(self, doc_id: int, doc: Any, row: SampleRecord) -> list[Instance]:
        task = self._task.task
        num_instances = None
        own = type(task).construct_requests is not ConfigurableTask.construct_requests
        if own and self._task.kind == "generate_until":
            made = task.construct_requests(
                doc=doc, ctx=row.prompt, metadata=(self._task.name, doc_id, 1)
            )
            num_instances = len(made) if isinstance(made, list) else 1
        resps = parse_response(
            row.response,
            self._task.kind,
            num_instances=num_instances,
            num_draws=self._task.num_draws,
        )
        return [
            Instance(
                request_type=task.OUTPUT_TYPE,
                doc=doc,
                arguments=(row.prompt,),
                idx=number,
                metadata=(task.config.task, doc_id, task.config.repeats),
                resps=answers,
            )
            for number, answers in enumerate(resps)
        ]


def _metrics(
    suite: LoadedSuite,
    chosen: dict[str, LoadedTask],
    before: Sequence[MetricRecord],
    scores: dict[str, TaskScores],
    summaries: Sequence[TaskSummary],
) -> list[MetricRecord]:
    metrics: list[MetricRecord] = []
    for summary in summaries:
        if summary.task not in chosen:
            metrics += [m for m in before if m.task == summary.task]
        elif summary.status == "failed":
            metrics.append(no_metric(chosen[summary.task]))
        else:
            metrics += scores[summary.task].metrics
    ok = {s.task: scores[s.task] for s in summaries if s.task in chosen and s.status != "failed"}
    groups = score_groups(suite.groups, suite.tasks, ok)
    tasks = {summary.task for summary in summaries}
    again = {task.group for task in chosen.values()}
    groups += [m for m in before if m.task not in tasks and m.group not in again]
    return metrics + groups


def _finished(manifest: Manifest, summaries: Sequence[TaskSummary], wall_s: float) -> Manifest:
    bad = [s for s in summaries if s.status != "complete"]
    return replace(
        manifest,
        status="partial" if bad else "complete",
        reason=f"{bad[0].task} is {bad[0].status}" if bad else None,
        tasks=tuple(summaries),
        finished_at=now(),
        wall_s=wall_s,
        load_s=None,
        # Engine time and tokens stay with the old run: sums over runs would count them twice.
        serve_s=None,
        num_gpus=0,
        energy_j=None,
        load_energy_j=None,
        peak_gpu_memory_gib=None,
        cost_usd=None,
    )
