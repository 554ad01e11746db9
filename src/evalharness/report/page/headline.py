"""The section on the frontier: where it is, how fast it moves, and the other watched numbers that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalharness.report.page import cmr, texts
from evalharness.report.page.blocks import Block, Fact, Facts, Link, Section, words
from evalharness.report.page.collect import (
    CompositeRun,
    Findings,
)
from evalharness.report.page.lineages import drift_calls, drift_lines
from evalharness.report.terminal.trend import leader
from evalharness.trend.build import (
    Trend,
)
from evalharness.trend.freshness import stale_words
from evalharness.trend.index_models import TrendModel

_SUBSETS = ("open weights", "all models")
"""The velocity shown is the first of these that there is."""
_METHOD = Link("how it was made", "#method-frontier-and-velocity")
_MOST_LINES = 4
_CALLS = ("down", "up", "not worse", "kept", "not resolved")


def headline_section(
    found: Findings, changed: Sequence[str] | None, since: str, remark: str
) -> Section:
    """The facts.

    Args:
        found: of this report.
        changed: changes since the last report; None if there was none.
        since: time of the last report.
        remark: why it can't be compared.
    """
    facts = (
        _frontier(found),
        *_velocity(found.trend),
        *_cmr(found),
        *_drift(found),
        *_adoption(found),
        _changes(changed, since, remark),
    )
    blocks: list[Block] = [Facts(facts=facts)]
    if found.trend and (stale := stale_words(found.trend.newest_score, found.made_at.date())):
        blocks.insert(0, words(f"{stale[0].upper()}{stale[1:]}."))
    if found.unread:
        blocks.append(words(f"Damaged and left out: {', '.join(found.unread)}."))
    return Section(key="headline", title="The frontier", blocks=tuple(blocks))


def _frontier(found: Findings) -> Fact:
    name = "Open-weight frontier"
    trend = found.trend
    top = leader(trend.models, is_open=True) if trend else None
    if trend is None or top is None:
        return Fact(name, "no index", (found.no_trend,))
    best = leader(trend.models, is_open=False)
    lines = [
        f"index {texts.index(top.capability)} {_interval(top)}, 90 %",
        f"released {texts.day(top.release_date)}, {top.num_benchmarks} benchmarks",
    ]
    if best is not None and best.model != top.model:
        lines.append(
            f"best of all: {best.model}, {texts.index(best.capability)} {_interval(best)}, {texts.day(best.release_date)}"
        )
    lines.append(f"newest score {trend.newest_score}")
    return Fact(name, top.model, tuple(lines))


def _interval(m: TrendModel) -> str:
    return f"({m.no_interval})" if m.no_interval else texts.span(m.ci_low, m.ci_high)


def _velocity(trend: Trend | None) -> list[Fact]:
    """One number, of the open frontier if there is one."""
    if trend is None:
        return []
    by_name = {v.name: v for v in trend.velocities}
    shown = next((by_name[name] for name in _SUBSETS if name in by_name), None)
    if shown is None:
        return []
    return [
        Fact(
            f"Velocity, {shown.name}",
            texts.slope(shown.slope),
            ("index points a year, 90 % interval",),
            _METHOD,
        )
    ]


def _cmr(found: Findings) -> list[Fact]:
    top = cmr.best(found)
    if top is None:
        return []
    aim = _aim(top)
    num_models = len({c.run.model for c in found.composites})
    lines = [
        f"{top.run.model}, the best of {texts.plural(num_models, 'model')}; {aim}",
        top.composite.statement,
        cmr.limited_words(top),
    ]
    value = texts.share(top.metric.value, top.metric.ci_low, top.metric.ci_high)
    return [Fact("Cross-Meta Reasoning", value, tuple(line for line in lines if line))]


def _aim(top: CompositeRun) -> str:
    """Whether the target is reached, and whether by the whole interval."""
    target, metric = top.composite.target, top.metric
    if not target:
        return "no target"
    if metric.value < target:
        said = "not reached"
    else:
        said = (
            "reached"
            if metric.ci_low >= target
            else "reached by the value, but not by its whole interval"
        )
    return f"target {100 * target:.0f} %: {said}"


def _drift(found: Findings) -> list[Fact]:
    lines = drift_lines(found)
    if not lines:
        return []
    calls = [
        call["safety"]
        for step, call in drift_calls(found).items()
        if not step.endswith(" (whole line)")
    ]
    counts = [f"{calls.count(call)} {call}" for call in _CALLS if call in calls]
    name = f"Safety under modification: {texts.plural(len(calls), 'step')}"
    return [Fact(name, ", ".join(counts), _first(lines))]


def _adoption(found: Findings) -> list[Fact]:
    seen = [item for item in found.adoptions if item.last.downloads is not None]
    if not seen:
        return []
    top = max(seen, key=lambda item: item.last.downloads or 0)
    lines = [f"{top.model}, the most downloaded of {texts.plural(len(seen), 'model')} followed"]
    if top.flows is not None and not math.isnan(top.flows.downloads_per_day.rate):
        lines.append(
            f"{texts.count(top.flows.downloads_per_day.rate)} a day since {top.flows.since[:10]}"
        )
    if top.last.num_derivatives is not None:
        lines.append(f"{texts.count(top.last.num_derivatives)} declared derivatives")
    lines.append(f"as of {top.last_at[:10]}")
    return [
        Fact("Adoption", f"{texts.count(top.last.downloads)} downloads in 30 days", tuple(lines))
    ]


def _changes(changed: Sequence[str] | None, since: str, remark: str) -> Fact:
    name = "Since the last report"
    if changed is None:
        return Fact(
            name,
            "first report here",
            (remark or "the next one into the same folder lists what has changed",),
        )
    if not changed:
        return Fact(name, "nothing changed", (f"since {since[:10]}",))
    return Fact(
        name,
        texts.plural(len(changed), "change"),
        (f"since {since[:16].replace('T', ' ')} UTC", *_first(changed)),
    )


def _first(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], *((f"and {more} more below",) if more > 0 else ()))
