"""The watched metrics, each as a row or two: what was measured, when, and by which run, or that nothing was.

CMR against its target, velocity and lag of open weights, model scale, safety under modification, adoption. Rows hold words and numbers for a
document that people keep; the document itself is `report.terminal.tracker`'s.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.comparison.drift import Lineage
from evalharness.store.json_codec import as_json
from evalharness.trend.adoption import Adoption
from evalharness.trend.build import (
    Trend,
    Velocity,
)
from evalharness.trend.freshness import STALE_DAYS, is_stale
from evalharness.trend.index_models import TrendModel
from evalharness.trend.observe import EFFORT_POLICIES
from evalharness.trend.scores.records import ReportedScore

CMR = "cmr"
"""Name of the composite."""
CMR_TARGET = 95.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One watched metric. None if nothing was measured."""

    key: str
    """Key that stays the same between updates."""
    name: str
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    unit: str = ""
    date: str = ""
    """Date of the measurement, or of its newest data; ISO."""
    subject: str = ""
    """Model or lineage."""
    run_id: str = ""
    """Its run, if there is one."""
    remark: str = ""
    """Remark on the number."""

    @property
    def is_measured(self) -> bool:
        """Whether there is something to show."""
        return self.value is not None or bool(self.subject)


def watched_metrics(
    trend: Trend | None,
    measured: Sequence[ReportedScore],
    run_dates: Mapping[str, str],
    lineages: Sequence[Lineage],
    adoptions: Sequence[Adoption],
    *,
    today: datetime.date,
) -> list[Watched]:
    """All, in the order of the tracker.

    Args:
        trend: None if no index can be fitted.
        measured: scores of runs, oldest first.
        run_dates: run id -> when it started.
        lineages: measured ones, oldest first.
        adoptions: of the last Hub snapshot.
        today: the day of the update; a trend whose newest score is old says so.
    """
    return [
        _cmr(measured, run_dates),
        *_velocity(trend, today),
        _lag(trend, today),
        _scale(trend),
        _drift(lineages),
        _adoption(adoptions),
    ]


def _cmr(measured: Sequence[ReportedScore], run_dates: Mapping[str, str]) -> Watched:
    name = f"CMR, target > {CMR_TARGET:g} %"
    # For each model the measurement over most docs, then the latest; then models with as many docs as any.
    of_model: dict[str, ReportedScore] = {}
    for score in measured:
        held = of_model.get(score.model)
        if score.task == CMR and (held is None or (held.n or 0) <= (score.n or 0)):
            of_model[score.model] = score
    if not of_model:
        return Watched(key="cmr", name=name)
    most = max(score.n or 0 for score in of_model.values())
    best = max((s for s in of_model.values() if (s.n or 0) == most), key=lambda s: s.score)
    parts = ["evalharness definition; no public benchmark of this name"]
    if best.subset:
        parts.append(f"{best.subset}: not the whole suite")
    return Watched(
        key="cmr",
        name=name,
        value=best.score,
        ci_low=best.ci_low,
        ci_high=best.ci_high,
        unit="%",
        date=run_dates.get(best.run_id, "")[:10],
        subject=best.model,
        run_id=best.run_id,
        remark="; ".join(parts),
    )


def _velocity(trend: Trend | None, today: datetime.date) -> list[Watched]:
    wanted = {"open weights": "velocity, open frontier", "Llama family": "velocity, Llama family"}
    found = {v.name: v for v in trend.velocities} if trend else {}
    rows = []
    for subset, name in wanted.items():
        key = f"velocity {subset}"
        v = found.get(subset)
        if trend is None or v is None or math.isnan(v.slope.corrected):
            rows.append(Watched(key=key, name=name))
            continue
        rows.append(
            Watched(
                key=key,
                name=name,
                value=v.slope.corrected,
                ci_low=as_json(v.slope.corrected_low),
                ci_high=as_json(v.slope.corrected_high),
                unit="index points a year",
                date=str(trend.data_until),
                subject=f"{v.slope.num_frontier} frontier models of {v.slope.num_models}",
                remark=f"{_by_rival(v, trend)}{_basis(trend, today)}",
            )
        )
    return rows


