"""Where the stored responses of a results folder are, so that a run needn't read the journals of all others.

    <results_dir>/.responses/<name>.arrow    sorted request keys, and the journal and offset of each

Made from the journals of runs that have ended, and safe to delete: what it lacks is read again. A few files, each at
least `_RATIO` times as large as the next, are mapped into memory and searched; a start costs the same in a store of ten
runs and of thousands. A wrong entry does no harm, as a response is checked against its whole key when it is read.
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evalharness.errors import StoreError
from evalharness.runner.journal_lines import KEY
from evalharness.store import layout
from evalharness.store.atomic import replacing
from evalharness.store.read import load_manifest, run_names

logger = logging.getLogger(__name__)

FOLDER = ".responses"
_RATIO = 4
_MOST_AT_ONCE = 2_000_000
"""Keys that are sorted at once, 16 bytes each."""
_LARGEST = 20_000_000
"""Keys of a file that is made by joining others."""
_FILE_BITS = 40
"""Bits of an offset in a place; the number of the file is in the bits above."""
_OFFSET = (1 << _FILE_BITS) - 1


@dataclass(frozen=True, slots=True)
class Segment:
    """Sorted keys of some journals."""

    files: list[str]
    """Journals, relative to the results folder."""
    keys: npt.NDArray[np.uint64]
    """The first 16 hex digits of each request's key, ascending."""
    places: npt.NDArray[np.int64]
    runs: frozenset[str] = frozenset()
    path: Path | None = None

    def find(self, key: int) -> Iterator[tuple[str, int]]:
        """(journal, offset) of records whose key begins so, the latest first."""
        end = int(np.searchsorted(self.keys, np.uint64(key), side="right"))
        while end > 0 and int(self.keys[end - 1]) == key:
            end -= 1
            place = int(self.places[end])
            if 0 <= place >> _FILE_BITS < len(self.files):  # the file may be damaged
                yield self.files[place >> _FILE_BITS], place & _OFFSET


@dataclass(slots=True)
class _Collected:
    """Records of journals, in the order of reading."""

    files: list[str] = field(default_factory=list)
    keys: array[int] = field(default_factory=lambda: array("Q"))
    places: array[int] = field(default_factory=lambda: array("q"))

    def add(self, name: str, path: Path) -> None:
        base = len(self.files) << _FILE_BITS
        self.files.append(name)
        with path.open("rb") as file:
            for key, offset in _records(file):
                self.keys.append(int(key[:16], 16))
                self.places.append(base | offset)

    def sorted(self, runs: Iterable[str] = ()) -> Segment:
        keys = np.frombuffer(self.keys, np.uint64) if self.keys else np.empty(0, np.uint64)
        places = np.frombuffer(self.places, np.int64) if self.places else np.empty(0, np.int64)
        order = np.argsort(keys, kind="stable")
        return Segment(self.files, keys[order], places[order], frozenset(runs))


def read_journals(folders: Iterable[Path]) -> Segment:
    """The records of journals as they are now, found by absolute path; later folders win."""
    collected = _Collected()
    for path in (p for folder in folders for p in sorted(folder.glob("*.jsonl"))):
        collected.add(str(path.absolute()), path)
    return collected.sorted()


def open_index(results_dir: Path, *, but: str) -> tuple[list[Segment], list[Path]]:
    """The index of a results folder, with all runs that have ended, and the journals of the others.

    Args:
        results_dir: the store; its index is written if it may be.
        but: a run that isn't needed.

    Raises:
        StoreError: results_dir is a file or may not be read.
    """
    segments = _load(results_dir)
    known = frozenset[str]().union(*(segment.runs for segment in segments))
    missing = [name for name in run_names(results_dir) if name not in known and name != but]
    ended = [name for name in missing if _has_ended(results_dir / name)]
    if ended:
        try:
            add(results_dir, ended)
            segments = _load(results_dir)
        except OSError as e:  # a colleague's, which we may only read
            logger.info("the index of responses can't be written: %s", e)
            ended = []
    running = [name for name in missing if name not in ended]
    return segments, [results_dir / name / layout.JOURNAL for name in running]


