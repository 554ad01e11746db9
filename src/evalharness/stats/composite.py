"""One number over several tasks: the mean of their main metrics, with equal weight.

Metric records in, one metric record out, listed beside the tasks' own. A part without a score leaves the whole
without one: a mean over fewer parts would be another number.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from evalharness.stats.estimates import (
    Interval,
    mean_interval,
)
from evalharness.stats.metrics import COMPOSITE
from evalharness.store.records import MetricRecord

if TYPE_CHECKING:
    from evalharness.config.schema import CompositeConfig


class Part(NamedTuple):
    """A task of the composite."""

    task: str
    metric: MetricRecord | None
    """Its main metric; None when it has none."""

    @property
    def is_scored(self) -> bool:
        """It has a value."""
        return self.metric is not None and not math.isnan(self.metric.value)


def find_parts(names: Sequence[str], metrics: Sequence[MetricRecord]) -> list[Part]:
    """The main metric of every part, in the order of `names`."""
    main = {metric.task: metric for metric in metrics if metric.is_main}
    return [Part(name, main.get(name)) for name in names]


def score_composite(composite: CompositeConfig, metrics: Sequence[MetricRecord]) -> MetricRecord:
    """The composite with its 95 % interval and standard error; NaN over none when a part has no score.

    The parts are independent sets of docs, so the distances from their values to the ends of their intervals add in
    squares, the lower ones and the upper ones each by themselves: the interval stays within the parts' range and is as
    lopsided as theirs. A part whose interval is unknown because all its resamples agree counts with that of `n` equal
    scores (`mean_interval`); one without any leaves the composite without one.

    Args:
        composite: name and parts.
        metrics: of the run; main ones lie in 0 to 1.

    Source: Zou & Donner 2008, Statistics in Medicine 27:1693 (the interval of a sum from those of its terms).
    """
    parts = [part.metric for part in find_parts(composite.parts, metrics) if part.metric]
    values = [part.value for part in parts]
    is_whole = len(parts) == len(composite.parts) and not any(map(math.isnan, values))
    value = math.fsum(values) / len(values) if is_whole else math.nan
    interval = _interval(parts, value) if is_whole else Interval(math.nan, math.nan)
    error = math.hypot(*(part.stderr for part in parts)) / len(parts) if is_whole else math.nan
    return MetricRecord(
        task=composite.name,
        group=composite.name,
        metric=COMPOSITE,
        filter="none",
        value=value,
        ci_low=interval.low,
        ci_high=interval.high,
        stderr=error,
        n=sum(part.n for part in parts) if is_whole else 0,
        higher_is_better=True,
        is_main=True,
    )


def definition_hash(version: str, parts: Sequence[tuple[str, str, str]]) -> str:
    """sha256 over the composite's version and each part's task, task version and main metric.

    Numbers of two definitions are different quantities: a trend over them has to break where this changes.
    """
    return hashlib.sha256(json.dumps([version, *sorted(parts)]).encode()).hexdigest()


def _interval(parts: Sequence[MetricRecord], value: float) -> Interval:
    intervals = [_part_interval(part) for part in parts]
    below = math.hypot(*(p.value - i.low for p, i in zip(parts, intervals, strict=True)))
    above = math.hypot(*(i.high - p.value for p, i in zip(parts, intervals, strict=True)))
    return Interval(value - below / len(parts), value + above / len(parts))


def _part_interval(part: MetricRecord) -> Interval:
    if not math.isnan(part.ci_low) and not math.isnan(part.ci_high):
        return Interval(part.ci_low, part.ci_high)
    return mean_interval([part.value] * part.n)
