"""A process beside a run that kills it if it doesn't end in time after a signal; started as a file, by `signals`.

It reads the numbers of the signals that its parent received: the interpreter writes them in the signal's handler itself, also
while some code in C lets no thread of the parent run. Only the standard library may be imported here.
"""

import contextlib
import os
import select
import sys
import time
from collections.abc import Collection
from pathlib import Path

_LOOK_EVERY_S = 1.0
ONE_PRESS_S = 0.3
"""Signals this close together count as one: a terminal and a parent process may both send it."""


def kill_descendants(pid: int) -> None:
    """Send SIGKILL to all descendants of a process, except the caller."""
    for child in _descendants(pid) - {os.getpid()}:
        with contextlib.suppress(OSError):
            os.kill(child, 9)


def _descendants(pid: int) -> set[int]:
    """The children of a process; none if the system has no /proc."""
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


def guard(
    parent: int, forced_after_s: float, killed_after_s: float, signals: Collection[int]
) -> None:
    """Wait for a signal of the parent; warn it when it has to end, and kill it with its descendants if it doesn't.

    Standard input is where the parent's signals are written, closed when it needs no guard any more; a byte on standard
    output warns it.

    Args:
        parent: its process id.
        forced_after_s: seconds from the first signal until the warning; a second signal causes it at once.
        killed_after_s: seconds from the first signal until it is killed.
        signals: those that should end it.
    """
    first: float | None = None
    is_warned = False
    while os.getppid() == parent:
        now, left = time.monotonic(), _LOOK_EVERY_S
        if first is not None:
            if now - first >= killed_after_s:
                break
            if not is_warned and now - first >= forced_after_s:
                is_warned = True
                with contextlib.suppress(OSError):
                    os.write(1, b"!")
            left = min(first + (killed_after_s if is_warned else forced_after_s) - now, left)
        if select.select([0], [], [], max(left, 0.0))[0]:
            sent = os.read(0, 512)
            if not sent:
                return
            if any(number in signals for number in sent):
                if first is None:
                    first = time.monotonic()
                elif time.monotonic() - first > ONE_PRESS_S and not is_warned:
                    first = time.monotonic() - forced_after_s
    else:
        return
    sys.stderr.write("interrupted, and killed because it did not end\n")
    sys.stderr.flush()
    kill_descendants(parent)
    os.kill(parent, 9)


if __name__ == "__main__":
    guard(
        int(sys.argv[1]),
        float(sys.argv[2]),
        float(sys.argv[3]),
        {int(number) for number in sys.argv[4:]},
    )
