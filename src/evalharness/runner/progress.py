"""What a person sees while a run is in progress; all output of libraries goes to the run's log instead."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
)
from rich.text import Text

from evalharness.errors import WriteError
from evalharness.runner.pace import Pace

Detail = Callable[[], str | None]
"""Says how far a step is, called from another thread."""

SHOW_EVERY_S = 0.1
"""Updates per second; more could not be read, and would take most of the time at thousands of samples a second."""
LINE_EVERY_S = 30.0
"""Without a terminal."""
MAX_LINE_TASKS = 3
"""Tasks in such a line."""
MAX_BARS = 6
"""Tasks shown at once under the bar of the whole run."""


class Capture:
    """Standard output and error of this process and its children, kept in a file."""

    def __init__(self, console: Console, log: IO[bytes]) -> None:
        """Use `captured_output`."""
        self.console = console
        """Writes to the real standard error."""
        self._log = log

    def move_to(self, path: Path) -> None:
        """Continue in another file, with what was captured so far at its top."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._log.flush()
        try:
            # Appended: a continued run keeps the log of its earlier starts.
            target = path.open("ab", buffering=0)
            target.write(Path(self._log.name).read_bytes())
        except OSError as e:
            raise WriteError.of(e, path) from e
        os.dup2(target.fileno(), 1)
        os.dup2(target.fileno(), 2)
        self._log.close()
        self._log = target


@contextlib.contextmanager
def captured_output() -> Iterator[Capture]:
    """Send file descriptors 1 and 2 to a file until the end; `Capture.console` still reaches the person.

    Descriptors, not `sys.stdout`: vLLM's engine is a child process and torch prints from C++.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved_out, saved_err = os.dup(1), os.dup(2)
    terminal = os.fdopen(os.dup(saved_err), "w", buffering=1)
    log = tempfile.NamedTemporaryFile(prefix="evalharness-", suffix=".log")  # noqa: SIM115
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    capture = Capture(Console(file=terminal, stderr=False), log)
    try:
        yield capture
    finally:
        _flush_or_drop()
        os.dup2(saved_out, 1)
        os.dup2(saved_err, 2)
        os.close(saved_out)
        os.close(saved_err)
        capture._log.close()
        terminal.close()


def _flush_or_drop() -> None:
    """Empty the buffers of captured output, so that the terminal doesn't get what a full disk couldn't hold."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stdout.flush()
        sys.stderr.flush()


class _What(ProgressColumn):
    """The step or the task, and how far a step is."""

    def render(self, task: Task) -> Text:
        return Text(_with_detail(task.description, task.fields.get("detail")))


class _Count(MofNCompleteColumn):
    """Done and total; empty for a step without a count."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class _Rate(ProgressColumn):
    """Samples per second."""

    def render(self, task: Task) -> Text:
        pace: Pace | None = task.fields.get("pace")
        rate = pace.rate(time.monotonic()) if pace else None
        return Text(f"{rate:.1f}/s" if rate else "", style="dim")


class _Remaining(ProgressColumn):
    """Time to the end, once there is ground for it."""

    def render(self, task: Task) -> Text:
        pace: Pace | None = task.fields.get("pace")
        left = pace.remaining_s(time.monotonic()) if pace else None
        return Text() if left is None else Text(f"ETA {_words(left)}", style="dim")


class _Lines:
    """Without a terminal: a line every half minute, so that a log shows how far the run is."""

    def __init__(self, console: Console) -> None:
        """Silent before it is started, and in a run of less than half a minute."""
        self.all: Pace | None = None
        self.tasks: dict[str, Pace] = {}
        """Tasks that have begun and not ended."""
        self._console, self._ended = console, threading.Event()
        self._began = time.monotonic()
        self._step: tuple[str, float, Detail | None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to count the seconds."""
        self._thread.start()

    def stop(self) -> None:
        """No more lines."""
        self._ended.set()

    def step(self, what: str, detail: Detail | None) -> None:
        """A step without a count begins; an empty name ends it."""
        self._step = (what, time.monotonic(), detail) if what else None

    def _run(self) -> None:
        while not self._ended.wait(LINE_EVERY_S):
            with contextlib.suppress(OSError, ValueError):  # the other end is closed
                line = self._line(time.monotonic())
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, now: float) -> str:
        elapsed = _words(now - self._began)
        if self._step:
            what, since, detail = self._step
            return f"{elapsed}: {_with_detail(f'{what}, {_words(now - since)}', detail)}"
        if self.all is None:
            return f"{elapsed}: preparing"
        parts = [f"{elapsed}: {_how_far(self.all, now)} of all samples"]
        tasks = list(self.tasks.items())
        parts += [f"{name} {_how_far(pace, now)}" for name, pace in tasks[:MAX_LINE_TASKS]]
        if len(tasks) > MAX_LINE_TASKS:
            parts.append(f"and {len(tasks) - MAX_LINE_TASKS} more")
        return "; ".join(parts)


