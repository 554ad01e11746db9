"""How a model's use changes: snapshots of the Hub in, differences per day and week out.

Counts of events only grow, so a difference below zero is a recount by the Hub (or withdrawn likes and repositories): it
is kept and marked, never clipped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from evalharness.trend.hub.records import (
    Sighting,
    Snapshot,
)

DAY_S = 86_400
DAYS_PER_WEEK = 7
LEAST_DAYS = 0.25
"""Closer snapshots give no rate, as the Hub refreshes its counts a few times a day at best."""


class Flow(NamedTuple):
    """How a count changed between two snapshots."""

    change: float
    """NaN if the count is unknown at either end."""
    rate: float
    """Per day or per week, according to the field; NaN if the snapshots are too close."""
    is_recount: bool
    """Whether it fell, there or at a snapshot in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """The changes of one model between two snapshots."""

    since: str
    until: str
    days: float
    downloads_per_day: Flow
    """Of the all-time count, as the 30-day count is a moving window."""
    likes_per_day: Flow
    derivatives_per_week: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """One model over all snapshots that hold it."""

    model: str
    hub_id: str
    last: Sighting
    """The last one with counts; one without, if none has any."""
    last_at: str
    num_sightings: int
    """Snapshots with counts."""
    flows: Flows | None
    """From the first to the last; None with fewer than two."""
    steps: tuple[Flows, ...]
    """From each to the next, oldest first."""
    error: str | None
    """Why the model's newest snapshot doesn't have it, or not completely."""
    error_at: str | None


class _Seen(NamedTuple):
    taken_at: str
    sighting: Sighting


def adoptions(snapshots: Sequence[Snapshot]) -> list[Adoption]:
    """Each model's record, in the order of the newest snapshot that holds it.

    Args:
        snapshots: oldest first. A model is identified by its Hub id; a model that could never be read is left out once
        the newest snapshot doesn't include it any more.
    """
    series: dict[str, list[_Seen]] = {}
    for snapshot in reversed(snapshots):
        for sighting in snapshot.models:
            seen = series.setdefault(sighting.hub_id.lower(), [])
            seen.insert(0, _Seen(snapshot.taken_at, sighting))
    newest = snapshots[-1].taken_at if snapshots else ""
    found = map(_adoption, series.values())
    return [item for item in found if item.num_sightings or item.last_at == newest]


def flows_between(seen: Sequence[Sighting], taken_at: Sequence[str]) -> Flows:
    """The changes from the first to the last of a model's sightings.

    Args:
        seen: two or more, oldest first.
        taken_at: times, ISO with a time zone.
    """
    first, last = (datetime.fromisoformat(taken_at[place]) for place in (0, -1))
    days = (last - first).total_seconds() / DAY_S
    return Flows(
        since=taken_at[0],
        until=taken_at[-1],
        days=days,
        downloads_per_day=_flow([item.downloads_all_time for item in seen], days),
        likes_per_day=_flow([item.likes for item in seen], days),
        derivatives_per_week=_flow([item.num_derivatives for item in seen], days, DAYS_PER_WEEK),
    )


def _adoption(seen: Sequence[_Seen]) -> Adoption:
    good = [item for item in seen if _has_counts(item.sighting)]
    newest, last = seen[-1], (good or seen)[-1]
    return Adoption(
        model=newest.sighting.model,
        hub_id=newest.sighting.hub_id,
        last=last.sighting,
        last_at=last.taken_at,
        num_sightings=len(good),
        flows=_flows(good) if len(good) > 1 else None,
        steps=tuple(_flows(pair) for pair in pairwise(good)),
        error=newest.sighting.error,
        error_at=newest.taken_at if newest.sighting.error else None,
    )


def _flows(seen: Sequence[_Seen]) -> Flows:
    return flows_between([item.sighting for item in seen], [item.taken_at for item in seen])


def _flow(counts: Sequence[int | None], days: float, period_days: int = 1) -> Flow:
    first, last = counts[0], counts[-1]
    change = math.nan if first is None or last is None else float(last - first)
    rate = change / days * period_days if days >= LEAST_DAYS else math.nan
    known = [count for count in counts if count is not None]
    return Flow(change, rate, any(after < before for before, after in pairwise(known)))


def _has_counts(sighting: Sighting) -> bool:
    counts = (sighting.downloads, sighting.downloads_all_time, sighting.likes)
    return any(count is not None for count in counts)
