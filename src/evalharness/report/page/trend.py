"""Two sections: the index against release dates with its frontiers, and how fast they move."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from evalharness.errors import some
from evalharness.report.page import texts
from evalharness.report.page.blocks import Block, Chart, Fold, Section, Table, table, words
from evalharness.report.page.charts import (
    PLACED,
    Colour,
    Look,
    Point,
    band,
    figure,
    line,
    marks,
    note,
    pointer,
    together,
)
from evalharness.report.page.collect import (
    Findings,
    FrontierLine,
)
from evalharness.report.terminal.trend import (
    EPOCHS_LAG,
    fits_words,
    hindsight_words,
    lag_words,
    pace_words,
    reported_words,
    wait_words,
)
from evalharness.trend.build import (
    Trend,
)
from evalharness.trend.forecast import Skill
from evalharness.trend.index_models import TrendModel
from evalharness.trend.placed import PlacedModel

_OPEN = Look("@1", "circle")
_CLOSED = Look("@2", "diamond", 8, True)
_UNKNOWN = Look("@quiet", "x-thin-open", 7)
_ANCHOR = Look("@ink", "square", 15, True)
_MOST_SOURCES = 2
_PLACED_FILL = "a checkpoint of yours on the index: `evalharness run model=... suite=leaderboard`, or any three of its benchmarks"
_MOST_LABELLED = 6
"""Most checkpoints measured here that are shown with their names."""


def trend_section(found: Findings) -> Section:
    """The plot with its numbers."""
    trend = found.trend
    if trend is None:
        blocks: tuple[Block, ...] = (words(f"No index: {found.no_trend}."),)
        return Section(key="trend", title="Capability over time", blocks=blocks)
    undated = sum(m.release_date is None for m in trend.models)
    notes = [
        "Index: one capability per model from all its reported scores; the two squares set the scale by definition, so they "
        "have no interval. Bars are 90 % intervals of frontier models and of checkpoints measured here; those of the others "
        "are in the labels and in the table.",
        _ahead_words(trend, found.frontiers),
        f"{texts.plural(undated, 'model')} without a release date {'is' if undated == 1 else 'are'} left out of the plot."
        if undated
        else "",
    ]
    blocks = (words(notes[0]), _chart(trend, found), words(*notes[1:]))
    if trend.placed:
        blocks += (_placed_table(trend),)
    missing = () if trend.placed else (_PLACED_FILL,)
    return Section(key="trend", title="Capability over time", blocks=blocks, missing=missing)


def velocity_section(found: Findings) -> Section:
    """Slopes, change of pace and lag."""
    trend = found.trend
    if trend is None:
        blocks: tuple[Block, ...] = (words(f"No index: {found.no_trend}."),)
    else:
        blocks = (_velocity_table(trend), words(*_pace(trend)), _moved(trend))
    return Section(key="velocity", title="Velocity", blocks=blocks)


def skill_text(skill: Skill, trend: Trend) -> str:
    """Skill of the line as a forecast of the newest models, made with the scores that were known at the cut."""
    if trend.vintage.refusal:
        return f"the scores known on {trend.skill_cut} can't be fitted ({trend.vintage.refusal})"
    if math.isnan(skill.mae):
        return f"too few frontier models on either side of {trend.skill_cut} to assess the line as a forecast"
    verdict = "worse" if skill.over_persistence < 0 else "better"
    return (
        f"fitted to what was known on {trend.skill_cut}, it missed the {skill.num_after} frontier models after it by "
        f"{skill.mae:.1f} points on average (R² {skill.over_persistence:.2f} over the frontier of that day: {verdict} than no change)"
    )


def model_text(m: TrendModel) -> str:
    """All known data of a model, a line each."""
    weights = {True: "open weights", False: "closed", None: "weights not known"}[m.is_open]
    return "\n".join(
        [
            m.model,
            f"{texts.day(m.release_date)}, {weights}",
            f"index {texts.index(m.capability)} {_interval(m)}",
            f"{texts.plural(m.num_benchmarks, 'benchmark')}; {some(m.sources, _MOST_SOURCES)}",
        ]
    )


def _chart(trend: Trend, found: Findings) -> Chart:
    dated = [m for m in trend.models if m.release_date is not None]
    frontiers = found.frontiers
    traces = [
        trace for name, lined in frontiers.items() for trace in _line_traces(name, lined, trend)
    ]
    for name, style, is_open in (
        ("closed", _CLOSED, False),
        ("not known", _UNKNOWN, None),
        ("open", _OPEN, True),
    ):
        if of_kind := [m for m in dated if m.is_open is is_open]:
            traces.append(marks(name, [_point(m) for m in of_kind], style))
    anchors = [m for m in dated if m.model in trend.anchors[:2]]
    traces.append(marks("sets the scale", [_anchor(m) for m in anchors], _ANCHOR))
    if placed := [p for p in trend.placed if math.isfinite(p.placement.value)]:
        points = [_placed_point(p, found) for p in placed]
        if len(placed) > _MOST_LABELLED:
            points = [point._replace(label="") for point in points]
        traces.append(marks("measured here", points, PLACED))
    return Chart(
        key="chart-trend",
        caption="Capability index against release date",
        summary=_summary(trend),
        figure=figure(
            traces,
            "release date",
            "capability index",
            x_type="date",
            notes=list(_notes(trend, frontiers)),
        ),
        data=_model_table(trend.models),
        height=600,
    )


def _summary(trend: Trend) -> str:
    opened = [m for m in trend.models if m.is_open_frontier]
    closed = [m for m in trend.models if m.is_frontier]
    parts = [
        f"Scatter plot of {len(trend.models)} models by release date and capability index, up to {trend.data_until}."
    ]
    for name, models in (("open", opened), ("overall", closed)):
        if models:
            first, last = models[0], models[-1]
            parts.append(
                f"The {name} frontier rises from {texts.index(first.capability)} ({first.release_date}) to "
                f"{texts.index(last.capability)} ({last.release_date})."
            )
    return " ".join(parts)


def _point(m: TrendModel) -> Point:
    has_bar = m.is_frontier or m.is_open_frontier
    return Point(
        str(m.release_date),
        m.capability,
        model_text(m),
        m.ci_low if has_bar else math.nan,
        m.ci_high if has_bar else math.nan,
    )


def _anchor(m: TrendModel) -> Point:
    return Point(str(m.release_date), m.capability, model_text(m), label=f"= {m.capability:g}")


def _placed_point(p: PlacedModel, found: Findings) -> Point:
    at = p.placement
    lines = [
        f"{p.model} (measured here)",
        placed_date(p, found)[1],
        f"index {texts.index(at.value)} {texts.span(at.ci_low, at.ci_high)}",
        f"{texts.plural(at.num_benchmarks, 'benchmark')}: {', '.join(s.benchmark for s in p.scores)}",
        *p.notes,
    ]
    return Point(
        placed_date(p, found)[0], at.value, "\n".join(lines), at.ci_low, at.ci_high, p.model
    )


def placed_date(p: PlacedModel, found: Findings) -> tuple[str, str]:
    """A checkpoint without a release date is shown on the day of its run."""
    if p.release_date:
        return str(p.release_date), f"released {p.release_date}"
    ids = {score.run_id for score in p.scores}
    started = [run.started_at for run in found.runs if run.run_id in ids]
    on = max(started, default=datetime.isoformat(found.made_at))[:10]
    return on, f"no release date; run on {on}"


def _line_traces(name: str, lined: FrontierLine, trend: Trend) -> list[dict[str, Any]]:
    """The line through a frontier with its band, shown for open weights, and the frontier itself."""
    colour: Colour = "@1" if name == "open" else "@2"
    days = [str(s.day) for s in lined.sampled]
    fitted = line(
        f"line, {name}",
        days,
        [s.value for s in lined.sampled],
        Look(colour, width=1.5, dash="dash"),
    )
    ahead = [s.value for s in lined.ahead]
    dotted = line("", [str(s.day) for s in lined.ahead], ahead, Look(colour, width=2, dash="dot"))
    area = band(
        "", days, [s.line_low for s in lined.sampled], [s.line_high for s in lined.sampled], colour
    )
    xs = [*(str(m.release_date) for m in lined.models), str(trend.data_until)]
    ys = [*(m.capability for m in lined.models), lined.models[-1].capability]
    steps = line(
        f"frontier, {name}", xs, ys, Look(colour, width=3 if name == "open" else 2), is_step=True
    )
    return [*together(fitted, area, dotted, is_hidden=name != "open"), steps]


def _notes(trend: Trend, frontiers: Mapping[str, FrontierLine]) -> Iterator[dict[str, Any]]:
    """The leaders' names and, beside the extrapolation, its skill a year ago."""
    for name, right, down in (("all", -150, -40), ("open", 70, 55)):
        if name in frontiers:
            m = frontiers[name].models[-1]
            yield pointer(str(m.release_date), m.capability, m.model, right, down)
    if lined := frontiers.get("open"):
        skill, end = lined.skill, lined.ahead[-1]
        if math.isnan(skill.mae):
            said = "skill unknown: too few frontier models"
        else:
            said = f"a year ago it missed by {skill.mae:.1f} on average, R² {skill.over_persistence:.2f}"
        yield note(str(end.day), end.value, ["extrapolated, no forecast:", said])


