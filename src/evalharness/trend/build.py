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
from evalharness.trend.capability_index import (
    LAMBDA,
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
from evalharness.trend.forecast import Forecast, Skill, forecast, forecast_skill
from evalharness.trend.frontier import Bools, Floats, Slope, frontier_slopes
from evalharness.trend.frontier_gap import Gap, frontier_gap
from evalharness.trend.index_models import TrendModel, indexed_models, sizes_of
from evalharness.trend.intervals import (
    LAMBDAS,
    Moved,
    fit_draws,
    moved_by_lambda,
)
from evalharness.trend.observe import (
    EffortPolicy,
    LeftOut,
    observe,
)
from evalharness.trend.open_closed_lag import (
    Lag,
    find_waits,
    summarise_waits,
)
from evalharness.trend.placed import PlacedModel, place_measured
from evalharness.trend.scores.identity import identify
from evalharness.trend.scores.records import ReportedScore
from evalharness.trend.scores.seed_scores import CREDITS
from evalharness.trend.threads import in_threads
from evalharness.trend.vintage import Vintage, fit_vintage

ANCHORS = Anchors("Claude 3.5 Sonnet", "GPT-5")
"""The models at 130 and 150, as in Epoch's public index."""
REFERENCE = "epoch_index.csv"
"""The collection that sets the scale: open and closed models."""
SINCE = date(2022, 11, 1)
"""Release date from which models count, as in Epoch's paper; before it, benchmarks were different."""
LEVEL = 0.9
_WIDEST = 10.0
_HOLD_OUT_DAYS = 365


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
    """Of a forecast made at the cut with what was known then."""
    open_skill: Skill
    """The same for open weights."""
    hindsight: Skill
    """As `skill`, but with today's capabilities of the models that were out at the cut."""
    skill_cut: date
    vintage: Vintage
    """What was known at the cut."""
    forecast: Forecast
    forecast_at: date
    lag: Lag
    """How long closed leaders wait for an open model as good."""
    gap: Gap
    """How far the open frontier is behind the closed one, since both have a model."""
    last_gap: Gap
    """The same over the last year."""
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
    effort: EffortPolicy = "highest",
    workers: int | None = None,
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
        num_draws: bootstrap draws, of each fit.
        effort: which of a model's efforts counts on a benchmark.
        workers: threads; the numbers are the same for any number. None: one for each core.

    Raises:
        UserError: nothing to fit, a missing anchor, or unconnected parts.
    """
    given = [s for s in scores if _is_used(s, reference)]
    observed = observe(given, since, effort)
    used = observed.scores
    if not used:
        raise UserError(
            f"trend: no reported scores of {reference!r}; `evalharness scores sources` lists them"
        )
    rows = observed.rows
    anchors = anchors._replace(low=identify(anchors.low).model, high=identify(anchors.high).model)
    other_lam = next(value for value in (*LAMBDAS, lam) if value != lam)
    rival: Method = "epoch" if method == "likelihood" else "likelihood"
    fit, other, by_rival = in_threads(
        lambda wanted: _fit(rows, anchors, *wanted, is_needed=wanted != (rival, LAMBDA)),
        [(method, lam), (method, other_lam), (rival, LAMBDA)],
        workers,
    )
    assert fit is not None
    assert other is not None
    _check_scale(fit.capability, anchors)
    drawn = fit_draws(fit, rng, num_draws, workers)
    draws = drawn.capability
    models = indexed_models(fit, draws, used, sizes_of(scores), LEVEL)
    measured = [s for s in scores if s.origin == "measured"]
    placed, refused = place_measured(fit, measured, LEVEL, drawn)
    dated = [m for m in models if m.release_date is not None]
    places = [fit.models.index(m.model) for m in dated]
    dates = [m.release_date for m in dated if m.release_date is not None]
    values = fit.capability[places]
    is_open = np.array([m.is_open is True for m in dated])
    if not dates:
        raise UserError(
            f"trend: none of the {len(models)} models has a release date; give release_date with their scores"
        )
    until = max(dates)
    subsets = {name: np.array([test(m) for m in dated]) for name, test in SUBSETS.items()}
    subsets = {name: mask for name, mask in subsets.items() if mask.sum() >= 2}
    slopes, others, rivals = (
        _slopes(found, dated, subsets, rng, with_draws, workers)
        for found, with_draws in ((fit, draws), (other, num_draws), (by_rival, num_draws))
    )
    pace = slopes["all models"]
    open_dates = [d for d, flag in zip(dates, is_open, strict=True) if flag]
    cut = date.fromordinal(until.toordinal() - _HOLD_OUT_DAYS)
    ahead = date.fromordinal(until.toordinal() + _HOLD_OUT_DAYS)
    vintage = fit_vintage(given, fit, cut, since, effort)
    known = np.array([vintage.capability.get(m.model, math.nan) for m in dated])
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
        skill=forecast_skill(dates, values, cut, known),
        open_skill=forecast_skill(open_dates, values[is_open], cut, known[is_open]),
        hindsight=forecast_skill(dates, values, cut),
        skill_cut=cut,
        vintage=vintage,
        forecast=forecast(dates, values, ahead),
        forecast_at=ahead,
        lag=summarise_waits(find_waits(dates, values, is_open, until)),
        gap=frontier_gap(dates, values, is_open, pace, rng),
        last_gap=frontier_gap(dates, values, is_open, pace, rng, last_days=_HOLD_OUT_DAYS),
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


def _check_scale(capability: Floats, anchors: Anchors) -> None:
    """Refuse anchors that are as good as equal, as when sources of their scores contradict each other.

    Args:
        capability: of the models, on the anchors' scale.
        anchors: that set the scale.

    Raises:
        UserError: the middle four fifths of the models lie `_WIDEST` times further apart than the anchors.
    """
    low, high = np.quantile(capability, (0.1, 0.9))
    distance = anchors.high_value - anchors.low_value
    if high - low > _WIDEST * distance:
        raise UserError(
            f"anchors {anchors.low!r} and {anchors.high!r} don't set a scale: by their scores they hardly differ, so that the "
            f"middle four fifths of the models would lie {high - low:.0f} points apart where these two are {distance:.0f} apart; "
            "look for sources that contradict each other (`evalharness scores list`), or name other models with --anchors"
        )


def _fit(
    rows: Sequence[Score], anchors: Anchors, method: Method, lam: float, *, is_needed: bool
) -> CapabilityFit | None:
    try:
        return fit_capability(rows, anchors, method, lam)
    except UserError:
        if is_needed:
            raise
        return None


def _slopes(
    fit: CapabilityFit | None,
    dated: Sequence[TrendModel],
    subsets: Mapping[str, Bools],
    rng: np.random.Generator,
    draws: Floats | int,
    workers: int | None,
) -> dict[str, Slope]:
    """The slopes by a fit, models and scores drawn again; empty where it can't place the same models.

    Args:
        fit: one of the fits.
        dated: models of the trend that have a date.
        subsets: name -> (models,) mask.
        rng: for all draws.
        draws: of the fit's capabilities, or how many to make.
        workers: threads.
    """
    if fit is None or not {m.model for m in dated} <= set(fit.models):
        return {}
    if isinstance(draws, int):
        draws = fit_draws(fit, rng, draws, workers).capability
    places = [fit.models.index(m.model) for m in dated]
    dates = [m.release_date for m in dated if m.release_date is not None]
    return frontier_slopes(dates, fit.capability[places], subsets, rng, draws[:, places])


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
