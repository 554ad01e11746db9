"""What every engine is: the protocol, what it says of itself, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)
from evalharness.errors import EvalHarnessError


class RequestError(EvalHarnessError):
    """One request failed; the engine lives. Recorded as a `Failure`, never scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What an engine loads."""

    path: Path
    adapter: Path | None = None
    is_text_only: bool = False
    """A multimodal checkpoint that gets no room for images."""
    trust_remote_code: bool = False
    allow_pickle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What an engine says of itself, for the manifest and the request keys."""

    kind: str
    version: str
    device: str
    """gpu | cpu | none"""
    dtype: str
    quantization: str | None
    max_model_len: int
    """Tokens of prompt and answer together."""
    min_room: int = 1
    """Tokens of the context that stay free when a prompt is scored, whose last token the model needn't read: 1 where the
    engine generates a token to score it, 2 where that token follows the whole prompt, 0 where none is generated."""
    num_replicas: int = 1
    """Equal engines that share the requests."""
    num_lost: int = 0
    """Those of them that died."""

    endpoint: str | None = None
    """Of a server that was there already: its URL, the name it gives the model, and what it says that stands for."""
    gives_logprobs: bool = True
    """Whether log-likelihoods of given continuations can be asked for."""
    keeps_special_tokens: bool = True
    """Whether special tokens are known to be in the texts; of a server that doesn't say what it generated, they aren't."""
    takes_extras: bool = True
    """Whether the settings that OpenAI's API hasn't can be asked for: top_k, min_p, repetition_penalty, min_tokens,
    stop_token_ids, ignore_eos."""

    @property
    def numerics(self) -> str:
        """What changes outputs besides the weights."""
        numerics = f"{self.kind}/{self.dtype}/{self.quantization}"
        return f"{numerics} {self.endpoint}" if self.endpoint else numerics


class Engine(Protocol):
    """Many coroutines call it at once; it decides the batching."""

    info: EngineInfo

    async def generate(self, request: GenerateRequest) -> Generation:
        """Continue one prompt.

        Raises:
            RequestError: this request failed.
            EngineError: the engine is dead.
        """
        ...

    async def score(self, request: ScoreRequest) -> Scores:
        """Log-probabilities of all continuations of one context. Raises as `generate` does."""
        ...

    async def close(self) -> None:
        """Give back memory and processes; safe to call twice."""
        ...
