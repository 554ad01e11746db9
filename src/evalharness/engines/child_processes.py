"""Processes that must not outlive this one: vLLM's engine continues when its parent is killed, and keeps the memory.

A small process waits for the end of this one, in whatever way, and then kills those that are left.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_WAIT = """
import os, sys, time
parent = int(sys.argv[1])
while os.getppid() == parent:
    time.sleep(0.5)
"""
_KILL_PROCESSES = """
for pid, started in (pair.split(":") for pair in sys.argv[2:]):
    try:
        stat = open(f"/proc/{pid}/stat").read()
        if stat.rpartition(")")[2].split()[19] == started:
            os.kill(int(pid), 9)
    except (OSError, IndexError):
        pass
"""
_KILL_GROUP = """
try:
    os.killpg(parent, 9)
except ProcessLookupError:
    pass
"""


def end_with_me(pids: Iterable[int]) -> None:
    """Kill these processes half a second after this one has ended, if they haven't by then.

    Args:
        pids: descendants of this process. A process that gets the same number later is left alone.
    """
    pairs = [f"{pid}:{started}" for pid in pids if (started := _started(pid))]
    if pairs:
        _start(_KILL_PROCESSES, pairs)


def end_group_with_me() -> None:
    """Make this process the head of a group, and kill what is left of the group half a second after it has ended."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    _start(_KILL_GROUP)


def _start(then: str, arguments: Iterable[str] = ()) -> None:
    """A process that waits for the end of this one."""
    subprocess.Popen(
        [sys.executable, "-S", "-c", _WAIT + then, str(os.getpid()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _started(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; None if it is gone."""
    try:
        # The name before it, in brackets, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
