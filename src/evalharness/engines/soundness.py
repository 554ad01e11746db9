"""Detects invalid responses: impossible log-likelihoods, and fields with the wrong type.

Damaged weights, a quantization that overflows or a faulty kernel give NaN for every log-likelihood, so that all choices
of every question tie and the scores look normal. Checked for responses of the engine and again for those of a journal,
which an earlier version may have written.
"""

from __future__ import annotations

import math

from evalharness.engines.base import RequestError
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
    Request,
    ScoreRequest,
    Scores,
)

MAX_ROUNDING = 1e-4
"""A log-probability may be this much above 0 for each token, in nats: float32 has steps of 6e-5 at logits of 1000, of
which a probability of 1 is the difference."""
_REASONS = ("stop", "length", "unclosed", "budget")
_WAY_OUT = "the weights or their quantization may be damaged (`evalharness model inspect --full`)"


class UnsoundResponseError(RequestError):
    """The engine's answer is invalid."""


def check_response(request: Request, response: Generation | Scores) -> None:
    """Refuse a response that is not a valid answer to its request.

    Raises:
        UnsoundResponseError: what is wrong with it.
    """
    problem = find_problem(request, response)
    if problem is not None:
        raise UnsoundResponseError(problem)


def find_problem(request: Request, response: Generation | Scores) -> str | None:
    """What is wrong with a response; None if it is valid."""
    if isinstance(request, GenerateRequest):
        if not isinstance(response, Generation):
            return f"the engine answered {type(response).__name__} to a prompt"
        problem = _of_generation(response)
    else:
        if not isinstance(response, Scores):
            return f"the engine answered {type(response).__name__} to continuations"
        problem = _of_scores(request, response)
    prompt, cached = response.num_prompt_tokens, response.num_cached_tokens
    if problem is None and not (_is_count(prompt) and _is_count(cached)):
        problem = f"the engine counts {prompt!r} prompt and {cached!r} cached tokens"
    return problem


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _of_generation(response: Generation) -> str | None:
    if not isinstance(response.text, str):
        return f"the engine's text is a {type(response.text).__name__}"
    if response.finish_reason not in _REASONS:
        return f"the engine gives the finish reason {response.finish_reason!r}"
    if not set(map(type, response.token_ids)) <= {int}:
        return "the engine gives tokens that are not whole numbers"
    if response.cumulative_logprob is None:
        return None
    return _of_logprob(response.cumulative_logprob, len(response.token_ids))


def _of_scores(request: ScoreRequest, response: Scores) -> str | None:
    if len(response.continuations) != len(request.continuations):
        num, wanted = len(response.continuations), len(request.continuations)
        return f"the engine gives {num} log-likelihoods for {wanted} continuations"
    for score in response.continuations:
        if type(score.is_greedy) is not bool:
            return f"the engine gives {score.is_greedy!r} for is_greedy"
        if type(score.num_tokens) is not int or score.num_tokens < 0:
            return f"the engine gives {score.num_tokens!r} for num_tokens"
        problem = _of_logprob(score.logprob, score.num_tokens)
        if problem is not None:
            return problem
    return None


def _of_logprob(logprob: float, num_tokens: int) -> str | None:
    if not isinstance(logprob, (float, int)) or isinstance(logprob, bool):
        return f"the log-likelihood is not a number ({logprob!r})"
    if not math.isfinite(logprob):
        return f"the log-likelihood isn't finite ({logprob:g}); {_WAY_OUT}"
    if logprob > MAX_ROUNDING * max(num_tokens, 1):
        return f"the log-likelihood is positive ({logprob:.6g}); {_WAY_OUT}"
    return None
