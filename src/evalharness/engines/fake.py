"""An engine without weights: answers are a function of the request's hash, so every test can predict them."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence

from evalharness.engines.base import EngineInfo, RequestError
from evalharness.errors import EngineError
from evalharness.records import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)


def _fraction(*parts: object) -> float:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class FakeEngine:
    """Deterministic, for tests and for measuring everything that isn't the engine."""

    def __init__(
        self,
        *,
        max_model_len: int = 4096,
        seed: int = 0,
        latency_s: float = 0.0,
        fail_share: float = 0.0,
        die_after: int | None = None,
    ) -> None:
        """Set how it behaves.

        Args:
            max_model_len: tokens of prompt and answer together.
            seed: another seed, other answers.
            latency_s: seconds each request takes.
            fail_share: share of requests that raise RequestError (by hash: always the same ones).
            die_after: requests served before every further one raises EngineError.
        """
        self.info = EngineInfo(
            kind="fake",
            version="1",
            device="none",
            dtype="none",
            quantization=None,
            max_model_len=max_model_len,
        )
        self.num_requests = 0
        self.is_closed = False
        self._seed, self._latency_s = seed, latency_s
        self._fail_share, self._die_after = fail_share, die_after

    async def generate(self, request: GenerateRequest) -> Generation:
        """Digits that follow from the prompt, ended by the first stop string or the limit."""
        await self._serve(request.prompt_token_ids)
        sampling = request.sampling
        fraction = _fraction(self._seed, request.prompt_token_ids, request.repeat, sampling.seed)
        text = f" The answer is {int(fraction * 100)}."
        is_short = sampling.max_gen_toks < len(text.split())
        return Generation(
            text=text,
            token_ids=tuple(range(min(len(text.split()), sampling.max_gen_toks))),
            finish_reason="length" if is_short else "stop",
            cumulative_logprob=math.log(fraction or 0.5),
            num_prompt_tokens=len(request.prompt_token_ids),
            latency_s=self._latency_s,
        )

    async def score(self, request: ScoreRequest) -> Scores:
        """Log-probabilities between -10 and 0 per token."""
        await self._serve(request.context_token_ids)
        return Scores(
            continuations=tuple(
                self._continuation(request.context_token_ids, tokens)
                for tokens in request.continuations
            ),
            num_prompt_tokens=len(request.context_token_ids) + sum(map(len, request.continuations)),
            latency_s=self._latency_s,
        )

    async def close(self) -> None:
        """Nothing to give back."""
        self.is_closed = True

    async def _serve(self, token_ids: Sequence[int]) -> None:
        self.num_requests += 1
        if self._die_after is not None and self.num_requests > self._die_after:
            raise EngineError("the fake engine died, as it was told to")
        await asyncio.sleep(self._latency_s)
        if self._fail_share and _fraction("fail", tuple(token_ids)) < self._fail_share:
            raise RequestError("the fake engine failed this request, as it was told to")

    def _continuation(self, context: Sequence[int], tokens: Sequence[int]) -> ContinuationScore:
        fractions = [
            _fraction(self._seed, tuple(context), tuple(tokens[: i + 1]))
            for i in range(len(tokens))
        ]
        return ContinuationScore(
            logprob=sum(-10.0 * f for f in fractions),
            is_greedy=all(f < 0.1 for f in fractions),
            num_tokens=len(tokens),
        )
