"""What was known on a day: the capabilities fitted to the scores of that day alone, on today's scale.

A score is known from its own day; one that has none, from the day on which both its model and its benchmark were out, the
earliest that it can have been measured. One whose model has no date is not known. The models that set today's scale may be
newer than the day: the fit is made without them, on a scale of its own, and put on today's by the line through the models
that both fits have. That line says in which units the past is read, and nothing of what came after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from evalharness.errors import UserError, one_line
from evalharness.trend.capability_index import CapabilityFit, fit_capability
from evalharness.trend.fit_likelihood import Floats
from evalharness.trend.observe import EffortPolicy, named_once, observe
from evalharness.trend.scores.benchmarks import find_benchmark
from evalharness.trend.scores.records import ReportedScore

_MIN_SHARED = 10


class Vintage(NamedTuple):
    """The capabilities of a day."""

    day: date
    capability: Mapping[str, float]
    """Model -> on today's scale; empty where `refusal` says why."""
    num_scores: int
    """Scores that were known and could be fitted."""
    num_undated: int
    """Of those left out, the ones that have no day."""
    scale_sd: float
    """Standard deviation about the line that puts it on today's scale, in index points."""
    refusal: str


def known_from(score: ReportedScore) -> date | None:
    """The day from which a score, under its model's one name, is taken to be known; None if that can't be said."""
    if score.score_date is not None:
        return score.score_date
    benchmark = find_benchmark(score.benchmark)
    if score.release_date is None:
        return None
    if benchmark is None or benchmark.released is None:
        return score.release_date
    return max(score.release_date, benchmark.released)


def fit_vintage(
    scores: Sequence[ReportedScore],
    today: CapabilityFit,
    day: date,
    since: date,
    effort: EffortPolicy = "highest",
) -> Vintage:
    """The capabilities fitted to what was known on a day, by the method and ridge of today's fit.

    Args:
        scores: of the reference, all of them.
        today: the fit to all of them.
        day: included.
        since: as `observe`.
        effort: as `observe`.
    """
    named = [named_once(score) for score in scores]
    days = [known_from(score) for score in named]
    known = [s for s, on in zip(named, days, strict=True) if on is not None and on <= day]
    undated = days.count(None)
    rows = observe(known, since, effort).rows
    try:
        fit = fit_capability(rows, None, today.method, today.lam)
    except UserError as e:
        return Vintage(day, {}, 0, undated, np.nan, one_line(e))
    places = {name: place for place, name in enumerate(today.models)}
    shared = [place for place, name in enumerate(fit.models) if name in places]
    if len(shared) < _MIN_SHARED:
        why = f"{len(shared)} models are in both fits, at least {_MIN_SHARED} needed"
        return Vintage(day, {}, len(rows), undated, np.nan, why)
    then = fit.capability[shared]
    now = today.capability[[places[fit.models[place]] for place in shared]]
    slope = _slope_of_medians(then, now)
    if not slope > 0:
        return Vintage(day, {}, len(rows), undated, np.nan, "its order of models isn't today's")
    shift = float(np.median(now) - slope * np.median(then))
    mapped = shift + slope * fit.capability
    sd = 1.4826 * float(np.median(np.abs(now - shift - slope * then)))
    capability = dict(zip(fit.models, map(float, mapped), strict=True))
    return Vintage(day, capability, len(fit.rows.score), undated, sd, "")


def _slope_of_medians(x: Floats, y: Floats) -> float:
    """Median of the slopes of all pairs: a few models that lie below every benchmark of the day would turn any other line.

    Source: Sen 1968, JASA 63:1379.
    """
    first, second = np.triu_indices(len(x), 1)
    across, up = x[second] - x[first], y[second] - y[first]
    apart = across != 0
    return float(np.median(up[apart] / across[apart])) if apart.any() else np.nan
