"""Requests that fit the context, and what happens to those that don't."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from evalharness.config.schema import Truncation
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
)
from evalharness.tasks.encoding import Encoder
from evalharness.tasks.pieces import Tokens

RequestT = TypeVar("RequestT")


class Fit(NamedTuple, Generic[RequestT]):
    """A request that fits."""

    request: RequestT | Failure
    is_cut: bool = False
    """Whether the prompt's oldest tokens were dropped; a common prefix, such as a BOS, is kept."""


@dataclass(frozen=True, slots=True)
class Room:
    """Limits of a request."""

    max_model_len: int
    """Tokens of prompt and answer together."""
    truncation: Truncation
    encoder: Encoder
    min_room: int
    """Tokens that a scored prompt must leave free, for engines that generate one to score it."""

    @property
    def max_score_len(self) -> int:
        """Tokens of a context and its longest continuation; the last of them is never read by the model."""
        return self.max_model_len + 1 - self.min_room

    def fit_score(self, context: Tokens, continuations: tuple[Tokens, ...]) -> Fit[ScoreRequest]:
        """A context with its continuations."""
        if not all(continuations):
            return Fit(Failure(kind="request", message="a continuation has no tokens of its own"))
        longest = max(map(len, continuations))
        over = len(context) + longest - self.max_score_len
        if over <= 0:
            return Fit(ScoreRequest(context_token_ids=context, continuations=continuations))
        head = self.encoder.num_head(context)
        if self.truncation is Truncation.left and len(context) - over >= max(head, 1):
            cut = context[:head] + context[head + over :]
            return Fit(ScoreRequest(context_token_ids=cut, continuations=continuations), True)
        num = len(context) + longest
        message = f"context and choice have {num} tokens, max_model_len {self.max_model_len} leaves room for {self.max_score_len}"
        return Fit(Failure(kind="context_overflow", message=message))

    def fit_generate(
        self, prompt: Tokens, sampling: SamplingParams, repeat: int
    ) -> Fit[GenerateRequest]:
        """A prompt to continue.

        A prompt that leaves room only for a shorter answer still runs; the answer is then counted as truncated.
        """
        num, room = len(prompt), self.max_model_len - len(prompt)
        is_cut = room < 1 and self.truncation is Truncation.left
        if is_cut:
            room = min(sampling.max_gen_toks, self.max_model_len // 2)
            head = min(self.encoder.num_head(prompt), self.max_model_len - room)
            prompt = prompt[:head] + prompt[num - (self.max_model_len - room - head) :]
        if room < 1:
            message = f"{num} tokens and room for 1 more exceed max_model_len {self.max_model_len}"
            return Fit(Failure(kind="context_overflow", message=message))
        if not prompt:
            try:
                prompt = (self.encoder.require_prefix(),)
            except ValueError as e:
                return Fit(Failure(kind="prompt", message=str(e)))
        request = GenerateRequest(
            prompt_token_ids=prompt,
            sampling=replace(
                sampling,
                max_gen_toks=min(room, sampling.max_gen_toks),
                min_tokens=min(room, sampling.min_tokens),
            ),
            repeat=repeat if sampling.temperature > 0 else 0,
        )
        return Fit(request, is_cut)
