"""The trend on a terminal and in a tracker document: a `Trend` in, rich renderables and Markdown out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from evalharness.report.terminal.format import (
    number,
    plain,
    signed,
    styled,
)
from evalharness.report.terminal.table_layout import Col, fitted_table, hiding_table
from evalharness.store.json_codec import as_json
from evalharness.trend.build import (
    Trend,
    Velocity,
)
from evalharness.trend.change_point import Pace
from evalharness.trend.freshness import stale_words
from evalharness.trend.frontier import Slope
from evalharness.trend.frontier_gap import Gap
from evalharness.trend.index_models import TrendModel
from evalharness.trend.placed import PlacedModel

_MOST_FRONTIER = 12
_MOST_REFUSED = 5
_TUPLES = (
    "anchors", "pace", "open_pace", "skill", "open_skill", "hindsight", "vintage", "forecast", "lag", "gap", "last_gap",
)  # fmt: skip


def trend_view(trend: Trend, *, today: date, show_all: bool = False, width: int) -> Group:
    """Headline, velocities, frontier, local checkpoints, and the basis of the numbers.

    Args:
        trend: the trend.
        today: the day on which it is read; an old trend says so first.
        show_all: every model of the index, and every refusal.
        width: of the terminal.
    """
    parts: list[RenderableType] = []
    if stale := stale_words(trend.newest_score, today):
        parts += [styled(stale, "bold yellow"), Text()]
    parts += [*_headline(trend), Text(), _velocities(trend, width), Text()]
    parts += [_frontier(trend, width, show_all=show_all), Text()]
    if trend.placed:
        parts += [_placed(trend, width), Text()]
    parts += [styled(line, "dim") for line in _grounds(trend)]
    parts += _refused(trend.refused, show_all=show_all)
    return Group(*parts)


def trend_as_json(trend: Trend) -> dict[str, Any]:
    """The trend for programs; infinite and unknown numbers are null."""
    result: dict[str, Any] = as_json(
        {
            **asdict(trend),
            "velocities": {
                v.name: {
                    "slope": v.slope._asdict(),
                    "other": v.other._asdict(),
                    "rival": v.rival._asdict() if v.rival else None,
                }
                for v in trend.velocities
            },
            **{name: getattr(trend, name)._asdict() for name in _TUPLES},
            "left_out": trend.left_out._asdict(),
            "placed": [{**asdict(p), "placement": p.placement._asdict()} for p in trend.placed],
            "moved": [m._asdict() for m in trend.moved],
        }
    )
    return result


def model_rows(trend: Trend) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of all models, reported and placed, for CSV."""
    reported = [{"origin": "reported", **asdict(m)} for m in trend.models]
    placed = [
        {
            "origin": "measured",
            **asdict(p),
            "capability": p.placement.value,
            "ci_low": p.placement.ci_low,
            "ci_high": p.placement.ci_high,
            "num_benchmarks": p.placement.num_benchmarks,
        }
        for p in trend.placed
    ]
    names = ["origin", "model", "family", "release_date", "is_open", "total_params_b",
             "active_params_b", "num_experts", "capability", "ci_low", "ci_high", "num_benchmarks",
             "is_frontier", "is_open_frontier"]  # fmt: skip
    return names, [[row.get(name) for name in names] for row in (*reported, *placed)]


def leader(models: Sequence[TrendModel], *, is_open: bool) -> TrendModel | None:
    """The most capable dated model, of open weights or of all."""
    return max(
        (m for m in models if m.release_date and (m.is_open or not is_open)),
        key=lambda m: m.capability,
        default=None,
    )


_WHY_FITS_DIFFER = (
    "the two fits differ at the lower end: the ridge of Epoch's pulls the weakest models up, the likelihood leaves them where "
    "their few scores above chance say, so that a frontier that begins there is steeper by likelihood"
)
_SIMULATED = (
    "simulated at 12 points a year on these models and benchmarks, the likelihood finds 11.9 for all and 12.0 for open models, "
    "Epoch's 11.8 and 11.2"
)
"""Of the shipped scores."""


