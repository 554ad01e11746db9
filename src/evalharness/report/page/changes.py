"""Changes since the last report: the numbers that are compared, stored in `report.json` under `state`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from evalharness.errors import one_line, some
from evalharness.report.page import texts
from evalharness.report.page.cmr import best
from evalharness.report.page.collect import Findings
from evalharness.report.page.lineages import drift_calls
from evalharness.report.terminal.trend import leader
from evalharness.store.json_codec import as_json

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 3
"""2: velocities are without the order bias. 3: the lag is the mean gap, intervals are of weighted refits."""
_MOST_NAMES = 3
_LEAST_MOVE = 0.05
"""Smallest change, in index points and percentage points, of a number that is shown with one decimal."""

Numbers = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The numbers with which the next report is compared."""

    made_at: str
    """ISO, UTC."""
    open_leader: str | None
    open_index: float | None
    num_scores: int
    velocities: Numbers
    """Subset -> index points a year."""
    placed: Numbers
    """Model -> index."""
    runs: tuple[str, ...]
    cmr_model: str | None
    cmr_value: float | None
    """Per cent."""
    cmr_definition: str | None
    drift: Mapping[str, Mapping[str, str]]
    """Step -> domain -> call."""
    downloads: Numbers
    """Model -> of all time."""


def state_of(found: Findings) -> State:
    """The state of this report."""
    top = leader(found.trend.models, is_open=True) if found.trend else None
    cmr = best(found)
    return State(
        made_at=found.made_at.isoformat(timespec="seconds"),
        open_leader=top.model if top else None,
        open_index=top.capability if top else None,
        num_scores=len(found.reported),
        velocities={v.name: as_json(v.slope.corrected) for v in found.trend.velocities} if found.trend else {},
        placed={p.model: as_json(p.placement.value) for p in found.trend.placed} if found.trend else {},
        runs=tuple(sorted(run.run_id for run in found.real_runs)),
        cmr_model=cmr.run.model if cmr else None,
        cmr_value=100 * cmr.metric.value if cmr else None,
        cmr_definition=cmr.composite.definition_hash if cmr else None,
        drift=drift_calls(found),
        downloads={item.model: item.last.downloads_all_time for item in found.adoptions},
    )  # fmt: skip


def read_state(path: Path) -> tuple[State | None, str]:
    """The last report's state, or None and a remark; both empty if there was no report."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _state(content), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        logger.warning("%s: not compared with: %s", path, one_line(e))
        return None, "The last report's numbers can't be read, so nothing is compared."


def as_fields(state: State) -> dict[str, Any]:
    """For `report.json`."""
    result: dict[str, Any] = as_json(asdict(state))
    return result


def changes(before: State, now: State) -> list[str]:
    """A line per change; empty if there is none."""
    return [
        *_leader(before, now),
        *_moved("velocity of", before.velocities, now.velocities, "points a year"),
        *_moved("index of", before.placed, now.placed, "points"),
        *_cmr(before, now),
        *_drift(before, now),
        *_runs(before, now),
        *_scores(before, now),
        *_downloads(before, now),
    ]


def _leader(before: State, now: State) -> Iterator[str]:
    if before.open_leader != now.open_leader:
        yield f"open frontier: {now.open_leader or 'none'} (was {before.open_leader or 'none'})"
    elif has_moved(before.open_index, now.open_index):
        yield f"open frontier's index: {_step(before.open_index, now.open_index)}"


def _moved(what: str, before: Numbers, now: Numbers, unit: str) -> Iterator[str]:
    for name, value in now.items():
        if name not in before:
            yield f"{what} {name}: new, {shown(value)} {unit}"
        elif has_moved(before[name], value):
            yield f"{what} {name}: {_step(before[name], value)} {unit}"


def _cmr(before: State, now: State) -> Iterator[str]:
    if now.cmr_value is None:
        return
    if before.cmr_value is None:
        yield f"CMR: first value, {now.cmr_value:.1f} % ({now.cmr_model})"
    elif before.cmr_definition != now.cmr_definition:
        yield f"CMR: another definition, so not compared; {now.cmr_value:.1f} % ({now.cmr_model})"
    elif has_moved(before.cmr_value, now.cmr_value):
        yield f"CMR: {_step(before.cmr_value, now.cmr_value)} % ({now.cmr_model})"


def _drift(before: State, now: State) -> Iterator[str]:
    for step, calls in now.drift.items():
        held = before.drift.get(step)
        if held is None:
            yield f"drift, {step}: safety {calls.get('safety')} (new)"
        elif held.get("safety") != calls.get("safety"):
            yield f"drift, {step}: safety {calls.get('safety')} (was {held.get('safety')})"


def _runs(before: State, now: State) -> Iterator[str]:
    new = [run for run in now.runs if run not in before.runs]
    gone = [run for run in before.runs if run not in now.runs]
    if new:
        yield f"{texts.plural(len(new), 'new run')}: {some(new, _MOST_NAMES)}"
    if gone:
        yield f"{texts.plural(len(gone), 'run')} gone: {some(gone, _MOST_NAMES)}"


def _scores(before: State, now: State) -> Iterator[str]:
    if before.num_scores != now.num_scores:
        yield f"reported scores: {before.num_scores} → {now.num_scores}"


def _downloads(before: State, now: State) -> Iterator[str]:
    grown = {
        model: value - old
        for model, value in now.downloads.items()
        if value is not None and (old := before.downloads.get(model)) is not None and value != old
    }
    if grown:
        most = max(grown, key=lambda model: abs(grown[model]))
        yield f"downloads moved for {texts.plural(len(grown), 'model')}, most for {most}: {grown[most]:+,.0f}"


def has_moved(before: float | None, now: float | None) -> bool:
    """Whether a number with one decimal is shown as another."""
    if before is None or now is None:
        return before is not now
    return abs(now - before) >= _LEAST_MOVE


def _step(before: float | None, now: float | None) -> str:
    return f"{shown(before)} → {shown(now)}"


def shown(value: float | None) -> str:
    """A number of the report with one decimal."""
    return texts.NOTHING if value is None else f"{value:.1f}"


def _state(content: Any) -> State:
    if content["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version {content['schema_version']!r}")
    held = {field.name: content["state"][field.name] for field in fields(State)}
    for name, kinds in _KINDS.items():
        if not isinstance(held[name], kinds):
            raise ValueError(f"{name} is {held[name]!r:.60}")
    for name in ("velocities", "placed", "downloads"):
        if not all(isinstance(value, int | float | None) for value in held[name].values()):
            raise ValueError(f"{name}: a value is not a number")
    if not all(isinstance(calls, dict) for calls in held["drift"].values()):
        raise ValueError("drift: a step has no calls")
    return State(**{**held, "runs": tuple(map(str, held["runs"]))})


_KINDS: Mapping[str, Any] = {
    "made_at": str,
    "open_leader": str | None,
    "open_index": int | float | None,
    "num_scores": int,
    "velocities": dict,
    "placed": dict,
    "runs": list,
    "cmr_model": str | None,
    "cmr_value": int | float | None,
    "cmr_definition": str | None,
    "drift": dict,
    "downloads": dict,
}