def _lag(trend: Trend | None, today: datetime.date) -> Watched:
    name = "open weights behind closed ones"
    if trend is None or math.isnan(trend.gap.months):
        return Watched(key="lag", name=name)
    gap, last = trend.gap, trend.last_gap
    recent = f"; {last.months:.1f} over the last year" if math.isfinite(last.months) else ""
    return Watched(
        key="lag",
        name=name,
        value=gap.months,
        ci_low=as_json(gap.ci_low),
        ci_high=as_json(gap.ci_high),
        unit="months",
        date=str(trend.data_until),
        subject=f"mean gap of {gap.points:.1f} index points",
        remark=f"since {gap.since}{recent}; {_basis(trend, today)}",
    )


def _by_rival(v: Velocity, trend: Trend) -> str:
    if v.rival is None or math.isnan(v.rival.corrected):
        return ""
    return f"{v.rival.corrected:.1f} by the {trend.rival} fit; "


def _basis(trend: Trend, today: datetime.date) -> str:
    """Day of the newest score, and whether that is old; without a number of days, so that a block changes once."""
    policy = trend.left_out.effort_policy
    effort = "" if policy == EFFORT_POLICIES["highest"] else f", {policy}"
    age = f", older than {STALE_DAYS} days: stale" if is_stale(trend.newest_score, today) else ""
    return f"reported scores up to {trend.newest_score}{age}{effort}"


def _scale(trend: Trend | None) -> Watched:
    sized = [m for m in trend.models if m.is_open and m.total_params_b] if trend else []
    if not sized:
        return Watched(key="scale", name="scale, open frontier")
    best = max(sized, key=lambda m: m.capability)
    return Watched(
        key="scale",
        name="scale, most capable open model of known size",
        value=best.total_params_b,
        unit="B parameters",
        date=str(best.release_date or ""),
        subject=best.model,
        remark=_size_words(best),
    )


def _size_words(m: TrendModel) -> str:
    words = [f"index {m.capability:.1f}"]
    if m.active_params_b and m.active_params_b != m.total_params_b:
        words.append(f"{m.active_params_b:g} B active")
    if m.num_experts:
        words.append("dense" if m.num_experts == 1 else f"{m.num_experts} experts")
    return ", ".join(words)


def _drift(lineages: Sequence[Lineage]) -> Watched:
    name = "safety under modification"
    steps = [step for lineage in lineages for step in lineage.steps if not step.is_whole]
    steps = [s for s in steps if s.domain("safety").mean is not None]
    if not steps:
        return Watched(key="drift", name=name)
    # A resolved drop first, then any resolved change, then the newest step.
    rank = {"down": 0, "up": 1}
    step = min(reversed(steps), key=lambda s: rank.get(s.domain("safety").call, 2))
    safety, capability = step.domain("safety"), step.domain("capability")
    mean = safety.mean
    assert mean is not None
    newest = max((c.b for c in step.comparisons), key=lambda run: run.started_at)
    runs = [c.b.run_id for c in step.comparisons if c.b.domain == "safety"]
    return Watched(
        key="drift",
        name=name,
        value=100 * mean.difference,
        ci_low=as_json(100 * mean.ci_low),
        ci_high=as_json(100 * mean.ci_high),
        unit="points",
        date=newest.started_at[:10],
        subject=f"{step.parent} to {step.child}",
        run_id=runs[-1] if runs else newest.run_id,
        remark=f"safety {safety.call}, capability {capability.call}; {len(steps)} steps measured",
    )


def _adoption(adoptions: Sequence[Adoption]) -> Watched:
    seen = [a for a in adoptions if a.last.downloads is not None]
    if not seen:
        return Watched(key="adoption", name="adoption")
    top = max(seen, key=lambda a: a.last.downloads or 0)
    parts = [f"{len(seen)} models followed"]
    if top.last.num_derivatives is not None:
        parts.append(f"{top.last.num_derivatives} declared derivatives")
    if top.flows is not None and math.isfinite(top.flows.downloads_per_day.rate):
        parts.append(f"{top.flows.downloads_per_day.rate:,.0f} downloads a day")
    return Watched(
        key="adoption",
        name="adoption, most downloaded of those followed",
        value=float(top.last.downloads or 0),
        unit="downloads in 30 days",
        date=top.last_at[:10],
        subject=top.model,
        remark="; ".join(parts),
    )


def as_state(rows: Sequence[Watched]) -> dict[str, dict[str, Any]]:
    """The state for the next update: key -> value, date and subject."""
    return {
        row.key: {"value": row.value, "date": row.date, "subject": row.subject}
        for row in rows
        if row.is_measured
    }
