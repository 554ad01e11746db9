"""Two models' metrics that are not means, on the same docs: items in, a paired comparison out.

A metric is computed again from the stored items. Which of the known ones it is, its value says: it has to come out equal in
both runs.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalharness.stats.paired import (
    ALPHA,
    PairedResult,
    mde_at,
    paired_test,
)
from evalharness.store.items import Items, PairedItems

Floats = npt.NDArray[np.float64]

_AGREES = 1e-6


class Metric(NamedTuple):
    """A metric that is a function of sums over docs."""

    name: str
    features: Callable[[Items], Floats | None]
    """(docs, features) what is summed; None where the items aren't of its kind."""
    value: Callable[[Floats], Floats]
    """(..., features) sums -> (...) metric."""


def metric_of(items: PairedItems, value_a: float, value_b: float) -> Metric | None:
    """The metric that gives both runs' values from all their items; None where no known one does."""
    for metric in _METRICS:
        found = [metric.features(side) for side in (items.all_a, items.all_b)]
        if all(
            one is not None and abs(float(_value(metric, one.sum(axis=0))) - value) <= _AGREES * max(1.0, abs(value))
            for one, value in zip(found, (value_a, value_b), strict=True)
        ):  # fmt: skip
            return metric
    return None


def paired_metric_test(
    items: PairedItems, metric: Metric, rng: np.random.Generator
) -> PairedResult:
    """Compare two models by a metric of the same docs: the jackknife over docs, paired.

    What each doc adds to either value is (n - 1) times how far the value moves without it; the difference of the two is
    tested as a difference of scores is. Docs that are easy, or hard, for both move both values, and cancel.

    Raises:
        ValueError: fewer than two docs in both.

    Source: Miller 1974, Biometrika 61:1 (the jackknife and its pseudo-values).
    """
    sides = [metric.features(side) for side in (items.a, items.b)]
    if len(items.a.one) < 2 or sides[0] is None or sides[1] is None:
        raise ValueError(f"{len(items.a.one)} docs with items of {metric.name} in both")
    values, added = zip(
        *(_pseudo_values(metric, side) for side in sides if side is not None), strict=True
    )
    found = paired_test(added[0], added[1], rng, items.clusters)
    found = replace(
        found, value_a=values[0], value_b=values[1], difference=values[1] - values[0],
        test="jackknife", wins=0, losses=0, ties=0,
    )  # fmt: skip
    return replace(found, mde=mde_at(found, ALPHA))


def _pseudo_values(metric: Metric, features: Floats) -> tuple[float, Floats]:
    """The metric of all docs, and what each adds to it; the mean of these is the metric."""
    total = features.sum(axis=0)
    value, without = float(_value(metric, total)), _value(metric, total - features)
    return value, value + (len(features) - 1) * (without.mean() - without)


def _value(metric: Metric, sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(metric.value(sums), nan=0.0))


def _numbers(items: Items) -> Floats | None:
    return _known(np.stack([items.one, np.ones(len(items.one))], axis=1))


def _weighted(items: Items) -> Floats | None:
    return _known(np.stack([items.first, items.second], axis=1))


def _counts(items: Items) -> Floats | None:
    """Right positives, false alarms, misses, right negatives."""
    if not items.is_binary:
        return None
    right, gold, predicted = items.product, items.first, items.second
    rest = 1 - gold - predicted + right
    return _known(np.stack([right, predicted - right, gold - right, rest], axis=1))


def _known(features: Floats) -> Floats | None:
    return features if len(features) and np.isfinite(features).all() else None


def _f1(sums: Floats) -> Floats:
    right, alarms, misses, _ = np.moveaxis(sums, -1, 0)
    f1: Floats = 2 * right / (2 * right + alarms + misses)
    return f1


def _mcc(sums: Floats) -> Floats:
    right, alarms, misses, rest = np.moveaxis(sums, -1, 0)
    margins = (right + alarms) * (right + misses) * (rest + alarms) * (rest + misses)
    correlation: Floats = (right * rest - alarms * misses) / np.sqrt(margins)
    return correlation


def _per_weight(sums: Floats) -> Floats:
    nats: Floats = -sums[..., 0] / sums[..., 1]
    return nats


_METRICS = (
    Metric("perplexity", _numbers, lambda sums: np.exp(_per_weight(sums))),
    Metric("weighted_perplexity", _weighted, lambda sums: np.exp(_per_weight(sums))),
    Metric("bits_per_byte", _weighted, lambda sums: _per_weight(sums) / np.log(2)),
    Metric("f1", _counts, _f1),
    Metric("matthews_corrcoef", _counts, _mcc),
)
"""As lm-eval computes them (`lm_eval.api.metrics`); 0 where scikit-learn gives 0."""
