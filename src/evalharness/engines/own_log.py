"""This process's log: the file behind standard error, where an engine's processes write too (a run's log, or a replica's)."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_OWN_OUTPUT = Path("/proc/self/fd/2")
_MOST_BYTES = 400_000


class OwnLog:
    """What is written to it from the creation of this object on; empty if standard error is no file."""

    def __init__(self) -> None:
        """Remember where the log ends now."""
        self._begin = _size()

    def text(self, most: int = _MOST_BYTES) -> str:
        """Its newest part, at most this many bytes."""
        return read_log(self._begin, most)


def read_log(begin: int = 0, most: int = _MOST_BYTES) -> str:
    """The log from a byte on; of a long one, its end."""
    with contextlib.suppress(OSError):
        size = _size()
        if size > begin:
            # Not by the file's name: a temporary one may have none any more.
            with _OWN_OUTPUT.open("rb") as file:
                file.seek(max(begin, size - most))
                return file.read().decode(errors="replace")
    return ""


def log_path() -> Path | None:
    """The log's name; None if standard error is no file, or one that is gone."""
    with contextlib.suppress(OSError):
        path = _OWN_OUTPUT.resolve()
        if path.is_file():
            return path
    return None


def _size() -> int:
    with contextlib.suppress(OSError):
        status = os.fstat(2)
        if stat.S_ISREG(status.st_mode):
            return status.st_size
    return 0
