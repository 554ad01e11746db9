"""A feeder: a process that does everything for a share of a run's tasks except computing.

It writes and encodes their prompts, asks the main process for answers, scores them, and stores the samples. It is forked
from the main process, with the tasks as they are loaded there, before the engine is. What it says is in `feeders`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    Request,
    Response,
    ScoreRequest,
    request_key,
)
from evalharness.engines.soundness import UnsoundResponseError
from evalharness.runner.execute import Ahead, TaskProgress, all_samples, execute
from evalharness.runner.finish import Finisher
from evalharness.runner.packing import framed, pack_request, unframed, unpack_response
from evalharness.runner.samples import Prompting, Sample
from evalharness.store.write import RunWriter
from evalharness.tasks import user_code
from evalharness.tasks.lm_adapter import EngineLM

_READ_BYTES = 1 << 20
_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


@dataclass(frozen=True, slots=True)
class Engaged:
    """What a feeder has to know of the engine."""

    max_model_len: int
    min_room: int
    identity: str
    max_in_flight: int


class Link:
    """The feeder's end of the line; messages of one turn of the event loop are sent together."""

    def __init__(self, connection: socket.socket) -> None:
        """Use within a running event loop."""
        self._connection, self._loop = connection, asyncio.get_running_loop()
        self._outbox: list[tuple[Any, ...]] = []
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._num_asked = 0
        self.engaged: asyncio.Future[Engaged] = self._loop.create_future()
        self.on_stop: Callable[[], None] = lambda: None
        threading.Thread(target=self._read, daemon=True).start()

    async def ask(self, kind: str, task: int, request: Request, key: str) -> Any:
        """The main process's answer to a request."""
        self._num_asked += 1
        number, answer = self._num_asked, self._loop.create_future()
        self._answers[number] = answer
        self.say(kind, number, task, pack_request(request), key)
        return await answer

    def say(self, *message: Any) -> None:
        """Send a message."""
        if not self._outbox:
            self._loop.call_soon(self.flush)
        self._outbox.append(message)

    def flush(self) -> None:
        """Send what is waiting."""
        if self._outbox:
            messages, self._outbox = self._outbox, []
            try:
                packed = framed(messages)
            except Exception:  # a task's scores may hold anything; the main process does it again
                traceback.print_exc()
                os._exit(1)
            self._connection.sendall(packed)

    def _read(self) -> None:
        received = bytearray()
        with contextlib.suppress(OSError, RuntimeError):  # or this loop has ended
            while data := self._connection.recv(_READ_BYTES):
                received += data
                while (messages := unframed(received)) is not None:
                    self._loop.call_soon_threadsafe(self._take, messages)
        os._exit(1)  # the main process has ended

    def _take(self, messages: Sequence[tuple[Any, ...]]) -> None:
        for kind, *content in messages:
            if kind == "answer":
                number, answer = content
                if not (waiting := self._answers.pop(number)).done():
                    waiting.set_result(answer)
            elif kind == "engaged":
                self.engaged.set_result(content[0])
            else:
                self.on_stop()


class RemoteSender:
    """Sends requests to the main process; see `execute.Sender`."""

    def __init__(self, link: Link, identity: str, numbers: dict[str, int]) -> None:
        """Set up.

        Args:
            link: to the main process.
            identity: what changes outputs besides the request.
            numbers: task -> its number there.
        """
        self._link, self._identity, self._numbers = link, identity, numbers

    def of_task(self, name: str) -> _TaskSender:
        """For the requests of a task."""
        return _TaskSender(self._link, self._identity, self._numbers[name])


@dataclass(frozen=True, slots=True)
class _TaskSender:
    link: Link
    identity: str
    task: int

    async def __call__(self, request: Request | Failure) -> Response:
        """See `Sender.__call__`."""
        if isinstance(request, Failure):
            return request
        key = request_key(request, self.identity)
        return unpack_response(await self.link.ask("ask", self.task, request, key))

    async def prime(self, sample: Sample) -> bool:
        """See `Sender.prime`."""
        request = next(iter(sample.plans[0].requests), None)
        if isinstance(request, ScoreRequest):
            return True
        if not isinstance(request, GenerateRequest):
            return False
        key = request_key(request, self.identity)
        said = await self.link.ask("prime", self.task, request, key)
        if isinstance(said, str):
            raise UnsoundResponseError(said)
        return bool(said)


class Feeder:
    """Runs its tasks."""

    def __init__(
        self,
        tasks: Sequence[TaskProgress],
        numbers: dict[str, int],
        lm: EngineLM,
        prompting: Prompting,
        finisher: Finisher,
    ) -> None:
        """Nothing is done yet.

        Args:
            tasks: its share.
            numbers: task -> its number in the main process.
            lm: encodes; not yet fitted to an engine.
            prompting: how prompts are written.
            finisher: scores and stores.
        """
        self._tasks, self._numbers, self._lm = tasks, numbers, lm
        self._prompting, self._finisher = prompting, finisher
        self._link: Link

    async def run(self, connection: socket.socket) -> None:
        """Until all tasks are finished, or the main process says stop."""
        self._link = link = Link(connection)
        ahead = Ahead(all_samples(self._tasks, self._lm, self._prompting))
        work = asyncio.create_task(self._work(ahead))

        def stop() -> None:
            self._lm.give_up()
            work.cancel()

        link.on_stop = stop
        with contextlib.suppress(asyncio.CancelledError):
            await work
        for task in self._tasks:  # interrupted: what there is of them
            if task.loaded.name in self._finisher.begun():
                self._finish(task)
        link.say("bye")
        link.flush()

    async def _work(self, ahead: Ahead[tuple[TaskProgress, Sample]]) -> None:
        engaged = await self._link.engaged
        self._lm.fit_to(engaged.max_model_len, engaged.min_room)
        sender = RemoteSender(self._link, engaged.identity, self._numbers)
        await execute(
            self._tasks,
            self._lm,
            sender,
            self._prompting,
            max_in_flight=engaged.max_in_flight,
            on_sample=self._record,
            ahead=ahead,
        )

    def _record(self, task: TaskProgress, sample: Sample) -> None:
        self._finisher.add(task, sample)
        is_computed = any(isinstance(r, Failure) or not r.is_reused for r in sample.responses)
        self._link.say("done", self._numbers[task.loaded.name], is_computed)
        if task.is_done:
            self._finish(task)

    def _finish(self, task: TaskProgress) -> None:
        self._link.say("finished", self._finisher.finish(task, self._lm))


def main(connection: socket.socket, make: Callable[[], Feeder]) -> None:
    """The feeder's process, from its fork to its end.

    Args:
        connection: to the main process.
        make: makes the feeder.
    """
    with contextlib.suppress(OSError, AttributeError):  # elsewhere, the closed line ends it
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, int(signal.SIGKILL))
    # A batch system's SIGTERM to the run's group isn't for it; it is killed as a group.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process says what is to be done
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    user_code.begin_again()
    try:
        asyncio.run(make().run(connection))
    except BaseException:
        traceback.print_exc()  # to the run's log
        os._exit(1)
    os._exit(0)


def writer_of(writer: RunWriter) -> RunWriter:
    """A writer of samples into the same folder, without the claim."""
    return RunWriter(writer.run_dir, writer.manifest)
