"""Values that a scorer may return for a sample, or an aggregation for a task: finite numbers, or an aggregation's items.

The code is the task's own, so it may return anything: what is not a value becomes the sample's error, with the reason.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

_NUMBERS = (int, float, np.floating, np.integer, np.bool_, Fraction, Decimal)


def checked_scores(
    given: Any, aggregations: Mapping[str, Callable[[list[Any]], Any] | None]
) -> dict[str, Any]:
    """Metric -> a sample's value: a float if the metric is a mean, else an item of its aggregation.

    A metric that the task doesn't declare is a mean, as in lm-eval. NaN of a metric with lm-eval's `nanmean` means that
    the sample doesn't count for it, and is left out.

    Args:
        given: what `process_results` returned.
        aggregations: the task's, by metric.

    Raises:
        TypeError: not a dict, or not a number where one is needed.
        ValueError: NaN, infinite or too large.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"process_results returned {reprlib.repr(given)}, not a dict of metrics")
    if not given:
        raise ValueError("process_results returned no metric")
    scores: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(name, str):
            raise TypeError(f"process_results returned the metric {reprlib.repr(name)}, not a name")
        aggregation = aggregations.get(name)
        if is_mean(aggregation):
            number = to_number(name, value, may_be_nan=aggregation_name(aggregation) == "nanmean")
            if not math.isnan(number):
                scores[name] = number
        else:
            if is_lm_evals(aggregation) and (value is None or isinstance(value, _NUMBERS)):
                to_number(name, value)
            scores[name] = value
    return scores


def is_mean(aggregation: Callable[[list[Any]], Any] | None) -> bool:
    """Whether a metric is the mean of its samples' values."""
    return aggregation is None or aggregation_name(aggregation) in ("mean", "nanmean")


def to_number(name: str, value: Any, *, may_be_nan: bool = False) -> float:
    """A metric's value as a float; arrays and tensors of one number without a dimension are one.

    Raises:
        TypeError: no number.
        ValueError: NaN, infinite, or too large for a float.
    """
    if type(value) is float and math.isfinite(value):
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, _NUMBERS):
        kind = type(value).__name__
        raise TypeError(f"metric {name!r} is {reprlib.repr(value)} ({kind}), not a number")
    try:
        number = float(value)
    except (OverflowError, ValueError):
        raise ValueError(f"metric {name!r} is too large for a number") from None
    if math.isinf(number) or (math.isnan(number) and not may_be_nan):
        raise ValueError(f"metric {name!r} is {number}, which is not a score")
    return number


def numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores that are numbers, and pairs of numbers as `metric[0]` and `metric[1]`; other items aren't stored."""
    found = {}
    for name, value in scores.items():
        if type(value) is float:
            found[name] = value
            continue
        is_pair = isinstance(value, tuple | list) and len(value) == 2
        named = (
            {f"{name}[{place}]": part for place, part in enumerate(value)}
            if is_pair
            else {name: value}
        )
        if all(isinstance(part, _NUMBERS) for part in named.values()):
            try:
                found.update({key: float(part) for key, part in named.items()})
            except (OverflowError, ValueError):
                continue
    return found


def aggregation_name(aggregation: object) -> str:
    """The name of its function; empty if it has none."""
    return str(getattr(aggregation, "__name__", ""))


def is_lm_evals(aggregation: object) -> bool:
    """Whether it is one of lm-eval's; a task's own may accept None for samples that it doesn't apply to."""
    return str(getattr(aggregation, "__module__", "")).startswith("lm_eval.api")
