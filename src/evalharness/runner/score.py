"""Finished samples become scores: lm-eval's filters, metrics and aggregation, over the samples that have an answer.

Each sample is scored as it finishes; what stays is its numbers. A sample that failed has no score and never counts as
zero.
"""

from __future__ import annotations

import json
import math
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from lm_eval.api.instance import Instance

from evalharness.engines.requests import Failure
from evalharness.runner.gold_answers import NO_ANSWER, GoldAnswers, can_extract
from evalharness.runner.likelihoods import likelihood_estimate
from evalharness.runner.metric_values import (
    aggregation_name,
    checked_scores,
    is_mean,
    to_number,
)
from evalharness.runner.sample_values import Doubt, SampleValues
from evalharness.stats.estimates import (
    Estimate,
    bootstrap_estimate,
    estimate,
)
from evalharness.stats.finite import (
    correction_of_draw,
    narrowed,
)
from evalharness.stats.sources import few_sources
from evalharness.store.records import MetricRecord
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.random_state import seeded
from evalharness.tasks.user_code import UserCodeError

BOOTSTRAP_ITERATIONS = 1000
_SLOWEST_S = 3.6
"""Time limit of an aggregation for which an interval is made; resampling a slower one would take over an hour."""


class Scored(NamedTuple):
    """One sample under one filter."""

    answer: str
    """What the filter extracted."""
    scores: dict[str, Any]
    """Metric -> the sample's score, or what the metric's aggregation takes."""
    gold_answer: str | None = None
    """What the filter extracts from the target; None where that is no part of it, or not known to be right."""


class Answer(NamedTuple):
    """One answer of a conversation."""

    text: str | None
    """What the filter extracted; None for nothing."""
    score: float
    """Its score on the task's main metric."""


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What scoring a task gives."""

    metrics: list[MetricRecord]
    values: dict[tuple[str, str], Sequence[Any]]
    """(metric, filter) -> one value per scored doc (repeats averaged) or, for other aggregations, per sample."""
    clusters: dict[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    """(metric, filter) -> the source of each of these; empty if the task declares none."""
    problems: dict[tuple[str, str], str] = field(default_factory=dict)
    """(metric, filter) -> why it has no value, no interval, or an unreliable one."""
    draws: dict[tuple[str, str], float] = field(default_factory=dict)
    """(metric, filter) -> mean answers per doc, if they are all 0 or 1 and a value is their mean."""
    doubt: Doubt | None = None
    """For the main metric, if answers were cut or are empty."""
    corrections: dict[tuple[str, str], float] = field(default_factory=dict)
    """(metric, filter) -> by how much its interval is narrowed; see `stats.finite`."""
    docs_per_draw: float = 1.0
    """Docs that each scored doc represents: N/n for random docs, else 1."""

    def has_no_score(self, loaded: LoadedTask) -> bool:
        """Whether the main metric has no value, although samples were scored."""
        main = loaded.main_metric()
        return main in self.problems and not any(m.is_main and m.n for m in self.metrics)


class TaskScorer:
    """Scores a task's samples one by one.

    On the event loop's own thread, because several lm-eval tasks bound their scoring by signals, which only the main
    thread may set.
    """

    def __init__(self, loaded: LoadedTask) -> None:
        """Start with nothing scored."""
        self._loaded = loaded
        self._aggregations = loaded.task.aggregation()
        self._values: dict[tuple[str, str], SampleValues] = {}
        self._num_scored = 0
        self._gold_answers = GoldAnswers(loaded, self._score) if can_extract(loaded) else None

    def score(
        self, doc_id: int, repeat: int, instances: Sequence[Instance], *, is_cut: bool = False
    ) -> dict[str, Scored] | Failure:
        """Filter -> answer and scores of one sample.

        Args:
            doc_id: row of the scored split.
            repeat: 0 and up.
            instances: all of the sample's, `resps` filled.
            is_cut: whether its answer was ended by a limit or is empty.

        Raises:
            InterruptedRunError: Ctrl-C or SIGTERM.
        """
        try:
            with (
                self._loaded.bounds.contain("scoring"),
                seeded(self._loaded.name, doc_id, repeat, "score"),
            ):
                by_filter = self._score(sorted(instances, key=lambda i: i.idx))
        except UserCodeError as e:
            return Failure(kind="scoring", message=str(e))
        self._num_scored += 1
        for filter_, scored in by_filter.items():
            for metric, value in scored.scores.items():
                if (metric, filter_) not in self._values:
                    mean = is_mean(self._aggregations.get(metric))
                    self._values[metric, filter_] = SampleValues(array("d") if mean else [])
                self._values[metric, filter_].add(doc_id, repeat, value, is_cut)
        if self._gold_answers is None:
            return by_filter
        gold = self._gold_answers.of(doc_id, instances)
        return {name: s._replace(gold_answer=gold.get(name)) for name, s in by_filter.items()}

    def score_answer(self, instances: Sequence[Instance], text: str) -> Answer | Failure:
        """Score one of a conversation's answers by the task's main filter and metric, without counting it.

        Args:
            instances: the sample's; their own responses stay.
            text: the model's answer.

        Raises:
            InterruptedRunError: Ctrl-C or SIGTERM.
        """
        metric, filter_ = self._loaded.main_metric()
        copies = [replace(i, resps=[text], filtered_resps={}) for i in instances]
        try:
            with (
                self._loaded.bounds.contain("scoring"),
                seeded(self._loaded.name, instances[0].doc_id, text, "score"),
            ):
                scored = self._score(copies)[filter_]
                value = to_number(metric, scored.scores.get(metric))
        except UserCodeError as e:
            return Failure(kind="scoring", message=str(e))
        answer = scored.answer.strip()
        return Answer(None if answer in NO_ANSWER else answer, value)

    def finish(self) -> TaskScores:
        """The task's metrics over all that was scored."""
        has_repeats = self._loaded.repeats > 1
        values = {key: v.per_unit() for key, v in self._values.items()}
        clusters: dict[tuple[str, str], Sequence[str]] = {
            key: found
            for key, v in self._values.items()
            if (found := self._clusters(v.unit_docs()))
        }
        draws = {key: v.draws() for key, v in self._values.items()} if has_repeats else {}
        main = self._loaded.main_metric()
        problems: dict[tuple[str, str], str] = {}
        corrections = {key: self._correction(v) for key, v in self._values.items()}
        metrics = []
        for key, v in values.items():
            units, answers = self._units(key, clusters), draws.get(key, 1.0)
            record = _metric(self._loaded, *key, v, units, answers, problems, corrections[key])
            if has_repeats and record.n:
                record = replace(record, n=self._values[key].num_docs)
            metrics.append(record)
        if main not in values:
            metrics.append(no_metric(self._loaded))
            if values:
                problems[main] = "no sample has a value"
        elif lacking := self._num_without(main):
            problems.setdefault(
                main,
                f"{lacking} of {self._num_scored} scored samples have no value, and don't count",
            )
        subset = self._loaded.subset
        return TaskScores(
            metrics,
            values,
            clusters,
            problems,
            draws=draws,
            doubt=self._values[main].doubt() if main in values else None,
            corrections=corrections,
            docs_per_draw=subset.num_available / len(subset.doc_ids) if subset.is_random else 1.0,
        )

    def _num_without(self, metric: tuple[str, str]) -> int:
        """Number of scored samples without a value of a metric that all samples should have."""
        if aggregation_name(self._aggregations.get(metric[0])) == "nanmean":
            return 0
        return self._num_scored - len(self._values[metric].doc_ids)

    def _correction(self, values: SampleValues) -> float:
        subset = self._loaded.subset
        if not subset.is_random:
            return 1.0
        return correction_of_draw(values.num_docs, len(subset.doc_ids), subset.num_available)

    def _units(
        self, key: tuple[str, str], clusters: Mapping[tuple[str, str], Sequence[str]]
    ) -> Sequence[str] | None:
        """The source of each value; the doc, if values belong to samples and the task declares no source."""
        if key in clusters or self._loaded.repeats == 1:
            return clusters.get(key)
        values = self._values[key]
        if isinstance(values.values, array):
            return None
        return [f"doc {doc_id}" for doc_id in values.unit_docs()]

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
            # Before the scorer, which may change the list.
            answer = answers[0] if len(answers) == 1 else json.dumps(answers, default=str)
            given = task.process_results(instances[0].doc, answers)
            by_filter[filter_] = Scored(str(answer), checked_scores(given, self._aggregations))
        return by_filter


