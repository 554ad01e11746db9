"""Requests that fit the context, or what becomes of those that don't."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evalharness.config import Truncation
from evalharness.records import Failure, GenerateRequest, SamplingParams, ScoreRequest

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """What a request may take."""

    max_model_len: int
    """Tokens of prompt and answer together."""
    truncation: Truncation
    prefix_token_id: int
    """Stands for an empty prompt."""

    def fit_score(
        self, context: Tokens, continuations: tuple[Tokens, ...]
    ) -> ScoreRequest | Failure:
        """A context with its continuations; engines want room for one generated token more."""
        longest = max(map(len, continuations))
        over = len(context) + longest + 1 - self.max_model_len
        if over > 0 and self.truncation is Truncation.left and over < len(context):
            context, over = context[over:], 0
        if over > 0:
            return self._overflow(len(context) + longest)
        if not all(continuations):
            return Failure(kind="request", message="a continuation has no tokens of its own")
        return ScoreRequest(context_token_ids=context, continuations=continuations)

    def fit_generate(
        self, prompt: Tokens, sampling: SamplingParams, repeat: int
    ) -> GenerateRequest | Failure:
        """A prompt to continue.

        One that leaves room for a shorter answer still runs: the answer, cut short, is counted as truncated.
        """
        room = self.max_model_len - len(prompt)
        if room < 1 and self.truncation is Truncation.left:
            room = min(sampling.max_gen_toks, self.max_model_len // 2)
            prompt = prompt[-(self.max_model_len - room) :]
        if room < 1:
            return self._overflow(len(prompt))
        return GenerateRequest(
            prompt_token_ids=prompt or (self.prefix_token_id,),
            sampling=replace(sampling, max_gen_toks=min(room, sampling.max_gen_toks)),
            repeat=repeat if sampling.temperature > 0 else 0,
        )

    def _overflow(self, num_tokens: int) -> Failure:
        return Failure(
            kind="context_overflow",
            message=f"{num_tokens} tokens and room for 1 more exceed max_model_len {self.max_model_len}",
        )
