"""A process beside a run that kills it when it doesn't end in time after a signal; started as a file, by `interrupting`.

It reads the numbers of the signals that its parent got: the interpreter writes them in the signal's handler itself, also
while some code in C lets no thread of the parent run. Nothing but the standard library may be imported here.
"""

import contextlib
import os
import select
import sys
import time
from collections.abc import Collection
from pathlib import Path

_LOOK_EVERY_S = 1.0


def kill_descendants(pid: int) -> None:
    """SIGKILL for all that a process started, and what these started; not for the caller."""
    for child in _descendants(pid) - {os.getpid()}:
        with contextlib.suppress(OSError):
            os.kill(child, 9)


def _descendants(pid: int) -> set[int]:
    """Of a process; none where the system has no /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # The name, in brackets, may hold anything.
        with contextlib.suppress(OSError, IndexError, ValueError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    more = {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - found
        found |= more
    return found


def guard(parent: int, patience_s: float, signals: Collection[int]) -> None:
    """Wait for a signal of the parent, then so long for its end, then kill it and all that it started.

    Args:
        parent: its process id; standard input is where it writes its signals, closed when it needs no guard any more.
        patience_s: seconds from the first of the signals.
        signals: those that shall end it.
    """
    ends_at: float | None = None
    while os.getppid() == parent:
        left = _LOOK_EVERY_S if ends_at is None else ends_at - time.monotonic()
        if left <= 0:
            sys.stderr.write("interrupted, and killed because it did not end\n")
            sys.stderr.flush()
            kill_descendants(parent)
            os.kill(parent, 9)
            return
        if select.select([0], [], [], min(left, _LOOK_EVERY_S))[0]:
            sent = os.read(0, 512)
            if not sent:
                return
            if ends_at is None and any(number in signals for number in sent):
                ends_at = time.monotonic() + patience_s


if __name__ == "__main__":
    guard(int(sys.argv[1]), float(sys.argv[2]), {int(number) for number in sys.argv[3:]})
