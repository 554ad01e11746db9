"""Requests to an engine and its responses: frozen records.

A *request* is token ids, never text; a response is a *generation* or a set of *log-likelihoods* of continuations.
"""

from __future__ import annotations

import hashlib
import operator
from array import array
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How tokens are drawn. `temperature=0` is greedy; the other fields are vLLM's."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps all tokens."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    """None if greedy."""
    max_gen_toks: int = 256
    min_tokens: int = 0
    """Tokens generated before the model may end its answer."""
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    """Tokens that end the answer like the model's own end tokens; none of them is part of its text."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token id, addend to its logit), by token id."""
    ignore_eos: bool = False
    """Continue after the model's own end tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """One prompt to continue."""

    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams
    repeat: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """One context with all its continuations, whose log-probabilities are computed."""

    context_token_ids: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]


Request = GenerateRequest | ScoreRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What the engine wrote for a `GenerateRequest`."""

    text: str
    """The answer, without the thinking part and without BOS, EOS and padding. An engine returns everything before an
    end token or stop string, including special tokens."""
    thinking: str | None = None
    """Text between the model's thinking tags; None if the model has none."""
    token_ids: tuple[int, ...] = ()
    finish_reason: str = "stop"
    """stop | length | unclosed (the thinking never ended) | budget (cut on purpose)"""
    cumulative_logprob: float | None = None
    """None if the engine doesn't say; vLLM would compute a softmax over the vocabulary for every token."""
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    latency_s: float = 0.0
    is_reused: bool = False
    """Whether it was read from a journal, not computed by this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuationScore:
    """Log-probability of one continuation given its context."""

    logprob: float
    """Natural log, summed over the continuation's tokens."""
    is_greedy: bool
    """Whether every token was the most likely one at its position."""
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The engine's answer to a `ScoreRequest`: one log-likelihood per continuation, in order."""

    continuations: tuple[ContinuationScore, ...]
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    latency_s: float = 0.0
    is_reused: bool = False
    """Whether it was read from a journal, not computed by this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request without an answer. Recorded, counted and shown; never scored."""

    kind: str
    """prompt | context_overflow | request | task | scoring"""
    message: str


Response = Generation | Scores | Failure


TEXT_VERSION = "special tokens kept"
"""Version of how engines make a generation's text from its tokens; texts of other versions are never reused."""


def request_key(request: Request, identity: str) -> str:
    """sha256 over the request and `identity` (the checkpoint's fingerprint and the numerics that change outputs).

    Two requests with the same key have the same answer (greedy) or are the same draw (sampled), regardless of task, run
    or order.
    """
    if isinstance(request, GenerateRequest):
        parts = [request.prompt_token_ids]
        rest = repr(
            (identity, "generate", TEXT_VERSION, changed_settings(request.sampling), request.repeat)
        )
    else:
        parts = [request.context_token_ids, *request.continuations]
        rest = repr((identity, "score", [len(part) for part in parts]))
    digest = hashlib.sha256(rest.encode())
    for part in parts:
        digest.update(array("q", part).tobytes())
    return digest.hexdigest()


def changed_settings(sampling: SamplingParams) -> list[tuple[str, object]]:
    """The settings that aren't neutral, so that a setting of a later version doesn't change the keys of other requests."""
    values = zip(SamplingParams.__slots__, _settings(sampling), _NEUTRAL, strict=True)
    return [(name, value) for name, value, neutral in values if value != neutral]


_settings = operator.attrgetter(*SamplingParams.__slots__)
_NEUTRAL = _settings(SamplingParams())