def add(results_dir: Path, runs: Sequence[str]) -> None:
    """Add runs that have ended.

    Raises:
        OSError: a journal can't be read, or the index not written.
    """
    collected, names = _Collected(), []
    for run in runs:
        for path in sorted((results_dir / run / layout.JOURNAL).glob("*.jsonl")):
            collected.add(path.relative_to(results_dir).as_posix(), path)
        names.append(run)
        if len(collected.keys) > _MOST_AT_ONCE:
            _write(results_dir, collected.sorted(names))
            collected, names = _Collected(), []
    if names:
        _write(results_dir, collected.sorted(names))
    _merge(results_dir)


def _has_ended(run_dir: Path) -> bool:
    try:
        return load_manifest(run_dir).status != "running"
    except (StoreError, OSError):
        return False


def _load(results_dir: Path) -> list[Segment]:
    """The segments on disk, the newest first."""
    found = []
    with contextlib.suppress(OSError):
        paths = [path for path in (results_dir / FOLDER).iterdir() if path.suffix == ".arrow"]
        for path in sorted(paths, key=lambda path: path.name, reverse=True):
            with contextlib.suppress(OSError, ValueError, KeyError, pa.ArrowException):
                found.append(_read(path))
    return found


def _read(path: Path) -> Segment:
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    columns = [
        table[name].combine_chunks().to_numpy(zero_copy_only=False) for name in ("key", "place")
    ]
    files, runs = json.loads(metadata[b"files"]), json.loads(metadata[b"runs"])
    return Segment(files, columns[0], columns[1], frozenset(runs), path)


def _write(results_dir: Path, segment: Segment) -> None:
    metadata = {"files": json.dumps(segment.files), "runs": json.dumps(sorted(segment.runs))}
    schema = pa.schema([("key", pa.uint64()), ("place", pa.int64())], metadata=metadata)
    arrays: list[Any] = [pa.array(segment.keys), pa.array(segment.places)]
    folder = results_dir / FOLDER
    folder.mkdir(exist_ok=True)
    with (
        replacing(folder / f"{_next_number(folder):06d}-{uuid.uuid4().hex[:8]}.arrow") as path,
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        writer.write(pa.record_batch(arrays, schema=schema))


def _next_number(folder: Path) -> int:
    """One more than the latest file's, so that names sort by age."""
    numbers = [int(p.name[:6]) for p in folder.glob("*.arrow") if p.name[:6].isdecimal()]
    return max(numbers, default=0) + 1


def _merge(results_dir: Path) -> None:
    """Join segments that are no more than `_RATIO` times as large as all smaller ones together."""
    by_size = sorted(_load(results_dir), key=lambda segment: len(segment.keys))
    joined, num = by_size[:1], sum(len(segment.keys) for segment in by_size[:1])
    for segment in by_size[1:]:
        is_large = len(segment.keys) > max(_RATIO * num, 1024)
        if is_large or num + len(segment.keys) > _LARGEST:
            break
        joined.append(segment)
        num += len(segment.keys)
    if len(joined) < 2:
        return
    _write(results_dir, _join(joined))
    for segment in joined:
        assert segment.path is not None
        with contextlib.suppress(OSError):
            segment.path.unlink()


def _join(segments: Sequence[Segment]) -> Segment:
    """One segment with the records of several, each once."""
    numbers: dict[str, int] = {}
    places = []
    for segment in segments:
        renamed = np.array(
            [numbers.setdefault(name, len(numbers)) for name in segment.files], np.int64
        )
        moved = renamed[segment.places >> _FILE_BITS] if len(renamed) else segment.places
        places.append((moved << _FILE_BITS) | (segment.places & _OFFSET))
    keys, all_places = np.concatenate([s.keys for s in segments]), np.concatenate(places)
    order = np.lexsort((all_places, keys))
    keys, all_places = keys[order], all_places[order]
    is_new = np.ones(len(keys), bool)
    is_new[1:] = (keys[1:] != keys[:-1]) | (all_places[1:] != all_places[:-1])
    runs = frozenset[str]().union(*(segment.runs for segment in segments))
    return Segment(list(numbers), keys[is_new], all_places[is_new], runs)


def _records(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(key, offset) of every complete line that has the prefix of a record."""
    offset = 0
    for line in file:
        key = line[KEY]
        if line.endswith(b"\n") and len(key) == 64 and _is_hex(key):
            yield key, offset
        offset += len(line)


def _is_hex(key: bytes) -> bool:
    try:
        int(key, 16)
    except ValueError:
        return False
    return True
