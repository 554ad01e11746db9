"""The protocol of all engines: their interface, their description, and their errors."""

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
    """One request failed, the engine did not. Recorded as a `Failure`, never scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What an engine loads."""

    path: Path
    adapter: Path | None = None
    is_text_only: bool = False
    """Whether it is a multimodal checkpoint that is loaded without memory for images."""
    trust_remote_code: bool = False
    allow_pickle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Description of an engine, for the manifest and the request keys."""

    kind: str
    version: str
    device: str
    """gpu | cpu | none"""
    dtype: str
    quantization: str | None
    max_model_len: int
    """Tokens of prompt and answer together."""
    asked_len: int | None = None
    """The max_model_len that it was started with: -1 if vLLM chose the longest that fits, None if nothing was asked."""
    min_room: int = 1
    """Tokens of the context that must stay free when a prompt is scored, whose last token the model needn't read: 1 if
    the engine generates a token to score it, 2 if that token follows the whole prompt, 0 if none is generated."""
    num_replicas: int = 1
    """Equal engines that share the requests."""
    num_lost: int = 0
    """Engines among them that died."""
    mixture: str | None = None
    """GPU models and versions of vLLM among them, where they differ (`ray.allow_mixed`)."""

    endpoint: str | None = None
    """For a server: its URL, its name for the model, and the model that it says this is."""
    gives_logprobs: bool = True
    """Whether log-likelihoods of given continuations can be asked for."""
    keeps_special_tokens: bool = True
    """Whether special tokens are known to be in the texts; not known for a server that doesn't report its tokens."""
    takes_extras: bool = True
    """Whether settings beyond OpenAI's API are supported: top_k, min_p, repetition_penalty, min_tokens,
    stop_token_ids, ignore_eos."""

    @property
    def numerics(self) -> str:
        """What changes outputs besides the weights."""
        numerics = f"{self.kind}/{self.dtype}/{self.quantization}"
        return f"{numerics} {self.endpoint}" if self.endpoint else numerics


class Engine(Protocol):
    """An engine. Many coroutines call it at once; it decides the batching."""

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
        """Free memory and processes; safe to call twice."""
        ...
