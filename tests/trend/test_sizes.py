import math
from dataclasses import replace
from datetime import date

import pytest

from evalharness.trend.index_models import TrendModel
from evalharness.trend.placed import PlacedModel
from evalharness.trend.placement import Placement
from evalharness.trend.sizes import Nearest, by_size, class_of, nearest_open


def model(
    name: str, size: float | None, capability: float = 100, day: int = 1, **more: object
) -> TrendModel:
    dense = TrendModel(
        model=name, family="", release_date=date(2026, 1, day), is_open=True, total_params_b=size,
        active_params_b=size, num_experts=None, capability=capability, ci_low=capability - 3,
        ci_high=capability + 3, no_interval="", num_benchmarks=5, is_frontier=False, is_open_frontier=False, sources=(),
    )  # fmt: skip
    return replace(dense, **more)  # type: ignore[arg-type]


def placed(value: float, size: float | None = 7.0, reported: str = "") -> PlacedModel:
    return PlacedModel(
        model="ours", family="", release_date=None, total_params_b=size, active_params_b=size, num_experts=1,
        placement=Placement(value, value - 4, value + 4, 5, ()), scores=(), notes=(), reported=reported,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("total", "active", "experts", "name"),
    [
        (2.0, 2.0, 1, "up to 2 B"),
        (2.6, 2.6, None, "3 to 9 B"),
        (9.4, 9.4, 1, "3 to 9 B"),
        (9.5, 9.5, 1, "10 to 35 B"),
        (72.0, 72.0, 1, "about 70 B"),
        (35.0, 3.0, None, "mixtures, up to 9 B active"),
        (671.0, 37.0, 256, "mixtures, 10 B active and more"),
        (40.0, 40.0, 1, None),
        (8.0, None, None, None),
        (46.7, None, 8, None),
    ],
)
def test_dense_models_are_classed_by_their_size_and_mixtures_by_what_is_active(
    total: float, active: float | None, experts: int | None, name: str | None
) -> None:
    found = class_of(model("m", total, active_params_b=active, num_experts=experts))
    assert (found.name if found else None) == name


def test_every_model_is_in_a_frontier_or_named_with_its_reason() -> None:
    found = by_size([
        model("first", 7, 100, 1), model("weaker", 8, 90, 2), model("best", 7, 110, 3), model("large", 40),
        model("unknown", None), model("closed", 7, is_open=False), model("undated", 7, release_date=None),
    ])  # fmt: skip
    (only,) = found.frontiers
    assert [m.model for m in only.models] == ["first", "weaker", "best"]
    assert [m.model for m in only.frontier] == ["first", "best"]
    assert found.left_out == {
        "open, parameters not known": ("unknown",),
        "open, of a size outside the classes": ("large",),
        "open, release date not known": ("undated",),
        "not of open weights": ("closed",),
    }


def test_the_nearest_in_size_is_compared_with_both_intervals_in_squares() -> None:
    models = [model("far", 3, 90), model("near", 7, 90), model("weaker", 7, 80), model("closed", 7, 95, is_open=False)]  # fmt: skip
    assert nearest_open(placed(100), models) == Nearest("near", 7, 10, 5, 15, "better")
    assert nearest_open(placed(80), models) == Nearest("near", 7, -10, -15, -5, "worse")
    assert nearest_open(placed(94), models) == Nearest("near", 7, 4, -1, 9, "not resolved")
    assert nearest_open(placed(100, reported="near"), models) == Nearest("weaker", 7, 20, 15, 25, "better")  # fmt: skip


def test_an_end_of_the_difference_has_the_distances_to_the_ends_that_make_it() -> None:
    lower = replace(placed(100), placement=Placement(100, 88, 103, 5, ()))
    models = [model("near", 7, 90, ci_low=86, ci_high=95)]
    # 10 - sqrt(12^2 + 5^2), 10 + sqrt(3^2 + 4^2)
    assert nearest_open(lower, models) == Nearest("near", 7, 10, -3, 15, "not resolved")


def test_what_cannot_be_compared_says_why() -> None:
    models = [model("near", 7, 90)]
    assert nearest_open(placed(100, None), models) == "its size isn't known"
    assert nearest_open(placed(100, 40), models) == "40 B lies outside the classes of size"
    assert "no open model of its size (up to 2 B)" in str(nearest_open(placed(100, 1), models))
    assert nearest_open(placed(float("inf")), models) == "its own index is unbounded"
    none = Placement(100, math.nan, math.nan, 3, (), "no interval: it would be 200 wide")
    assert "no interval: it would be" in str(nearest_open(replace(placed(100), placement=none), models))  # fmt: skip
