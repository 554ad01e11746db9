"""Formats of numbers and names on the page."""

from __future__ import annotations

import math
from datetime import date

from evalharness.report.terminal.format import number
from evalharness.trend.frontier import Slope

NOTHING = "–"


def index(value: float) -> str:
    """A value on the index's scale."""
    return f"{value:.1f}" if math.isfinite(value) else NOTHING


def span(low: float | None, high: float | None, decimals: int = 1) -> str:
    """An interval; an open end if it is unbounded, a dash if there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return NOTHING
    ends = [f"{end:.{decimals}f}" if math.isfinite(end) else "no bound" for end in (low, high)]
    return f"[{ends[0]}, {ends[1]}]"


def slope(found: Slope) -> str:
    """Points a year, without the order bias, with the interval."""
    if math.isnan(found.corrected):
        return "not known"
    if math.isnan(found.corrected_low):
        return f"{found.corrected:+.1f} [no interval: {found.refusal}]"
    return f"{found.corrected:+.1f} [{found.corrected_low:+.1f}, {found.corrected_high:+.1f}]"


def share(value: float, low: float, high: float) -> str:
    """A score from 0 to 1 in per cent, with its interval."""
    return _with_interval(value, low, high, " %")


def percent(value: float, low: float, high: float) -> str:
    """The same, if the unit is given elsewhere."""
    return _with_interval(value, low, high, "")


def points(value: float, low: float, high: float) -> str:
    """A difference of scores from 0 to 1 in points, with its interval."""
    if math.isnan(value):
        return NOTHING
    ends = "no interval" if math.isnan(low) else f"{100 * low:+.1f}, {100 * high:+.1f}"
    return f"{100 * value:+.1f} [{ends}]"


def day(value: date | None) -> str:
    """An ISO date."""
    return str(value) if value else NOTHING


def billions(value: float | None) -> str:
    """Parameters."""
    if value is None:
        return NOTHING
    return f"{number(value)} B" if value >= 1 else f"{1000 * value:.3g} M"


def count(value: float | None) -> str:
    """With thousands marked."""
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:,.0f}"


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def plural(num: int, name: str) -> str:
    """1 run, 2 runs."""
    return f"{num} {name}" if num == 1 else f"{num} {name}s"


def _with_interval(value: float, low: float, high: float, unit: str) -> str:
    if math.isnan(value):
        return NOTHING
    is_known = not (math.isnan(low) or math.isnan(high))
    ends = f"{100 * low:.1f}, {100 * high:.1f}" if is_known else "no interval"
    return f"{100 * value:.1f}{unit} [{ends}]"
