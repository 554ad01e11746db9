"""An engine without weights: answers are a function of the request's hash, so every test can predict them."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Sequence

from evalharness.config.schema import EngineConfig
from evalharness.engines.base import EngineInfo, RequestError
from evalharness.engines.detokenizer import cut_at_stop
from evalharness.engines.requests import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    Request,
    ScoreRequest,
    Scores,
    request_key,
)
from evalharness.errors import ConfigError, EngineError


def _fraction(*parts: object) -> float:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class FakeEngine:
    """A deterministic engine, for tests and for measuring everything but the engine."""

    def __init__(
        self,
        *,
        max_model_len: int = 4096,
        seed: int = 0,
        latency_s: float = 0.0,
        fail_share: float = 0.0,
        die_after: int | None = None,
        served: str | None = None,
    ) -> None:
        """Set its behaviour.

        Args:
            max_model_len: tokens of prompt and answer together.
            seed: another seed, other answers.
            latency_s: seconds each request takes.
            fail_share: share of requests that raise RequestError (by hash, so always the same ones).
            die_after: requests served before every further one raises EngineError.
            served: a file that gets a line for every answered request, immediately, so that requests answered before
            the process was killed can be counted: `<time.time()> <its continuations> <its request_key>`.
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
        self._served = open(served, "ab", buffering=0) if served else None  # noqa: SIM115

    @classmethod
    async def load(
        cls, config: EngineConfig, _weights: object = None, _ray: object = None
    ) -> FakeEngine:
        """Make one from `engine.extra`.

        Raises:
            ConfigError: an argument is unknown.
        """
        try:
            return cls(max_model_len=config.max_model_len or 4096, seed=config.seed, **config.extra)
        except TypeError as e:
            raise ConfigError(f"engine.extra: {e}") from e

    async def generate(self, request: GenerateRequest) -> Generation:
        """Digits derived from the prompt, ended by the first stop string or the limit."""
        await self._serve(request, request.prompt_token_ids)
        sampling = request.sampling
        fraction = _fraction(self._seed, request.prompt_token_ids, request.repeat, sampling.seed)
        said = f" The answer is {int(fraction * 100)}."
        text, is_stopped = cut_at_stop(said, sampling.stop)
        is_short = sampling.max_gen_toks < len(said.split())
        return Generation(
            text=text,
            token_ids=tuple(range(min(len(said.split()), sampling.max_gen_toks))),
            finish_reason="length" if is_short and not is_stopped else "stop",
            cumulative_logprob=math.log(fraction or 0.5),
            num_prompt_tokens=len(request.prompt_token_ids),
            latency_s=self._latency_s,
        )

    async def score(self, request: ScoreRequest) -> Scores:
        """Log-probabilities between -10 and 0 per token."""
        await self._serve(request, request.context_token_ids)
        context = hashlib.sha256(repr((self._seed, request.context_token_ids)).encode())
        return Scores(
            continuations=tuple(_continuation(context, c) for c in request.continuations),
            num_prompt_tokens=len(request.context_token_ids) + sum(map(len, request.continuations)),
            latency_s=self._latency_s,
        )

    async def close(self) -> None:
        """Close the file, if any."""
        self.is_closed = True
        if self._served is not None:
            self._served.close()

    async def _serve(self, request: Request, token_ids: Sequence[int]) -> None:
        self.num_requests += 1
        if self._die_after is not None and self.num_requests > self._die_after:
            raise EngineError("the fake engine died, as configured")
        await asyncio.sleep(self._latency_s)
        if self._fail_share and _fraction("fail", tuple(token_ids)) < self._fail_share:
            raise RequestError("the fake engine failed this request, as configured")
        if self._served is not None:
            num_continuations = len(getattr(request, "continuations", ()))
            line = f"{time.time():.6f} {num_continuations} {request_key(request, '')}\n"
            self._served.write(line.encode())


def _continuation(context: hashlib._Hash, tokens: Sequence[int]) -> ContinuationScore:
    digest, fractions = context.copy(), []
    for token in tokens:
        digest.update(token.to_bytes(8, "big"))
        fractions.append(int.from_bytes(digest.digest()[:8], "big") / 2**64)
    return ContinuationScore(
        logprob=sum(-10.0 * f for f in fractions),
        is_greedy=all(f < 0.1 for f in fractions),
        num_tokens=len(tokens),
    )
