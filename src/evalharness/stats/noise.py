"""The noise floor: the same samples answered twice, and how far scores, texts and log-likelihoods differ.

Samples of two runs in, a record per task and their total out. What differs between two runs of one checkpoint can't count
as a difference between checkpoints.
"""

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.stats.estimates import wilson
from evalharness.store.records import FLIP, SampleRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNoise:
    """One task answered twice."""

    task: str
    metric: str
    filter: str
    first_value: float
    """The task's metric in the first run."""
    second_value: float
    n: int
    """Samples with a score in both runs."""
    num_unpaired: int
    """Samples that failed in a run, or are in one only."""
    num_flips: int
    """Samples whose score differs by more than `FLIP`."""
    num_texts: int
    """Samples with generated text."""
    num_text_changes: int
    """Texts (thinking included) that differ at all."""
    num_continuations: int
    """Log-likelihoods in both runs."""
    num_argmax_changes: int
    """Samples with another most likely continuation."""
    max_logprob_difference: float
    """Over continuations, in nats; NaN when there are none."""
    median_logprob_difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """All tasks together."""

    n: int
    num_unpaired: int
    num_flips: int
    flip_share: float
    """Flips per scored sample: the mean over these samples can't move by more; NaN when n is 0."""
    flip_share_high: float
    """Upper end of its 95 % interval (Wilson)."""
    num_texts: int
    num_text_changes: int
    num_continuations: int
    num_argmax_changes: int
    max_logprob_difference: float
    """NaN without log-likelihoods."""

    @property
    def is_exact(self) -> bool:
        """Nothing was found to differ, to the last bit."""
        return (
            not (self.num_flips or self.num_text_changes) and not self.max_logprob_difference > 0.0
        )


def task_noise(
    first: Iterable[SampleRecord],
    second: Iterable[SampleRecord],
    *,
    task: str,
    metric: str,
    filter_: str,
    values: tuple[float, float],
) -> TaskNoise:
    """How far two runs of one task differ, sample by sample.

    Args:
        first: the task's samples, all filters.
        second: those of the other run.
        task: its name.
        metric: the score that is compared; other scores of a sample are left out.
        filter_: its filter; rows of other filters are left out.
        values: the task's metric in both runs.
    """
    before, after = _by_sample(first, filter_), _by_sample(second, filter_)
    pairs = [(before[key], after[key]) for key in before if key in after]
    good = [(a, b) for a, b in pairs if not (a.error or b.error)]
    scores = [
        (a.scores[metric], b.scores[metric])
        for a, b in good
        if metric in a.scores and metric in b.scores
    ]
    texts = [(a, b) for a, b in good if a.finish_reason != "score"]
    logprobs = [(_logprobs(a), _logprobs(b)) for a, b in good if a.finish_reason == "score"]
    differences = [_difference(x, y) for a, b in logprobs for x, y in zip(a, b, strict=True)]
    return TaskNoise(
        task=task,
        metric=metric,
        filter=filter_,
        first_value=values[0],
        second_value=values[1],
        n=len(scores),
        num_unpaired=len(before.keys() | after.keys()) - len(good),
        num_flips=sum(_difference(a, b) > FLIP for a, b in scores),
        num_texts=len(texts),
        num_text_changes=sum(
            (a.response, a.thinking) != (b.response, b.thinking) for a, b in texts
        ),
        num_continuations=len(differences),
        num_argmax_changes=sum(_argmax(a) != _argmax(b) for a, b in logprobs),
        max_logprob_difference=max(differences, default=math.nan),
        median_logprob_difference=statistics.median(differences) if differences else math.nan,
    )


def noise_floor(tasks: Sequence[TaskNoise]) -> NoiseFloor:
    """The tasks together."""
    n, num_flips = sum(task.n for task in tasks), sum(task.num_flips for task in tasks)
    found = [task.max_logprob_difference for task in tasks if task.num_continuations]
    return NoiseFloor(
        n=n,
        num_unpaired=sum(task.num_unpaired for task in tasks),
        num_flips=num_flips,
        flip_share=num_flips / n if n else math.nan,
        flip_share_high=wilson(num_flips, n).high,
        num_texts=sum(task.num_texts for task in tasks),
        num_text_changes=sum(task.num_text_changes for task in tasks),
        num_continuations=sum(task.num_continuations for task in tasks),
        num_argmax_changes=sum(task.num_argmax_changes for task in tasks),
        max_logprob_difference=max(found, default=math.nan),
    )


def _by_sample(
    samples: Iterable[SampleRecord], filter_: str
) -> dict[tuple[int, int], SampleRecord]:
    return {(s.doc_id, s.repeat): s for s in samples if s.filter == filter_}


def _logprobs(sample: SampleRecord) -> list[float]:
    """All numbers of the response, however deep: `[logprob, is_greedy]` per continuation, or a number per text."""
    return list(_numbers(json.loads(sample.response)))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _difference(a: float, b: float) -> float:
    """Zero for two equal infinities (and two NaN), which have no difference of their own; infinite where one alone is NaN."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return math.inf if math.isnan(a - b) else abs(a - b)


def _argmax(logprobs: Sequence[float]) -> int | None:
    return max(range(len(logprobs)), key=lambda place: logprobs[place], default=None)
