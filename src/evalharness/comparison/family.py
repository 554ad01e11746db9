"""A team's own line over time: the checkpoints of a family on one suite, by date, each compared with the one before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from evalharness.comparison.drift import Lineage, ancestors
from evalharness.comparison.lineages import find_lineage, parents_of
from evalharness.comparison.run_mean import RunMean, run_mean
from evalharness.errors import StoreError, did_you_mean, some, then
from evalharness.store.read import list_runs, load_main_metrics
from evalharness.store.records import Manifest, MetricRecord
from evalharness.store.select_runs import best_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One checkpoint of the line."""

    run: Manifest
    """Its best run of the suite."""
    day: date
    is_released: bool
    """Whether the day is its release, as its entry says, and not that of the run."""
    mean: RunMean | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The line on one suite."""

    name: str
    suite: str
    members: tuple[Member, ...]
    """By day."""
    lineage: Lineage
    """Steps from each to the next, and from the first to the last, by the ids of their runs."""
    notes: tuple[str, ...]


def find_family(results_dir: Path, name: str, suite: str | None = None) -> Family:
    """The checkpoints of a family, compared along their dates.

    Args:
        results_dir: folder that holds the runs.
        name: `family` in the models' entries; or a model, which stands for itself and its ancestors.
        suite: the suite; None for the one that most of them were run on, of several one of capability.

    Raises:
        StoreError: no such family, or fewer than two of its models were run on the suite.
    """
    runs = [r for r in list_runs(results_dir) if r.status != "running" and not r.is_fake]
    own = _of_family(runs, name)
    suite = suite or _commonest(own)
    of_suite: dict[str, list[Manifest]] = {}
    for run in own:
        if run.suite == suite:
            of_suite.setdefault(run.model, []).append(run)
    best = [one for found in of_suite.values() if (one := best_run(found))]
    if len(best) < 2:
        has = some(dict.fromkeys(run.suite for run in own), most=6)
        raise StoreError(
            f"family {name!r}: {len(best)} of its models on suite {suite!r}, at least two are needed; it has runs of: {has}"
        )
    main = load_main_metrics(results_dir, [run.run_id for run in best])
    members = [_member(run, main.of_run) for run in best]
    members.sort(key=lambda m: (m.day, m.run.started_at))
    others = dict.fromkeys(run.model for run in own if run.model not in of_suite)
    notes = [f"not on {suite}: {some(others)}"] if others else []
    notes += [f"metrics of run {run_id} are damaged: no mean" for run_id in main.damaged]
    return Family(
        name=name,
        suite=suite,
        members=tuple(members),
        lineage=find_lineage(results_dir, [m.run.run_id for m in members], runs=runs),
        notes=tuple(notes),
    )


def _of_family(runs: Sequence[Manifest], name: str) -> list[Manifest]:
    found = [run for run in runs if _about(run).get("family") == name]
    if found:
        return found
    models = {run.model for run in runs}
    if name in models:
        line = ancestors(name, parents_of(runs))
        return [run for run in runs if run.model in line]
    families = sorted({str(f) for run in runs if (f := _about(run).get("family"))})
    known = f"known here: {some(families, most=6)}" if families else "no run's entry names a family"
    raise StoreError(
        f"no run of a family or model {name!r}"
        + then(did_you_mean(name, [*families, *models]), known)
    )


def _commonest(runs: Sequence[Manifest]) -> str:
    """Of equally common suites one of capability, whose tasks have a mean; runs come newest first, so then the latest."""
    by_domain = sorted(runs, key=lambda run: run.domain != "capability")
    pairs = dict.fromkeys((run.model, run.suite) for run in by_domain)
    return Counter(suite for _, suite in pairs).most_common(1)[0][0]


def _member(run: Manifest, metrics: Mapping[str, Sequence[MetricRecord]]) -> Member:
    released = _released(run)
    return Member(
        run=run,
        day=released or date.fromisoformat(run.started_at[:10]),
        is_released=released is not None,
        mean=run_mean(run, metrics[run.run_id]) if run.run_id in metrics else None,
    )


def _released(run: Manifest) -> date | None:
    try:
        return date.fromisoformat(str(_about(run).get("release_date")))
    except ValueError:
        return None


def _about(run: Manifest) -> Mapping[str, object]:
    return run.config.get("model") or {}
