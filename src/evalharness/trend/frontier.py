"""The best model at every date, and how fast it improves: dates and capabilities in, slopes and forecasts out.

A model is at the frontier if none released on or before its date has more capability. The line through those models is
steeper than the trend of all: the largest of more and more draws grows even where their mean doesn't. `order_bias` is
the difference, and `corrected` the slope without it. Frontier points depend on each other, so intervals come from drawing the models again and finding the
frontier again in each draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Dates = Sequence[date | int] | npt.NDArray[np.generic]

DAYS_PER_YEAR = 365.25
MAX_FAILED_DRAWS = 0.05
MIN_DISTINCT = 20
"""Least number of different frontiers among the draws of an interval."""
_TAIL = 0.005
"""Share of the draws on either side that doesn't count when their range is looked at."""
_FAR = 3.0
"""Interquartile ranges below the lower quartile from which a model is a far outlier."""


class Line(NamedTuple):
    """Least squares of value on date."""

    per_year: float
    middle: float
    """Mean date, ordinal days."""
    value: float
    """At the mean date."""
    residual_sd: float
    """n - 2 degrees of freedom; NaN below 3 points."""
    spread: float
    """Sum of squared distances from the mean date, years^2."""
    n: int

    def at(self, day: Floats | float) -> Floats:
        """The line's value on ordinal days."""
        return np.asarray(
            self.value + self.per_year * (np.asarray(day) - self.middle) / DAYS_PER_YEAR
        )


class Slope(NamedTuple):
    """How much capability the frontier gains a year."""

    per_year: float
    """NaN with fewer than two frontier dates."""
    ci_low: float
    ci_high: float
    num_models: int
    num_frontier: int
    models_per_year: float
    """Slope through all models."""
    order_bias: float
    """By how much the frontier's slope would exceed it if all models scattered about one line in the same way."""
    corrected: float
    """The slope less the order bias: the velocity."""
    corrected_low: float
    """Its interval: how far the draws' slopes reach below and above their median. On scores simulated on the design of the
    shipped ones, at a true 12 points a year, nominal 90 % covers 95 % (60 sets), that of the slope as it is 50 % for all
    models and 78 % for open ones."""
    corrected_high: float
    refusal: str
    """Why there is no interval; empty if there is one."""


def to_days(dates: Dates) -> Floats:
    """(models,) proleptic Gregorian ordinals of dates; numbers are taken to be ordinals."""
    return np.array(
        [day.toordinal() if isinstance(day, date) else float(day) for day in dates], dtype=float
    )


def find_frontier(dates: Dates, capability: Sequence[float] | Floats) -> Bools:
    """(models,) at the frontier at its release. Of models with the same date, only the best can be.

    Raises:
        ValueError: lengths differ or a capability is NaN.
    """
    days, values = checked(dates, capability)
    order = np.argsort(days, kind="stable")
    found = np.zeros(len(days), dtype=bool)
    found[order] = frontier_rows(days[order], values[order][None])[0]
    return found


def frontier_rows(days: Floats, values: Floats) -> Bools:
    """The frontier of many draws at once.

    Args:
        days: (models,) ascending.
        values: (draws, models); -inf where a model isn't in the draw.

    Returns:
        (draws, models).
    """
    best = np.maximum.accumulate(values, axis=1)
    last_of_day = np.searchsorted(days, days, side="right") - 1
    found: Bools = (values >= best[:, last_of_day]) & np.isfinite(values)
    return found


def fit_line(dates: Dates, values: Sequence[float] | Floats) -> Line:
    """Least squares; the slope is NaN when all dates are one."""
    days, heights = checked(dates, values)
    n = len(days)
    if n == 0:
        return Line(math.nan, math.nan, math.nan, math.nan, 0.0, 0)
    middle = float(days.mean())
    years = (days - middle) / DAYS_PER_YEAR
    spread = float(years @ years)
    per_year = float(years @ heights) / spread if spread else math.nan
    residuals = heights - heights.mean() - per_year * years
    sd = math.sqrt(float(residuals @ residuals) / (n - 2)) if n > 2 else math.nan
    return Line(per_year, middle, float(heights.mean()), sd, spread, n)


