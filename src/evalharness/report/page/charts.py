"""Figures for plotly's JavaScript as plain dicts: points and lines in, traces and a layout out.

Colours are names (`@open`), which the page's script replaces by the style's, so that a figure follows light and dark.
Every kind of point also has its own shape, as colours alone would be lost in grey. Texts of models are escaped, since
plotly reads tags in them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

from evalharness.report.terminal.format import plain

Colour = Literal["@ink", "@quiet", "@grid", "@paper", "@1", "@2", "@3", "@4", "@5", "@6"]
COLOURS: tuple[Colour, ...] = ("@1", "@2", "@3", "@4", "@5", "@6")
SHAPES = ("circle", "diamond", "square", "triangle-up", "cross", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

X = float | str
"""A number, or a date as ISO text."""


class Point(NamedTuple):
    """A mark."""

    x: X
    y: float
    hover: str
    """Lines between newlines."""
    low: float = math.nan
    high: float = math.nan
    label: str = ""
    """Beside the mark."""


class Look(NamedTuple):
    """The style of a trace."""

    colour: Colour
    shape: str = "circle"
    size: float = 8
    is_hollow: bool = False
    dash: str = "solid"
    width: float = 2


PLACED = Look("@3", "star", 14)
"""What was measured here among reported scores."""


def look(place: int) -> Look:
    """The style of the place-th of several series."""
    return Look(
        COLOURS[place % len(COLOURS)],
        SHAPES[place % len(SHAPES)],
        dash=DASHES[place // len(COLOURS) % len(DASHES)],
    )


def text(value: str) -> str:
    """Untrusted text for plotly, which reads tags and entities: cleaned, and both escaped."""
    return html.escape(plain(value).plain, quote=False)


def marks(
    name: str, points: Sequence[Point], style: Look, *, has_line: bool = False
) -> dict[str, Any]:
    """Points with their intervals, joined by a line if they are a series."""
    labels = [text(point.label) for point in points]
    has_bars = any(math.isfinite(end) for point in points for end in (point.low, point.high))
    mode = "+".join(["lines"] * has_line + ["markers"] + ["text"] * any(labels))
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": text(name),
        "mode": mode,
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "text": labels if any(labels) else None,
        "textposition": "middle right" if has_bars else "top center",
        "hovertext": [_lines(point.hover) for point in points],
        "hoverinfo": "text",
        "marker": _marker(style),
        "line": {"color": style.colour, "width": style.width, "dash": style.dash},
    }
    if has_bars:
        trace["error_y"] = _errors(points, style.colour)
    return trace


def gapped(name: str, parts: Sequence[Sequence[Point]], style: Look) -> dict[str, Any]:
    """Series with breaks between the parts."""
    gap = Point(parts[0][0].x, math.nan, "")
    joined: list[Point] = []
    for part in parts:
        joined += [*([gap] if joined else []), *part]
    return {**marks(name, joined, style, has_line=True), "connectgaps": False}


def line(
    name: str, xs: Sequence[X], ys: Sequence[float], style: Look, *, is_step: bool = False
) -> dict[str, Any]:
    """A line without marks; a step line keeps its height until the next x."""
    return {
        "type": "scatter",
        "name": text(name),
        "mode": "lines",
        "x": list(xs),
        "y": list(ys),
        "hoverinfo": "skip",
        "line": {
            "color": style.colour, "width": style.width, "dash": style.dash,
            "shape": "hv" if is_step else "linear",
        },
    }  # fmt: skip


def band(
    name: str, xs: Sequence[X], lows: Sequence[float], highs: Sequence[float], colour: Colour
) -> dict[str, Any]:
    """An area between two lines."""
    return {
        "type": "scatter",
        "name": text(name),
        "mode": "lines",
        "x": [*xs, *reversed(xs)],
        "y": [*highs, *reversed(lows)],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.15,
        "hoverinfo": "skip",
        "line": {"width": 0, "color": colour},
    }


def together(*traces: dict[str, Any], is_hidden: bool = False) -> list[dict[str, Any]]:
    """Traces with one entry in the legend, the first's; hidden ones are shown when it is clicked."""
    group = traces[0]["name"]
    shared = {"legendgroup": group, "visible": "legendonly" if is_hidden else True}
    return [{**trace, **shared, "showlegend": trace is traces[0]} for trace in traces]


class Rule(NamedTuple):
    """A line across the figure, with its name beside it."""

    at: X
    label: str = ""
    dash: str = "dash"


def note(x: X, y: float, lines: Sequence[str]) -> dict[str, Any]:
    """A text in the figure that ends at a point, for `figure`."""
    return {
        "x": x, "y": y, "xanchor": "right", "yanchor": "bottom", "align": "right", "showarrow": False,
        "text": "<br>".join(map(text, lines)), "font": {"color": "@quiet"},
    }  # fmt: skip


