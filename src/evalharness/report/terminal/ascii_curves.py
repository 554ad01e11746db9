"""A strategy's curves in the terminal: a plot with intervals, and the numbers below it."""

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

from rich.console import Group, RenderableType
from rich.text import Text

from evalharness.report.terminal.format import (
    number,
    plain,
)
from evalharness.report.terminal.table_layout import (
    Col,
    fits,
    fitted_table,
)
from evalharness.store.records import (
    CurvePoint,
    Manifest,
    MetricRecord,
)

_HEIGHT = 13
_WIDEST = 76
_MARKS = "●▲■◆"
_STYLES = ("green", "cyan", "magenta", "yellow")
_LABEL = 7
"""Characters of an axis label and the axis itself."""
_TICKS = (1, 2, 5)
_FEWEST_COLUMNS = 3

Arms = list[list[CurvePoint]]
"""Points of each arm, in the order of x."""


def curves_view(
    points: Sequence[CurvePoint], metrics: Sequence[MetricRecord] = (), *, width: int = 80
) -> Group:
    """Every task's curves, one task below the other.

    Args:
        points: of one run.
        metrics: of the run; they name the vertical axis.
        width: of the terminal.
    """
    names = {m.task: m.metric for m in metrics if m.is_main}
    parts: list[RenderableType] = []
    for task, arms in arms_by_task(points).items():
        parts += [*_task_view(arms, names.get(task, "score"), width), Text()]
    return Group(*parts[:-1])


def arms_by_task(points: Sequence[CurvePoint]) -> dict[str, Arms]:
    """Task -> its arms, in the order in which they were written."""
    return {
        task: [list(arm) for _, arm in groupby(of_task, key=lambda point: point.arm)]
        for task, of_task in groupby(points, key=lambda point: point.task)
    }


def curve_title(arms: Arms, metric: str) -> str:
    """What a task's curves show."""
    first = arms[0][0]
    return f"{first.task}: {metric} against {first.x_name}, {first.strategy}, {first.n} docs"


def why_no_curve(run: Manifest) -> str:
    """Why a run has no curve, and the way to one."""
    if run.strategy != "single":
        return (
            f"run {run.run_id!r} has no curve yet: no sample of strategy={run.strategy} is finished; "
            f"`evalharness resume {run.run_id}` continues it"
        )
    return (
        f"run {run.run_id!r} has no curve: it ran with strategy={run.strategy}; "
        "`evalharness run ... strategy=repeats` (or self_correct, verify, budget) draws one"
    )


def _task_view(arms: Arms, metric: str, width: int) -> list[RenderableType]:
    title = plain(curve_title(arms, metric))
    title.stylize("bold")
    return [
        title,
        Text(),
        _plot(arms, min(width, _WIDEST)),
        _legend(arms),
        Text(),
        _table(arms, width),
    ]


def _plot(arms: Arms, width: int) -> Text:
    """Marks at the values, a thin bar for each interval, dots between; x in equal steps."""
    xs = sorted({point.x for arm in arms for point in arm})
    low, high, step = value_axis(arms)
    columns = _columns(xs, len(arms), width - _LABEL)
    canvas = [[(" ", "")] * (width - _LABEL) for _ in range(_HEIGHT)]

    def row(value: float) -> int:
        return round((high - min(max(value, low), high)) / (high - low) * (_HEIGHT - 1))

    for place, arm in enumerate(arms):
        style = _STYLES[place % len(_STYLES)]
        at = [(columns[point.x] + place, point) for point in arm if not math.isnan(point.value)]
        for (left, before), (right, after) in pairwise(at):
            for column in range(left + 1, right):
                share = (column - left) / (right - left)
                value = before.value + share * (after.value - before.value)
                canvas[row(value)][column] = ("·", style)
    for place, arm in enumerate(arms):
        style = _STYLES[place % len(_STYLES)]
        for point in arm:
            if math.isnan(point.value):
                continue
            column = columns[point.x] + place
            if not math.isnan(point.ci_low):
                for line in range(row(point.ci_high), row(point.ci_low) + 1):
                    canvas[line][column] = ("│", f"{style} dim")
            canvas[row(point.value)][column] = (_MARKS[place % len(_MARKS)], style)
    return _framed(canvas, low, high, step, xs, columns)


