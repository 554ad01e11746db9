"""lm-eval's metrics of log-likelihoods (perplexities, bits per byte) with their intervals, which need no resamples."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from evalharness.runner.metric_values import (
    aggregation_name,
    is_lm_evals,
)
from evalharness.stats.estimates import Estimate
from evalharness.stats.resampling import ratio

_WEIGHTED = ("weighted_perplexity", "bits_per_byte")


def likelihood_estimate(
    aggregation: Callable[[list[Any]], Any],
    items: Sequence[Any],
    clusters: Sequence[Hashable] | None,
) -> Estimate | None:
    """Perplexity or bits per byte, as lm-eval's own aggregation gives it; None for another aggregation.

    All three are functions of the log-likelihood per word (or doc, or byte), which is close to normal: its interval is
    Student's by the jackknife, which is transformed into theirs.

    Args:
        aggregation: the metric's aggregation.
        items: log-likelihoods (nats), or pairs of one with its number of words or bytes.
        clusters: the source of each.
    """
    name = aggregation_name(aggregation)
    if not is_lm_evals(aggregation) or name not in ("perplexity", *_WEIGHTED):
        return None
    table = np.asarray(items, dtype=float)
    amounts, weights = table.T if name in _WEIGHTED else (table, np.ones(len(table)))
    found = ratio(list(-amounts), list(weights), clusters)
    if name == "bits_per_byte":
        bits = [nats / math.log(2) for nats in found]
        return Estimate(bits[0], bits[1], bits[2], bits[3], len(items))
    low, high, value = math.exp(found.low), math.exp(found.high), math.exp(found.value)
    return Estimate(value, low, high, value * found.stderr, len(items))