def pointer(x: X, y: float, label: str, right: int, down: int) -> dict[str, Any]:
    """A name with a line to its point, for `figure`; left out if there is no room.

    Args:
        x: of the point.
        y: of the point.
        label: the name.
        right: pixels from the point.
        down: pixels from the point.
    """
    return {
        "name": "wide", "x": x, "y": y, "ax": right, "ay": down, "showarrow": True, "arrowhead": 0, "arrowwidth": 1,
        "arrowcolor": "@quiet", "standoff": 5, "text": text(label), "font": {"color": "@ink"}, "bgcolor": "@paper",
    }  # fmt: skip


_LEAST_DAYS = 14


def date_range(days: Sequence[date]) -> list[str]:
    """From a little before the first to a little after the last, and never so short that an axis shows hours."""
    first, last = min(days), max(days)
    margin = max((last - first).days // 20, (_LEAST_DAYS - (last - first).days) // 2, 1)
    return [str(first - timedelta(days=margin)), str(last + timedelta(days=margin))]


def figure(
    traces: Sequence[dict[str, Any]],
    x_title: str,
    y_title: str,
    *,
    x_type: Literal["linear", "log", "date", "category"] = "linear",
    y_range: tuple[float, float] | None = None,
    levels: Sequence[Rule] = (),
    uprights: Sequence[Rule] = (),
    notes: Sequence[dict[str, Any]] = (),
    **x_axis: Any,
) -> dict[str, Any]:
    """The figure of some traces.

    Args:
        traces: the first is at the back.
        x_title: with unit.
        y_title: with unit.
        x_type: of plotly; never guessed, since names can look like dates.
        y_range: fixed; from the traces if None.
        levels: horizontal lines.
        uprights: vertical lines.
        notes: words at a point.
        x_axis: plotly's own keys of the x axis.
    """
    y_axis = {"title": {"text": y_title}, **_AXIS}
    if y_range:
        y_axis["range"] = list(y_range)
    layout = {
        "xaxis": {"title": {"text": x_title}, "type": x_type, **_AXIS, **x_axis},
        "yaxis": y_axis,
        "shapes": [*map(_level, levels), *map(_upright, uprights)],
        "annotations": [*map(_level_name, levels), *map(_upright_name, uprights), *notes],
        **_LAYOUT,
    }
    return {"data": list(traces), "layout": layout}


_AXIS = {
    "automargin": True, "gridcolor": "@grid", "zeroline": False, "linecolor": "@grid", "ticks": "outside",
    "tickcolor": "@grid",
}  # fmt: skip
_LAYOUT = {
    "hovermode": "closest",
    "showlegend": True,
    "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
    "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    "hoverlabel": {"align": "left"},
}


def _marker(style: Look) -> dict[str, Any]:
    shape = f"{style.shape}-open" if style.is_hollow else style.shape
    return {
        "symbol": shape, "size": style.size, "color": style.colour,
        "line": {"width": 1.5 if style.is_hollow else 0, "color": style.colour},
    }  # fmt: skip


def _errors(points: Sequence[Point], colour: Colour) -> dict[str, Any]:
    """The end; None, not drawn, if it is unknown or infinite."""
    return {
        "type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 3,
        "array": [_reach(point.high - point.y) for point in points],
        "arrayminus": [_reach(point.y - point.low) for point in points],
    }  # fmt: skip


def _reach(distance: float) -> float:
    return distance if math.isfinite(distance) else 0.0


def _lines(hover: str) -> str:
    return "<br>".join(text(part) for part in hover.split("\n"))


def _level(rule: Rule) -> dict[str, Any]:
    return {
        **_RULE,
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": rule.at,
        "y1": rule.at,
        "line": _ruled(rule),
    }


def _upright(rule: Rule) -> dict[str, Any]:
    return {
        **_RULE,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "x0": rule.at,
        "x1": rule.at,
        "line": _ruled(rule),
    }


def _level_name(rule: Rule) -> dict[str, Any]:
    return {
        **_name(rule),
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "y": rule.at,
        "yanchor": "top",
    }


def _upright_name(rule: Rule) -> dict[str, Any]:
    return {
        **_name(rule),
        "yref": "paper",
        "y": 1,
        "yanchor": "top",
        "x": rule.at,
        "xanchor": "left",
    }


_RULE = {"type": "line", "layer": "below"}


def _ruled(rule: Rule) -> dict[str, Any]:
    return {"color": "@quiet", "width": 1.2, "dash": rule.dash}


def _name(rule: Rule) -> dict[str, Any]:
    return {"showarrow": False, "text": text(rule.label), "font": {"color": "@quiet"}}
