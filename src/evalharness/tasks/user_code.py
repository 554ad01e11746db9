"""A task's own code (scorers, filters, templates, prompts, conversations), run with limits.

Any error becomes one kind of error, and its time is limited.

    with bounds.contain("scoring"): ...    # raises UserCodeError for all that went wrong inside

In the main thread a kernel timer ends it, which also works for regular expressions; it is a separate timer, because
tasks of lm-eval limit their scoring by SIGALRM. In other threads, which receive no signals, an exception is sent to the
thread, which works for Python code but not within calls into C. Code that catches the exception gets it again, in quick
succession, so that one of them falls outside its `try`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import functools
import math
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from evalharness.errors import EngineError, WriteError, one_line

Answer = TypeVar("Answer")

AGAIN_S = 0.5
"""Code that caught the exception gets it again after this time."""
_SOON_S = 3e-6
"""Delay after the exception was raised, before code that caught it is back inside its `try`."""
_LONGEST_MESSAGE = 1000


class UserCodeError(Exception):
    """A task's own code failed, or took too long; the message says which."""


class InterruptedRunError(Exception):
    """Ctrl-C or SIGTERM."""


class _EndError(BaseException):
    """Raised in user code to end it; not an `Exception`, which the code may catch for good reasons."""


@dataclass(slots=True)
class Bounds:
    """Limits of one task's own code."""

    limit_s: float = 60.0
    """Wall time for one sample."""
    max_overruns: float = math.inf
    """Samples that may exceed it; with more the task has failed, and its code isn't tried any more."""
    num_overruns: int = 0

    def contain(self, what: str, *passes: type[BaseException]) -> Contained:
        """A context manager that runs the task's code for one sample.

        Args:
            what: what the code does, for the message.
            passes: errors that are not the code's own.
        """
        return Contained(self, what, passes)


