"""How much models are used: the Hub's counts, and how they change between snapshots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from evalharness.report.page import texts
from evalharness.report.page.blocks import Block, Chart, Section, Table, table, words
from evalharness.report.page.charts import Point, date_range, figure, look, marks
from evalharness.report.page.collect import Findings
from evalharness.report.terminal.adoption import (
    NOTES,
    RECOUNT,
)
from evalharness.trend.adoption import (
    Adoption,
    Flow,
)

_FILL = "`evalharness adoption snapshot` (needs the Hub), repeated over days"
_MOST_LINES = 8


def adoption_section(found: Findings) -> Section:
    """Table, rates, and the limits of the counts."""
    seen = [item for item in found.adoptions if item.num_sightings]
    if not seen:
        return Section(key="adoption", title="Adoption", missing=(_FILL,))
    blocks: list[Block] = [_chart(seen)] if any(_is_moving(item) for item in seen) else []
    blocks += [_table(seen), words(*NOTES, RECOUNT if _has_recount(seen) else "")]
    return Section(key="adoption", title="Adoption", blocks=tuple(blocks))


def _chart(seen: Sequence[Adoption]) -> Chart:
    moving = [item for item in seen if _is_moving(item)]
    moving.sort(key=lambda item: -(item.last.downloads_all_time or 0))
    traces = [
        marks(
            item.model,
            [_point(item, place) for place in range(len(item.steps))],
            look(i),
            has_line=True,
        )
        for i, item in enumerate(moving[:_MOST_LINES])
    ]
    more = (
        f", the {_MOST_LINES} most downloaded of {len(moving)}" if len(moving) > _MOST_LINES else ""
    )
    caption = f"Downloads a day between snapshots{more}"
    rows = [
        (item.model, s.since[:10], s.until[:10], _flow(s.downloads_per_day), _flow(s.likes_per_day), _flow(s.derivatives_per_week))
        for item in seen
        for s in item.steps
    ]  # fmt: skip
    return Chart(
        key="chart-adoption",
        caption=caption,
        summary=f"{caption}: "
        + " ".join(
            f"{item.model} {_flow(item.steps[-1].downloads_per_day)} in the last step."
            for item in moving[:_MOST_LINES]
        ),
        figure=figure(
            traces,
            "snapshot",
            "downloads a day",
            x_type="date",
            range=date_range(
                [date.fromisoformat(s.until[:10]) for item in moving for s in item.steps]
            ),
        ),
        data=table(
            "Every step between snapshots",
            ("model", "since", "until", "#downloads a day", "#likes a day", "#derivatives a week"),
            rows,
        ),
        height=340,
    )


def _is_moving(item: Adoption) -> bool:
    return any(not math.isnan(step.downloads_per_day.rate) for step in item.steps)


def _point(item: Adoption, place: int) -> Point:
    step = item.steps[place]
    rate = step.downloads_per_day.rate
    return Point(
        step.until[:19],
        rate,
        f"{item.model}\n{step.since[:10]} to {step.until[:10]}\n{_flow(step.downloads_per_day)} downloads a day",
    )


def _table(seen: Sequence[Adoption]) -> Table:
    rows = [
        (
            item.model, texts.count(item.last.downloads), texts.count(item.last.downloads_all_time),
            _flow(item.flows.downloads_per_day) if item.flows else texts.NOTHING,
            texts.count(item.last.likes), _flow(item.flows.likes_per_day) if item.flows else texts.NOTHING,
            texts.count(item.last.num_derivatives),
            _flow(item.flows.derivatives_per_week) if item.flows else texts.NOTHING,
            item.last_at[:10],
        )
        for item in seen
    ]  # fmt: skip
    return table(
        "Counts of the last snapshot, and rates since the first",
        (
            "model", "#30 days", "#all time", "#a day", "#likes", "#a day", "#derivatives", "#a week", "as of",
        ),
        rows,
    )  # fmt: skip


def _flow(flow: Flow) -> str:
    """The change with its sign; a star if it includes a recount."""
    if math.isnan(flow.rate):
        return texts.NOTHING
    digits = f"{flow.rate:+,.0f}" if abs(flow.rate) >= 10 else f"{flow.rate:+.2g}"
    return f"{digits}{'*' * flow.is_recount}"


def _has_recount(seen: Sequence[Adoption]) -> bool:
    return any(
        flow.is_recount
        for item in seen
        if item.flows
        for flow in (
            item.flows.downloads_per_day,
            item.flows.likes_per_day,
            item.flows.derivatives_per_week,
        )
    )
