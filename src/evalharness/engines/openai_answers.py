"""Log-probabilities out of a completion's choice: three ways in which servers tell them, all checked, none trusted.

    ranked  vLLM's `prompt_logprobs`: for every prompt token its id, log-probability and rank
    echoed  OpenAI's `echo` with `logprobs=1`: the prompt's tokens as strings, each with the likeliest beside it
    next    vLLM's `logprob_token_ids`: of given token ids, as the one token that is generated

What isn't there, or isn't about the tokens that were asked for, raises: a wrong score is worse than none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.engines.base import RequestError
from evalharness.engines.trie import TokenScore

RANKED: Mapping[str, Any] = {"prompt_logprobs": 0}
ECHOED: Mapping[str, Any] = {"echo": True, "logprobs": 1}


def asks_next(token_ids: Sequence[int]) -> dict[str, Any]:
    """The fields that ask for the log-probabilities of these tokens as the next one."""
    return {
        "logprobs": 0,
        "logprob_token_ids": list(token_ids),
        "return_tokens_as_token_ids": True,
        "return_token_ids": True,
    }


def ranked_scores(
    choice: Mapping[str, Any], tokens: Sequence[int], start: int
) -> dict[int, TokenScore]:
    """Position -> score of the prompt's tokens from `start` on (at least 1).

    Raises:
        RequestError: one isn't there.
    """
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(tokens):
        raise RequestError("the server sent no log-probability for each of the prompt's tokens")
    found = {}
    for position in range(start, len(tokens)):
        entry = entries[position] or {}
        own = entry.get(str(tokens[position])) if isinstance(entry, dict) else None
        if not isinstance(own, dict) or not isinstance(own.get("rank"), int):
            raise RequestError(f"the server sent no log-probability for prompt token {position}")
        found[position] = TokenScore(_logprob(own.get("logprob")), own["rank"] == 1)
    return found


def echoed_scores(
    choice: Mapping[str, Any], tokens: Sequence[int], start: int
) -> dict[int, TokenScore]:
    """Position -> score of the prompt's tokens from `start` on (at least 1).

    The strings of the tokens aren't compared, as different tokens can have the same one; that the server read as many
    tokens as the prompt has is what aligns them.

    Raises:
        RequestError: one isn't there, or their number isn't the prompt's (and perhaps the generated one's).
    """
    logprobs = choice.get("logprobs")
    logprobs = logprobs if isinstance(logprobs, dict) else {}
    own, top = logprobs.get("token_logprobs"), logprobs.get("top_logprobs")
    if not isinstance(own, list) or not isinstance(top, list) or len(own) != len(top):
        raise RequestError("the server echoed no log-probabilities")
    if len(own) - len(tokens) not in (0, 1):
        raise RequestError(
            f"the server echoed {len(own)} log-probabilities for a prompt of {len(tokens)} tokens"
        )
    found = {}
    for position in range(start, len(tokens)):
        likeliest = top[position]
        if not isinstance(likeliest, dict) or not likeliest:
            raise RequestError(f"the server sent no likeliest token for prompt token {position}")
        logprob = _logprob(own[position])
        found[position] = TokenScore(logprob, logprob >= max(map(_logprob, likeliest.values())))
    return found


def next_scores(choice: Mapping[str, Any], wanted: Sequence[int]) -> dict[int, TokenScore]:
    """Token id -> score as the token after the prompt.

    Raises:
        RequestError: one isn't there.
    """
    logprobs, generated = choice.get("logprobs"), choice.get("token_ids")
    top = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
    if not (isinstance(top, list) and top and isinstance(top[0], dict)):
        raise RequestError("the server sent no log-probabilities of the next token")
    if not isinstance(generated, list) or not generated:
        raise RequestError("the server didn't say which token is the likeliest")
    known = top[0]
    return {
        token: TokenScore(_logprob(known.get(f"token_id:{token}")), token == generated[0])
        for token in wanted
    }


def _logprob(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise RequestError(f"the server sent {value!r} for a log-probability")
    return float(value)