class Contained:
    """Runs a task's own code; see `Bounds.contain`. Can't be nested.

    Raises:
        UserCodeError: it raised anything, or took too long.
        InterruptedRunError: the run was interrupted meanwhile.
    """

    __slots__ = ("_bounds", "_is_main", "_passes", "_what", "ends_at", "is_over")

    def __init__(
        self, bounds: Bounds, what: str, passes: tuple[type[BaseException], ...] = ()
    ) -> None:
        """Set up without running anything."""
        self._bounds, self._what, self._passes = bounds, what, passes
        self.ends_at = 0.0
        """Deadline, by `time.monotonic`."""
        self.is_over = False
        """Whether the code was asked to end."""

    def __enter__(self) -> Self:
        """Start the clock."""
        bounds = self._bounds
        if bounds.num_overruns > bounds.max_overruns:
            raise UserCodeError(
                f"not tried: {self._what} took longer than {bounds.limit_s:g} s for too many samples before"
            )
        if _state.is_interrupted:
            raise InterruptedRunError
        self._is_main = threading.current_thread() is threading.main_thread()
        self.ends_at = time.monotonic() + bounds.limit_s
        if self._is_main:
            _main.start(self)
        else:
            _others.start(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock; any error becomes one of two kinds."""
        if self._is_main:
            _main.running = None
            _main.tidy()
        else:
            _others.stop(self)
        if self.is_over:
            if _state.is_interrupted:
                raise InterruptedRunError from None
            self._bounds.num_overruns += 1
            # A result that the code returned after being ended is invalid.
            raise UserCodeError(
                f"{self._what} took longer than {self._bounds.limit_s:g} s (run.scorer_timeout_s)"
            ) from None
        if error is None or isinstance(error, (EngineError, WriteError, *self._passes)):
            return
        if isinstance(error, KeyboardInterrupt) and _state.is_signalled:
            return
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            return
        raise UserCodeError(describe(error)) from error


class Stepwise(Awaitable[Answer]):
    """A task's own coroutine, with limits on each of its steps but not on what it waits for."""

    def __init__(
        self, work: Awaitable[Answer], bounds: Bounds, what: str, *passes: type[BaseException]
    ) -> None:
        """Set up without running anything."""
        self._work, self._bounds, self._what, self._passes = work, bounds, what, passes

    def __await__(self) -> Generator[Any, Any, Answer]:
        """Run it.

        Raises:
            UserCodeError: it failed, or a step of it took too long.
        """
        _bounds.set(self._bounds)
        steps: Any = None
        value: Any = None
        thrown: BaseException | None = None
        while True:
            with self._bounds.contain(self._what, *self._passes):
                try:
                    if steps is None:
                        steps = self._work.__await__()
                    if thrown is not None:
                        waits_for = steps.throw(thrown)
                    else:
                        waits_for = next(steps) if value is None else steps.send(value)
                except StopIteration as e:
                    return e.value  # type: ignore[no-any-return]
            value = thrown = None
            try:
                value = yield waits_for
            except BaseException as e:  # cancelled, or what was waited for failed
                thrown = e


_bounds: ContextVar[Bounds | None] = ContextVar("_bounds", default=None)


def stepwise(
    work: Coroutine[Any, Any, Answer], *passes: type[BaseException]
) -> Coroutine[Any, Any, Answer]:
    """A concurrent part of a conversation, within the conversation's limits."""
    bounds = _bounds.get()

    async def run() -> Answer:
        assert bounds is not None
        return await Stepwise(work, bounds, "a step of solve()", *passes)

    return work if bounds is None else run()


def describe(error: BaseException) -> str:
    """Type and message of an error of a task's code, as one line."""
    try:
        message = one_line(error)
    except Exception:  # the exception's class is the task's own, too
        message = "(its message can't be shown)"
    name = type(error).__name__
    return f"{name}: {message[:_LONGEST_MESSAGE]}" if message else name


def _is_cancelled() -> bool:
    """Whether the current asyncio task was cancelled; its code may raise the same error itself."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


@dataclass(slots=True)
class _State:
    """Interruptions of the process while user code runs."""

    is_watched: bool = False
    is_interrupted: bool = False
    folder: str | None = None
    """Working folder of the run; None outside runs."""
    has_moved: bool = False
    """Whether the working folder has changed since the last check."""

    @property
    def is_signalled(self) -> bool:
        """Whether a KeyboardInterrupt may come from Ctrl-C."""
        return self.is_interrupted or not self.is_watched


_state = _State()


def watch(*, is_watched: bool) -> None:
    """Set whether Ctrl-C and SIGTERM reach `interrupt`; if so, a KeyboardInterrupt is the code's own.

    If so, code that leaves the working folder is brought back to it.
    """
    _state.is_watched, _state.is_interrupted = is_watched, False
    _state.folder = None
    with contextlib.suppress(OSError):  # it is gone
        _state.folder = os.getcwd() if is_watched else None  # noqa: PTH109 (a text)
    os.chdir, os.fchdir = map(_noted, _MOVES) if is_watched else _MOVES


def interrupt() -> None:
    """End all user code with InterruptedRunError, now and until `allow`. Called in the main thread."""
    _state.is_interrupted = True
    _main.hurry()
    _others.hurry()


def allow() -> None:
    """Allow user code again, after the interrupted work has ended."""
    _state.is_interrupted = False


class _Timer:
    """A kernel timer that sends a signal to this process."""

    def __init__(self) -> None:
        self._timer = ctypes.c_void_p()
        self._c: Any = None
        self.signal: int = signal.SIGALRM
        """The system's single timer, if separate ones can't be made."""
        with contextlib.suppress(AttributeError, OSError):
            c: Any = ctypes.CDLL(None)
            event = _SignalEvent(None, signal.SIGRTMIN + 9, 0)
            clock = time.CLOCK_MONOTONIC
            if c.timer_create(clock, ctypes.byref(event), ctypes.byref(self._timer)) == 0:
                self._c, self.signal = c, event.signo

    def set(self, seconds: float) -> None:
        """Send after this many seconds, once; another call replaces it."""
        if self._c is None:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            return
        whole = int(seconds)
        when = _TimerValue(0, 0, whole, int((seconds - whole) * 1e9))
        self._c.timer_settime(self._timer, 0, ctypes.byref(when), None)


class _SignalEvent(ctypes.Structure):
    """C's `struct sigevent`, of which the first three fields matter."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 64),
    )


