"""Samples through the engine: a window of requests in flight, one queue for all tasks, no barrier anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from evalharness.engines.base import Engine, RequestError
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    Request,
    Response,
    ScoreRequest,
    request_key,
)
from evalharness.engines.soundness import UnsoundResponseError, find_problem
from evalharness.runner.journal import Journal
from evalharness.runner.response_cache import (
    Found,
    Responses,
)
from evalharness.runner.samples import (
    Conversation,
    Prompting,
    Sample,
    build_samples,
)
from evalharness.runner.score_ahead import score_ahead
from evalharness.runner.usage import Load
from evalharness.tasks.conversation import TurnError
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.plans import send
from evalharness.tasks.random_state import seeded
from evalharness.tasks.user_code import Stepwise, UserCodeError

CHUNK = 32
"""Samples built at a time in the builder thread."""
TRIES = 2
"""Times that a failed request is sent again before it is recorded as failed."""

T = TypeVar("T")


@dataclass(slots=True)
class TaskProgress:
    """The progress of one task."""

    loaded: LoadedTask
    num_done: int = 0
    """Finished samples, including failures."""
    started_at: float | None = None
    """`time.perf_counter` of the first request."""
    finished_at: float | None = None
    primed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first prompt was computed: the common prefix of the task's prompts is then in the engine's cache."""
    unsound: Failure | None = None
    """Why generations are not trusted: the engine's log-likelihoods of the first prompt are invalid."""
    load: Load = field(default_factory=Load)
    """The task's samples in flight, over time."""

    @property
    def num_expected(self) -> int:
        """Samples: docs x repeats."""
        return self.loaded.num_docs * self.loaded.repeats

    @property
    def is_done(self) -> bool:
        """Whether every sample is finished."""
        return self.num_done == self.num_expected

    @property
    def wall_s(self) -> float:
        """Seconds from the first request to the last answer so far."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return self.finished_at - self.started_at


@dataclass(frozen=True, slots=True)
class Sender:
    """One request to the engine, retried once, and its response to the journal."""

    engine: Engine
    journal: Journal
    identity: str
    """What changes outputs besides the request: weights and numerics."""
    responses: Responses | None = None
    """Responses that are on disk already."""

    async def __call__(self, request: Request | Failure) -> Response:
        """The response, or a Failure. An EngineError passes through: the engine is dead."""
        if isinstance(request, Failure):
            return request
        return await self.answer(request, request_key(request, self.identity))

    def of_task(self, name: str) -> Sender:
        """For the requests of a task: the same for all of them."""
        return self

    async def answer(self, request: Request, key: str) -> Response:
        """The response to a request with this key."""
        if (found := self._find(request, key)) is not None:
            if not found.is_own:  # the run's folder stays complete by itself
                self.journal.append_line(found.line)
            return replace(found.response, is_reused=True)
        error = ""
        for _ in range(TRIES):
            try:
                response = await send(self.engine, request)
            except RequestError as e:
                error = str(e)
                continue
            self.journal.append(key, response)
            return response
        return Failure(kind="request", message=error)

    def _find(self, request: Request, key: str) -> Found | None:
        """Its stored response, if any; an invalid one (of an earlier version) is requested again."""
        found = self.responses.get(key) if self.responses is not None else None
        return found if found and find_problem(request, found.response) is None else None

    async def prime(self, sample: Sample) -> bool:
        """Put a generation's prompt into the engine's cache, which takes much less time than its answer.

        Log-likelihoods are no longer than their prompt, and don't wait for one: nearly as many of their tokens are found
        in the cache either way.

        Returns:
            Whether the task's other requests may follow.

        Raises:
            UnsoundResponseError: the prompt has no valid log-likelihood, so that a generation from it can't be trusted.
        """
        request = next(
            iter(sample.plans[0].requests), None
        )  # an empty text that is scored has none
        if isinstance(request, ScoreRequest):
            return True
        if not isinstance(request, GenerateRequest):
            return False
        return await self.prime_prompt(request, request_key(request, self.identity))

    async def prime_prompt(self, request: GenerateRequest, key: str) -> bool:
        """Put the prompt of a request with this key into the engine's cache; see `prime`."""
        if len(request.prompt_token_ids) < 2:
            return False
        if self._find(request, key):
            return True
        *context, last = request.prompt_token_ids
        ahead = ScoreRequest(context_token_ids=tuple(context), continuations=((last,),))
        try:
            await send(self.engine, ahead)
        except UnsoundResponseError:
            raise
        except RequestError:  # a server that gives none
            pass
        return True


class Serves(Protocol):
    """Answers the requests of a task's samples."""

    async def __call__(self, request: Request | Failure) -> Response:
        """See `Sender.__call__`."""
        ...

    async def prime(self, sample: Sample) -> bool:
        """See `Sender.prime`."""
        ...


class ServesTasks(Protocol):
    """Answers the requests of all tasks."""

    def of_task(self, name: str) -> Serves:
        """For one of them."""
        ...


