"""How often the trend's 90 % intervals hold the truth, and the bias of each fit, simulated on the design of the shipped scores.

    python scripts/bench/trend_coverage.py [--sets 16] [--first 0] [--draws 60] [--lag 0] [--rival] [--append FILE]
    python scripts/bench/trend_coverage.py --read FILE

The same models, dates, benchmarks and cells; true capabilities gain 12 points a year about one line with the fitted scatter,
open models are behind by `--lag` months of that, and scores scatter about the fitted curves as the fit says. One JSON line a
set; then a Markdown table of what covers, with its Monte-Carlo error. docs/trend.md shows longer runs, and
tests/trend/test_coverage.py holds short ones to their bounds.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from evalharness.trend.build import ANCHORS, SINCE
from evalharness.trend.capability_index import CapabilityFit, Score, fit_capability
from evalharness.trend.frontier import fit_line, frontier_slope
from evalharness.trend.frontier_gap import frontier_gap
from evalharness.trend.intervals import capability_intervals, fit_draws
from evalharness.trend.observe import observe
from evalharness.trend.open_closed_lag import find_waits, summarise_waits
from evalharness.trend.placement import place
from evalharness.trend.scores.seed_scores import seed_readings

Floats = npt.NDArray[np.float64]

PER_YEAR = 12.0
PLACED_BY = ("MMLU", "GSM8K", "HellaSwag", "ARC-Challenge", "WinoGrande", "BBH")
PLACED_AT = (60, 80, 100, 120, 140)
NUM_PLACED = 2
"""Checkpoints at each, in every set."""


class Design(NamedTuple):
    """What is the same in every set."""

    fit: CapabilityFit
    days: Floats
    is_open: npt.NDArray[np.bool_]


@cache
def design() -> Design:
    """The shipped scores' fit, with the dates and openness of its models."""
    found = observe(seed_readings()[0].scores, SINCE)
    fit = fit_capability(found.rows, ANCHORS)
    facts = {score.model: score for score in found.scores}
    days = [(facts[m].release_date or date.max).toordinal() for m in fit.models]
    is_open = [facts[m].open_weight is True for m in fit.models]
    return Design(fit, np.array(days, float), np.array(is_open))


def scattered(rng: np.random.Generator, expected: Floats, num_items: Floats) -> Floats:
    """Scores about their expectation, with the fit's dispersion."""
    phi, sd = design().fit.dispersion
    p = np.clip(expected, 1e-6, 1 - 1e-6)
    known, size = ~np.isnan(num_items), 1 / phi - 1
    out = np.clip(p + rng.normal(0, sd, len(p)), 0, 1)
    share = rng.beta(p[known] * size, (1 - p[known]) * size)
    out[known] = rng.binomial(num_items[known].astype(int), share) / num_items[known]
    return out


def true_capabilities(rng: np.random.Generator, lag_months: float) -> Floats:
    """(models,) one line and the fitted scatter; open models lie below it by the lag; the anchors are where they are by definition."""
    fit, days, is_open = design()
    line = fit_line(days, fit.capability)
    scatter = rng.choice(fit.capability - line.at(days), len(days))
    truth = line.value + PER_YEAR * (days - line.middle) / 365.25 + scatter
    truth -= PER_YEAR * lag_months / 12 * is_open
    truth[[fit.models.index(ANCHORS.low), fit.models.index(ANCHORS.high)]] = 130, 150
    return truth


def scores_of(rng: np.random.Generator, truth: Floats) -> list[Score]:
    """Scores in the cells of the shipped ones."""
    fit = design().fit
    rows = fit.rows
    share = special.expit(
        fit.slope[rows.benchmark] * (truth[rows.model] - fit.difficulty[rows.benchmark])
    )
    scores = scattered(rng, rows.chance + (1 - rows.chance) * share, rows.num_items)
    return [
        Score(fit.models[m], fit.benchmarks[b], float(s), float(c), None if math.isnan(n) else int(n))
        for m, b, s, c, n in zip(rows.model, rows.benchmark, scores, rows.chance, rows.num_items, strict=True)
    ]  # fmt: skip


def local_scores(rng: np.random.Generator, capability: float) -> list[Score]:
    """Scores of a checkpoint on six benchmarks."""
    fit = design().fit
    places = [fit.benchmarks.index(name) for name in PLACED_BY]
    rows = fit.rows.take(np.array([np.flatnonzero(fit.rows.benchmark == b)[0] for b in places]))
    share = special.expit(fit.slope[rows.benchmark] * (capability - fit.difficulty[rows.benchmark]))
    scores = scattered(rng, rows.chance + (1 - rows.chance) * share, rows.num_items)
    return [
        Score("mine", b, float(s), float(c), None if math.isnan(n) else int(n))
        for b, s, c, n in zip(PLACED_BY, scores, rows.chance, rows.num_items, strict=True)
    ]


class Found(NamedTuple):
    """One interval of one set."""

    what: str
    truth: float
    value: float
    low: float
    high: float


