"""The matching runs of two models: a pair for every suite that both have."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalharness.errors import StoreError, did_you_mean, then
from evalharness.store import layout
from evalharness.store.read import find_run
from evalharness.store.records import Manifest
from evalharness.store.select_runs import (
    real,
    runs_by_suite,
)


class Side(NamedTuple):
    """The runs that a name stands for."""

    name: str
    model: str
    runs: dict[str, Manifest]
    """Suite -> run."""
    is_run: bool
    """Whether the name is of one run, not of a model."""

    @property
    def label(self) -> str:
        """A short unique name: the model, or the run's id if a run is meant."""
        return self.any_run.run_id if self.is_run else self.model

    @property
    def any_run(self) -> Manifest:
        """Any of its runs."""
        return next(iter(self.runs.values()))


class Matched(NamedTuple):
    """Two sides, matched by suite."""

    pairs: list[tuple[Manifest, Manifest]]
    """Pairs by suite."""
    only_a: list[Manifest]
    """Runs of suites without a run on the other side."""
    only_b: list[Manifest]


def find_side(
    results_dir: Path, runs: Sequence[Manifest], name: str, suite: str | None = None
) -> Side:
    """The runs that a user means: one by its id (or a prefix of it, or `latest`), or a model's best of each suite.

    Args:
        results_dir: folder that holds the runs.
        runs: all of them.
        name: run id or model.
        suite: only the model's run of this suite.

    Raises:
        StoreError: none.
    """
    is_id = layout.is_run_id(name) and (results_dir / name / layout.MANIFEST).is_file()
    if is_id or not any(run.model == name for run in runs):
        run = find_run(results_dir, name)
        if suite not in (None, run.suite):
            raise StoreError(f"run {run.run_id!r} is of suite {run.suite!r}, not {suite!r}")
        return Side(name, run.model, {run.suite: run}, is_run=True)
    found = runs_by_suite(runs, name)
    if not found:
        for run in runs:
            if run.model == name and run.status != "running":
                real(run, name)
        raise StoreError(f"model {name!r} has no run that has ended; `evalharness resume {name}`")
    if suite is not None and suite not in found:
        raise StoreError(
            f"model {name!r} has no run of suite {suite!r}"
            + then(did_you_mean(suite, found), f"it has: {', '.join(found)}")
        )
    kept = {key: found[key] for key in sorted(found) if suite in (None, key)}
    return Side(name, name, kept, is_run=False)


def match(a: Side, b: Side) -> Matched:
    """Match the runs of both sides by suite. A named run decides the suite; two named runs are a pair."""
    if a.is_run and b.is_run:
        return Matched(
            [(run, other) for run in a.runs.values() for other in b.runs.values()], [], []
        )
    both = [suite for suite in a.runs if suite in b.runs]
    rest_a, rest_b = (
        [] if other.is_run else [run for suite, run in side.runs.items() if suite not in both]
        for side, other in ((a, b), (b, a))
    )
    return Matched([(a.runs[suite], b.runs[suite]) for suite in both], rest_a, rest_b)


def nothing_in_common(a: Side, b: Side) -> StoreError:
    """The error for two sides without a pair."""
    has = "; ".join(f"{side.name}: {', '.join(side.runs)}" for side in (a, b))
    return StoreError(f"{a.name!r} and {b.name!r} have no suite in common ({has})")