def fits_words(trend: Trend) -> str:
    """Why two fits of the same scores have two velocities; empty if there is one fit."""
    if all(v.rival is None for v in trend.velocities):
        return ""
    return f"{_WHY_FITS_DIFFER}; {_SIMULATED}" if trend.credits else _WHY_FITS_DIFFER


EPOCHS_PLACED = (
    "what was measured here lies too high below an index of 120 by Epoch's fit, whose ridge pulls the lower end up: simulated, its "
    "nominal 90 % intervals cover about half there; `--fit likelihood` for those"
)
"""Why checkpoints shouldn't be placed by Epoch's fit."""
EPOCHS_LAG = (
    "Epoch's own lag is 3.5 months [1.1, 5.3] (2025-10) and 4 (2026-05): the months between the days on which both frontiers "
    "reached a level, which leaves out the lead of GPT-4 while no open model was near, and takes models that aren't "
    "significantly apart for equal"
)
"""Epoch's published lag, and why ours is another number.

Source: Epoch AI, data insight of 2025-10-30 and its update of May 2026.
"""


def per_year(slope: Slope) -> str:
    """A velocity with its interval."""
    if math.isnan(slope.corrected):
        return "not known"
    if math.isnan(slope.corrected_low):
        return f"{signed(slope.corrected)} a year [no interval: {slope.refusal}]"
    return f"{signed(slope.corrected)} a year [{signed(slope.corrected_low)}, {signed(slope.corrected_high)}]"


def pace_words(pace: Pace, whose: str) -> str:
    """Whether the pace changed, only by the calibrated test."""
    if pace.refusal:
        return f"change of pace, {whose}: not tested ({pace.refusal})"
    what = "a change of pace" if pace.p_value < 0.05 else "no change of pace resolved"
    return (
        f"change of pace, {whose}: {what}, p {pace.p_value:.3f} (most likely at {pace.break_date}: "
        f"{pace.before_per_year:+.1f} before, {pace.after_per_year:+.1f} after)"
    )


def lag_words(trend: Trend) -> str:
    """By how many months open weights are behind, over all the time and the last year."""
    gap, last = trend.gap, trend.last_gap
    if math.isnan(gap.points):
        return f"open weights behind closed ones: not known, {gap.refusal}"
    words = (
        f"open weights behind closed ones: {_months(gap)}, the mean gap of the two frontiers since {gap.since} "
        f"({signed(gap.points)} points without an order bias of {signed(gap.order_bias)}) at the pace of the frontier"
    )
    return words if math.isnan(last.points) else f"{words}; over the last year {_months(last)}"


def _months(gap: Gap) -> str:
    if gap.refusal:
        return f"{gap.months:.1f} months [no interval: {gap.refusal}]"
    return f"{gap.months:.1f} months [{gap.ci_low:.1f} to {gap.ci_high:.1f}]"


def wait_words(trend: Trend) -> str:
    """How long closed leaders wait for an open model as good, with its counts."""
    lag = trend.lag
    counts = f"{lag.num_matched} matched, {lag.num_censored} still waiting (censored)"
    if math.isnan(lag.median_months):
        return "no closed model led, so that none waits for an open one"
    if math.isinf(lag.median_months):
        return f"fewer than half of the closed leaders have been matched by an open model; {counts}"
    bounds = " to ".join("no bound" if not math.isfinite(b) else f"{b:.1f}" for b in lag[1:3])
    return (
        f"a closed leader waits a median of {lag.median_months:.1f} months [{bounds}] for an open model as good, Kaplan-Meier; "
        f"{counts}; not 0 even between equals, as a record takes time to be beaten"
    )