class _TimerValue(ctypes.Structure):
    """C's `struct itimerspec`."""

    _fields_ = tuple(
        (name, ctypes.c_long) for name in ("again_s", "again_ns", "first_s", "first_ns")
    )


class _Main:
    """User code in the main thread.

    The timer keeps running from one sample to the next, so that a sample costs no system call: if it fires too early
    for the current sample, it is set again.
    """

    def __init__(self) -> None:
        self.running: Contained | None = None
        self._timer: _Timer | None = None
        self._goes_off_at = math.inf

    def start(self, code: Contained) -> None:
        assert self.running is None, "user code inside user code"
        if self._timer is None:
            self._timer = _Timer()
            signal.signal(self._timer.signal, self._on_signal)
            # The interpreter restores handlers before it ends, and the signal would then kill it.
            atexit.register(self._timer.set, 0.0)
        self.running = code
        if self._goes_off_at > code.ends_at:
            self._set(code.ends_at - time.monotonic())

    def hurry(self) -> None:
        if self.running is not None:
            self.running.ends_at = 0.0
            self._set(_SOON_S)

    def tidy(self) -> None:
        """Undo changes to the whole process: a pending alarm, another working folder."""
        if self._timer is not None and self._timer.signal != signal.SIGALRM:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        if _state.has_moved and _state.folder is not None:
            _state.has_moved = False
            with contextlib.suppress(OSError):
                _MOVES[0](_state.folder)

    def _set(self, seconds: float) -> None:
        assert self._timer is not None
        seconds = max(seconds, _SOON_S)
        self._goes_off_at = time.monotonic() + seconds
        self._timer.set(seconds)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._goes_off_at = math.inf
        code = self.running
        if code is None:
            return
        left = code.ends_at - time.monotonic()
        if left > 0:
            self._set(left)
        elif frame is None or frame.f_code.co_filename == __file__:
            self._set(_SOON_S)
        else:
            was_over, code.is_over = code.is_over, True
            self._set(_SOON_S if was_over else AGAIN_S)
            raise _EndError


class _Others:
    """Runs user code in other threads, with a thread that ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Contained] = {}
        self._ender: threading.Thread | None = None

    def start(self, code: Contained) -> None:
        with self._lock:
            self._running[threading.get_ident()] = code
            if self._ender is None:
                self._ender = threading.Thread(target=self._end_all, daemon=True)
                self._ender.start()

    def stop(self, code: Contained) -> None:
        ident, is_out = threading.get_ident(), False
        while True:
            try:
                if not is_out:
                    with self._lock:
                        self._running.pop(ident, None)
                        is_out = True
                if not code.is_over:
                    return
                # What was sent may have arrived or not; only an arrival takes back the interpreter's mark that something
                # is on its way, which slows every thread down and lets CPython 3.11 hang where code is traced.
                _raise_in(ident, _EndError)
                while True:
                    time.sleep(0)
            except _EndError:
                if is_out:
                    return

    def hurry(self) -> None:
        for code in list(self._running.values()):
            code.ends_at = 0.0

    def _end_all(self) -> None:
        while True:
            time.sleep(AGAIN_S)
            with self._lock:
                for ident, code in self._running.items():
                    if time.monotonic() >= code.ends_at:
                        code.is_over = True
                        _raise_in(ident, _EndError)


_MOVES = os.chdir, os.fchdir


def _noted(move: Callable[..., None]) -> Callable[..., None]:
    """The same, recording the call, because checking the working folder after each sample is a system call."""

    @functools.wraps(move)
    def call(*args: Any, **kwargs: Any) -> None:
        _state.has_moved = True
        move(*args, **kwargs)

    return call


def _raise_in(ident: int, kind: type[BaseException]) -> None:
    """Raise an exception in a thread at its next step in Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))


_main, _others = _Main(), _Others()


def begin_again() -> None:
    """In a forked process, which has neither the timer nor the threads of its parent."""
    global _main, _others
    _main, _others = _Main(), _Others()
    _state.is_interrupted = False
