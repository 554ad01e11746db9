"""Who writes to a run's folder: one process at a time, however many were started.

A POSIX lock on `journal/.lock`: the system gives it back when the process ends, `kill -9` included, and children don't
inherit it. NFS has such locks too; where a share has none, nobody is refused and the caller goes by the manifest.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from evalharness.store import layout

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Claim:
    """The right to write to a run's folder. Nothing else in the process may open its file: closing that frees it."""

    def __init__(self, descriptor: int, *, is_certain: bool) -> None:
        """Use `take`."""
        self._descriptor: int | None = descriptor
        self.is_certain = is_certain
        """False where the file system has no locks: another process may hold the same claim."""

    @classmethod
    def take(cls, run_dir: Path) -> Claim | None:
        """The claim; None while another process has it.

        Raises:
            OSError: the folder can't be written.
        """
        descriptor = os.open(run_dir / layout.JOURNAL / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno in _NO_LOCKS:
                return cls(descriptor, is_certain=False)
            os.close(descriptor)
            if e.errno in (errno.EACCES, errno.EAGAIN):
                return None
            raise
        return cls(descriptor, is_certain=True)

    def release(self) -> None:
        """Let another process write; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