async def execute(
    tasks: Sequence[TaskProgress],
    lm: EngineLM,
    sender: ServesTasks,
    prompting: Prompting,
    *,
    max_in_flight: int,
    on_sample: Callable[[TaskProgress, Sample], None],
    ahead: Ahead[tuple[TaskProgress, Sample]] | None = None,
) -> None:
    """Run all samples of all tasks.

    Args:
        tasks: updated while they run.
        lm: turns instances into requests.
        sender: serves requests.
        prompting: how prompts are written.
        max_in_flight: samples handed to the engine at once.
        on_sample: called with every finished sample, which isn't kept here; a task is done with its last.
        ahead: the samples, begun before the engine was there; by default begun now.

    Raises:
        EngineError: the engine died.
    """
    queue: asyncio.Queue[tuple[TaskProgress, Sample] | None] = asyncio.Queue(max_in_flight)

    samples = ahead or Ahead(all_samples(tasks, lm, prompting))

    async def produce() -> None:
        async for item in samples:
            await queue.put(item)
        for _ in range(max_in_flight):
            await queue.put(None)

    async def consume() -> None:
        while (item := await queue.get()) is not None:
            task, sample = item
            serves = sender.of_task(task.loaded.name)
            if task.started_at is None:
                task.started_at = time.perf_counter()
                with task.load:
                    is_primed = await _prime(task, sample, serves)
                if is_primed:
                    task.primed.set()
            else:
                # The other requests of a task wait for its first, or each would compute the shared few-shots on its own.
                # The engine has the tasks before this one to work on meanwhile.
                await task.primed.wait()
            with task.load:
                if task.unsound is not None:
                    sample.responses.append(task.unsound)
                else:
                    await _serve(sample, lm, serves)
            task.primed.set()
            if task.loaded.scores_in_thread and sample.failure is None:
                await asyncio.to_thread(score_ahead, task.loaded, sample)
            task.num_done += 1
            task.finished_at = time.perf_counter()
            on_sample(task, sample)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            for _ in range(max_in_flight):
                group.create_task(consume())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        await samples.close()


async def _prime(task: TaskProgress, sample: Sample, sender: Serves) -> bool:
    try:
        return await sender.prime(sample)
    except UnsoundResponseError as e:
        task.unsound = Failure(kind="request", message=f"of the task's first prompt, {e}")
        return True


async def _serve(sample: Sample, lm: EngineLM, sender: Serves) -> None:
    if sample.conversation is not None and sample.failure is None:
        return await _converse(sample, sample.conversation, lm, sender)
    for plan in sample.plans:
        if len(plan.requests) == 1:  # the usual case, without a task of its own
            responses = [await sender(plan.requests[0])]
        else:
            responses = await asyncio.gather(*map(sender, plan.requests))
        finished = plan.finish(responses)
        sample.responses += finished
        if sample.failure is None:
            for instance, answer in zip(sample.instances, plan.resolve(finished), strict=True):
                instance.resps.append(answer)


async def _converse(
    sample: Sample, conversation: Conversation, lm: EngineLM, sender: Serves
) -> None:
    (instance, *_) = sample.instances

    async def apart(request: Request | Failure) -> Response:
        # In a separate asyncio task: the engine's time is not the conversation's.
        return await asyncio.create_task(sender(request))

    dialogue = conversation.begin(str(instance.args[0]), lm, apart)
    try:
        with seeded(*conversation.where, "conversation"):
            solving = conversation.solve(dialogue)
            answer = await Stepwise(solving, conversation.bounds, "a step of solve()", TurnError)
        if not isinstance(answer, str):
            raise UserCodeError(f"solve() gave a {type(answer).__name__}, not a text")
        instance.resps.append(answer)
    except TurnError as e:
        dialogue.responses.append(e.failure)
    except UserCodeError as e:
        dialogue.responses.append(Failure(kind="task", message=str(e)))
    sample.responses += dialogue.responses
    sample.is_cut |= dialogue.is_cut
    # Arms run side by side and end in any order.
    sample.turns = sorted(dialogue.turns, key=lambda turn: (turn.arm, turn.step))
    sample.attempts = dialogue.attempts


def all_samples(
    tasks: Sequence[TaskProgress], lm: EngineLM, prompting: Prompting
) -> Iterator[tuple[TaskProgress, Sample]]:
    """The samples of all tasks, one task after the other."""
    for task in tasks:
        for sample in build_samples(task.loaded, lm, prompting):
            yield task, sample


class Ahead(Generic[T]):
    """Items of a slow iterator, run in a thread one chunk ahead of the reader; begins at once."""

    def __init__(self, items: Iterator[T]) -> None:
        """Use within a running event loop."""
        self._items = items
        self._upcoming = self._begin()

    def _take(self) -> list[T]:
        return list(itertools.islice(self._items, CHUNK))

    def _begin(self) -> asyncio.Task[list[T]]:
        return asyncio.create_task(asyncio.to_thread(self._take))

    async def __aiter__(self) -> AsyncIterator[T]:
        """All items."""
        while chunk := await self._upcoming:
            self._upcoming = self._begin()
            for item in chunk:
                yield item

    async def close(self) -> None:
        """Wait for nothing; errors of what isn't read any more don't matter."""
        self._upcoming.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._upcoming
