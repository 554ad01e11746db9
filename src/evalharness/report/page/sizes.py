"""The open frontier within each class of size, as small charts on equal axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from evalharness.report.page import texts
from evalharness.report.page.blocks import Beside, Block, Chart, Fold, Section, table, words
from evalharness.report.page.charts import PLACED, Look, Point, date_range, figure, line, marks
from evalharness.report.page.collect import Findings
from evalharness.report.page.trend import model_text, placed_date
from evalharness.trend.index_models import TrendModel
from evalharness.trend.placed import PlacedModel
from evalharness.trend.sizes import SizeFrontier, class_of, size_of

_MODELS, _FRONTIER = Look("@1", "circle", 7), Look("@1", width=2)
_MOST_BARS = 6
"""Most checkpoints of a chart that have their intervals drawn."""
_ROOM = 4
"""Index points above and below the charts' outermost models."""
_NOTE = (
    "Open models of the index, classed by parameters, mixtures of experts by those that a token uses; all charts have equal "
    "axes. Lines are the frontiers, stars checkpoints measured here. Bars are 90 % intervals of frontier models and of up to six checkpoints."
)


def sizes_section(found: Findings) -> Section:
    """A chart per class, and the models that are in none."""
    by_size = found.by_size
    if found.trend is None or by_size is None or not by_size.frontiers:
        fill = "an open model of known size on the index: `evalharness scores import FILE`"
        return Section(key="sizes", title="Frontiers by size", missing=(fill,))
    placed = [p for p in found.trend.placed if math.isfinite(p.placement.value)]
    charts = [_chart(f, place, found, placed) for place, f in enumerate(by_size.frontiers)]
    left_out = by_size.left_out.items()
    num = sum(len(names) for _, names in left_out)
    blocks: list[Block] = [words(_NOTE), Beside(charts=tuple(charts), is_small=True)]
    if num:
        counts = "; ".join(f"{len(names)} {reason}" for reason, names in left_out)
        blocks += [
            words(f"Left out, {num} of {len(found.trend.models)} models of the index: {counts}."),
            Fold(
                title="Models left out",
                blocks=(
                    words(
                        *(f"{texts.capital(why)}: {', '.join(names)}." for why, names in left_out)
                    ),
                ),
            ),
        ]
    return Section(key="sizes", title="Frontiers by size", blocks=tuple(blocks))


def _chart(f: SizeFrontier, place: int, found: Findings, placed: Sequence[PlacedModel]) -> Chart:
    best, trend = f.frontier[-1], found.trend
    assert trend is not None
    days = [*(str(m.release_date) for m in f.frontier), str(trend.data_until)]
    heights = [*(m.capability for m in f.frontier), best.capability]
    ours = [p for p in placed if class_of(p) == f.of]
    traces = [
        line("frontier", days, heights, _FRONTIER, is_step=True),
        marks("open", [_point(m, f) for m in f.models], _MODELS),
    ]
    if ours:
        traces.append(marks("measured here", _ours(ours, found), PLACED))
    rows = [
        (
            m.model,
            texts.billions(size_of(m)),
            texts.day(m.release_date),
            texts.index(m.capability),
            m.no_interval or texts.span(m.ci_low, m.ci_high),
            "yes" if m in f.frontier else "",
        )
        for m in f.models
    ]
    return Chart(
        key=f"chart-size-{place}",
        caption=f"{texts.capital(f.of.name)}: {best.model} {texts.index(best.capability)}",
        summary=f"{texts.plural(len(f.models), 'open model')} of {f.of.name}; the frontier rises from "
        f"{texts.index(f.frontier[0].capability)} to {texts.index(best.capability)} ({best.model}, {best.release_date}).",
        figure=_small(
            figure(traces, "", "", x_type="date", y_range=_heights(found, placed), range=_days(found), nticks=4)
        ),
        data=table(
            f"Open models, {f.of.name}",
            ("model", "#size", "released", "#index", "#90 %", "frontier"),
            rows,
        ),
        height=230,
    )  # fmt: skip


def _point(m: TrendModel, f: SizeFrontier) -> Point:
    low, high = (m.ci_low, m.ci_high) if m in f.frontier else (math.nan, math.nan)
    return Point(str(m.release_date), m.capability, model_text(m), low, high)


def _ours(placed: Sequence[PlacedModel], found: Findings) -> list[Point]:
    """With their intervals unless these would cover each other."""
    points = [_placed(p, found) for p in placed]
    if len(points) <= _MOST_BARS:
        return points
    return [point._replace(low=math.nan, high=math.nan) for point in points]


def _placed(p: PlacedModel, found: Findings) -> Point:
    at, (day, _) = p.placement, placed_date(p, found)
    hover = f"{p.model} (measured here)\nindex {texts.index(at.value)} {texts.span(at.ci_low, at.ci_high)}"
    return Point(day, at.value, hover, at.ci_low, at.ci_high)


def _heights(found: Findings, placed: Sequence[PlacedModel]) -> tuple[float, float]:
    values = [*_capabilities(found), *(p.placement.value for p in placed if class_of(p))]
    return min(values) - _ROOM, max(values) + _ROOM


def _capabilities(found: Findings) -> Iterator[float]:
    assert found.by_size is not None
    for f in found.by_size.frontiers:
        yield from (m.capability for m in f.models)


def _days(found: Findings) -> list[str]:
    assert found.by_size is not None
    assert found.trend is not None
    days = [m.release_date for f in found.by_size.frontiers for m in f.models if m.release_date]
    return date_range([*days, found.trend.data_until])


def _small(drawn: dict[str, Any]) -> dict[str, Any]:
    """Without a legend, which the section's words are for all charts."""
    return {**drawn, "layout": {**drawn["layout"], "showlegend": False}}
