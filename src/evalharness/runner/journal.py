"""Every response is on disk within a second of its arrival, so that finished work is never lost.

One file per start of the run in its `journal/` folder, one line per response (`journal_lines`). Appended, fsynced in
batches, never rewritten. Not a database, because shared disks are often NFS.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import threading
from collections import deque
from pathlib import Path

from evalharness.engines.requests import (
    Generation,
    Scores,
)
from evalharness.errors import WriteError
from evalharness.runner.journal_lines import to_line
from evalharness.store.atomic import sync

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 1.0


class Journal:
    """Appends responses. Use as an async context manager, which writes the rest on leaving.

    A failed write cancels the task that entered it, at once; leaving it then raises WriteError.
    """

    def __init__(self, folder: Path) -> None:
        """Open a new file in `folder`, which is made if needed.

        Raises:
            WriteError: the disk is full or can't be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path, self._descriptor = _new_file(folder)
        except OSError as e:
            raise WriteError.of(e, folder) from e
        self._pending: deque[bytes] = deque()
        self._error: WriteError | None = None
        self._has_cancelled = False
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write_until_closed, daemon=True)

    def append(self, key: str, response: Generation | Scores) -> None:
        """Add a response; it is on disk within `FLUSH_EVERY_S` and the time of writing."""
        self._pending.append(to_line(key, response))

    def append_line(self, line: bytes) -> None:
        """Add a whole line of another journal as it is."""
        assert line.endswith(b"\n")
        self._pending.append(line)

    async def __aenter__(self) -> Journal:
        """Start writing in the background."""
        self._loop, self._owner = asyncio.get_running_loop(), asyncio.current_task()
        self._writer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        """Write the rest and close."""
        self._closing.set()
        try:
            await asyncio.to_thread(self._writer.join)
        finally:
            os.close(self._descriptor)
        if self._error is None:
            return
        if self._has_cancelled and self._owner is not None:
            self._owner.uncancel()
        if kind is None or (self._has_cancelled and kind is asyncio.CancelledError):
            raise self._error from error
        logger.error("%s", self._error)  # the user sees what ended the work first

    def _write_until_closed(self) -> None:
        # A thread of its own: the event loop may be busy for seconds with scoring.
        try:
            while not self._closing.wait(FLUSH_EVERY_S):
                self._write()
            self._write()
        except OSError as e:
            self._error = WriteError.of(e, self.path)
            self._loop.call_soon_threadsafe(self._stop_owner)

    def _stop_owner(self) -> None:
        if self._owner is not None and not self._closing.is_set():
            self._has_cancelled = self._owner.cancel()

    def _write(self) -> None:
        rest = memoryview(b"".join(self._pending.popleft() for _ in range(len(self._pending))))
        if not rest:
            return
        try:
            while rest:
                # A full disk may accept a part of it; whole lines in that part are responses like any other.
                rest = rest[os.write(self._descriptor, rest) :]
        finally:
            os.fsync(self._descriptor)


def _new_file(folder: Path) -> tuple[Path, int]:
    """A file that no other process has opened, and its descriptor; its name is on disk too."""
    for number in itertools.count(len(list(folder.glob("*.jsonl")))):
        path = folder / f"{number:04d}.jsonl"
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o666)
            sync(folder)
            return path, descriptor
    raise AssertionError("unreachable")