def frontier_slope(
    dates: Dates,
    capability: Sequence[float] | Floats,
    rng: np.random.Generator,
    draws: Floats | None = None,
    num_draws: int = 1000,
    level: float = 0.9,
) -> Slope:
    """Slope of the least-squares line through the frontier, with its percentile interval.

    Args:
        dates: (models,) of release.
        capability: (models,).
        rng: draws the models.
        draws: (any, models) capabilities of `capability_draws`: each draw of models then takes one of them, and the
            interval holds the capabilities' own uncertainty as well. Rows with a NaN are left out.
        num_draws: of models, with replacement.
        level: confidence in (0, 1).
    """
    days, values = checked(dates, capability)
    order = np.argsort(days, kind="stable")
    days, values = days[order], values[order]
    is_frontier = frontier_rows(days, values[None])[0]
    models = fit_line(days, values)
    counts = _drawn_counts(len(days), num_draws, rng)
    drawn = _drawn_values(values, draws, order, num_draws, rng)
    slopes = _frontier_slopes(days, drawn, counts)
    low, high = _percentiles(slopes, level)
    per_year = fit_line(days[is_frontier], values[is_frontier]).per_year
    bias = _order_bias(days, values, num_draws, rng)
    most = float(np.ptp(values)) if len(values) else math.nan
    refusal = _refusal(slopes, per_year, _num_distinct(days, drawn, counts), most, level)
    below, above = _reach(slopes, level)
    if refusal:
        low = high = below = above = math.nan
    return Slope(
        per_year=per_year,
        ci_low=low,
        ci_high=high,
        num_models=len(days),
        num_frontier=int(is_frontier.sum()),
        models_per_year=models.per_year,
        order_bias=bias,
        corrected=per_year - bias,
        corrected_low=per_year - bias - below,
        corrected_high=per_year - bias + above,
        refusal=refusal,
    )


def frontier_slopes(
    dates: Dates,
    capability: Sequence[float] | Floats,
    subsets: Mapping[str, Bools],
    rng: np.random.Generator,
    draws: Floats | None = None,
    num_draws: int = 1000,
) -> dict[str, Slope]:
    """The slope of each subset's own frontier: all models, open weights, one family, one band of sizes.

    Args:
        dates: as `frontier_slope`, as are the others.
        capability: of the models.
        subsets: name -> (models,) mask.
        rng: draws the models.
        draws: capabilities to draw from.
        num_draws: per subset.
    """
    days, values = checked(dates, capability)
    return {
        name: frontier_slope(
            days[mask],
            values[mask],
            rng,
            None if draws is None else draws[:, mask],
            num_draws,
        )
        for name, mask in subsets.items()
    }


def simulate_line(
    days: Floats, values: Floats, line: Line, num_draws: int, rng: np.random.Generator
) -> Floats:
    """(draws, models) capabilities if all models followed the line: the line plus residuals drawn again."""
    fitted = line.at(days)
    residuals = values - fitted
    residuals = residuals * math.sqrt(len(days) / max(len(days) - 2, 1))
    drawn: Floats = fitted + rng.choice(residuals, size=(num_draws, len(days)))
    return drawn


def without_far_outliers(residuals: Floats) -> Bools:
    """(models,) those that aren't far below the rest."""
    low, high = np.quantile(residuals, [0.25, 0.75])
    kept: Bools = residuals >= low - _FAR * (high - low)
    return kept


