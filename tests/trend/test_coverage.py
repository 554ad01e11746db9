"""Coverage of the trend's intervals, simulated on the design of the scores that ship: the same models, dates and cells.

True capabilities gain 12 points a year about one line with the fitted scatter, and scores scatter about the fitted curves as
the fit says. Figures of longer runs stand in docs/trend.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy import special

from evalharness.trend.build import ANCHORS, SINCE
from evalharness.trend.capability_index import CapabilityFit, Score, fit_capability
from evalharness.trend.frontier import fit_line, frontier_slope
from evalharness.trend.intervals import capability_intervals, fit_draws
from evalharness.trend.observe import observe
from evalharness.trend.placement import place
from evalharness.trend.scores.seed_scores import seed_readings

PER_YEAR = 12.0
PLACED_BY = ("MMLU", "GSM8K", "HellaSwag", "ARC-Challenge", "WinoGrande", "BBH")
PLACED_AT = (60, 80, 100, 120, 140)


class Design(NamedTuple):
    fit: CapabilityFit
    days: np.ndarray
    is_open: np.ndarray


@cache
def design() -> Design:
    found = observe(seed_readings()[0].scores, SINCE)
    fit = fit_capability(found.rows, ANCHORS)
    facts = {score.model: score for score in found.scores}
    days = [(facts[m].release_date or date.max).toordinal() for m in fit.models]
    return Design(
        fit, np.array(days, float), np.array([facts[m].open_weight is True for m in fit.models])
    )


def drawn(rng: np.random.Generator, expected: np.ndarray, num_items: np.ndarray) -> np.ndarray:
    """Scores about their expectation, with the fit's dispersion."""
    phi, sd = design().fit.dispersion
    p = np.clip(expected, 1e-6, 1 - 1e-6)
    known, size = ~np.isnan(num_items), 1 / phi - 1
    out = np.clip(p + rng.normal(0, sd, len(p)), 0, 1)
    share = rng.beta(p[known] * size, (1 - p[known]) * size)
    out[known] = rng.binomial(num_items[known].astype(int), share) / num_items[known]
    return out


def simulated(rng: np.random.Generator) -> tuple[dict[str, float], CapabilityFit]:
    """True capabilities, and the fit to scores drawn from them."""
    fit, days, _ = design()
    line = fit_line(days, fit.capability)
    scatter = rng.choice(fit.capability - line.at(days), len(days))
    truth = line.value + PER_YEAR * (days - line.middle) / 365.25 + scatter
    truth[[fit.models.index(ANCHORS.low), fit.models.index(ANCHORS.high)]] = 130, 150
    rows = fit.rows
    share = special.expit(
        fit.slope[rows.benchmark] * (truth[rows.model] - fit.difficulty[rows.benchmark])
    )
    scores = drawn(rng, rows.chance + (1 - rows.chance) * share, rows.num_items)
    again = fit_capability(
        [
            Score(fit.models[m], fit.benchmarks[b], float(s), float(c), None if math.isnan(n) else int(n))
            for m, b, s, c, n in zip(rows.model, rows.benchmark, scores, rows.chance, rows.num_items, strict=True)
        ],
        ANCHORS,
    )  # fmt: skip
    return dict(zip(fit.models, truth, strict=True)), again


def local_scores(rng: np.random.Generator, capability: float) -> list[Score]:
    fit = design().fit
    first = [
        int(np.flatnonzero(fit.rows.benchmark == fit.benchmarks.index(b))[0]) for b in PLACED_BY
    ]
    rows = fit.rows.take(np.array(first))
    share = special.expit(fit.slope[rows.benchmark] * (capability - fit.difficulty[rows.benchmark]))
    scores = drawn(rng, rows.chance + (1 - rows.chance) * share, rows.num_items)
    return [
        Score("mine", b, float(s), float(c), None if math.isnan(n) else int(n))
        for b, s, c, n in zip(PLACED_BY, scores, rows.chance, rows.num_items, strict=True)
    ]


@cache
def coverage(num_sets: int = 16, num_draws: int = 40) -> dict[str, float]:
    inside: dict[str, list[float]] = defaultdict(list)
    for seed in range(num_sets):
        rng = np.random.default_rng(seed)
        truth, fit = simulated(rng)
        draws = fit_draws(fit, rng, num_draws)
        for name, found in zip(
            fit.models, capability_intervals(fit, draws.capability), strict=True
        ):
            if not math.isnan(found.low):
                inside["models"].append(found.low <= truth[name] <= found.high)
        for capability in PLACED_AT:
            at = place(fit, local_scores(rng, capability), draws=draws)
            inside[f"placed at {capability}"].append(at.ci_low <= capability <= at.ci_high)
            inside["placed"].append(at.ci_low <= capability <= at.ci_high)
        places = [design().fit.models.index(name) for name in fit.models]
        days, is_open = design().days[places], design().is_open[places]
        for whose, mask in (("all", np.ones(len(days), bool)), ("open", is_open)):
            slope = frontier_slope(days[mask], fit.capability[mask], rng, draws.capability[:, mask], 300)  # fmt: skip
            inside[f"velocity {whose}"].append(slope.corrected_low <= PER_YEAR <= slope.corrected_high)  # fmt: skip
            inside[f"raw velocity {whose}"].append(slope.ci_low <= PER_YEAR <= slope.ci_high)
            inside[f"median velocity {whose}"].append(slope.corrected)
    # A set whose first frontier model has hardly a score above chance has any slope, so that means of slopes say little.
    middles = {name: float(np.median(v)) for name, v in inside.items() if name.startswith("median")}
    return {name: float(np.mean(values)) for name, values in inside.items()} | middles


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "within"),
    [("models", 0.04), ("placed", 0.08), ("velocity all", 0.15), ("velocity open", 0.15)],
)
def test_intervals_cover_90_percent(what: str, within: float) -> None:
    """Wide where 16 sets are few: 0.15 is two standard errors of a share of 0.9."""
    assert coverage()[what] == pytest.approx(0.9, abs=within)


@pytest.mark.slow
def test_the_slope_as_it_is_covers_less_than_the_velocity() -> None:
    found = coverage()
    assert found["raw velocity all"] < found["velocity all"] - 0.15


@pytest.mark.slow
def test_the_median_velocity_is_about_true() -> None:
    assert coverage()["median velocity all"] == pytest.approx(PER_YEAR, abs=2.5)
