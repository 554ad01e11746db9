"""The gain from effort within one checkpoint: rounds of self-correction with their controls, samples, thinking tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from evalharness.report.page import texts
from evalharness.report.page.blocks import Beside, Block, Chart, Heading, Section, table, words
from evalharness.report.page.charts import Point, figure, look, marks
from evalharness.report.page.collect import (
    Findings,
    RunCurves,
)
from evalharness.store.records import CurvePoint

_MOST_CHARTS = 12
_CORRECT, _SAMPLES = ("self_correct",), ("repeats", "verify", "budget")
_PLAIN = (
    "“Self-improvement” here means what one checkpoint gains by trying again: a frozen checkpoint does not modify itself. "
    "Gain from one generation to the next is under Velocity and Lineages."
)
_CONTROLS = (
    "Controls: re-answer asks again without a critique, majority spends the same tokens on votes, random change replaces as "
    "many answers blindly. Correction helps only where it beats them."
)


def effort_section(found: Findings) -> Section:
    """A part for correction and one for test-time compute."""
    blocks: list[Block] = []
    missing = []
    for title, kinds, command, remark in (
        ("Self-correction, round by round", _CORRECT, "strategy=self_correct", _CONTROLS),
        ("Test-time compute", _SAMPLES, "strategy=repeats", ""),
    ):
        charts = [
            chart
            for curves in found.curves
            if curves.run.strategy in kinds
            for chart in _charts(curves)
        ]
        if not charts:
            missing.append(f"{title.lower()}: `evalharness run model=... suite=quick {command}`")
            continue
        blocks += [
            Heading(text=title),
            words(remark, _left_out(len(charts))),
            Beside(charts=tuple(charts[:_MOST_CHARTS])),
        ]
    if blocks:
        blocks.insert(0, words(_PLAIN))
    return Section(
        key="effort",
        title="Within one checkpoint",
        blocks=tuple(blocks),
        missing=tuple(missing),
    )


def _left_out(num: int) -> str:
    if num <= _MOST_CHARTS:
        return ""
    return (
        f"The newest {_MOST_CHARTS} of {num} curves; `evalharness results RUN --curve` shows any."
    )


def _charts(curves: RunCurves) -> Iterator[Chart]:
    metrics = {m.task: m.metric for m in curves.metrics if m.is_main}
    for place, (task, points) in enumerate(groupby(curves.points, key=lambda point: point.task)):
        yield _chart(curves, task, list(points), metrics.get(task, "score"), place)


def _chart(
    curves: RunCurves, task: str, points: Sequence[CurvePoint], metric: str, place: int
) -> Chart:
    arms = [list(arm) for _, arm in groupby(points, key=lambda point: point.arm)]
    run, first = curves.run, points[0]
    traces = [
        marks(arm[0].arm, [_point(p) for p in arm], look(i), has_line=True)
        for i, arm in enumerate(arms)
    ]
    is_log = first.x_name == "samples"
    caption = (
        f"{run.model}, {task}: {metric} against {first.x_name} ({run.strategy}, {first.n} docs)"
    )
    ticks = sorted({p.x for p in points})
    return Chart(
        key=f"chart-curve-{run.run_id}-{place}",
        caption=caption,
        summary=f"{caption}. {' '.join(_arm_words(arm) for arm in arms)}",
        figure=figure(
            traces,
            first.x_name,
            metric,
            x_type="log" if is_log else "linear",
            tickvals=ticks,
            ticktext=[f"{x:g}" for x in ticks],
        ),
        data=table(
            caption,
            (
                "arm",
                f"#{first.x_name}",
                "#score [95 %]",
                "#tokens a doc",
                "#gained",
                "#lost",
                "#p",
            ),
            [_row(p) for p in points],
        ),
        height=360,
    )


def _arm_words(arm: Sequence[CurvePoint]) -> str:
    first, last = arm[0], arm[-1]
    return f"{first.arm}: {first.value:.3f} at {first.x:g}, {last.value:.3f} at {last.x:g}."


def _point(p: CurvePoint) -> Point:
    lines = [p.arm, f"{p.x_name} {p.x:g}", _score(p), f"{p.num_tokens:.0f} tokens a doc"]
    if p.p_value is not None:
        lines.append(f"gained {p.gained}, lost {p.lost} since the first; p {p.p_value:.3g}")
    return Point(p.x, p.value, "\n".join(lines), p.ci_low, p.ci_high)


def _score(p: CurvePoint) -> str:
    return (
        f"{p.value:.3f} {texts.span(p.ci_low, p.ci_high, 3)}"
        if not math.isnan(p.value)
        else texts.NOTHING
    )


def _row(p: CurvePoint) -> tuple[str, ...]:
    flips = (
        (str(p.gained), str(p.lost), f"{p.p_value:.3g}")
        if p.p_value is not None
        else (texts.NOTHING,) * 3
    )
    return (p.arm, f"{p.x:g}", _score(p), f"{p.num_tokens:.0f}", *flips)
