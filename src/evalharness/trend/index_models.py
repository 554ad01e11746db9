"""The models of an index: a fit, its draws and the fitted scores in, each model with its interval and what is known of it out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from evalharness.stats.estimates import Interval
from evalharness.trend.capability_index import CapabilityFit
from evalharness.trend.frontier import MAX_FAILED_DRAWS, find_frontier
from evalharness.trend.intervals import capability_intervals
from evalharness.trend.scores.identity import identity_of, key_of
from evalharness.trend.scores.records import ReportedScore


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendModel:
    """One model on the index."""

    model: str
    family: str
    release_date: date | None
    is_open: bool | None
    total_params_b: float | None
    active_params_b: float | None
    num_experts: int | None
    capability: float
    ci_low: float
    """90 % interval; NaN where `no_interval` says why."""
    ci_high: float
    no_interval: str
    """Why there is no interval; empty if there is one."""
    num_benchmarks: int
    is_frontier: bool
    """Whether nothing released before it, or on its day, was more capable."""
    is_open_frontier: bool
    """Whether the same holds among open weights."""
    sources: tuple[str, ...]
    """Who reported its scores."""


class Size(NamedTuple):
    """Size of a model, as stated by a source."""

    total_params_b: float | None
    active_params_b: float | None
    num_experts: int | None


def sizes_of(scores: Sequence[ReportedScore]) -> dict[str, Size]:
    """Key of a model's name -> size, from any collection that states it, the most complete statement first.

    Only sizes are shared between an owner's model and one of the same name without an owner; scores never are.
    """
    stated = [s for s in scores if s.origin != "measured" and s.total_params_b]
    stated.sort(key=lambda s: (s.n_experts is None, s.active_params_b is None))
    sizes: dict[str, Size] = {}
    for s in stated:
        size = Size(s.total_params_b, s.active_params_b, s.n_experts)
        sizes.setdefault(_ownerless(identity_of(s).model), size)
    return sizes


def _ownerless(model: str) -> str:
    return key_of(model.rpartition("/")[2])


def indexed_models(
    fit: CapabilityFit,
    draws: np.ndarray,
    used: Sequence[ReportedScore],
    sizes: Mapping[str, Size],
    level: float,
) -> list[TrendModel]:
    """The fit's models by release date.

    Args:
        fit: the index.
        draws: (draws, models) of `fit_draws`.
        used: scores that were fitted.
        sizes: of `sizes_of`.
        level: confidence of the intervals.
    """
    first: dict[str, ReportedScore] = {}
    sources: dict[str, dict[str, None]] = {}
    for score in used:
        if score.model not in first or (
            first[score.model].release_date is None and score.release_date
        ):
            first[score.model] = score
        sources.setdefault(score.model, {})[score.reported_by or score.source_repo] = None
    intervals = capability_intervals(fit, draws, level)
    facts = [first[name] for name in fit.models]
    frontier = _frontier(facts, fit.capability, lambda s: True)
    open_frontier = _frontier(facts, fit.capability, lambda s: s.open_weight is True)
    unknown = Size(None, None, None)
    models = [
        TrendModel(
            model=name,
            family=fact.family,
            release_date=fact.release_date,
            is_open=fact.open_weight,
            **sizes.get(_ownerless(name), unknown)._asdict(),
            capability=float(fit.capability[place]),
            ci_low=intervals[place].low,
            ci_high=intervals[place].high,
            no_interval=_no_interval(name, fit, intervals[place], draws[:, place]),
            num_benchmarks=int(fit.num_benchmarks[place]),
            is_frontier=name in frontier,
            is_open_frontier=name in open_frontier,
            sources=tuple(sources[name]),
        )
        for place, (name, fact) in enumerate(zip(fit.models, facts, strict=True))
    ]
    return sorted(models, key=lambda m: (m.release_date or date.max, m.model))


def _no_interval(name: str, fit: CapabilityFit, interval: Interval, drawn: np.ndarray) -> str:
    if fit.anchors and name in fit.anchors[:2]:
        return "sets the scale"
    if not math.isnan(interval.low):
        return ""
    failed = int(np.isnan(drawn).sum())
    if failed > MAX_FAILED_DRAWS * len(drawn):
        return f"no interval: {failed} of {len(drawn)} draws have no scale"
    value, found = fit.capability[fit.models.index(name)], drawn[np.isfinite(drawn)]
    if found.min() < value < found.max():
        return "no interval: it would be wider than the index's range, or its draws are not on both sides of it"
    return "no interval: its draws are not on both sides of it"


def _frontier(
    facts: Sequence[ReportedScore],
    capability: np.ndarray,
    is_in: Callable[[ReportedScore], bool],
) -> set[str]:
    places = [i for i, s in enumerate(facts) if s.release_date is not None and is_in(s)]
    if not places:
        return set()
    dates = [facts[i].release_date for i in places]
    found = find_frontier([d for d in dates if d is not None], capability[places])
    return {facts[i].model for i, flag in zip(places, found, strict=True) if flag}
