"""The page of a run's strategy curves: each task's drawn, with the figures below.

A drawing is an SVG of plain shapes; what it looks like is in the style sheet. Values of x are in equal steps, as in the
terminal: budgets and numbers of samples mostly double.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evalharness.errors import StoreError
from evalharness.report.terminal.ascii_curves import (
    Arms,
    arms_by_task,
    curve_title,
    score_text,
    value_axis,
    why_no_curve,
)
from evalharness.report.terminal.format import number
from evalharness.store.read import load_curves
from evalharness.store.records import CurvePoint, Manifest
from evalharness.viewer.runs import get_metrics, get_run

WIDTH, HEIGHT = 520, 280
"""Of a drawing, in its own units."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 46
"""Margins around the plot."""
_APART = 5
"""Between the marks of two arms at the same x, so that intervals don't hide each other."""
_MOST_LABELS = 9
"""On the horizontal axis."""
_NUM_STYLES = 4


class Label(NamedTuple):
    """A value on an axis."""

    at: float
    text: str


class Mark(NamedTuple):
    """A point of a curve with its interval."""

    x: float
    y: float
    low: float
    """Lower end of the interval, which is further down and so a larger number; NaN without one."""
    high: float


class Line(NamedTuple):
    """An arm as it is drawn."""

    name: str
    style: int
    """Which of the styles, from 0."""
    path: str
    marks: Sequence[Mark]


class Figure(NamedTuple):
    """A point as a row of the table."""

    point: CurvePoint
    is_first: bool
    """Of its arm."""
    score: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One task's curves."""

    task: str
    title: str
    summary: str
    """The drawing in words."""
    x_name: str
    metric: str
    lines: Sequence[Line]
    x_labels: Sequence[Label]
    y_labels: Sequence[Label]
    figures: Sequence[Figure]
    has_flips: bool
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvesPage:
    """The curves of all tasks of a run."""

    run: Manifest
    plots: Sequence[Plot]


def curves_page(results_dir: Path, run_id: str) -> CurvesPage:
    """A run's curves.

    Raises:
        StoreError: there is no such run, it has no curve, or its file is damaged.
    """
    run = get_run(results_dir, run_id)
    points = load_curves(results_dir / run_id)
    if not points:
        raise StoreError(why_no_curve(run))
    try:
        metrics = {m.task: m.metric for m in get_metrics(results_dir / run_id) if m.is_main}
    except StoreError:  # the run's page says so
        metrics = {}
    return CurvesPage(
        run=run,
        plots=[
            _plot(task, arms, metrics.get(task, "score"))
            for task, arms in arms_by_task(points).items()
        ],
    )


def _plot(task: str, arms: Arms, metric: str) -> Plot:
    low, high, step = value_axis(arms)
    xs = sorted({point.x for arm in arms for point in arm})
    x_of, num_ticks = _columns(xs, len(arms)), round((high - low) / step)

    def y_of(value: float) -> float:
        share = (high - min(max(value, low), high)) / (high - low)
        return round(_TOP + share * (HEIGHT - _BOTTOM - _TOP), 1)

    every = math.ceil(len(xs) / _MOST_LABELS)
    middle = _APART * (len(arms) - 1) / 2
    lines = []
    for place, arm in enumerate(arms):
        marks = [
            Mark(x_of[p.x] + place * _APART, *(y_of(v) if not math.isnan(v) else v for v in
                 (p.value, p.ci_low, p.ci_high)))
            for p in arm if not math.isnan(p.value)
        ]  # fmt: skip
        path = " ".join(f"{mark.x:g},{mark.y:g}" for mark in marks)
        lines.append(Line(arm[0].arm, place % _NUM_STYLES, path, marks))
    return Plot(
        task=task,
        title=curve_title(arms, metric),
        summary="; ".join(map(_in_words, arms)),
        x_name=arms[0][0].x_name,
        metric=metric,
        lines=lines,
        x_labels=[Label(x_of[x] + middle, f"{x:g}") for x in xs[::every]],
        y_labels=[
            Label(y_of(low + i * step), f"{low + i * step:.3g}") for i in range(num_ticks + 1)
        ],
        figures=[
            Figure(point, i == 0, score_text(point)) for arm in arms for i, point in enumerate(arm)
        ],
        has_flips=any(point.p_value is not None for arm in arms for point in arm),
    )


def _columns(xs: Sequence[float], num_arms: int) -> dict[float, float]:
    """Place of the first arm's mark at each x; those of the other arms follow."""
    first = _LEFT + 8
    room = WIDTH - _RIGHT - 8 - first - _APART * (num_arms - 1)
    if len(xs) == 1:
        return {xs[0]: first + room / 2}
    return {x: round(first + place * room / (len(xs) - 1), 1) for place, x in enumerate(xs)}


def _in_words(arm: Sequence[CurvePoint]) -> str:
    first, last = arm[0], arm[-1]
    begins = f"{first.arm}: {number(first.value)} at {first.x:g} {first.x_name}"
    return begins if first is last else f"{begins}, {number(last.value)} at {last.x:g}"