def _how_far(pace: Pace, now: float) -> str:
    """120/1000 (2.1/s, about 7 min 1 s left)."""
    rate, left = pace.rate(now), pace.remaining_s(now)
    if rate is None or left is None:
        return f"{pace.num_done}/{pace.total}"
    return f"{pace.num_done}/{pace.total} ({rate:.1f}/s, about {_words(left)} left)"


def _with_detail(what: str, detail: Detail | None) -> str:
    said = detail() if detail else None
    return f"{what}: {said}" if said else what


def _words(seconds: float) -> str:
    """43 s, 6 min 52 s or 1 h 8 min."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Bars:
    """A bar for the run and one for each task in progress; without a terminal a line every half minute."""

    def __init__(self, console: Console) -> None:
        """Not shown before it is entered."""
        self._progress = Progress(
            SpinnerColumn(),
            _What(),
            BarColumn(bar_width=24),
            _Count(),
            _Rate(),
            TimeElapsedColumn(),
            _Remaining(),
            console=console,
            transient=True,
            # rich would print captured output above the bars.
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not console.is_terminal,
            refresh_per_second=4,
        )
        self._all: Pace | None = None
        self._tasks: dict[str, Pace] = {}
        self._row: TaskID | None = None
        self._bars: dict[str, TaskID] = {}
        self._shown_at = 0.0
        self._lines = None if console.is_terminal else _Lines(console)

    def __enter__(self) -> Bars:
        """Start drawing."""
        self._progress.start()
        if self._lines:
            self._lines.tasks = self._tasks
            self._lines.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop and clear."""
        self._progress.stop()
        if self._lines:
            self._lines.stop()

    @contextlib.contextmanager
    def step(self, what: str, detail: Detail | None = None) -> Iterator[None]:
        """A spinner for a step without a count, such as loading.

        Args:
            what: the step.
            detail: says how far it is, if it can.
        """
        row = self._progress.add_task(what, total=None, detail=detail)
        if self._lines:
            self._lines.step(what, detail)
        try:
            yield
        finally:
            self._progress.remove_task(row)
            if self._lines:
                self._lines.step("", None)

    def begin(self, num_samples: int) -> None:
        """Set the whole run's number of samples."""
        self._all = Pace(num_samples)
        self._row = self._progress.add_task("all tasks", total=num_samples, pace=self._all)
        if self._lines:
            self._lines.all = self._all

    def advance(self, name: str, done: int, total: int, *, is_computed: bool = True) -> None:
        """Count a finished sample of a task.

        Args:
            name: the task.
            done: its finished samples, this one too.
            total: its samples.
            is_computed: whether the engine computed it now, not found on disk.
        """
        now, is_last = time.monotonic(), done >= total
        for pace in (self._all, self._tasks.setdefault(name, Pace(total))):
            if pace is not None:
                pace.note(now, is_computed=is_computed)
        pace = self._tasks.pop(name) if is_last else self._tasks[name]
        if now - self._shown_at < SHOW_EVERY_S and not is_last:
            return
        self._shown_at = now
        if name not in self._bars and len(self._bars) < MAX_BARS and not is_last:
            self._bars[name] = self._progress.add_task(name, total=total, pace=pace)
        if name in self._bars:
            self._progress.update(self._bars[name], completed=done)
            if is_last:
                self._progress.remove_task(self._bars.pop(name))
        if self._row is not None and self._all is not None:
            self._progress.update(self._row, completed=self._all.num_done)


@contextlib.contextmanager
def log_to_capture() -> Iterator[None]:
    """Send messages to descriptor 2, now the run's log; logging is restored afterwards."""
    # Not `sys.stderr`: under pytest and in notebooks that is another file.
    log = os.fdopen(2, "w", buffering=1, closefd=False)
    root, handler = logging.getLogger(), logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    before, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Logs for every task with its own dataset that it could be given arguments.
    logging.getLogger("lm_eval.api.task").setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        with contextlib.suppress(OSError):  # a full disk
            log.close()
