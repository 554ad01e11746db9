"""One sample's conversation with the model: the interface of strategies and multi-turn tasks.

    async def solve(dialogue):
        first = await dialogue.generate()
        prompt = dialogue.follow_up(dialogue.prompt, first.text, "Is that so?")
        second = await dialogue.generate(prompt, arm="again")
        return second.text

Every turn becomes requests to the engine, goes through the journal and is stored in `turns`. Turns of other samples run
meanwhile; turns of one sample that don't wait for each other run under `together`. The same turns of the same sample
make the same requests in every run, so that answers are never computed twice.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from evalharness.engines.requests import (
    Failure,
    Generation,
    Request,
    Response,
    Scores,
)
from evalharness.errors import EvalHarnessError
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.sampling import drawn, skips_special_tokens
from evalharness.tasks.user_code import stepwise

DRAW_TEMPERATURE = 0.7
"""Temperature of draws if neither the run nor the task has one, as greedy answers would all be the same."""

Answer = TypeVar("Answer")
Send = Callable[[Request | Failure], Awaitable[Response]]


class TurnError(EvalHarnessError):
    """Raised if a turn has no answer; the sample is recorded as failed."""

    def __init__(self, failure: Failure) -> None:
        """Keep the failure."""
        super().__init__(f"{failure.kind}: {failure.message}")
        self.failure = failure


class Where(NamedTuple):
    """The identity of a sample, from which its sampling seeds follow."""

    task: str
    doc_id: int
    repeat: int
    run_seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A message to the model and its response."""

    arm: str
    step: int
    purpose: str
    message: str
    generation: Generation | None = None
    logprobs: tuple[float, ...] = ()
    """Log-probabilities of the choices, if the turn was a question with given answers."""
    num_prompt_tokens: int = 0
    latency_s: float = 0.0

    @property
    def text(self) -> str:
        """The answer without the thinking."""
        return self.generation.text if self.generation else ""

    @property
    def num_tokens(self) -> int:
        """Generated."""
        return len(self.generation.token_ids) if self.generation else 0

    @property
    def p_yes(self) -> float | None:
        """Probability of the first of two choices, given that it is one of the two."""
        if len(self.logprobs) != 2:
            return None
        yes, no = self.logprobs
        return 1 / (1 + math.exp(min(no - yes, 700.0)))


class Tried(NamedTuple):
    """One of a strategy's answers: a turn with what it counts for."""

    arm: str
    step: int
    turn: Turn
    num_tokens: int
    """Tokens generated for it and all turns before it."""
    p_yes: float | None = None


