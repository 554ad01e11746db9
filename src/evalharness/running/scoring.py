"""Finished samples become scores: lm-eval's filters, metrics and aggregation, over the samples that have an answer.

Each sample is scored as it finishes; what stays is its numbers. A sample that failed has no score and never counts as
zero.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from lm_eval.api.instance import Instance

from evalharness.analysis.estimates import bootstrap_estimate, estimate
from evalharness.records import Failure, MetricRecord
from evalharness.tasks.loading import LoadedTask
from evalharness.tasks.random_state import seeded

BOOTSTRAP_ITERATIONS = 1000
NUMBER = (int, float, np.number, np.bool_)
_NO_ANSWER = ("", "[invalid]")
"""What lm-eval's filters leave where they find nothing."""


class Scored(NamedTuple):
    """One sample under one filter."""

    answer: str
    """What the filter extracted."""
    scores: dict[str, Any]
    """Metric -> the sample's score, or what the metric's aggregation takes."""


class Answer(NamedTuple):
    """One answer of a conversation."""

    text: str | None
    """What the filter extracted; None for nothing."""
    score: float
    """Of the task's main metric."""


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What scoring a task gives."""

    metrics: list[MetricRecord]
    values: dict[tuple[str, str], Sequence[Any]]
    """(metric, filter) -> one value per scored doc (repeats averaged) or, for other aggregations, per sample."""
    clusters: dict[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    """(metric, filter) -> the source of each of these; empty where the task declares none."""


class TaskScorer:
    """Scores a task's samples one by one.

    On the event loop's own thread, because several lm-eval tasks bound their scoring by signals, which only the main
    thread may set.
    """

    def __init__(self, loaded: LoadedTask) -> None:
        """Nothing is scored yet."""
        self._loaded = loaded
        self._values: dict[tuple[str, str], _Values] = {}

    def score(
        self, doc_id: int, repeat: int, instances: Sequence[Instance]
    ) -> dict[str, Scored] | Failure:
        """Filter -> answer and scores of one sample, or why it can't be scored.

        Args:
            doc_id: row of the scored split.
            repeat: 0 and up.
            instances: all of the sample's, `resps` filled.
        """
        instances = sorted(instances, key=lambda i: i.idx)
        try:
            with seeded(self._loaded.name, doc_id, repeat, "score"):
                by_filter = self._score(instances)
        except (
            Exception,
            SystemExit,
        ) as e:  # a task's own code; one bad sample must not stop the run
            return Failure(kind="scoring", message=f"{type(e).__name__}: {e}")
        for filter_, scored in by_filter.items():
            for metric, value in scored.scores.items():
                if (metric, filter_) not in self._values:
                    is_mean = _is_mean(self._loaded, metric)
                    self._values[metric, filter_] = _Values(array("d") if is_mean else [])
                self._values[metric, filter_].add(doc_id, repeat, value)
        return by_filter

    def score_answer(self, instances: Sequence[Instance], text: str) -> Answer | Failure:
        """One of a conversation's answers by the task's main filter and metric; it counts for no metric.

        Args:
            instances: the sample's; their own responses stay.
            text: the answer as the model gave it.
        """
        metric, filter_ = self._loaded.main_metric()
        copies = [replace(i, resps=[text], filtered_resps={}) for i in instances]
        try:
            with seeded(self._loaded.name, instances[0].doc_id, text, "score"):
                scored = self._score(copies)[filter_]
        except (Exception, SystemExit) as e:  # as above
            return Failure(kind="scoring", message=f"{type(e).__name__}: {e}")
        value = scored.scores.get(metric)
        if not isinstance(value, NUMBER):
            return Failure(kind="scoring", message=f"{metric} is no number for a single answer")
        answer = scored.answer.strip()
        return Answer(None if answer in _NO_ANSWER else answer, float(value))

    def finish(self) -> TaskScores:
        """The task's metrics over all that was scored."""
        has_repeats = self._loaded.repeats > 1
        values = {
            key: v.per_doc() if has_repeats else v.in_order() for key, v in self._values.items()
        }
        clusters: dict[tuple[str, str], Sequence[str]] = {
            key: found
            for key, v in self._values.items()
            if (found := self._clusters(v.unit_docs(has_repeats=has_repeats)))
        }
        metrics = [_metric(self._loaded, *key, v, clusters.get(key)) for key, v in values.items()]
        return TaskScores(metrics or [no_metric(self._loaded)], values, clusters)

    def _clusters(self, doc_ids: Sequence[int]) -> Sequence[str]:
        found = [self._loaded.cluster(doc_id) for doc_id in doc_ids]
        if not any(found):
            return ()
        return [c or f"doc {doc_id}" for c, doc_id in zip(found, doc_ids, strict=True)]

    def _score(self, instances: Sequence[Instance]) -> dict[str, Scored]:
        task = self._loaded.task
        # `Task.apply_filters` works on the task's own instances; ours are copies, one per repeat.
        task._instances = instances
        task.apply_filters()
        by_filter = {}
        for filter_ in self._loaded.filters():
            answers = [i.filtered_resps[filter_] for i in instances]
            scores = dict(task.process_results(instances[0].doc, answers))
            answer = answers[0] if len(answers) == 1 else json.dumps(answers, default=str)
            by_filter[filter_] = Scored(str(answer), scores)
        return by_filter


