"""The open-weight capability trend: reported and measured scores in, one index with frontier, velocity and lag out.

The scale comes from reported scores of many models (the reference), each model under one name (`observe`). Checkpoints that
were run here are placed on it afterwards and don't change it. Reported scores of several protocols are kept side by side: a
pair of model and benchmark with two sources counts as two observations, and their scatter widens the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from evalharness.errors import UserError
from evalharness.stats.estimates import Interval
from evalharness.trend.capability_index import (
    Anchors,
    CapabilityFit,
    Method,
    Score,
    fit_capability,
)
from evalharness.trend.change_point import (
    Pace,
    change_of_pace,
)
from evalharness.trend.frontier import (
    Bools,
    Forecast,
    Skill,
    Slope,
    find_frontier,
    forecast,
    forecast_skill,
    frontier_slopes,
)
from evalharness.trend.intervals import (
    LAMBDAS,
    Moved,
    capability_intervals,
    fit_draws,
    moved_by_lambda,
)
from evalharness.trend.observe import (
    LeftOut,
    observe,
)
from evalharness.trend.open_closed_lag import (
    Lag,
    find_waits,
    summarise_waits,
)
from evalharness.trend.placed import PlacedModel, place_measured
from evalharness.trend.scores.identity import identify, identity_of, key_of
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.scores.seed_scores import CREDITS

ANCHORS = Anchors("Claude 3.5 Sonnet", "GPT-5")
"""The models at 130 and 150, as in Epoch's public index."""
REFERENCE = "epoch_index.csv"
"""The collection that sets the scale: open and closed models."""
SINCE = date(2022, 11, 1)
"""Release date from which models count, as in Epoch's paper; before it, benchmarks were different."""
LEVEL = 0.9
_HOLD_OUT_DAYS = 365
_PERCENT = 100


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


class Velocity(NamedTuple):
    """Gain of one subset's frontier, at both ridges."""

    name: str
    slope: Slope
    """At the trend's own lambda."""
    other: Slope
    """At the other lambda, to show the effect of the ridge."""
    rival: Slope | None
    """By the other method of fitting; None if that can't fit these scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The whole trend."""

    anchors: Anchors
    method: Method
    rival: Method
    """The other method."""
    lam: float
    other_lam: float
    models: tuple[TrendModel, ...]
    """Models by release date; those without one last."""
    placed: tuple[PlacedModel, ...]
    refused: Mapping[str, str]
    """Model or benchmark -> why it isn't on the index."""
    velocities: tuple[Velocity, ...]
    pace: Pace
    open_pace: Pace
    skill: Skill
    skill_cut: date
    forecast: Forecast
    forecast_at: date
    lag: Lag
    moved: tuple[Moved, ...]
    """The largest effects of the ridge."""
    num_scores: int
    """Scores that were fitted."""
    num_benchmarks: int
    left_out: LeftOut
    """Scores of lower efforts, and values cited again."""
    newest_score: date
    """Day of the newest fitted score: of its publication, or of its model's release where that isn't known."""
    credits: tuple[str, ...]
    """Attributions that the licences of the fitted scores ask for."""
    data_until: date
    """Release date of the newest model on the index."""


def build_trend(
    scores: Sequence[ReportedScore],
    rng: np.random.Generator,
    *,
    reference: str = REFERENCE,
    since: date = SINCE,
    anchors: Anchors = ANCHORS,
    method: Method = "likelihood",
    lam: float = LAMBDAS[0],
    num_draws: int = 100,
) -> Trend:
    """Fit the index to the reference and derive the trend from it.

    Set OPENBLAS_NUM_THREADS=1 before numpy is loaded: the fits are many small products, which BLAS threads make up to
    thirty times slower.

    Args:
        scores: reported ones of any collection and measured ones; of the reported, those of `reference` and imported ones are
            fitted.
        rng: for all random draws.
        reference: collection that sets the scale.
        since: models released before are left out; those without a date stay on the index, and off the frontier.
        anchors: the two models that set it.
        method: `epoch` is the published procedure, as a cross-check.
        lam: ridge of the fit.
        num_draws: bootstrap draws.

    Raises:
        UserError: nothing to fit, a missing anchor, or unconnected parts.
    """
    observed = observe([s for s in scores if _is_used(s, reference)], since)
    used = observed.scores
    if not used:
        raise UserError(
            f"trend: no reported scores of {reference!r}; `evalharness scores sources` lists them"
        )
    rows = observed.rows
    anchors = anchors._replace(low=identify(anchors.low).model, high=identify(anchors.high).model)
    other_lam = next(value for value in (*LAMBDAS, lam) if value != lam)
    fit, other = (fit_capability(rows, anchors, method, value) for value in (lam, other_lam))
    drawn = fit_draws(fit, rng, num_draws)
    draws = drawn.capability
    models = _models(fit, draws, used, _sizes(scores))
    measured = [s for s in scores if s.origin == "measured"]
    placed, refused = place_measured(fit, measured, LEVEL, drawn)
    dated = [m for m in models if m.release_date is not None]
    places = [fit.models.index(m.model) for m in dated]
    dates = [m.release_date for m in dated if m.release_date is not None]
    values = fit.capability[places]
    is_open = np.array([m.is_open is True for m in dated])
    until = max(dates)
    subsets = {name: np.array([test(m) for m in dated]) for name, test in SUBSETS.items()}
    subsets = {name: mask for name, mask in subsets.items() if mask.sum() >= 2}
    slopes = frontier_slopes(dates, values, subsets, rng, draws[:, places])
    others = frontier_slopes(dates, _capability_of(other, dated), subsets, rng)
    rival: Method = "epoch" if method == "likelihood" else "likelihood"
    rivals = _rival_slopes(rows, anchors, rival, dated, subsets)
    open_dates = [d for d, flag in zip(dates, is_open, strict=True) if flag]
    cut = date.fromordinal(until.toordinal() - _HOLD_OUT_DAYS)
    ahead = date.fromordinal(until.toordinal() + _HOLD_OUT_DAYS)
    return Trend(
        anchors=anchors,
        method=method,
        rival=rival,
        lam=lam,
        other_lam=other_lam,
        models=tuple(models),
        placed=placed,
        refused={**fit.refused_models, **fit.refused_benchmarks, **observed.refused, **refused},
        velocities=tuple(
            Velocity(name, slopes[name], others[name], rivals.get(name)) for name in subsets
        ),
        pace=change_of_pace(dates, values, rng),
        open_pace=change_of_pace(open_dates, values[is_open], rng),
        skill=forecast_skill(dates, values, cut),
        skill_cut=cut,
        forecast=forecast(dates, values, ahead),
        forecast_at=ahead,
        lag=summarise_waits(find_waits(dates, values, is_open, until)),
        moved=tuple(moved_by_lambda([fit, other])[:10]),
        num_scores=len(fit.rows.score),
        num_benchmarks=len(fit.benchmarks),
        left_out=observed.left_out,
        newest_score=_newest(used, fit),
        credits=tuple(
            words for repo, words in CREDITS.items() if any(s.source_repo == repo for s in used)
        ),
        data_until=until,
    )