@dataclass(slots=True)
class Dialogue:
    """The conversation of one sample."""

    prompt: str
    """The task's own prompt, with the chat template applied."""
    where: Where
    is_chat: bool
    gen_kwargs: Mapping[str, Any]
    """The task's generation_kwargs."""
    lm: EngineLM
    send: Send
    temperature: float = DRAW_TEMPERATURE
    """Temperature of draws if neither the run nor the task has one."""
    first_draw: int = 0
    """Index of the sample's first draw among those of its doc."""
    turns: list[Turn] = field(default_factory=list)
    """Turns, in the order in which they were answered."""
    responses: list[Response] = field(default_factory=list)
    """One for every request sent."""
    attempts: list[Tried] = field(default_factory=list)
    """The answers to be scored for the strategy's curve."""
    is_cut: bool = False
    """Whether a prompt lost its oldest tokens to fit the context."""
    _messages: dict[str, str] = field(default_factory=dict, init=False)
    """Prompt -> the message that `follow_up` ended it with."""

    async def generate(
        self,
        prompt: str | Sequence[int] | None = None,
        *,
        arm: str = "",
        step: int = 0,
        purpose: str = "answer",
        message: str = "",
        draw: int | None = None,
        stop: Sequence[str] | None = None,
        max_gen_toks: int | None = None,
        is_raw: bool = False,
        is_whole: bool = False,
        seed_step: int | None = None,
        cut_reason: str = "length",
    ) -> Turn:
        """Let the model continue a prompt.

        Args:
            prompt: as text (template applied, see `follow_up`) or token ids; None for the task's own.
            arm: name of the procedure the turn belongs to; with `step` and `purpose` it must be unique in the sample.
            step: round, draw or budget.
            purpose: purpose of the turn.
            message: the message, to be stored, of a prompt that `follow_up` didn't make.
            draw: a number from 0 draws with a temperature above 0; a doc's draw with the same number is the same in
            every strategy. None samples as the task and the run say.
            stop: replaces the task's stop strings.
            max_gen_toks: replaces the task's limit.
            is_raw: use the text as it is: thinking isn't split off, and stop strings apply everywhere.
            is_whole: a text that was cut by its limit isn't an answer.
            seed_step: replaces `step` in the sampling seed.
            cut_reason: the finish_reason of a generation that reached its limit.

        Raises:
            TurnError: there is no answer, because the prompt is too long or the request failed twice.
        """
        asked_for = self.prompt if prompt is None else prompt
        sampling = self.lm.sampling(self.gen_kwargs)
        if draw is not None and sampling.temperature == 0:
            sampling = replace(sampling, temperature=self.temperature)
        sampling = replace(
            sampling,
            stop=sampling.stop if stop is None else tuple(stop),
            max_gen_toks=max_gen_toks or sampling.max_gen_toks,
        )
        repeat = self.first_draw + (draw or 0)
        place = step if seed_step is None else seed_step
        asked = self.lm.generate_request(
            asked_for,
            drawn(sampling, *self._sample(prompt, arm, place, purpose, repeat)),
            repeat,
            is_raw=is_raw,
            is_plain=skips_special_tokens(self.gen_kwargs),
        )
        self.is_cut |= asked.is_cut
        response = await self.send(asked.request)
        if not isinstance(response, Generation):
            raise self._failed(response)
        finished = asked.finish(response)
        if finished.finish_reason == "length":
            text = "" if is_whole else finished.text
            finished = replace(finished, text=text, finish_reason=cut_reason)
        self.responses.append(finished)
        turn = Turn(
            arm=arm,
            step=step,
            purpose=purpose,
            message=message or self._message(asked_for),
            generation=finished,
            num_prompt_tokens=response.num_prompt_tokens,
            latency_s=response.latency_s,
        )
        self.turns.append(turn)
        return turn

    async def choose(
        self,
        prompt: str,
        choices: Sequence[str],
        *,
        arm: str = "",
        step: int = 0,
        purpose: str = "verify",
        message: str = "",
    ) -> Turn:
        """Log-probabilities of given answers to a prompt (two of them: `Turn.p_yes` is the share of the first).

        Raises:
            TurnError: as `generate`.
        """
        message = message or self._message(prompt)
        start, end = self.lm.think_tags
        if start and prompt.rstrip().endswith(start):  # the answer follows the thinking
            prompt = f"{prompt}\n{end}\n\n"
        response = await self.send(self.lm.score_request(prompt, choices))
        if not isinstance(response, Scores):
            raise self._failed(response)
        self.responses.append(response)
        turn = Turn(
            arm=arm,
            step=step,
            purpose=purpose,
            message=message,
            logprobs=tuple(score.logprob for score in response.continuations),
            num_prompt_tokens=response.num_prompt_tokens,
            latency_s=response.latency_s,
        )
        self.turns.append(turn)
        return turn

    def follow_up(self, prompt: str, answer: str, message: str) -> str:
        """The prompt of the next turn: the conversation so far, and the next message to the model."""
        following = self.lm.follow_up(prompt, answer, message, is_chat=self.is_chat)
        self._messages[following] = message
        return following

    def _message(self, prompt: str | Sequence[int]) -> str:
        """The message that ends a prompt of `follow_up`; empty for any other."""
        return self._messages.get(prompt, "") if isinstance(prompt, str) else ""

    @property
    def think_end(self) -> str:
        """The tag that ends the model's thinking; empty for a model without one."""
        return self.lm.think_tags[1] or ""

    def open_thinking(self) -> str:
        """The task's prompt, ending inside the model's thinking."""
        start = self.lm.think_tags[0] or ""
        is_open = self.prompt.rstrip().endswith(start)
        return self.prompt if is_open else f"{self.prompt}{start}\n"

    def thinking_room(self, opened: str) -> int:
        """Most tokens of thinking after which the end tag and the task's longest answer still fit the context."""
        end = self.lm.tok_encode(f"\n{self.think_end}\n\n", False)
        answer = self.lm.sampling(self.gen_kwargs).max_gen_toks
        room = self.lm.max_model_len - len(self.lm.tok_encode(opened)) - len(end)
        return max(room - min(answer, room // 2), 0)

    def close_thinking(self, opened: str, thought: Turn, limit: int) -> tuple[list[int], int]:
        """The prompt, as token ids, that forces the answer after `limit` tokens of thinking, and the number of these.

        Args:
            opened: the prompt that the thinking continued.
            thought: the thinking, generated with `is_raw` and the end tag as a stop string.
            limit: tokens of it to keep; thinking that ended before is kept whole.
        """
        assert thought.generation is not None
        token_ids = thought.generation.token_ids
        has_ended = thought.generation.finish_reason == "stop" and len(token_ids) <= limit
        kept = self.lm.tok_encode(thought.text.rstrip(), False) if has_ended else token_ids[:limit]
        end = self.lm.tok_encode(f"\n{self.think_end}\n\n", False)
        return [*self.lm.tok_encode(opened), *kept, *end], min(limit, len(token_ids))

    def attempt(
        self, arm: str, step: int, turn: Turn, num_tokens: int, p_yes: float | None = None
    ) -> None:
        """Have an answer scored for the curve; one turn may count for several arms."""
        self.attempts.append(Tried(arm, step, turn, num_tokens, p_yes))

    def _sample(
        self, prompt: str | Sequence[int] | None, arm: str, step: int, purpose: str, repeat: int
    ) -> tuple[object, ...]:
        """The values from which the seed of a draw follows."""
        task, doc_id, _, run_seed = self.where
        sample = (self.lm.sampling_seed, run_seed, task, doc_id, repeat)
        # The task's own prompt has the same draws as with strategy=single, in every strategy.
        return (*sample, *(() if prompt is None else (arm, step, purpose)))

    def _failed(self, response: Response) -> TurnError:
        assert isinstance(response, Failure)
        return TurnError(response)


async def together(*turns: Coroutine[Any, Any, Answer]) -> list[Answer]:
    """Run turns that don't wait for each other; if one fails, the others end too and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(stepwise(turn, TurnError)) for turn in turns]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


Solve = Callable[[Dialogue], Awaitable[str]]
"""A conversation that returns the sample's answer."""