def one_set(seed: int, num_draws: int, lag_months: float, *, with_rival: bool) -> Iterator[Found]:
    """Everything that is printed with an interval, of one simulated set."""
    rng = np.random.default_rng([seed, round(10 * lag_months)])
    truth = true_capabilities(rng, lag_months)
    scores = scores_of(rng, truth)
    of_model = dict(zip(design().fit.models, truth, strict=True))
    for method in ("likelihood", "epoch") if with_rival else ("likelihood",):
        fit = fit_capability(scores, ANCHORS, method)  # type: ignore[arg-type]
        found = _of_fit(rng, fit, of_model, num_draws, lag_months)
        yield from (f._replace(what=f"{method}: {f.what}") for f in found)


def _of_fit(
    rng: np.random.Generator,
    fit: CapabilityFit,
    truth: dict[str, float],
    num_draws: int,
    lag_months: float,
) -> Iterator[Found]:
    draws = fit_draws(fit, rng, num_draws)
    intervals = capability_intervals(fit, draws.capability)
    for name, value, interval in zip(fit.models, fit.capability, intervals, strict=True):
        if not math.isnan(interval.low):
            yield Found("models", truth[name], float(value), *interval)
    for capability in PLACED_AT * NUM_PLACED:
        at = place(fit, local_scores(rng, capability), draws=draws)
        yield Found(f"placed at {capability}", capability, at.value, at.ci_low, at.ci_high)
    places = [design().fit.models.index(name) for name in fit.models]
    days, is_open = design().days[places], design().is_open[places]
    slopes = {}
    for whose, mask in (("all", np.ones(len(days), bool)), ("open", is_open)):
        s = slopes[whose] = frontier_slope(
            days[mask], fit.capability[mask], rng, draws.capability[:, mask], 400
        )
        yield Found(f"velocity {whose}", PER_YEAR, s.corrected, s.corrected_low, s.corrected_high)
        yield Found(f"raw velocity {whose}", PER_YEAR, s.per_year, s.ci_low, s.ci_high)
    for whose, last in (("all days", math.inf), ("the last year", 365.0)):
        g = frontier_gap(days, fit.capability, is_open, slopes["all"], rng, last)
        what = f"lag at {lag_months:g}, {whose}"
        yield Found(what, lag_months, g.months, g.ci_low, g.ci_high)
        points = PER_YEAR * lag_months / 12
        yield Found(f"{what}, in points", points, g.points, g.points_low, g.points_high)
    wait = summarise_waits(find_waits(days, fit.capability, is_open, days.max()))
    yield Found(f"wait at {lag_months:g}", true_wait(lag_months), wait.median_months, wait.ci_low, wait.ci_high)  # fmt: skip


@cache
def true_wait(lag_months: float, num_sets: int = 300) -> float:
    """Median of the Kaplan-Meier medians of the design's true capabilities."""
    _, days, is_open = design()
    rng = np.random.default_rng(0)
    medians = [
        summarise_waits(
            find_waits(days, true_capabilities(rng, lag_months), is_open, days.max())
        ).median_months
        for _ in range(num_sets)
    ]
    return float(np.nanmedian(medians))


def as_markdown(rows: Iterable[Found]) -> str:
    """A line for each kind of interval."""
    groups: dict[str, list[Found]] = defaultdict(list)
    for row in rows:
        groups[row.what].append(row)
    lines = [
        "| interval | n | covers | below, above | median width | median error | refused |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, found in groups.items():
        kept = [f for f in found if not math.isnan(f.low)]
        n, inside = len(kept), [f.low <= f.truth <= f.high for f in kept]
        if not n:
            continue
        share = float(np.mean(inside))
        below, above = (float(np.mean(v)) for v in ([f.truth < f.low for f in kept], [f.truth > f.high for f in kept]))  # fmt: skip
        width = float(np.median([f.high - f.low for f in kept]))
        error = float(np.nanmedian([f.value - f.truth for f in found]))
        lines.append(
            f"| {what} | {n} | {100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / n):.1f} % "
            f"| {100 * below:.1f}, {100 * above:.1f} | {width:.2f} | {error:+.2f} | {len(found) - n} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=16)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--lag", type=float, default=0.0)
    parser.add_argument("--rival", action="store_true")
    parser.add_argument("--append", type=Path)
    parser.add_argument("--read", type=Path, action="append", default=[])
    options = parser.parse_args()
    if options.read:
        lines = [line for path in options.read for line in path.read_text().splitlines()]
        print(as_markdown(Found(*row) for line in lines for row in json.loads(line)))
        return
    rows: list[Found] = []
    for seed in range(options.first, options.first + options.sets):
        found = list(one_set(seed, options.draws, options.lag, with_rival=options.rival))
        rows += found
        if options.append:
            with options.append.open("a") as file:
                file.write(json.dumps([_plain(f) for f in found]) + "\n")
    print(as_markdown(rows))


def _plain(found: Found) -> list[Any]:
    return [v if isinstance(v, str) else float(v) for v in found]


if __name__ == "__main__":
    main()
