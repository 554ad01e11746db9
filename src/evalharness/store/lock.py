"""The lock on a run's folder: only one process writes to it at a time.

It is a POSIX lock on `journal/.lock`: the system releases it when the process ends, also after `kill -9`, and children
don't inherit it. NFS has such locks too; if a share has none, no process is refused and the manifest decides.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalharness.store import layout

SILENT_S = 120.0
"""A run on another machine whose folder has not changed for this long is not running any more."""
_FLOCK = "hhqqi4x"
"""Linux's `struct flock`: type, whence, start, length, process."""
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Claim:
    """The right to write to a run's folder.

    Nothing else in the process may open its file, because closing it releases the lock.
    """

    _own: dict[int, Path] = {}  # noqa: RUF012 (of the whole process)
    """Descriptor -> run, for the claims of this process."""

    def __init__(self, descriptor: int, *, is_certain: bool) -> None:
        """Use `take`."""
        self._descriptor: int | None = descriptor
        self.is_certain = is_certain
        """False if the file system has no locks, so that another process may hold the same claim."""

    @classmethod
    def take(cls, run_dir: Path) -> Claim | None:
        """Take the claim; None while another process has it.

        Raises:
            OSError: the folder can't be written.
        """
        descriptor = os.open(run_dir / layout.JOURNAL / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno in _NO_LOCKS:
                return cls._taken(descriptor, run_dir, is_certain=False)
            os.close(descriptor)
            if e.errno in (errno.EACCES, errno.EAGAIN):
                return None
            raise
        return cls._taken(descriptor, run_dir, is_certain=True)

    @classmethod
    def _taken(cls, descriptor: int, run_dir: Path, *, is_certain: bool) -> Claim:
        cls._own[descriptor] = run_dir.resolve()
        return cls(descriptor, is_certain=is_certain)

    @classmethod
    def is_own(cls, run_dir: Path) -> bool:
        """Whether this process has the run's claim."""
        return run_dir.resolve() in cls._own.values()

    def release(self) -> None:
        """Release the claim; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._own.pop(descriptor, None)
            with contextlib.suppress(OSError):
                os.close(descriptor)


def is_written(run_dir: Path, hardware: Mapping[str, Any]) -> bool:
    """Whether the process of a run whose manifest says `running` may still be alive; takes no lock and changes nothing.

    Args:
        run_dir: its folder.
        hardware: the manifest's, with `host` and `pid` of that process.
    """
    if Claim.is_own(run_dir):
        return True
    holder = _has_holder(run_dir)
    return True if holder else may_be_alive(run_dir, hardware, is_free=holder is False)


def may_be_alive(run_dir: Path, hardware: Mapping[str, Any], *, is_free: bool) -> bool:
    """Whether that process may still be alive although it has no lock.

    Args:
        run_dir: the run's folder.
        hardware: its manifest's, with `host` and `pid`.
        is_free: whether no process of this machine holds the lock.
    """
    pid = hardware.get("pid")
    if hardware.get("host") == socket.gethostname():
        return not is_free and isinstance(pid, int) and _is_process(pid)
    # Locks don't reach from one machine to another on every share.
    paths = [path for folder in (run_dir, run_dir / layout.JOURNAL) for path in _inside(folder)]
    newest = max((path.stat().st_mtime for path in paths), default=0.0)
    return time.time() - newest < SILENT_S


def _has_holder(run_dir: Path) -> bool | None:
    """Whether another process has the claim; None if that can't be determined."""
    if sys.platform != "linux":
        return None
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        descriptor = os.open(run_dir / layout.JOURNAL / ".lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