def checked(dates: Dates, capability: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    """(models,) days and capabilities.

    Raises:
        ValueError: lengths differ or a capability is NaN.
    """
    days, values = to_days(dates), np.asarray(capability, dtype=float)
    if days.shape != values.shape:
        raise ValueError(f"{days.size} dates but {values.size} capabilities")
    if np.isnan(values).any():
        raise ValueError("a capability is NaN: leave the model out")
    return days, values


def _drawn_counts(num_models: int, num_draws: int, rng: np.random.Generator) -> Floats:
    """(draws, models) how often each model is in the draw."""
    if not num_models:
        return np.zeros((num_draws, 0))
    shares = np.full(num_models, 1 / num_models)
    return rng.multinomial(num_models, shares, size=num_draws).astype(float)


def _drawn_values(
    values: Floats,
    draws: Floats | None,
    order: npt.NDArray[np.intp],
    num_draws: int,
    rng: np.random.Generator,
) -> Floats:
    """(draws, models) in the order of the dates."""
    if draws is None:
        return np.broadcast_to(values, (num_draws, len(values)))
    usable = draws[np.isfinite(draws).all(axis=1)][:, order]
    if not len(usable):
        raise ValueError("no draw of the capabilities is without NaN")
    return usable[rng.integers(len(usable), size=num_draws)]


def _frontier_slopes(days: Floats, values: Floats, counts: Floats) -> Floats:
    """(draws,) slope through each draw's frontier, a model counting as often as it was drawn."""
    weights = counts * frontier_rows(days, np.where(counts > 0, values, -math.inf))
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    years = (days - days.mean()) / DAYS_PER_YEAR if len(days) else days
    distances = years - (weights * years).sum(axis=1, keepdims=True) / total
    spread = (weights * distances**2).sum(axis=1)
    rise = (weights * distances * values).sum(axis=1)
    unknown = np.full(len(spread), math.nan)
    slopes: Floats = np.divide(rise, spread, out=unknown, where=spread > 1e-9)
    return slopes


def _order_bias(days: Floats, values: Floats, num_draws: int, rng: np.random.Generator) -> float:
    """The bias about the line of all models but far outliers below it, which are never at the frontier of a draw."""
    line = fit_line(days, values)
    if line.n < 3 or not line.spread:
        return math.nan
    kept = without_far_outliers(values - line.at(days))
    days, values = days[kept], values[kept]
    line = fit_line(days, values)
    if line.n < 3 or not line.spread:
        return math.nan
    simulated = simulate_line(days, values, line, num_draws, rng)
    slopes = _frontier_slopes(days, simulated, np.ones_like(simulated))
    found = slopes[np.isfinite(slopes)]
    return float(found.mean()) - line.per_year if len(found) else math.nan


def _num_distinct(days: Floats, values: Floats, counts: Floats) -> int:
    """Different sets of frontier models among the draws."""
    found = frontier_rows(days, np.where(counts > 0, values, -math.inf))
    return len(np.unique(np.packbits(found, axis=1), axis=0)) if len(days) else 0


def _refusal(slopes: Floats, per_year: float, num_distinct: int, most: float, level: float) -> str:
    """Why the draws' slopes give no interval.

    Args:
        slopes: of the draws.
        per_year: the frontier's.
        num_distinct: different frontiers among the draws.
        most: the fastest that the data can rise, from the least capable model to the most within a year.
        level: of the interval.
    """
    if math.isnan(per_year):
        return "fewer than two frontier dates"
    found = slopes[np.isfinite(slopes)]
    if len(found) < max(2, (1 - MAX_FAILED_DRAWS) * len(slopes)):
        return f"{len(slopes) - len(found)} of {len(slopes)} draws have no frontier line"
    if num_distinct < MIN_DISTINCT:
        return f"{num_distinct} distinct frontiers in {len(slopes)} draws, at least {MIN_DISTINCT} needed"
    low, high = np.quantile(found, [_TAIL, 1 - _TAIL])
    if not low <= per_year <= high:
        return f"the frontier's slope is outside that of its draws ({low:+.1f} to {high:+.1f})"
    below, above = _reach(slopes, level)
    if below + above > most:
        return f"it would be {below + above:.1f} wide, more than the data's range in a year ({most:.1f})"
    return ""


def _reach(slopes: Floats, level: float) -> tuple[float, float]:
    """How far the draws reach below and above their median."""
    found = slopes[np.isfinite(slopes)]
    if not len(found):
        return math.nan, math.nan
    low, middle, high = np.quantile(found, [(1 - level) / 2, 0.5, (1 + level) / 2])
    return float(middle - low), float(high - middle)


def _percentiles(values: Floats, level: float) -> tuple[float, float]:
    found = values[np.isfinite(values)]
    if len(found) < max(2, (1 - MAX_FAILED_DRAWS) * len(values)):
        return math.nan, math.nan
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high)) if low < high else (math.nan, math.nan)