@dataclass(slots=True)
class _Values:
    """A metric's value of each sample: 20 bytes a sample where the metric is a mean of numbers."""

    values: array[float] | list[Any]
    """A list for what another aggregation takes."""
    doc_ids: array[int] = field(default_factory=lambda: array("q"))
    repeats: array[int] = field(default_factory=lambda: array("i"))

    def add(self, doc_id: int, repeat: int, value: Any) -> None:
        """Take a sample's value, in any order of samples."""
        if isinstance(self.values, array) and not isinstance(value, NUMBER):
            self.values = list(self.values)
        self.doc_ids.append(doc_id)
        self.repeats.append(repeat)
        self.values.append(value)

    def in_order(self) -> Sequence[Any]:
        """Values by doc and repeat, so that the order of finishing changes nothing."""
        order = np.lexsort((self.repeats, self.doc_ids))
        if isinstance(self.values, array):
            return array("d", np.asarray(self.values)[order])
        return [self.values[i] for i in order]

    def unit_docs(self, *, has_repeats: bool) -> Sequence[int]:
        """The doc of each value of `per_doc` (with repeats of numbers) or `in_order`."""
        doc_ids = np.asarray(self.doc_ids)
        if has_repeats and isinstance(self.values, array):
            return [int(doc_id) for doc_id in np.unique(doc_ids)]
        return [int(doc_id) for doc_id in np.sort(doc_ids)]

    def per_doc(self) -> Sequence[Any]:
        """The mean over each doc's repeats, in the order of docs: docs are the unit, not samples."""
        if not isinstance(self.values, array):
            return self.in_order()
        _, place = np.unique(self.doc_ids, return_inverse=True)
        return array("d", np.bincount(place, weights=np.asarray(self.values)) / np.bincount(place))


def _is_mean(loaded: LoadedTask, metric: str) -> bool:
    aggregation = loaded.task.aggregation().get(metric)
    return aggregation is None or getattr(aggregation, "__name__", "") in ("mean", "nanmean")


def _metric(
    loaded: LoadedTask,
    metric: str,
    filter_: str,
    values: Sequence[Any],
    clusters: Sequence[str] | None,
) -> MetricRecord:
    aggregate = loaded.task.aggregation().get(metric)
    if isinstance(values, array):
        e = estimate(values, clusters)
    else:
        assert aggregate is not None, (
            f"{loaded.name}: {metric} isn't a number and has no aggregation"
        )
        # Seeded by what is estimated: scoring the same samples again gives the same interval.
        rng = np.random.default_rng([len(values), *f"{loaded.name}/{metric}".encode()])
        with seeded(loaded.name, metric, filter_, "aggregate"):
            e = bootstrap_estimate(
                values, lambda v: float(aggregate(v)), rng, BOOTSTRAP_ITERATIONS, clusters
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
