"""Finished samples of some tasks: scored and stored one by one, and with a task's last its summary."""

from __future__ import annotations

from dataclasses import dataclass, field

from evalharness.config.schema import Config
from evalharness.runner.asked_docs import docs_to_keep
from evalharness.runner.execute import TaskProgress
from evalharness.runner.manifest import summarize, with_scores
from evalharness.runner.record import Recorder
from evalharness.runner.samples import Sample
from evalharness.runner.score import TaskScores, no_metric
from evalharness.runner.strategy_scores import strategy_curve, strategy_metrics
from evalharness.store.records import CurvePoint, TaskSummary
from evalharness.store.write import RunWriter
from evalharness.strategies import is_conversation
from evalharness.tasks.lm_adapter import EngineLM


@dataclass(frozen=True, slots=True)
class FinishedTask:
    """What is left of a task in memory."""

    summary: TaskSummary
    scores: TaskScores
    curves: list[CurvePoint] = field(default_factory=list)


class Finisher:
    """Takes the samples of tasks."""

    def __init__(self, config: Config, writer: RunWriter) -> None:
        """Start with no sample.

        Args:
            config: of the run.
            writer: of its folder.
        """
        self._config, self._writer = config, writer
        self._recorders: dict[str, Recorder] = {}

    def begun(self) -> set[str]:
        """Names of the tasks that have a sample and aren't finished."""
        return set(self._recorders)

    def add(self, task: TaskProgress, sample: Sample) -> None:
        """Score and store a finished sample."""
        self._recorder(task).add(sample)

    def finish(self, task: TaskProgress, lm: EngineLM | None) -> FinishedTask:
        """The task as it is now, with all of its samples or without."""
        loaded, recorder = task.loaded, self._recorder(task)
        scores = recorder.finish()
        if loaded.makes_docs:
            self._writer.write_docs(loaded.name, docs_to_keep(loaded))
        summary = summarize(
            loaded,
            recorder.counts,
            wall_s=task.wall_s,
            max_error_rate=self._config.run.max_error_rate,
            remarks=lm.remarks_on(loaded.kind) if lm else (),
            sampling=self._config.sampling,
        )
        summary, curves = with_scores(summary, loaded, scores), []
        if summary.status == "failed":
            scores = TaskScores([no_metric(loaded)], {})
        else:
            curves = strategy_curve(loaded, recorder.attempts)
            scores.metrics.extend(strategy_metrics(loaded, recorder.attempts))
        del self._recorders[loaded.name]
        return FinishedTask(summary, scores, curves)

    def discard(self) -> None:
        """Leave no half-written file."""
        for recorder in self._recorders.values():
            recorder.discard()

    def _recorder(self, task: TaskProgress) -> Recorder:
        name = task.loaded.name
        if name not in self._recorders:
            turns = self._writer.open_turns(name) if is_conversation(task.loaded) else None
            self._recorders[name] = Recorder(task.loaded, self._writer.open_samples(name), turns)
        return self._recorders[name]
