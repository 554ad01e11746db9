"""The data of a report, read and computed once: a results folder in, `Findings` out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalharness.errors import StoreError, UserError, one_line
from evalharness.report.terminal.composite import (
    Composite,
    find_composite,
)
from evalharness.store.records import (
    CurvePoint,
    Manifest,
    MetricRecord,
)
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.tracker import CMR

if TYPE_CHECKING:
    from evalharness.comparison.checkpoints import Checkpoint
    from evalharness.comparison.drift import Lineage
    from evalharness.trend.adoption import Adoption
    from evalharness.trend.build import Trend
    from evalharness.trend.forecast import Skill
    from evalharness.trend.index_models import TrendModel
    from evalharness.trend.sizes import BySize, Nearest

logger = logging.getLogger(__name__)

SEED = 0
"""Of the trend's draws, as of `evalharness trend`."""
_NUM_SAMPLED = 24
"""Dates at which a line and its band are drawn."""


class Sampled(NamedTuple):
    """The frontier's line on one date; NaN if unknown."""

    day: date
    value: float
    line_low: float
    line_high: float
    low: float
    """Interval for a new frontier model."""
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierLine:
    """One subset's frontier and the line through it."""

    models: tuple[TrendModel, ...]
    """Models that were at the frontier when they were released."""
    sampled: tuple[Sampled, ...]
    """The line up to the day of the data."""
    ahead: tuple[Sampled, ...]
    """The line after it."""
    skill: Skill
    """Of the line a year before the day of the data, with what was known then."""


class RunCurves(NamedTuple):
    """The gain from a run's strategy."""

    run: Manifest
    points: tuple[CurvePoint, ...]
    metrics: tuple[MetricRecord, ...]


class CompositeRun(NamedTuple):
    """A run with a value of the composite."""

    run: Manifest
    composite: Composite
    metric: MetricRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The data of all sections."""

    made_at: datetime
    runs: tuple[Manifest, ...]
    """Newest first."""
    metrics: Mapping[str, tuple[MetricRecord, ...]]
    """Run id -> its main metrics, for runs with readable metrics."""
    reported: tuple[ReportedScore, ...]
    measured: tuple[ReportedScore, ...]
    """Oldest first."""
    trend: Trend | None
    no_trend: str
    """Why there is no trend."""
    frontiers: Mapping[str, FrontierLine]
    """`open` and `all`."""
    by_size: BySize | None
    """Frontiers by size; None without a trend."""
    nearest: Mapping[str, Nearest | str]
    """Placed checkpoint -> the comparison with the nearest open model of its size, or why there is none."""
    checkpoints: tuple[Checkpoint, ...]
    """Those that were run here, newest first."""
    lineages: tuple[Lineage, ...]
    curves: tuple[RunCurves, ...]
    """Newest first."""
    composites: tuple[CompositeRun, ...]
    """Values of Cross-Meta Reasoning, oldest first."""
    adoptions: tuple[Adoption, ...]
    num_snapshots: int
    unread: tuple[str, ...]
    """Damaged data that is left out."""

    @property
    def real_runs(self) -> list[Manifest]:
        """The runs without those of the fake engine."""
        return [run for run in self.runs if is_real(run)]


def gather(results_dir: Path, num_draws: int) -> Findings:
    """Read the store, the scores and the snapshots, and compute what the page shows.

    Args:
        results_dir: need not exist, as the shipped scores are enough for a trend.
        num_draws: bootstrap draws of the trend.

    Raises:
        StoreError: results_dir can't be read.
    """
    from evalharness.comparison.checkpoints import checkpoints
    from evalharness.comparison.lineages import measured_lineages
    from evalharness.store.read import list_runs, load_main_metrics
    from evalharness.trend.adoption import adoptions
    from evalharness.trend.hub.snapshots_store import read_all
    from evalharness.trend.scores.measured import run_scores
    from evalharness.trend.scores.storage import load_scores
    from evalharness.trend.sizes import by_size, nearest_open

    runs = list_runs(results_dir)
    main = load_main_metrics(results_dir, [run.run_id for run in runs])
    metrics = {run_id: tuple(found) for run_id, found in main.of_run.items()}
    real = [run for run in reversed(runs) if is_real(run)]
    done = [run for run in real if run.status == "complete" and run.run_id in metrics]
    measured = [score for run in done for score in run_scores(run, metrics[run.run_id])]
    reported = load_scores(results_dir)
    trend, no_trend = _trend([*reported, *measured], num_draws)
    lineages = measured_lineages(results_dir, list(reversed(real)))
    snapshots = read_all(results_dir)
    return Findings(
        made_at=datetime.now(UTC),
        runs=tuple(runs),
        metrics=metrics,
        reported=tuple(reported),
        measured=tuple(measured),
        trend=trend,
        no_trend=no_trend,
        frontiers=_frontiers(trend) if trend else {},
        by_size=by_size(trend.models) if trend else None,
        nearest={p.model: nearest_open(p, trend.models) for p in trend.placed} if trend else {},
        checkpoints=tuple(checkpoints(runs, metrics, lineages)),
        lineages=tuple(lineages),
        curves=tuple(_curves(results_dir, reversed(real), metrics)),
        composites=tuple(_composites(real, metrics)),
        adoptions=tuple(adoptions(snapshots)),
        num_snapshots=len(snapshots),
        unread=tuple(f"metrics of run {run_id}" for run_id in main.damaged),
    )


def is_real(run: Manifest) -> bool:
    """The runs that aren't of the fake engine."""
    return not run.is_fake


