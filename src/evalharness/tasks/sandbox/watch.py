"""Watches all processes of one sandboxed program from outside, and detects when together they exceed its limits.

The kernel's own limits are per process. For the program the sum over its tree counts, read from /proc every few
milliseconds: memory (each page once), processor time, files in its /tmp, and wall time without the time in which it was
ready but got no processor, so that a busy machine, or a host that takes the machine's processors, doesn't count against
a program.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Breach = Literal["timeout", "memory", "busy"]

TICK_S = 0.02
BUSY_FACTOR = 20
"""Factor of its wall time that a program may take on a machine that gives it no processor."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Watch:
    """One program's tree, from bubblewrap's own process on."""

    def __init__(
        self,
        pid: int,
        started_fd: int,
        *,
        cpu_s: float,
        wall_s: float,
        memory_bytes: int,
        num_inodes: int,
    ) -> None:
        """Set the limits, of all processes together.

        Args:
            pid: the tree's root.
            started_fd: a file that isn't empty once the program itself has started.
            cpu_s: of processor time.
            wall_s: wall time, without what a busy machine took of it.
            memory_bytes: in memory.
            num_inodes: files, folders and links in /tmp.
        """
        self._pid, self._started_fd = pid, started_fd
        self._cpu_s, self._wall_s = cpu_s, wall_s
        self._memory_bytes, self._num_inodes = memory_bytes, num_inodes
        self._times: dict[str, tuple[int, int]] = {}
        """Thread -> nanoseconds on a processor, and waiting for one."""
        self._offered: set[str] = set()

    def wait(self) -> Breach | None:
        """Wait until the tree's root ends (None) or the tree exceeds a limit (which)."""
        started = last = time.monotonic()
        own_s = 0.0
        descriptor = os.pidfd_open(self._pid)
        try:
            # `select.select` refuses descriptors from 1024 on, which an engine can reach.
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            while not poll.poll(TICK_S * 1000):
                now = time.monotonic()
                tree = list(_tree(str(self._pid)))
                own_s += self._own_s(tree, now - last)
                last = now
                if (breach := self._breach(tree)) is not None:
                    return breach
                if own_s > self._wall_s:
                    return "timeout"
                if now - started > BUSY_FACTOR * self._wall_s:
                    return "busy"
        finally:
            os.close(descriptor)
        return None

    def _breach(self, tree: list[str]) -> Breach | None:
        for pid in tree:
            if pid not in self._offered:
                _offer_to_the_killer(pid)
                self._offered.add(pid)
        # Pages that a fork shares with its parent are counted twice at first; the exact count takes longer.
        if all(sum(map(size, tree)) > self._memory_bytes for size in (_resident, _proportional)):
            return "memory"
        # Before, bubblewrap itself has mounts there.
        has_started = os.fstat(self._started_fd).st_size > 0
        if has_started and _num_inodes(tree[-1]) > self._num_inodes:
            return "memory"
        return "timeout" if sum(map(_cpu_s, tree)) > self._cpu_s else None

    def _own_s(self, tree: list[str], since_s: float) -> float:
        """The part of the time since the last look that counts for the program: it ran, or had nothing to run.

        The kernel reports a wait for a processor only when it ends, maybe some looks later, so if a thread is ready
        now, only the time on processors counts. Threads of the program that wait for one another don't mean a busy
        machine.
        """
        ran = longest_wait = 0
        threads = [(pid, thread) for pid in tree for thread in _threads(pid)]
        for pid, thread in threads:
            fields = _read(f"/proc/{pid}/task/{thread}/schedstat").split()
            if len(fields) == 3:
                now = int(fields[0]), int(fields[1])
                before = self._times.get(thread, (0, 0))
                ran += now[0] - before[0]
                longest_wait = max(longest_wait, now[1] - before[1])
                self._times[thread] = now
        ran_s = min(ran / 1e9, since_s)
        if any(_is_ready(pid, thread) for pid, thread in threads):
            return ran_s
        return max(since_s - longest_wait / 1e9, ran_s)


def _is_ready(pid: str, thread: str) -> bool:
    """Whether it is on a processor, or would be if it got one."""
    return _read(f"/proc/{pid}/task/{thread}/stat").rpartition(")")[2].split()[:1] == ["R"]


def _tree(pid: str) -> Iterator[str]:
    """The process and all below it; in a sandbox an orphan's parent is the sandbox's first process."""
    yield pid
    for thread in _threads(pid):
        for child in _read(f"/proc/{pid}/task/{thread}/children").split():
            yield from _tree(child)


def _threads(pid: str) -> list[str]:
    try:
        return [path.name for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def _resident(pid: str) -> int:
    """Bytes of its own in memory, without files and shared memory."""
    fields = _read(f"/proc/{pid}/statm").split()
    return (int(fields[1]) - int(fields[2])) * _PAGE if len(fields) > 2 else 0


def _proportional(pid: str) -> int:
    """Bytes in memory, with shared ones divided among processes; else as `_resident`."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)


def _cpu_s(pid: str) -> float:
    """Processor time of its own, and of children that have ended and were waited for."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_S if len(fields) > 14 else 0.0


def _num_inodes(pid: str) -> int:
    """Files in the /tmp of the process; 0 if unknown."""
    try:
        found = os.statvfs(f"/proc/{pid}/root/tmp")
    except OSError:
        return 0
    return found.f_files - found.f_ffree


def _offer_to_the_killer(pid: str) -> None:
    """Make the kernel end this process, not the run, if the machine runs out of memory."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def num_oom_kills() -> int:
    """How often the kernel has killed a process for lack of memory since the machine started."""
    for line in _read("/proc/vmstat").splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # it has ended
        return ""
