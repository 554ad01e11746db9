"""Responses that are on disk already: a request that was answered once is never sent again.

The journals of a results folder, found by request key. The index is two arrays of numbers (16 bytes a response); the
responses stay on disk and are read one at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import numpy as np

from evalharness.engines.requests import (
    Generation,
    Scores,
)
from evalharness.runner.journal_lines import KEY, parse_line

_FILE_BITS = 40
"""Bits of an offset; the number of the file is in the bits above."""


class Found(NamedTuple):
    """A response that is on disk."""

    response: Generation | Scores
    line: bytes
    """The line of its journal."""
    is_own: bool
    """Whether it is in the journal of the run that asks."""


class Responses:
    """All complete records of some journals, by request key. Use as a context manager: it holds files open."""

    def __init__(self, folders: Iterable[Path], *, own: Path | None = None) -> None:
        """Index the journals in `folders`; later folders win.

        Args:
            folders: folders with the journal files of one run each.
            own: the folder of the run that asks; its responses need no copy.
        """
        self._files: list[BinaryIO] = []
        self._own: set[int] = set()
        keys, places = array("Q"), array("q")
        for path in (p for folder in folders for p in sorted(folder.glob("*.jsonl"))):
            file = path.open("rb")
            if path.parent == own:
                self._own.add(len(self._files))
            self._files.append(file)
            base = (len(self._files) - 1) << _FILE_BITS
            for key, offset in _records(file):
                keys.append(int(key[:16], 16))
                places.append(base | offset)
        order = np.argsort(np.asarray(keys), kind="stable")
        self._keys, self._places = np.asarray(keys)[order], np.asarray(places)[order]

    def __len__(self) -> int:
        return len(self._keys)

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def get(self, key: str) -> Found | None:
        """The response to the request with this key, None when there is none (or its record is damaged)."""
        if not len(self):
            return None
        short = np.uint64(int(key[:16], 16))
        end = int(np.searchsorted(self._keys, short, side="right"))
        while end > 0 and self._keys[end - 1] == short:
            end -= 1
            place = int(self._places[end])
            line = self._read(place)
            found = parse_line(line)
            if found is not None and found[0] == key:
                return Found(found[1], line, place >> _FILE_BITS in self._own)
        return None

    def _read(self, place: int) -> bytes:
        file = self._files[place >> _FILE_BITS]
        file.seek(place & ((1 << _FILE_BITS) - 1))
        return file.readline()


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
