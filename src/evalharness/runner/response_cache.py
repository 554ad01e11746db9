"""Responses that are on disk already: a request that was answered once is never sent again.

The journals of a results folder, found by request key; they are read one response at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from evalharness.engines.requests import (
    Generation,
    Scores,
)
from evalharness.runner.journal_lines import parse_line
from evalharness.runner.response_index import Segment, read_journals

MOST_OPEN = 8
"""Journals that are held open."""


class Found(NamedTuple):
    """A response that is on disk."""

    response: Generation | Scores
    line: bytes
    """The line of its journal."""
    is_own: bool
    """Whether it is in the journal of the run that asks."""


class Responses:
    """All complete records of some journals, by request key. Use as a context manager: it holds files open."""

    def __init__(
        self,
        folders: Iterable[Path],
        *,
        own: Path | None = None,
        results_dir: Path | None = None,
        index: Sequence[Segment] = (),
    ) -> None:
        """Read the keys in `folders`; later folders win, and all of them over the index.

        Args:
            folders: folders with the journal files of one run each.
            own: the folder of the run that asks; its responses need no copy.
            results_dir: what the index's paths are relative to.
            index: of other runs; see `response_index`.
        """
        folders = [folder.absolute() for folder in folders]
        self._own = own.absolute() if own else None
        self._results_dir = (results_dir or Path()).absolute()
        self._segments = [read_journals(folders), *index]
        self._open: OrderedDict[Path, BinaryIO] = OrderedDict()
        self._read_again = set(folders)

    def __len__(self) -> int:
        return sum(len(segment.keys) for segment in self._segments)

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the files."""
        while self._open:
            self._open.popitem()[1].close()

    def get(self, key: str) -> Found | None:
        """The response to the request with this key, None when there is none (or its record is damaged)."""
        short = int(key[:16], 16)
        for path, offset in self._places(short):
            line = self._read(path, offset)
            found = parse_line(line)
            if found is not None and found[0] == key:
                return Found(found[1], line, path.parent == self._own)
            is_as_indexed = found is not None and int(found[0][:16], 16) == short
            if not is_as_indexed and path.parent not in self._read_again:
                # The journal was written again since it was indexed: it is read once more.
                self._read_again.add(path.parent)
                self._segments.insert(1, read_journals([path.parent]))
                return self.get(key)
        return None

    def _places(self, short: int) -> Iterator[tuple[Path, int]]:
        for segment in self._segments:
            for name, offset in segment.find(short):
                yield self._results_dir / name, offset

    def _read(self, path: Path, offset: int) -> bytes:
        """A line of a journal; empty where the file is gone."""
        try:
            file = self._open.get(path) or path.open("rb")
        except OSError:
            return b""
        self._open[path] = file
        self._open.move_to_end(path)
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        file.seek(offset)
        return file.readline()
