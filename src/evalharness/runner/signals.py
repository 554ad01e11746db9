"""Ctrl-C and SIGTERM end a run in order, and always within 10 s, whatever a task's code or a library does.

There are three stages, each for cases that the one before can't handle:

    at once       the event loop's work is cancelled, a task's code is ended, finished tasks are stored
    after 7 s     another thread says in the manifest that the run was interrupted, and ends the process
    after 9 s     another process (`guard`) kills this one: some code in C lets no thread of it run

The journal has all answers so far, so the run can be continued after each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, NoReturn

from evalharness.runner import guard
from evalharness.tasks import user_code
from evalharness.tasks.user_code import InterruptedRunError

__all__ = [
    "InterruptedRunError",
    "at_the_latest",
    "interruptible",
    "leave",
    "until_interrupted",
]

FORCED_AFTER_S = 7.0
KILLED_AFTER_S = 9.0
_EXIT_INTERRUPTED = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_before: Mapping[signal.Signals, Any] = {}
"""Signal -> its handler before the run; empty while no run is in progress."""
_stop: Callable[[], None] | None = None
"""Cancels the work on the event loop; None while there is none."""
_last_words: Callable[[], None] | None = None
"""Writes what has to be on disk before the process is ended by force."""


@contextlib.contextmanager
def interruptible(terminal: IO[str] | None = None) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in order: at once while loading, through the event loop afterwards.

    A second one ends the process at once; the journal has all finished work.

    Args:
        terminal: where to report that it was ended by force; None for standard error.
    """
    global _before
    is_interrupted = False

    def handle(signum: int, frame: object) -> None:
        global _stop
        nonlocal is_interrupted
        if is_interrupted:  # the guard handles a second one
            return
        is_interrupted = True
        user_code.interrupt()
        if _stop is None:
            raise KeyboardInterrupt
        stop, _stop = _stop, None
        stop()

    _before = before = {s: signal.signal(s, handle) for s in _SIGNALS}
    user_code.watch(is_watched=True)
    try:
        with _guarded(terminal):
            yield
    finally:
        user_code.watch(is_watched=False)
        _before = {}
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _leave_the_run() -> None:
    """Restore the handlers in a forked process (a scorer's worker): a signal to it isn't for the run."""
    if _before:
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
            for signum, handler in _before.items():
                signal.signal(signum, handler)


os.register_at_fork(after_in_child=_leave_the_run)


@contextlib.contextmanager
def at_the_latest(last_words: Callable[[], None]) -> Iterator[None]:
    """Register a call to make, in any thread, before the process is ended by force."""
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


def leave(exit_code: int) -> NoReturn:
    """End the process without the interpreter's own shutdown.

    The shutdown waits for threads, and a task's may never end; with libraries as large as torch it takes seconds.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    guard.kill_descendants(os.getpid())
    os._exit(exit_code)


@contextlib.contextmanager
def _guarded(terminal: IO[str] | None) -> Iterator[None]:
    """Run with a process beside this one that makes sure it ends after a signal."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    arguments = (os.getpid(), FORCED_AFTER_S, KILLED_AFTER_S, *map(int, _SIGNALS))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *map(str, arguments)],
        stdin=reads,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(reads)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    is_left = threading.Event()

    def wait_for_warning() -> None:
        assert process.stdout is not None
        if process.stdout.read(1) and not is_left.is_set():
            _end_by_force(terminal)

    waiting = threading.Thread(target=wait_for_warning, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        is_left.set()
        signal.set_wakeup_fd(before)
        os.close(writes)
        process.kill()
        process.wait()
        waiting.join()
        assert process.stdout is not None
        process.stdout.close()


def _end_by_force(terminal: IO[str] | None) -> NoReturn:
    with contextlib.suppress(BaseException):
        if _last_words is not None:
            _last_words()
    _say(terminal, "interrupted\n")
    guard.kill_descendants(os.getpid())
    os._exit(_EXIT_INTERRUPTED)


def _say(terminal: IO[str] | None, text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        descriptor = terminal.fileno() if terminal is not None else 2
        cursor = "\x1b[?25h" if os.isatty(descriptor) else ""
        os.write(descriptor, (cursor + text).encode())
