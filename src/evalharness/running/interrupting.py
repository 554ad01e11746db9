"""Ctrl-C and SIGTERM end a run in order, and within 10 s whatever a task's code or a library does.

Three stages, each for what the one before can't reach:

    at once       the event loop's work is cancelled, a task's code is ended, finished tasks are stored
    after 7 s     a thread says in the manifest that the run was interrupted, and ends the process
    after 9 s     another process kills this one: some code in C lets no thread of it run

The journal has what was answered; the run can be continued after each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from evalharness.running import guard
from evalharness.tasks import user_code
from evalharness.tasks.user_code import InterruptedRunError

__all__ = [
    "InterruptedRunError",
    "at_the_latest",
    "interruptible",
    "leave_soon",
    "until_interrupted",
]

FORCED_AFTER_S = 7.0
KILLED_AFTER_S = 9.0
_ONE_PRESS_S = 0.3
"""Signals so near each other are one: a terminal and a parent process may both send it."""
_EXIT_INTERRUPTED = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_stop: Callable[[], None] | None = None
"""Cancels what runs on the event loop; None while nothing does."""
_last_words: Callable[[], None] | None = None
"""Writes what has to be on disk before the process is ended by force."""


@contextlib.contextmanager
def interruptible(terminal: IO[str] | None = None) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in order: at once while loading, through the event loop afterwards.

    A second one ends the process wherever it is; the journal has what was finished.

    Args:
        terminal: where to say that it was ended by force; None for standard error.
    """
    end = threading.Lock()
    signalled_at: float | None = None
    is_left = threading.Event()

    def force() -> None:
        if is_left.is_set() or not end.acquire(blocking=False):
            return
        with contextlib.suppress(BaseException):
            if _last_words is not None:
                _last_words()
        _say(terminal, "interrupted\n")
        guard.kill_descendants(os.getpid())
        os._exit(_EXIT_INTERRUPTED)

    def force_later() -> None:
        if not is_left.wait(FORCED_AFTER_S):
            force()

    def handle(signum: int, frame: object) -> None:
        global _stop
        nonlocal signalled_at
        now = time.monotonic()
        if signalled_at is not None:
            if now - signalled_at > _ONE_PRESS_S:
                force()
            return
        signalled_at = now
        threading.Thread(target=force_later, daemon=True).start()
        user_code.interrupt()
        if _stop is None:
            raise KeyboardInterrupt
        stop, _stop = _stop, None
        stop()

    before = {s: signal.signal(s, handle) for s in _SIGNALS}
    user_code.watch(is_watched=True)
    try:
        with _guarded(terminal):
            yield
    finally:
        is_left.set()
        user_code.watch(is_watched=False)
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def at_the_latest(last_words: Callable[[], None]) -> Iterator[None]:
    """Have something called, in whatever thread, before the process is ended by force."""
    global _last_words
    _last_words = last_words
    try:
        yield
    finally:
        _last_words = None


async def until_interrupted(work: Any) -> None:
    """Await work; an interruption cancels it and becomes `InterruptedRunError`."""
    global _stop
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    is_interrupted = False

    def stop() -> None:
        nonlocal is_interrupted
        is_interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    _stop = stop
    try:
        await task
    except asyncio.CancelledError:
        if is_interrupted:
            raise InterruptedRunError from None
        raise
    finally:
        _stop = None


def leave_soon(exit_code: int, seconds: float = 1.0) -> None:
    """End the process after so long: the interpreter waits for threads, and one may be a task's that never ends."""

    def leave() -> None:
        time.sleep(seconds)
        guard.kill_descendants(os.getpid())
        os._exit(exit_code)

    threading.Thread(target=leave, daemon=True).start()


@contextlib.contextmanager
def _guarded(terminal: IO[str] | None) -> Iterator[None]:
    """A process that kills this one when it doesn't end in time after a signal."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    arguments = map(str, (os.getpid(), KILLED_AFTER_S, *map(int, _SIGNALS)))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *arguments],
        stdin=reads,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(reads)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writes)
        process.kill()
        process.wait()


def _say(terminal: IO[str] | None, text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        descriptor = terminal.fileno() if terminal is not None else 2
        cursor = "\x1b[?25h" if os.isatty(descriptor) else ""
        os.write(descriptor, (cursor + text).encode())
