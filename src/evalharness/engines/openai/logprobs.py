"""Log-probabilities from a completion's choice, in three formats of servers, all of them checked.

    ranked  vLLM's `prompt_logprobs`: for every prompt token its id, log-probability and rank
    echoed  OpenAI's `echo` with `logprobs=1`: the prompt's tokens as strings, each with the most likely beside it
    next    vLLM's `logprob_token_ids`: log-probabilities of given token ids as the generated token

Each field is what it should be by itself (`schema`). What isn't there, or isn't about the tokens that were asked
for, or contradicts itself, raises: a wrong score is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.engines.base import RequestError
from evalharness.engines.openai.schema import Choice
from evalharness.engines.prefix_trie import TokenScore
from evalharness.engines.soundness import MAX_ROUNDING

RANKED: Mapping[str, Any] = {"prompt_logprobs": 0}
ECHOED: Mapping[str, Any] = {"echo": True, "logprobs": 1}


def asks_next(token_ids: Sequence[int]) -> dict[str, Any]:
    """The request fields for the log-probabilities of these tokens as the next one."""
    return {
        "logprobs": 0,
        "logprob_token_ids": list(token_ids),
        "return_tokens_as_token_ids": True,
        "return_token_ids": True,
    }


def ranked_scores(choice: Choice, tokens: Sequence[int], start: int) -> dict[int, TokenScore]:
    """Position -> score of the prompt's tokens from `start` on (at least 1).

    Raises:
        RequestError: one is missing.
    """
    entries = choice.get("prompt_logprobs")
    if entries is None or len(entries) != len(tokens):
        raise RequestError("the server sent no log-probability for each of the prompt's tokens")
    found = {}
    for position in range(start, len(tokens)):
        own = (entries[position] or {}).get(str(tokens[position]))
        rank = own.get("rank") if own else None
        if own is None or rank is None:
            raise RequestError(f"the server sent no log-probability for prompt token {position}")
        found[position] = TokenScore(own["logprob"], rank == 1)
    return found


def echoed_scores(choice: Choice, tokens: Sequence[int], start: int) -> dict[int, TokenScore]:
    """Position -> score of the prompt's tokens from `start` on (at least 1).

    The strings of the tokens aren't compared, as different tokens can have the same one; they are aligned because the
    server read as many tokens as the prompt has.

    Raises:
        RequestError: one is missing, or their number isn't the prompt's (and perhaps the generated one's).
    """
    logprobs = choice.get("logprobs") or {}
    own, top = logprobs.get("token_logprobs"), logprobs.get("top_logprobs")
    if own is None or top is None or len(own) != len(top):
        raise RequestError("the server echoed no log-probabilities")
    if len(own) - len(tokens) not in (0, 1):
        raise RequestError(
            f"the server echoed {len(own)} log-probabilities for a prompt of {len(tokens)} tokens"
        )
    found = {}
    for position in range(start, len(tokens)):
        logprob, best = own[position], top[position]
        if logprob is None or not best:
            raise RequestError(f"the server sent no log-probability for prompt token {position}")
        most = max(best.values())
        if logprob > most + MAX_ROUNDING:
            raise RequestError(
                f"the server sent prompt token {position} as more likely ({logprob:g}) than the most likely one ({most:g})"
            )
        found[position] = TokenScore(logprob, logprob >= most)
    return found


def next_scores(choice: Choice, wanted: Sequence[int]) -> dict[int, TokenScore]:
    """Token id -> score as the token after the prompt.

    Raises:
        RequestError: one is missing.
    """
    top = (choice.get("logprobs") or {}).get("top_logprobs")
    known, generated = top[0] if top else None, choice.get("token_ids")
    if known is None:
        raise RequestError("the server sent no log-probabilities of the next token")
    if not generated:
        raise RequestError("the server didn't say which token is the most likely")
    missing = [token for token in wanted if f"token_id:{token}" not in known]
    if missing:
        raise RequestError(f"the server sent no log-probability of token {missing[0]} as the next")
    return {
        token: TokenScore(known[f"token_id:{token}"], token == generated[0]) for token in wanted
    }
