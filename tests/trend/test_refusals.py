"""Every interval that is printed holds its estimate and is no wider than the data; where there is none, it is said why."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pytest

from evalharness.errors import UserError
from evalharness.report.terminal.trend import fits_words
from evalharness.trend.build import ANCHORS, Trend, _check_scale, build_trend
from evalharness.trend.frontier import Slope, frontier_slope
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.scores.seed_scores import seed_readings
from made_trend import BENCHMARKS, build, reported, simulated


class Printed(NamedTuple):
    what: str
    value: float
    low: float
    high: float
    why: str
    most: float
    """Greatest width that the data allow."""


def printed(trend: Trend) -> Iterator[Printed]:
    values = [m.capability for m in trend.models]
    most = max(values) - min(values)
    dated = [m.release_date for m in trend.models if m.release_date]
    months = (max(dated) - min(dated)).days / 30.4375
    for m in trend.models:
        yield Printed(m.model, m.capability, m.ci_low, m.ci_high, m.no_interval, most)
    for v in trend.velocities:
        for s in (v.slope, v.other, v.rival):
            if s is not None:
                yield Printed(v.name, s.corrected, s.corrected_low, s.corrected_high, s.refusal, math.inf)  # fmt: skip
    for p in trend.placed:
        at = p.placement
        yield Printed(p.model, at.value, at.ci_low, at.ci_high, at.refusal, most)
    for gap in (trend.gap, trend.last_gap):
        yield Printed("lag", gap.months, gap.ci_low, gap.ci_high, gap.refusal, max(months, 240))
        yield Printed("lag in points", gap.points, gap.points_low, gap.points_high, gap.refusal, most)  # fmt: skip
    f = trend.forecast
    yield Printed("forecast", f.value, f.low, f.high, f.refusal, math.inf)
    yield Printed("line", f.value, f.line_low, f.line_high, f.refusal, math.inf)


def few() -> list[ReportedScore]:
    """Seven models: hardly a frontier."""
    return [s for s in simulated() if s.model in ("m00", "m05", "m10", "m20", "m30", "m35", "m39")]


def at_chance() -> list[ReportedScore]:
    """All but the four best models have hardly a right answer."""
    return [replace(s, score=0.05 * (1 + k % 3)) if s.model < "m32" and s.model != "m05" else s for k, s in enumerate(simulated())]  # fmt: skip


def noise() -> list[ReportedScore]:
    """Scores that say nothing of the model."""
    rng = np.random.default_rng(1)
    return [s if s.model in ("m05", "m35") else replace(s, score=float(100 * rng.uniform(0.01, 0.99))) for s in simulated()]  # fmt: skip


def one_day() -> list[ReportedScore]:
    return [replace(s, release_date=date(2024, 1, 1)) for s in simulated()]


def all_open() -> list[ReportedScore]:
    return [replace(s, open_weight=True) for s in simulated()]


MINE = [reported("mine", b, 0.5, date(2026, 1, 1), origin="measured", n=500) for b in BENCHMARKS]


@pytest.mark.parametrize("scores", [simulated, few, at_chance, noise, one_day, all_open])
def test_no_interval_is_printed_that_is_none(scores) -> None:
    found = list(printed(build([*scores(), *MINE])))
    assert len(found) > 10
    for p in found:
        if math.isnan(p.low) or math.isnan(p.high):
            assert p.why or math.isnan(p.value), p
        else:
            assert p.low <= p.value <= p.high, p
            assert math.isinf(p.high - p.low) or p.high - p.low <= p.most, p


@pytest.mark.slow
def test_the_shipped_trend_prints_no_such_interval() -> None:
    trend = build_trend(seed_readings()[0].scores, np.random.default_rng(0), num_draws=40)
    for p in printed(trend):
        assert p.why or (p.low <= p.value <= p.high and p.high - p.low <= p.most), p


def slope(values: list[float], draws: np.ndarray | None = None) -> Slope:
    days = [date(2024, 1, 1) + timedelta(days=30 * k) for k in range(len(values))]
    return frontier_slope(days, values, np.random.default_rng(0), draws)


def test_a_slope_beside_its_draws_is_refused() -> None:
    values = np.arange(30.0)
    found = slope(values.tolist(), np.tile(values * 20, (50, 1)))
    assert "outside that of its draws" in found.refusal
    assert math.isnan(found.corrected_low)


def test_a_slope_whose_draws_spread_beyond_the_data_is_refused() -> None:
    values = np.arange(30.0)
    draws = values + np.random.default_rng(0).normal(0, 30, (50, 30))
    assert "more than the data's range" in slope(values.tolist(), draws).refusal


def test_a_trend_without_any_date_is_refused() -> None:
    undated = [replace(s, release_date=None) for s in simulated()]
    with pytest.raises(UserError, match="none of the 40 models has a release date"):
        build(undated)


def test_the_words_on_two_fits_say_only_what_is_known_of_these_scores() -> None:
    trend = build(few())
    one_fit = replace(trend, velocities=tuple(v._replace(rival=None) for v in trend.velocities))
    assert fits_words(one_fit) == ""
    two_fits = replace(trend, velocities=tuple(v._replace(rival=v.slope) for v in trend.velocities))
    assert "simulated" not in fits_words(two_fits)
    assert "simulated" in fits_words(replace(two_fits, credits=("the shipped scores",)))


def test_anchors_that_hardly_differ_set_no_scale() -> None:
    _check_scale(np.linspace(0, 200, 40), ANCHORS)
    with pytest.raises(UserError, match="don't set a scale: by their scores they hardly differ"):
        _check_scale(np.linspace(0, 400, 40), ANCHORS)


def test_sources_that_contradict_each_other_about_an_anchor_are_refused() -> None:
    seed = list(seed_readings()[0].scores)
    anchor = next(s for s in seed if s.model == "GPT-5")
    others = sorted({s.benchmark for s in seed})[:40]
    low = [replace(anchor, benchmark=name, score=0.02, reported_by="another") for name in others]
    with pytest.raises(UserError, match=r"don't set a scale|is not above"):
        build_trend([*seed, *low], np.random.default_rng(0), num_draws=2)