def skill_words(trend: Trend) -> str:
    """The skill of the frontier's line as a forecast, made with what was known at the time."""
    skill, then = trend.skill, trend.vintage
    if then.refusal:
        return f"forecast skill: not known, the scores known on {then.day} can't be fitted: {then.refusal}"
    if math.isnan(skill.mae):
        return f"forecast skill: too few frontier models on either side of {trend.skill_cut}"
    worse = ": worse than no change" if skill.over_persistence < 0 else ""
    return (
        f"forecast skill: the line that the {then.num_scores} scores known on {then.day} gave missed the {skill.num_after} "
        f"frontier models after it by {skill.mae:.1f} on average, R2 {skill.over_persistence:.2f} over the frontier of that "
        f"day{worse}; {hindsight_words(trend)}"
    )


def hindsight_words(trend: Trend) -> str:
    """What today's capabilities would have made of the same forecast."""
    found = trend.hindsight
    if math.isnan(found.mae):
        return "what today's capabilities would have missed by isn't known"
    return f"today's capabilities, not known then, would have missed by {found.mae:.1f}, R2 {found.over_persistence:.2f}"


def _headline(trend: Trend) -> Iterator[Text]:
    for is_open, words in ((True, "open frontier"), (False, "frontier of all")):
        best = leader(trend.models, is_open=is_open)
        if best is not None:
            name = plain(best.model)
            name.stylize("bold")
            yield (
                Text(f"{words:<16}")
                + name
                + Text(f"  {_index(best)}, {best.release_date}, {best.num_benchmarks} benchmarks")
            )
    yield Text(pace_words(trend.pace, "all models"))
    yield Text(pace_words(trend.open_pace, "open weights"))
    yield Text(lag_words(trend))
    yield Text(wait_words(trend))
    yield Text(EPOCHS_LAG)
    ahead = trend.forecast
    if not math.isnan(ahead.value):
        within = f"a frontier model within [{ahead.low:.1f}, {ahead.high:.1f}]"
        words = f"no interval: {ahead.refusal}" if ahead.refusal else within
        yield Text(f"on {trend.forecast_at} the line would be at {ahead.value:.1f}, {words}")
    yield Text(skill_words(trend))


def _velocities(trend: Trend, width: int) -> RenderableType:
    columns = [
        Col("velocity", least=12),
        Col("per year [90 % CI]"),
        Col(f"by {trend.rival}'s fit" if trend.rival == "likelihood" else "by Epoch's fit"),
        Col(f"at lambda {trend.other_lam:g}"),
        Col("models", justify="right"),
        Col("frontier", justify="right"),
        Col("order bias", justify="right"),
    ]
    rows = [_velocity_cells(v) for v in trend.velocities]
    return hiding_table(
        columns,
        rows,
        width,
        [["order bias"], ["frontier"], [f"at lambda {trend.other_lam:g}"], ["models"]],
    )


def _velocity_cells(v: Velocity) -> list[Text]:
    return [
        plain(v.name),
        Text(per_year(v.slope).replace(" a year", ""), style="bold"),
        Text(per_year(v.rival).replace(" a year", "") if v.rival else "-"),
        Text(per_year(v.other).replace(" a year", "")),
        Text(str(v.slope.num_models)),
        Text(str(v.slope.num_frontier)),
        Text("-" if math.isnan(v.slope.order_bias) else signed(v.slope.order_bias)),
    ]


def _frontier(trend: Trend, width: int, *, show_all: bool) -> RenderableType:
    shown = [m for m in trend.models if show_all or m.is_open_frontier]
    if not show_all:
        shown = shown[-_MOST_FRONTIER:]
    columns = [
        Col("model" if show_all else "open frontier", least=16, overflow="ellipsis"),
        Col("released"),
        Col("index [90 % CI]", justify="right"),
        Col("benchmarks", justify="right"),
        Col("params", justify="right"),
    ]
    cells = [_model_cells(m) for m in shown]
    return hiding_table(columns, cells, width, [["params"], ["benchmarks"]])


