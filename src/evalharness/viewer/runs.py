"""Runs for the viewer, read again only if a file in their folder has changed."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from evalharness.errors import StoreError
from evalharness.store import layout
from evalharness.store.read import as_seen, load_manifest, load_metrics, run_names
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)

Stamp = tuple[int, int]
"""A file's modification time and size, to detect changes."""


_MOST_OTHERS = 500
"""Most runs offered for comparison."""


class Other(NamedTuple):
    """A run to compare with."""

    run_id: str
    label: str


class Listing(NamedTuple):
    """The runs of a results folder."""

    runs: list[Manifest]
    """Newest first."""
    damaged: list[str]
    """A line for each run that can't be read."""


def stamp(path: Path) -> Stamp:
    """The file's stamp.

    Raises:
        StoreError: there is no such file.
    """
    try:
        found = path.stat()
    except OSError as e:
        raise StoreError(f"{str(path)!r}: can't read: {e.strerror}") from e
    return found.st_mtime_ns, found.st_size


def list_runs(results_dir: Path) -> Listing:
    """All runs, and those that can't be read.

    Raises:
        StoreError: results_dir is a file or may not be read.
    """
    runs, damaged = [], []
    for name in run_names(results_dir):
        try:
            runs.append(_manifest(results_dir / name))
        except StoreError as e:
            damaged.append(str(e))
    return Listing(
        sorted(runs, key=lambda run: (run.started_at, run.run_id), reverse=True), damaged
    )


def get_run(results_dir: Path, run_id: str) -> Manifest:
    """One run by its whole id.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    if not layout.is_run_id(run_id) or not (results_dir / run_id / layout.MANIFEST).is_file():
        raise StoreError(f"no run {run_id!r} here")
    return _manifest(results_dir / run_id)


def as_other(run: Manifest) -> Other:
    """The run with what tells it from others."""
    return Other(run.run_id, f"{run.run_id} · {run.model} · {run.suite}")


def other_runs(results_dir: Path, run: Manifest | None, tasks: Collection[str]) -> list[Other]:
    """The other runs that have one of these tasks, newest first; without a run, all.

    Raises:
        StoreError: results_dir can't be read.
    """
    return [
        as_other(one)
        for one in list_runs(results_dir).runs
        if run is None
        or (one.run_id != run.run_id and any(item.task in tasks for item in one.tasks))
    ][:_MOST_OTHERS]


def get_metrics(run_dir: Path) -> Sequence[MetricRecord]:
    """The run's metrics; none while it hasn't written any.

    Raises:
        StoreError: the file is damaged.
    """
    path = run_dir / layout.METRICS
    return _load_metrics(run_dir, stamp(path)) if path.is_file() else ()


def _manifest(run_dir: Path) -> Manifest:
    found = _load_manifest(run_dir, stamp(run_dir / layout.MANIFEST))
    return as_seen(run_dir.parent, found)


@lru_cache(maxsize=4096)
def _load_manifest(run_dir: Path, _: Stamp) -> Manifest:
    return load_manifest(run_dir)


@lru_cache(maxsize=64)
def _load_metrics(run_dir: Path, _: Stamp) -> Sequence[MetricRecord]:
    return tuple(load_metrics(run_dir))