def _rival_slopes(
    rows: Sequence[Score],
    anchors: Anchors,
    rival: Method,
    dated: Sequence[TrendModel],
    subsets: Mapping[str, Bools],
) -> dict[str, Slope]:
    """The slopes by the other method, at Epoch's lambda; empty where it can't place the same models."""
    try:
        fit = fit_capability(rows, anchors, rival)
    except UserError:
        return {}
    if not {m.model for m in dated} <= set(fit.models):
        return {}
    dates = [m.release_date for m in dated if m.release_date is not None]
    return frontier_slopes(dates, _capability_of(fit, dated), subsets, np.random.default_rng(0))


def _newest(used: Sequence[ReportedScore], fit: CapabilityFit) -> date:
    fitted = set(fit.models)
    days = [s.score_date or s.release_date for s in used if s.model in fitted]
    return max(day for day in days if day is not None)


def is_llama(family: str, model: str) -> bool:
    """Meta's own Llama models."""
    return family.lower().startswith("llama") or model.lower().startswith(("llama", "meta-llama"))


def _size(low: float, high: float) -> Callable[[TrendModel], bool]:
    return lambda m: bool(m.is_open and m.total_params_b and low <= m.total_params_b <= high)


SUBSETS: Mapping[str, Callable[[TrendModel], bool]] = {
    "all models": lambda m: True,
    "open weights": lambda m: m.is_open is True,
    "Llama family": lambda m: is_llama(m.family, m.model),
    "open, 6-9 B": _size(6, 9),
    "open, 65-75 B": _size(65, 75),
}
"""Subsets whose frontiers are computed."""


def _is_used(score: ReportedScore, reference: str) -> bool:
    return score.origin == "imported" or (score.origin == "seed" and score.collection == reference)


class Size(NamedTuple):
    """Size of a model, as stated by a source."""

    total_params_b: float | None
    active_params_b: float | None
    num_experts: int | None


def _sizes(scores: Sequence[ReportedScore]) -> dict[str, Size]:
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


def _models(
    fit: CapabilityFit,
    draws: np.ndarray,
    used: Sequence[ReportedScore],
    sizes: Mapping[str, Size],
) -> list[TrendModel]:
    first: dict[str, ReportedScore] = {}
    sources: dict[str, dict[str, None]] = {}
    for score in used:
        if score.model not in first or (
            first[score.model].release_date is None and score.release_date
        ):
            first[score.model] = score
        sources.setdefault(score.model, {})[score.reported_by or score.source_repo] = None
    intervals = capability_intervals(fit, draws, LEVEL)
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
            no_interval=_no_interval(name, fit, intervals[place]),
            num_benchmarks=int(fit.num_benchmarks[place]),
            is_frontier=name in frontier,
            is_open_frontier=name in open_frontier,
            sources=tuple(sources[name]),
        )
        for place, (name, fact) in enumerate(zip(fit.models, facts, strict=True))
    ]
    return sorted(models, key=lambda m: (m.release_date or date.max, m.model))


def _no_interval(name: str, fit: CapabilityFit, interval: Interval) -> str:
    if fit.anchors and name in fit.anchors[:2]:
        return "sets the scale"
    if not math.isnan(interval.low):
        return ""
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


def _capability_of(fit: CapabilityFit, models: Sequence[TrendModel]) -> np.ndarray:
    places = {name: place for place, name in enumerate(fit.models)}
    return np.array([fit.capability[places[m.model]] for m in models])
