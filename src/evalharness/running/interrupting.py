"""Ctrl-C and SIGTERM end a run in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


class InterruptedRunError(Exception):
    """Ctrl-C or SIGTERM."""


_stop: Callable[[], None] | None = None
"""Cancels what runs on the event loop; None while nothing does."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in order: at once while loading, through the event loop afterwards.

    A second one ends it wherever it is; the journal has what was finished.
    """

    def handle(signum: int, frame: object) -> None:
        global _stop
        if _stop is None:
            raise KeyboardInterrupt
        stop, _stop = _stop, None
        stop()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


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