def value_axis(arms: Arms) -> tuple[float, float, float]:
    """Lowest and highest value on the axis, and the step of its labels."""
    ends = [
        end
        for arm in arms
        for point in arm
        for end in (point.value, point.ci_low, point.ci_high)
        if not math.isnan(end)
    ]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    least = (high - low or 1.0) / 5
    power = 10.0 ** math.floor(math.log10(least))
    step = next((t * power for t in _TICKS if t * power >= least), 10 * power)
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    if bottom == top:  # all values are the same, and on a label
        bottom, top = (bottom - step, top) if bottom > 0 else (bottom, top + step)
    return bottom, top, step


def _columns(xs: Sequence[float], num_arms: int, width: int) -> dict[float, int]:
    """Column of the first arm's mark at each x; those of the other arms follow."""
    room = width - num_arms - 2
    gap = room / max(len(xs) - 1, 1)
    return {x: 1 + round(place * gap) for place, x in enumerate(xs)}


def _framed(
    canvas: list[list[tuple[str, str]]],
    low: float,
    high: float,
    step: float,
    xs: Sequence[float],
    columns: dict[float, int],
) -> Text:
    text = Text()
    num_ticks = round((high - low) / step)
    ticks = {
        round((num_ticks - i) / num_ticks * (_HEIGHT - 1)): low + i * step
        for i in range(num_ticks + 1)
    }
    for line, cells in enumerate(canvas):
        label = f"{ticks[line]:.3g}" if line in ticks else ""
        text.append(f"{label:>{_LABEL - 2}} {'┤' if label else '│'}", style="dim")
        for char, style in cells:
            text.append(char, style=style)
        text.append("\n")
    labels = [" "] * (len(canvas[0]) + _LABEL)
    for x in xs:
        label = f"{x:g}"
        start = min(columns[x] + _LABEL, len(labels) - len(label))
        labels[start : start + len(label)] = label
    text.append(" " * (_LABEL - 1) + "└" + "─" * len(canvas[0]) + "\n", style="dim")
    text.append("".join(labels), style="dim")
    return text


def _legend(arms: Arms) -> Text:
    legend = Text(" " * _LABEL)
    for place, arm in enumerate(arms):
        legend.append(f"{_MARKS[place % len(_MARKS)]} ", style=_STYLES[place % len(_STYLES)])
        legend.append(f"{arm[0].arm}   ")
    return legend


def _table(arms: Arms, width: int) -> RenderableType:
    columns = [
        Col("", least=12),
        Col(arms[0][0].x_name, justify="right"),
        Col("score [95 % CI]"),
        Col("tokens/doc", justify="right"),
    ]
    has_flips = any(point.p_value is not None for arm in arms for point in arm)
    if has_flips:
        columns += [
            Col("wrong→right", justify="right"),
            Col("right→wrong", justify="right"),
            Col("p", justify="right"),
        ]
    rows = []
    for arm in arms:
        for place, point in enumerate(arm):
            cells = [
                plain(point.arm if place == 0 else ""),
                Text(f"{point.x:g}"),
                Text(score_text(point)),
                Text(f"{point.num_tokens:.0f}"),
            ]
            rows.append([*cells, *(_flips(point) if has_flips else ())])
    # A narrow terminal gets fewer columns, never a cut number.
    shown = len(columns)
    while shown > _FEWEST_COLUMNS and not fits(columns[:shown], [r[:shown] for r in rows], width):
        shown -= 1
    return fitted_table(columns[:shown], [row[:shown] for row in rows], width)


def score_text(point: CurvePoint) -> str:
    """The score with its interval."""
    if math.isnan(point.value):
        return number(point.value)
    if math.isnan(point.ci_low):
        return f"{number(point.value)} [no CI]"
    return f"{number(point.value)} [{number(point.ci_low)}, {number(point.ci_high)}]"


def _flips(point: CurvePoint) -> list[Text]:
    """Changes since the arm's first point."""
    if point.p_value is None:
        return [Text("-")] * 3
    return [Text(str(point.gained)), Text(str(point.lost)), Text(f"{point.p_value:.3g}")]