def _ahead_words(trend: Trend, frontiers: Mapping[str, FrontierLine]) -> str:
    """The extrapolation, with its skill."""
    parts = []
    for key, name in (("open", "open weights"), ("all", "all models")):
        if key in frontiers:
            lined = frontiers[key]
            end = lined.ahead[-1]
            parts.append(
                f"{name}: the line is at {texts.index(end.value)} on {end.day}, a new frontier model within "
                f"{texts.span(end.low, end.high)}; {skill_text(lined.skill, trend)}"
            )
    return (
        f"Dotted lines extrapolate and are not reliable forecasts. {'. '.join(map(texts.capital, parts))}. For all models, "
        f"{hindsight_words(trend)}."
    )


def _placed_table(trend: Trend) -> Table:
    rows = [
        (
            p.model,
            texts.index(p.placement.value) if math.isfinite(p.placement.value) else "unbounded",
            texts.span(p.placement.ci_low, p.placement.ci_high),
            ", ".join(f"{s.benchmark} {s.score:.1f}" for s in p.scores),
            "; ".join(filter(None, [*p.notes, reported_words(p, trend.models)])),
        )
        for p in trend.placed
    ]
    return table(
        "Measured here, placed on the index (90 % intervals: the checkpoint's own scatter and the index's)",
        ("model", "#index", "#90 %", "placed by", "notes"),
        rows,
    )


