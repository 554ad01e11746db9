"""Processes that prepare, score and store for the engine: one interpreter feeds about a thousand samples a second.

The main process has the engine, the journal and the progress; each feeder has a share of the tasks, whole ones, so that
few-shots are drawn in a task's order (`feeder`). Messages are lists of tuples:

    feeder -> main   ("ask", number, task, request, key)  ("prime", ...)  ("done", task, is_computed)
                     ("finished", FinishedTask)  ("bye",)
    main -> feeder   ("engaged", Engaged)  ("answer", number, response)  ("stop",)

The tasks of a feeder that ends without "bye" are done again by the main process; their answers are in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalharness.engines.requests import GenerateRequest
from evalharness.engines.soundness import UnsoundResponseError
from evalharness.runner import feeder
from evalharness.runner.execute import Sender, TaskProgress
from evalharness.runner.feeder import Engaged, Feeder
from evalharness.runner.finish import FinishedTask, Finisher
from evalharness.runner.packing import framed, pack_response, unframed, unpack_request
from evalharness.runner.samples import Prompting
from evalharness.store.write import RunWriter
from evalharness.strategies import is_conversation
from evalharness.tasks.lm_adapter import EngineLM

logger = logging.getLogger(__name__)

_READ_BYTES = 1 << 20
_WORTH_IT = 2000
"""Samples of a run, for each feeder, that are worth a process."""
_MOST = 8
_LOOKS_EVERY_S = 0.5
_STOPS_WITHIN_S = 4.0
"""A feeder that doesn't stop is killed; a run has to end within 7 s."""