def _model_cells(m: TrendModel) -> list[Text]:
    return [
        plain(m.model),
        Text(str(m.release_date or "-")),
        Text(_index(m)),
        Text(str(m.num_benchmarks)),
        Text(_size(m.total_params_b, m.active_params_b)),
    ]


def reported_words(p: PlacedModel, models: Sequence[TrendModel]) -> str:
    """The index of the same model by reported scores, to hold against what was measured here."""
    found = next((m for m in models if m.model == p.reported), None)
    return f"reported scores of {found.model}: {_index(found)}" if found else ""


def _placed(trend: Trend, width: int) -> RenderableType:
    columns = [
        Col("measured here", least=16),
        Col("index [90 % CI]", justify="right"),
        Col("placed by", least=20),
        Col("notes", least=16),
    ]
    rows = [
        [
            plain(p.model),
            Text(_bounds(p.placement.value, p.placement.ci_low, p.placement.ci_high)),
            plain(", ".join(f"{s.benchmark} {s.score:.1f}" for s in p.scores)),
            plain("; ".join(filter(None, [*p.notes, reported_words(p, trend.models)]))),
        ]
        for p in trend.placed
    ]
    return fitted_table(columns, rows, width)


def _index(m: TrendModel) -> str:
    if m.no_interval:
        return f"{m.capability:.1f} [{m.no_interval}]"
    return _bounds(m.capability, m.ci_low, m.ci_high)


def _bounds(value: float, low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return f"{value:.1f} [no interval]"
    ends = [
        "-inf" if e == -math.inf else "inf" if e == math.inf else f"{e:.1f}" for e in (low, high)
    ]
    shown = f"{value:.1f}" if math.isfinite(value) else "unbounded"
    return f"{shown} [{ends[0]}, {ends[1]}]"


def _size(total: float | None, active: float | None) -> str:
    if total is None:
        return "-"
    if active is None or active == total:
        return f"{number(total)} B"
    return f"{number(total)} B ({number(active)} active)"


def _grounds(trend: Trend) -> Iterator[str]:
    """The basis of the numbers."""
    a = trend.anchors
    yield (
        f"index: {trend.method}, lambda {trend.lam:g}; {a.low} is {a.low_value:g}, {a.high} is {a.high_value:g}; "
        f"{trend.num_scores} reported scores of {len(trend.models)} models on {trend.num_benchmarks} benchmarks, "
        f"newest score {trend.newest_score}"
    )
    yield left_out_words(trend)
    if trend.credits:
        yield f"scores: {'; '.join(trend.credits)}"
    yield "reported scores mix protocols; sources are kept separate (`evalharness scores list`), and none is the larger of two"
    yield "the frontier is made of the best at each date, which raises its slope: by the order bias, which is taken off here"
    if words := fits_words(trend):
        yield words
    if trend.method == "epoch" and trend.placed:
        yield EPOCHS_PLACED
    if trend.moved:
        m = trend.moved[0]
        yield f"lambda moves {m.model} most: by {m.moved:.1f}"


def left_out_words(trend: Trend) -> str:
    """Which of several scores of a model and benchmark count, and how many don't."""
    left = trend.left_out
    replaced = (
        f", {left.num_superseded} replaced by their own source" if left.num_superseded else ""
    )
    return (
        f"one model once (`evalharness scores models`), its {left.effort_policy}: {left.num_lower_efforts} scores at other "
        f"efforts and {left.num_cited_again} values cited again are left out{replaced}"
    )


def _refused(refused: Mapping[str, str], *, show_all: bool) -> Iterator[Text]:
    shown = list(refused.items())[: None if show_all else _MOST_REFUSED]
    for name, why in shown:
        line = plain(f"not on the index: {name}: {why}")
        line.stylize("yellow")
        yield line
    if len(shown) < len(refused):
        yield Text(f"... and {len(refused) - len(shown)} more; --all shows them", style="yellow")
