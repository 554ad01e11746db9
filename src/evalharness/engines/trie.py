"""All continuations of a context, every unique token once: the plan behind fast log-likelihoods.

Two questions an engine can answer cheaply when it caches prefixes:

- *probe*: the log-probabilities of given first tokens after a context, which also puts the context into the cache;
- *tail*: the log-probabilities of a prompt's last tokens, of which those inside the cached prefix come back unknown.

The continuations of a context form a trie. The probe answers its first level, the tail of each leaf the rest; what a
tail doesn't know (the cache reached into the continuation) a sibling does. Only what nobody knows is asked again
without the cache, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from evalharness.records import ContinuationScore

Tokens = tuple[int, ...]


class TokenScore(NamedTuple):
    """One token given all before it."""

    logprob: float
    is_greedy: bool


Probe = Callable[[Tokens, Sequence[int]], Awaitable[Mapping[int, TokenScore]]]
"""(context, token ids) -> score of each as the next token."""
Tail = Callable[[Tokens, int, bool], Awaitable[Mapping[int, TokenScore]]]
"""(prompt, first position wanted, may the cache be read) -> position -> score, for the positions that are known."""


class TrieScores(NamedTuple):
    """The answer, and how many prompts had to be sent again."""

    scores: tuple[ContinuationScore, ...]
    num_resent: int


async def score_trie(
    context: Tokens, continuations: Sequence[Tokens], probe: Probe, tail: Tail, *, min_probe: int
) -> TrieScores:
    """Score all continuations of one context.

    Args:
        context: at least one token.
        continuations: at least one token each; duplicates and prefixes of one another are asked once.
        probe: see `Probe`.
        tail: see `Tail`.
        min_probe: contexts shorter than this are not probed when a tail has to be asked anyway: computing so little
            again costs less than another request.
    """
    leaves = _leaves(continuations)
    known: dict[Tokens, TokenScore] = {}
    has_long = any(len(leaf) > 1 for leaf in leaves)
    if not has_long or len(context) >= min_probe:
        first = sorted({leaf[0] for leaf in leaves})
        known |= {(token,): score for token, score in (await probe(context, first)).items()}

    async def ask(leaf: Tokens, may_read_cache: bool) -> None:
        scores = await tail(context + leaf, len(context), may_read_cache)
        for position, score in scores.items():
            known[leaf[: position - len(context) + 1]] = score

    def unknown(leaf: Tokens) -> bool:
        return any(leaf[: i + 1] not in known for i in range(len(leaf)))

    await asyncio.gather(*(ask(leaf, True) for leaf in leaves if unknown(leaf)))
    again = [leaf for leaf in leaves if unknown(leaf)]
    await asyncio.gather(*(ask(leaf, False) for leaf in again))
    return TrieScores(tuple(_score(c, known) for c in continuations), len(again))


def _leaves(continuations: Sequence[Tokens]) -> list[Tokens]:
    """Unique continuations that are no prefix of another."""
    unique = sorted(set(continuations))
    return [
        tokens
        for tokens, following in zip(unique, [*unique[1:], ()], strict=True)
        if following[: len(tokens)] != tokens
    ]


def _score(continuation: Tokens, known: Mapping[Tokens, TokenScore]) -> ContinuationScore:
    scores = [known[continuation[: i + 1]] for i in range(len(continuation))]
    return ContinuationScore(
        logprob=sum(s.logprob for s in scores),
        is_greedy=all(s.is_greedy for s in scores),
        num_tokens=len(continuation),
    )