def _model_table(models: Sequence[TrendModel]) -> Table:
    weights = {True: "open", False: "closed", None: "not known"}
    rows = [
        (
            m.model,
            texts.day(m.release_date),
            weights[m.is_open],
            texts.index(m.capability),
            _interval(m),
            str(m.num_benchmarks),
            ", ".join(_frontier_words(m)),
            some(m.sources, _MOST_SOURCES),
        )
        for m in models
    ]
    return table(
        "Models on the index",
        ("model", "released", "weights", "#index", "#90 %", "#benchmarks", "frontier", "source"),
        rows,
    )


def _frontier_words(m: TrendModel) -> Iterator[str]:
    if m.is_frontier:
        yield "all"
    if m.is_open_frontier:
        yield "open"


def _interval(m: TrendModel) -> str:
    return m.no_interval or texts.span(m.ci_low, m.ci_high)


def _velocity_table(trend: Trend) -> Table:
    rows = [
        (
            v.name,
            texts.slope(v.slope),
            texts.slope(v.other),
            texts.slope(v.rival) if v.rival else texts.NOTHING,
            f"{v.slope.models_per_year:+.1f}",
            texts.NOTHING if math.isnan(v.slope.order_bias) else f"{v.slope.order_bias:+.1f}",
            str(v.slope.num_models),
            str(v.slope.num_frontier),
        )
        for v in trend.velocities
    ]
    return table(
        "Index points a year without the order bias, 90 % intervals from drawing models and scores again",
        (
            "frontier of",
            f"#at λ {trend.lam:g}",
            f"#at λ {trend.other_lam:g}",
            "#by Epoch's fit" if trend.rival == "epoch" else "#by likelihood",
            "#all its models",
            "#order bias",
            "#models",
            "#at the frontier",
        ),
        rows,
    )


def _pace(trend: Trend) -> Iterator[str]:
    yield (
        "λ is the ridge of the fit; both are shown because a slope must not depend on it. The frontier is made of the best "
        "at each date, which alone makes it steeper or flatter than the trend of all models: order bias says by how much if "
        "all models followed one line, and is taken off."
    )
    if words := fits_words(trend):
        yield f"{texts.capital(words)}."
    yield f"{texts.capital(pace_words(trend.pace, 'all models'))}."
    yield f"{texts.capital(pace_words(trend.open_pace, 'open weights'))}."
    yield f"{texts.capital(lag_words(trend))}. {texts.capital(wait_words(trend))}. {EPOCHS_LAG}."


def _moved(trend: Trend) -> Fold:
    rows = [
        (m.model, *(texts.index(c) for c in m.capability), texts.index(m.moved))
        for m in trend.moved
    ]
    columns = ("model", f"#index at λ {trend.lam:g}", f"#index at λ {trend.other_lam:g}", "#moved")
    return Fold(
        title="Largest effects of λ", blocks=(table("The ten most moved models", columns, rows),)
    )