def _metric(
    loaded: LoadedTask,
    metric: str,
    filter_: str,
    values: Sequence[Any],
    clusters: Sequence[str] | None,
    draws: float,
    problems: dict[tuple[str, str], str],
    factor: float,
) -> MetricRecord:
    """A metric over all samples; failures of its aggregation are noted in `problems`."""
    if isinstance(values, array):
        e = estimate(values, clusters, draws)
        if clusters and (few := few_sources(clusters)):
            problems[metric, filter_] = few
    else:
        try:
            with seeded(loaded.name, metric, filter_, "aggregate"):
                e = _aggregate(loaded, metric, filter_, values, clusters, problems)
        except UserCodeError as error:
            problems[metric, filter_] = f"its aggregation failed: {error}"
            e = estimate([])
    e = narrowed(e, factor)
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
        higher_is_better=is_higher_better(loaded, metric),
        is_main=(metric, filter_) == loaded.main_metric(),
    )


def _aggregate(
    loaded: LoadedTask,
    metric: str,
    filter_: str,
    values: Sequence[Any],
    clusters: Sequence[str] | None,
    problems: dict[tuple[str, str], str],
) -> Estimate:
    """The value by the task's own aggregation.

    Raises:
        UserCodeError: it raised, took too long or returned no number.
    """
    aggregation = loaded.task.aggregation()[metric]

    def aggregate(items: list[Any]) -> float:
        with loaded.bounds.contain(f"the aggregation of {metric}"):
            return to_number(metric, aggregation(items))

    num_without = 0

    def of_resample(items: list[Any]) -> float:
        nonlocal num_without
        try:
            return aggregate(items)
        except UserCodeError:  # some metrics have no value for some samples
            num_without += 1
            return math.nan

    started = time.monotonic()
    value = aggregate(list(values))
    if time.monotonic() - started > _SLOWEST_S:
        problems[metric, filter_] = "its aggregation is too slow for an interval"
        return Estimate(value, math.nan, math.nan, math.nan, len(values))
    if found := likelihood_estimate(aggregation, values, clusters):
        return found
    # Seeded by what is estimated: scoring the same samples again gives the same interval.
    rng = np.random.default_rng([len(values), *f"{loaded.name}/{metric}".encode()])
    e = bootstrap_estimate(values, of_resample, rng, BOOTSTRAP_ITERATIONS, clusters)
    if num_without and not math.isnan(e.ci_low):
        problems[metric, filter_] = (
            f"{num_without} of {BOOTSTRAP_ITERATIONS} resamples have no value; its interval is that of the others"
        )
    return e._replace(value=value)


def is_higher_better(loaded: LoadedTask, metric: str) -> bool:
    """As the task says; yes if it doesn't say."""
    said = loaded.task.higher_is_better().get(metric)
    return True if said is None else bool(said)


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
        higher_is_better=is_higher_better(loaded, metric),
        is_main=True,
    )
