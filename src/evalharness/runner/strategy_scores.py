"""What a strategy adds to a task's score: its curve, and the one number that sums it up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from evalharness.config.schema import StrategyKind
from evalharness.stats.estimates import Estimate
from evalharness.stats.finite import (
    correction_of_draw,
    narrowed,
)
from evalharness.stats.strategy_curves import (
    Gap,
    curve,
    verification_gap,
)
from evalharness.store.records import (
    Attempt,
    CurvePoint,
    MetricRecord,
)
from evalharness.tasks.loaded_task import LoadedTask


def strategy_curve(loaded: LoadedTask, attempts: Sequence[Attempt]) -> list[CurvePoint]:
    """The points of the task's curves; none without a strategy."""
    kind = loaded.strategy.kind
    if kind is StrategyKind.single:
        return []
    points = curve(loaded.name, kind.value, attempts, _clusters(loaded, attempts))
    intervals = [ends(loaded, point) for point in points]
    return [
        replace(point, ci_low=low, ci_high=high)
        for point, (low, high) in zip(points, intervals, strict=True)
    ]


def ends(loaded: LoadedTask, point: CurvePoint | Gap) -> tuple[float, float]:
    """Factor of the interval, to hold for all docs if random ones were taken."""
    found, subset = (
        Estimate(point.value, point.ci_low, point.ci_high, math.nan, point.n),
        loaded.subset,
    )
    if subset.is_random:
        factor = correction_of_draw(point.n, len(subset.doc_ids), subset.num_available)
        found = narrowed(found, factor)
    return found.ci_low, found.ci_high


def strategy_metrics(loaded: LoadedTask, attempts: Sequence[Attempt]) -> list[MetricRecord]:
    """`verification_gap` of strategy=verify: best by P(yes) less the mean of the same draws, paired by doc."""
    if loaded.strategy.kind is not StrategyKind.verify:
        return []
    gap = verification_gap(attempts, _clusters(loaded, attempts))
    low, high = ends(loaded, gap)
    return [
        MetricRecord(
            task=loaded.name,
            group=loaded.group,
            metric="verification_gap",
            filter=loaded.main_metric()[1],
            value=gap.value,
            ci_low=low,
            ci_high=high,
            stderr=float("nan"),
            n=gap.n,
            higher_is_better=True,
            is_main=False,
        )
    ]


def _clusters(loaded: LoadedTask, attempts: Sequence[Attempt]) -> dict[int, str]:
    """Doc id -> its source; docs without one are left out."""
    docs = {tried.doc_id for tried in attempts}
    return {doc_id: found for doc_id in docs if (found := loaded.cluster(doc_id))}