def num_feeders(wanted: int | None, tasks: Sequence[TaskProgress]) -> int:
    """How many feeders a run has.

    Args:
        wanted: configured; None: as many as are worth it, none on a machine with fewer than four cores.
        tasks: of the run.
    """
    if not sys.platform.startswith("linux"):
        return 0
    fed = [task for task in tasks if may_be_fed(task)]
    if wanted is None:
        cores = len(os.sched_getaffinity(0))
        num_samples = sum(task.num_expected for task in fed)
        wanted = 0 if cores < 4 else min(cores // 2 - 1, _MOST, num_samples // _WORTH_IT)
    return min(wanted, len(fed))


def may_be_fed(task: TaskProgress) -> bool:
    """Whether another process can do all of the task: not a conversation, whose steps wait for answers anyway."""
    return not is_conversation(task.loaded)


def shares(tasks: Iterable[TaskProgress], num: int) -> list[list[TaskProgress]]:
    """The tasks in shares of about the same number of samples, each in the tasks' order."""
    tasks = list(tasks)
    order = {task.loaded.name: number for number, task in enumerate(tasks)}
    found: list[list[TaskProgress]] = [[] for _ in range(num)]
    for task in sorted(tasks, key=lambda task: task.num_expected, reverse=True):
        min(found, key=lambda share: sum(t.num_expected for t in share)).append(task)
    return [sorted(share, key=lambda task: order[task.loaded.name]) for share in found if share]


@dataclass(slots=True)
class _Process:
    """One feeder, as the main process sees it; neither reading nor writing waits for it."""

    tasks: list[TaskProgress]
    socket: socket.socket
    process: Any
    outbox: list[tuple[Any, ...]] = field(default_factory=list)
    unsent: bytearray = field(default_factory=bytearray)
    unread: bytearray = field(default_factory=bytearray)
    has_ended: bool = False
    """Whether it said that it has done everything."""
    is_over: bool = False
    """Whether nothing more is to come from it."""
    is_killed: bool = False
    """Once only: its number may be another's afterwards."""

    def kill(self) -> None:
        """End it, with the processes that its scorers started and left behind."""
        if not self.is_killed:
            self.is_killed = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.join()

    def send(self, *message: Any) -> None:
        """Send with what else is said in this turn of the event loop."""
        if not self.outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self.outbox.append(message)

    def _flush(self) -> None:
        messages, self.outbox = self.outbox, []
        if not self.is_over:
            was_waiting = bool(self.unsent)
            self.unsent += framed(messages)
            if not was_waiting:
                self._write()

    def _write(self) -> None:
        """Write what it takes now; if it is gone, that is noticed where it is read."""
        loop = asyncio.get_running_loop()
        try:
            del self.unsent[: self.socket.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.unsent.clear()
        if self.unsent and not self.is_over:
            loop.add_writer(self.socket, self._write)
        else:
            loop.remove_writer(self.socket)

    def received(self) -> Iterator[tuple[Any, ...]]:
        """The messages that are there.

        Raises:
            EOFError: it has ended.
        """
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as e:
            raise EOFError from e
        if not data:
            raise EOFError
        self.unread += data
        while (found := unframed(self.unread)) is not None:
            yield from found


class Feeders:
    """The feeders of a run."""

    def __init__(
        self,
        tasks: Sequence[TaskProgress],
        num: int,
        make_lm: Callable[[], EngineLM],
        prompting: Prompting,
        make_finisher: Callable[[RunWriter], Finisher],
        writer: RunWriter,
    ) -> None:
        """Fork them. Call before an engine, an event loop or a thread that matters is there.

        Args:
            tasks: those that may be fed.
            num: at most this many processes.
            make_lm: called in each.
            prompting: how prompts are written.
            make_finisher: called in each with a writer of samples.
            writer: of the run's folder.
        """
        self._tasks = list(tasks)
        numbers = {task.loaded.name: number for number, task in enumerate(self._tasks)}
        context = multiprocessing.get_context("fork")
        self._processes: list[_Process] = []
        gc.freeze()  # or the collector would touch, and so copy, every object in each of them
        try:
            for share in shares(self._tasks, num):
                here, there = socket.socketpair()

                def make(share: list[TaskProgress] = share) -> Feeder:
                    finisher = make_finisher(feeder.writer_of(writer))
                    return Feeder(share, numbers, make_lm(), prompting, finisher)

                # Not a daemon, which may have no processes of its own, as some scorers do; `close` ends it.
                process = context.Process(target=feeder.main, args=(there, make))
                process.start()
                there.close()
                here.setblocking(False)
                self._processes.append(_Process(share, here, process))
        finally:
            gc.unfreeze()
        self.num_lost = 0

    async def run(
        self,
        sender: Sender,
        engaged: Engaged,
        on_done: Callable[[TaskProgress, bool], None],
        on_finished: Callable[[FinishedTask], None],
    ) -> list[TaskProgress]:
        """Serve them until they have ended; those tasks that were lost.

        Args:
            sender: answers their requests.
            engaged: what they have to know of the engine.
            on_done: called for every finished sample.
            on_finished: called for every finished task.

        Raises:
            EngineError: the engine died.
        """
        self._sender, self._on_done, self._on_finished = sender, on_done, on_finished
        self._finished: set[str] = set()
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        self._answering: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._window = asyncio.Semaphore(engaged.max_in_flight)
        watch = asyncio.create_task(self._watch())
        try:
            for process in self._processes:
                process.send("engaged", engaged)
                loop.add_reader(process.socket, self._read, process)
            await self._over
        finally:
            await self._stop()
            watch.cancel()
        return self._lost()

    def close(self) -> None:
        """End those that are still there."""
        for process in self._processes:
            process.kill()
            process.socket.close()

    def _lost(self) -> list[TaskProgress]:
        lost = [p for p in self._processes if not p.has_ended]
        self.num_lost = len(lost)
        return [t for p in lost for t in p.tasks if t.loaded.name not in self._finished]

    def _read(self, process: _Process) -> None:
        """Take what a feeder says."""
        try:
            for message in process.received():
                self._take(process, *message)
        except EOFError:
            self._leave(process)

    def _take(self, process: _Process, kind: str, *content: Any) -> None:
        if kind in ("ask", "prime"):
            answer = asyncio.create_task(self._answer(process, kind, *content))
            self._answering.add(answer)
            answer.add_done_callback(self._answering.discard)
        elif kind == "done":
            task, is_computed = content
            self._tasks[task].num_done += 1
            self._on_done(self._tasks[task], is_computed)
        elif kind == "finished":
            (finished,) = content
            self._finished.add(finished.summary.task)
            self._on_finished(finished)
        else:
            process.has_ended = True
            self._leave(process)

    async def _watch(self) -> None:
        """Notice who has died: a process that a scorer started may hold the line open, and no end of it is read."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            for process in self._processes:
                if process.is_over or process.process.is_alive():
                    continue
                while not process.is_over and select.select([process.socket], [], [], 0)[0]:
                    self._read(process)
                if not process.is_over:
                    self._leave(process)

    async def _answer(
        self, process: _Process, kind: str, number: int, task: int, packed: Any, key: str
    ) -> None:
        try:
            request = unpack_request(packed)
            with self._tasks[task].load:
                async with self._window:
                    said: Any
                    if kind == "ask":
                        said = pack_response(await self._sender.answer(request, key))
                    else:
                        assert isinstance(request, GenerateRequest)
                        try:
                            said = await self._sender.prime_prompt(request, key)
                        except UnsoundResponseError as e:
                            said = str(e)
            process.send("answer", number, said)
        except Exception as e:  # the engine is dead
            if not self._over.done():
                self._over.set_exception(e)

    def _leave(self, process: _Process) -> None:
        process.is_over = True
        self._forget(process)
        if not process.has_ended:
            process.kill()
            logger.error(
                "a feeder has ended (exit code %s): its unfinished tasks are done again",
                process.process.exitcode,
            )
        if all(p.is_over for p in self._processes):
            self._ended.set()
            if not self._over.done():
                self._over.set_result(None)

    def _forget(self, process: _Process) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(process.socket)
        loop.remove_writer(process.socket)

    async def _stop(self) -> None:
        """Let all feeders that are left finish what they have, and take it."""
        for answer in self._answering:
            answer.cancel()
        left = [p for p in self._processes if not p.is_over]
        for process in left:
            process.send("stop")
        if left:
            try:
                await asyncio.wait_for(self._ended.wait(), _STOPS_WITHIN_S)
            except TimeoutError:
                logger.error("a feeder didn't stop within %g s and is killed", _STOPS_WITHIN_S)
        for process in left:
            if not process.is_over:
                self._forget(process)
