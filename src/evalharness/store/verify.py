"""Are runs what was written? Checks every file against its checksum; without checksums, whether tables can be read."""

from collections.abc import Iterator
from pathlib import Path

from evalharness.errors import StoreError, one_line
from evalharness.store import checksums, layout
from evalharness.store.checksums import Damage
from evalharness.store.read import find_run, half_copied, load_manifest, run_names

NO_MANIFEST = "missing: a half-copied folder, not a run"


def folders(results_dir: Path) -> list[str]:
    """All runs and apparent runs, by name: folders with a manifest, intact or not, and half-copied ones.

    Raises:
        StoreError: results_dir can't be read.
    """
    return sorted([*run_names(results_dir), *half_copied(results_dir)])


def find_folder(results_dir: Path, name: str) -> str:
    """The run that is meant, damaged or not.

    Raises:
        StoreError: none.
    """
    is_folder = layout.is_run_id(name) and (results_dir / name).is_dir()
    return name if is_folder else find_run(results_dir, name).run_id


def verify(run_dir: Path) -> Iterator[Damage]:
    """The damaged files of a run, one by one."""
    problem = _manifest_problem(run_dir)
    if problem:
        yield Damage(run_id=run_dir.name, path=layout.MANIFEST, problem=problem)
    if not checksums.has_list(run_dir):
        yield from _unreadable(run_dir)
        return
    try:
        for damage in checksums.check(run_dir):
            if not (problem and damage.path == layout.MANIFEST):
                yield damage
    except (OSError, ValueError) as e:
        yield Damage(run_id=run_dir.name, path=layout.CHECKSUMS, problem=one_line(e))
        yield from _unreadable(run_dir)


def _manifest_problem(run_dir: Path) -> str | None:
    if not (run_dir / layout.MANIFEST).is_file():
        return NO_MANIFEST
    try:
        load_manifest(run_dir)
    except StoreError as e:
        return one_line(e)
    return None


def _unreadable(run_dir: Path) -> Iterator[Damage]:
    """Tables that can't be read completely."""
    from evalharness.store.sql import parquet_problem

    for path in sorted(run_dir.rglob("*.parquet")):
        if problem := parquet_problem(path):
            name = path.relative_to(run_dir).as_posix()
            yield Damage(run_id=run_dir.name, path=name, problem=f"can't be read: {problem}")
