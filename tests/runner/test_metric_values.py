"""What a scorer may give: finite numbers where a metric is a mean, whatever its aggregation takes elsewhere."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from lm_eval.api.metrics import mean, nanmean, perplexity

from evalharness.runner.metric_values import (
    aggregation_name,
    checked_scores,
    is_lm_evals,
    is_mean,
    numbers,
    to_number,
)

NAN = math.nan


def own(values: list[Any]) -> float:
    """An aggregation of the task's own."""
    return float(len(values))


@pytest.mark.parametrize(
    "value",
    [3, 3.0, np.float32(3), np.int64(3), np.array(3.0), Fraction(6, 2), Decimal(3)],
)
def test_any_kind_of_number_is_a_float(value: Any) -> None:
    number = to_number("m", value)
    assert (type(number), number) == (float, 3.0)


@pytest.mark.parametrize(("value", "number"), [(True, 1.0), (False, 0.0), (np.bool_(True), 1.0)])
def test_right_and_wrong_are_numbers(value: Any, number: float) -> None:
    assert to_number("m", value) == number


@pytest.mark.parametrize(
    "value", [None, "1", "", [1.0], (1.0,), {}, np.array([1.0]), np.array([[1.0]]), 1j, object]
)
def test_what_is_no_number_is_refused_by_name_and_kind(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"metric 'm' is .*\({type(value).__name__}\), not a numb"):
        to_number("m", value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, np.float32("inf"), Decimal("inf")])
def test_an_infinite_number_is_no_score(value: Any) -> None:
    for may_be_nan in (True, False):
        with pytest.raises(ValueError, match=r"metric 'm' is -?inf, which is not a score"):
            to_number("m", value, may_be_nan=may_be_nan)


@pytest.mark.parametrize("value", [NAN, np.float64(NAN), np.array(NAN), Decimal("nan")])
def test_nan_is_a_number_only_where_it_may_be(value: Any) -> None:
    assert math.isnan(to_number("m", value, may_be_nan=True))
    with pytest.raises(ValueError, match="metric 'm' is nan, which is not a score"):
        to_number("m", value)


@pytest.mark.parametrize("value", [10**400, -(10**400), Fraction(10**400), Decimal("sNaN")])
def test_a_number_that_no_float_holds_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="metric 'm' is too large for a number"):
        to_number("m", value)


@pytest.mark.parametrize(
    ("aggregation", "is_one"), [(None, True), (mean, True), (nanmean, True), (perplexity, False), (own, False)]
)  # fmt: skip
def test_a_mean_is_lm_evals_mean_or_undeclared(aggregation: Any, is_one: bool) -> None:
    assert is_mean(aggregation) is is_one


def test_an_aggregation_is_known_by_its_name_and_place() -> None:
    assert [aggregation_name(a) for a in (mean, own, 5)] == ["mean", "own", ""]
    assert [is_lm_evals(a) for a in (mean, perplexity, own, 5)] == [True, True, False, False]


def test_nan_leaves_a_sample_out_of_lm_evals_nanmean_alone() -> None:
    given = {"a": NAN, "b": 1, "c": (1, 2)}
    assert checked_scores(given, {"a": nanmean, "c": own}) == {"b": 1.0, "c": (1, 2)}
    for aggregations in ({"a": mean}, {}):
        with pytest.raises(ValueError, match="metric 'a' is nan"):
            checked_scores(given, aggregations)


def test_an_own_aggregation_takes_anything_and_lm_evals_no_broken_number() -> None:
    for value in (None, NAN, "text", (1, NAN)):
        assert checked_scores({"m": value}, {"m": own})["m"] is value
    assert checked_scores({"m": (1, None)}, {"m": perplexity}) == {"m": (1, None)}
    assert checked_scores({"m": -2}, {"m": perplexity}) == {"m": -2}
    for value in (None, NAN, math.inf, 10**400):
        with pytest.raises((TypeError, ValueError), match="metric 'm' is"):
            checked_scores({"m": value}, {"m": perplexity})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "process_results returned None, not a dict of metrics"),
        ([("m", 1)], "not a dict of metrics"),
        ({}, "process_results returned no metric"),
        ({5: 1.0}, "process_results returned the metric 5, not a name"),
    ],
)
def test_what_is_no_dict_of_metrics_is_refused(given: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        checked_scores(given, {})


def test_what_is_stored_are_numbers_and_pairs_of_them() -> None:
    given = {
        "one": 0.5,
        "whole": 2,
        "right": np.bool_(True),
        "pair": (1, 2.5),
        "listed": [3, 4],
        "triple": (1, 2, 3),
        "single": (1,),
        "texts": ("a", "b"),
        "half": (1, "b"),
        "text": "a",
        "nothing": None,
        "large": 10**400,
        "after": 1,
    }
    found = numbers(given)
    assert found == {
        "one": 0.5,
        "whole": 2.0,
        "right": 1.0,
        "pair[0]": 1.0,
        "pair[1]": 2.5,
        "listed[0]": 3.0,
        "listed[1]": 4.0,
        "after": 1.0,
    }
    assert {type(value) for value in found.values()} == {float}