def _trend(scores: Sequence[ReportedScore], num_draws: int) -> tuple[Trend | None, str]:
    """The trend with the options of `evalharness trend`, or why there is none."""
    import numpy as np

    from evalharness.trend.build import build_trend

    try:
        return build_trend(scores, np.random.default_rng(SEED), num_draws=num_draws), ""
    except UserError as e:
        return None, one_line(e)


def _frontiers(trend: Trend) -> dict[str, FrontierLine]:
    dated = [m for m in trend.models if m.release_date is not None]
    subsets = {"open": [m for m in dated if m.is_open], "all": dated}
    skills = {"open": trend.open_skill, "all": trend.skill}
    return {
        name: _frontier(models, trend, skills[name]) for name, models in subsets.items() if models
    }


def _frontier(models: Sequence[TrendModel], trend: Trend, skill: Skill) -> FrontierLine:
    from evalharness.trend.frontier import find_frontier

    dates = [m.release_date for m in models if m.release_date is not None]
    values = [m.capability for m in models]
    leads = find_frontier(dates, values)
    first = [m for m, is_leading in zip(models, leads, strict=True) if is_leading]
    start = min(m.release_date for m in first if m.release_date is not None)
    return FrontierLine(
        models=tuple(sorted(first, key=lambda m: m.release_date or date.min)),
        sampled=_sampled(dates, values, start, trend.data_until),
        ahead=_sampled(dates, values, trend.data_until, trend.forecast_at),
        skill=skill,
    )


def _sampled(
    dates: Sequence[date], values: Sequence[float], start: date, end: date
) -> tuple[Sampled, ...]:
    from evalharness.trend.forecast import forecast

    span = end.toordinal() - start.toordinal()
    ordinals = {start.toordinal() + span * i // _NUM_SAMPLED for i in range(_NUM_SAMPLED + 1)}
    days = [date.fromordinal(day) for day in sorted(ordinals)]
    found = [forecast(dates, values, day) for day in days]
    return tuple(
        Sampled(day, f.value, f.line_low, f.line_high, f.low, f.high)
        for day, f in zip(days, found, strict=True)
    )


def _curves(
    results_dir: Path,
    runs: Iterable[Manifest],
    metrics: Mapping[str, tuple[MetricRecord, ...]],
) -> list[RunCurves]:
    """Gains from the newest run of every model, suite and strategy."""
    from evalharness.store.read import load_curves

    found: dict[tuple[str, str, str], RunCurves] = {}
    for run in runs:
        key = (run.model, run.suite, run.strategy)
        if run.strategy == "single" or run.status == "running" or key in found:
            continue
        try:
            points = load_curves(results_dir / run.run_id)
        except StoreError as e:
            logger.warning("curves of run %s left out: %s", run.run_id, e)
            continue
        if points:
            found[key] = RunCurves(run, tuple(points), metrics.get(run.run_id, ()))
    return list(found.values())


def _composites(
    runs: Iterable[Manifest], metrics: Mapping[str, tuple[MetricRecord, ...]]
) -> list[CompositeRun]:
    found = []
    for run in runs:
        composite = find_composite(run, metrics.get(run.run_id, ()))
        if composite is None or composite.name != CMR or composite.metric is None:
            continue
        if not composite.without_score:
            found.append(CompositeRun(run, composite, composite.metric))
    return found
