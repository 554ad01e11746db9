"""`checksums.sha256` of a run: the checksums of its files when it ended, in the format of `sha256sum -c`.

A line per file, relative to the run's folder: `<sha256>  <path>`. `log.txt` isn't listed, because it is written to the
very end. A run that is continued has no list until it ends again.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evalharness.store import layout
from evalharness.store.atomic import replacing

_NOT_COUNTED = {layout.LOG, layout.CHECKSUMS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file of a run that differs from what was written."""

    run_id: str
    path: str
    """Path relative to the run's folder."""
    problem: str


def write(run_dir: Path) -> None:
    """Write the list for the folder as it is now.

    Raises:
        OSError: it can't be written.
    """
    _write(run_dir, {name: sha256(run_dir / name) for name in files(run_dir)})


def forget(run_dir: Path, is_gone: Callable[[str], bool]) -> None:
    """Remove files from the list, which stays valid before and after they are deleted; without a list nothing happens.

    The other files keep their original checksums.

    Raises:
        OSError: the list can't be read or written.
        ValueError: it is damaged.
    """
    kept = {name: digest for name, digest in listed(run_dir).items() if not is_gone(name)}
    if has_list(run_dir):
        _write(run_dir, kept)


def files(run_dir: Path) -> list[str]:
    """Relative paths of the run's files, sorted, without hidden and unlisted ones."""
    found = (path.relative_to(run_dir) for path in run_dir.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if path.name not in _NOT_COUNTED and not any(part.startswith(".") for part in path.parts)
    )


def check(run_dir: Path) -> Iterator[Damage]:
    """Files that are missing, changed, not on the list or can't be read; none for a run without a list.

    Raises:
        OSError: the list can't be read.
        ValueError: the list itself is damaged.
    """
    known = listed(run_dir)
    for name, expected in known.items():
        path = run_dir / name
        problem = None
        try:
            if not path.is_file():
                problem = "missing"
            elif sha256(path) != expected:
                problem = "not what was written (sha256 differs)"
        except OSError as e:
            problem = f"can't be read: {e.strerror}"
        if problem:
            yield Damage(run_id=run_dir.name, path=name, problem=problem)
    if has_list(run_dir):
        for name in sorted(set(files(run_dir)) - set(known)):
            yield Damage(run_id=run_dir.name, path=name, problem="not on the list of checksums")


def has_list(run_dir: Path) -> bool:
    """Whether the run ended and has its checksums."""
    return (run_dir / layout.CHECKSUMS).is_file()


def listed(run_dir: Path) -> dict[str, str]:
    """Relative path -> sha256 at the end of the run; empty without a list.

    Raises:
        OSError: the list can't be read.
        ValueError: it is damaged.
    """
    path = run_dir / layout.CHECKSUMS
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        digest, gap, name = line.partition("  ")
        if len(digest) != 64 or not gap or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{layout.CHECKSUMS} is damaged: {line[:80]!r}")
        found[name] = digest
    return found


def sha256(path: Path) -> str:
    """The sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(run_dir: Path, digests: dict[str, str]) -> None:
    lines = (f"{digest}  {name}\n" for name, digest in digests.items())
    with replacing(run_dir / layout.CHECKSUMS) as path:
        path.write_text("".join(lines), encoding="utf-8")
