"""What a strategy says of a task besides its score: its curve, and the one number that sums it up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from evalharness.analysis.curves import curve, verification_gap
from evalharness.analysis.estimates import Estimate
from evalharness.analysis.finite import correction, narrowed
from evalharness.config import StrategyKind
from evalharness.records import Attempt, CurvePoint, MetricRecord
from evalharness.tasks.loading import LoadedTask


def strategy_curve(loaded: LoadedTask, attempts: Sequence[Attempt]) -> list[CurvePoint]:
    """The points of the task's curves; none without a strategy."""
    kind = loaded.strategy.kind
    points = [] if kind is StrategyKind.single else curve(loaded.name, kind.value, attempts)
    return [_narrowed(loaded, point) for point in points]


def _narrowed(loaded: LoadedTask, point: CurvePoint) -> CurvePoint:
    if not loaded.subset.is_random:
        return point
    found = Estimate(point.value, point.ci_low, point.ci_high, math.nan, point.n)
    found = narrowed(found, correction(point.n, loaded.subset.num_available))
    return replace(point, ci_low=found.ci_low, ci_high=found.ci_high)


def strategy_metrics(loaded: LoadedTask, attempts: Sequence[Attempt]) -> list[MetricRecord]:
    """`verification_gap` of strategy=verify: best by P(yes) less the mean of the same draws, paired by doc."""
    if loaded.strategy.kind is not StrategyKind.verify:
        return []
    gap = verification_gap(attempts)
    return [
        MetricRecord(
            task=loaded.name,
            group=loaded.group,
            metric="verification_gap",
            filter=loaded.main_metric()[1],
            value=gap.value,
            ci_low=gap.ci_low,
            ci_high=gap.ci_high,
            stderr=float("nan"),
            n=gap.n,
            higher_is_better=True,
            is_main=False,
        )
    ]
