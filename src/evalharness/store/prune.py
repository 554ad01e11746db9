"""Finds what can be deleted from the store, and deletes it.

A run that another process is writing to is kept. A run is renamed to a hidden name before anything of it is removed: a
crash leaves either a whole run, or a hidden folder that the next `prune` removes.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from evalharness.errors import StoreError, WriteError
from evalharness.store import checksums, layout
from evalharness.store.atomic import sync
from evalharness.store.lock import Claim
from evalharness.store.records import Manifest
from evalharness.store.select_runs import best_run

_PRUNED = ".pruned"
_LEFTOVER_S = 3600
_HIDDEN = re.compile(r"\..+\.(?:(\d+)\.tmp|pruned)")
"""Remains of killed processes: `.<run>.<pid>.tmp` of a run being made, `.<run>.pruned` of a run being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which runs can be deleted."""

    superseded: bool = False
    """Those with a newer complete run of the same model and identity."""
    failed: bool = False
    before: date | None = None
    """Those started before this day."""
    keep: int | None = None
    """All but this many of the latest of each model, suite, version and strategy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that can be deleted."""

    path: Path
    """A run's folder, or its journal."""
    run: Manifest | None
    """None for remains of a killed process."""
    why: str
    num_bytes: int

    @property
    def is_journal(self) -> bool:
        """Whether only the journal is deleted."""
        return self.path.name == layout.JOURNAL


def prunable_runs(
    results_dir: Path, runs: Sequence[Manifest], criteria: Criteria
) -> list[Candidate]:
    """The runs that meet a criterion, in the order given, without those being written to.

    Args:
        results_dir: folder that holds them.
        runs: all of them, newest first.
        criteria: a run has to meet any of them.
    """
    found = []
    seen: dict[tuple[str, ...], int] = {}
    newest: dict[tuple[str, str], str] = {}
    best = _speaking(runs)
    for run in runs:
        key = _key(run)
        place = seen.get(key, 0) + 1
        if run.status == "complete":
            seen[key] = place
        if run.run_id in best:
            place = 0  # the best run of a model is never superseded
        why = ", ".join(_reasons(run, criteria, place, newest.get((run.model, run.identity))))
        if run.status == "complete" and run.identity:
            newest.setdefault((run.model, run.identity), run.run_id)
        folder = results_dir / run.run_id
        if why and not _is_busy(folder, run):
            found.append(Candidate(path=folder, run=run, why=why, num_bytes=_size(folder)))
    return found


def _key(run: Manifest) -> tuple[str, ...]:
    return run.model, run.suite, run.suite_version, run.strategy


def _speaking(runs: Sequence[Manifest]) -> set[str]:
    """Ids of the runs that tables show: the best of each key."""
    keys = {_key(run) for run in runs}
    found = (best_run([run for run in runs if _key(run) == key]) for key in keys)
    return {run.run_id for run in found if run is not None}


def prunable_journals(results_dir: Path, runs: Sequence[Manifest]) -> list[Candidate]:
    """The journals of complete runs; without them their responses can't be reused."""
    folders = [(run, results_dir / run.run_id) for run in runs if run.status == "complete"]
    return [
        Candidate(path=folder / layout.JOURNAL, run=run, why="journal", num_bytes=num_bytes)
        for run, folder in folders
        if (num_bytes := sum(path.stat().st_size for path in _journal_files(folder)))
        and not _is_busy(folder, run)
    ]


def leftovers(results_dir: Path) -> list[Candidate]:
    """Hidden folders of processes that are gone."""
    if not results_dir.is_dir():
        return []
    hidden = [(path, _HIDDEN.fullmatch(path.name)) for path in sorted(results_dir.iterdir())]
    return [
        Candidate(path=path, run=None, why="left by a killed process", num_bytes=_size(path))
        for path, match in hidden
        if match and path.is_dir() and not (match[1] and _is_being_made(path))
    ]


def remove(candidate: Candidate) -> bool:
    """Remove it; False if another process began to write to the run.

    Raises:
        WriteError: the folder can't be written.
    """
    folder = candidate.path.parent if candidate.is_journal else candidate.path
    try:
        if candidate.run is None:
            shutil.rmtree(folder)
            return True
        with _claimed(folder, candidate.run) as is_ours:
            if not is_ours:
                return False
            if candidate.is_journal:
                _remove_journal(folder)
                return True
            hidden = folder.rename(folder.with_name(f".{folder.name}{_PRUNED}"))
            sync(folder.parent)
        shutil.rmtree(hidden)
    except (OSError, ValueError) as e:
        raise WriteError(f"{str(candidate.path)!r}: can't be removed: {e}") from e
    return True


def _reasons(run: Manifest, criteria: Criteria, place: int, newer: str | None) -> Iterator[str]:
    if criteria.superseded and newer is not None:
        yield f"superseded by {newer}"
    if criteria.failed and run.status == "failed":
        yield "failed"
    if criteria.before is not None and run.started_at[:10] < criteria.before.isoformat():
        yield f"before {criteria.before}"
    if criteria.keep is not None and place > criteria.keep:
        yield f"not among the latest {criteria.keep}"


def _remove_journal(folder: Path) -> None:
    """Remove the files from the list of checksums first, so that it never lists a missing one."""
    checksums.forget(folder, lambda name: name.startswith(f"{layout.JOURNAL}/"))
    for path in _journal_files(folder):
        path.unlink()


def _journal_files(folder: Path) -> list[Path]:
    """The journal's files, without the lock, which other processes may wait for."""
    return [p for p in sorted((folder / layout.JOURNAL).glob("*")) if not p.name.startswith(".")]


@contextlib.contextmanager
def _claimed(folder: Path, run: Manifest) -> Iterator[bool]:
    """Whether this process alone holds the run during the block."""
    if not (folder / layout.JOURNAL).is_dir():  # without a journal no process can write
        yield True
        return
    claim = Claim.take(folder)
    try:
        # Without locks the manifest decides.
        yield claim is not None and (claim.is_certain or run.status != "running")
    finally:
        if claim is not None:
            claim.release()


def _is_busy(folder: Path, run: Manifest) -> bool:
    if not (folder / layout.JOURNAL / ".lock").exists():
        return False
    try:
        with _claimed(folder, run) as is_ours:
            return not is_ours
    except OSError as e:
        raise StoreError(f"{str(folder)!r}: can't be written: {e.strerror}") from e


def _is_being_made(hidden: Path) -> bool:
    """Whether it is young: making a run takes well under a second, but its process may be on another machine."""
    return time.time() - hidden.stat().st_mtime < _LEFTOVER_S


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
