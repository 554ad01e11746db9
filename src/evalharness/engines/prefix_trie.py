"""All continuations of a context, every unique token once: the plan behind fast log-likelihoods.

The continuations of a context form a trie: a node is the tokens read so far, its children are the tokens that may
follow. `score_nodes` is for an engine that caches prefixes and answers one question: a prompt's last tokens, and any
tokens that may follow it.

Every parent of a leaf is asked once, for its own tokens and for the leaves below it, so a continuation's last token is
never computed. All questions of a context go out at once, in the order of the trie: the engine caches a prompt when it
schedules it, and the next finds it. Of a prompt's own tokens, those inside the cached prefix come back unknown; a sibling
knows them. Only tokens whose log-probability no request gave are asked again, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from evalharness.engines.requests import ContinuationScore

Tokens = tuple[int, ...]


class TokenScore(NamedTuple):
    """One token given all before it."""

    logprob: float
    is_greedy: bool | None
    """The most likely one at its place; None where the engine didn't say."""


class Answer(NamedTuple):
    """What an engine says of one prompt."""

    inside: Mapping[int, TokenScore]
    """Position -> score of the prompt's own token there, for those that are known."""
    after: Mapping[int, TokenScore]
    """Token -> score as the next one, for all that were asked; greedy or not is always known."""


Ask = Callable[[Tokens, int, Sequence[int], bool], Awaitable[Answer]]
"""(prompt, first position wanted inside, tokens wanted after it, may the cache be read)"""


class TrieScores(NamedTuple):
    """The answer, and how many prompts had to be sent again."""

    scores: tuple[ContinuationScore, ...]
    num_resent: int


MOST_GAPS = 4
"""A continuation with more unknown tokens than this is computed again without the cache: each gap costs a prompt."""


async def score_nodes(
    context: Tokens, continuations: Sequence[Tokens], ask: Ask, *, primes: bool
) -> TrieScores:
    """Score all continuations of one context.

    Args:
        context: at least one token.
        continuations: at least one token each; duplicates and prefixes of one another are asked once.
        ask: see `Ask`.
        primes: the context is asked by itself, and first: for one that isn't in the cache and is long enough that
            log-probabilities of its own tokens, which come with a longer prompt, would cost more than a prompt.
    """
    known: dict[Tokens, TokenScore] = {}

    async def learn(
        node: Tokens, token_ids: set[int], start: int, may_read_cache: bool = True
    ) -> None:
        answer = await ask(context + node, start, sorted(token_ids), may_read_cache)
        found = {node[: p - len(context) + 1]: score for p, score in answer.inside.items()}
        found |= {(*node, token): score for token, score in answer.after.items()}
        known.update((k, s) for k, s in found.items() if s.is_greedy is not None or k not in known)

    leaves = unique_leaves(continuations)
    nodes = _parents(leaves)
    if primes or () in nodes:
        nodes = {**nodes, (): {leaf[0] for leaf in leaves}}
    first = len(context) + (() in nodes)
    # The context first, then neighbours after one another: each finds in the cache what it shares with the one before,
    # and asks for its own tokens from there on.
    order = sorted(nodes)
    await asyncio.gather(
        *(
            learn(node, nodes[node], max(first, len(context) + _num_shared(before, node)))
            for before, node in zip([(), *order], order, strict=False)
        )
    )

    again, whole = _gaps(leaves, known)
    await asyncio.gather(
        *(learn(node, again[node], len(context + node)) for node in again),
        *(learn(leaf[:-1], {leaf[-1]}, len(context), False) for leaf in whole),
    )

    async def decide(continuation: Tokens) -> None:
        while (node := _undecided(continuation, known)) is not None:
            await learn(node, {continuation[len(node)]}, len(context + node))

    await asyncio.gather(*map(decide, dict.fromkeys(continuations)))
    scores = tuple(known_score(c, known) for c in continuations)
    return TrieScores(scores, len(again) + len(whole))


def unique_leaves(continuations: Sequence[Tokens]) -> list[Tokens]:
    """Unique continuations that are no prefix of another."""
    unique = sorted(set(continuations))
    return [
        tokens
        for tokens, following in zip(unique, [*unique[1:], ()], strict=True)
        if following[: len(tokens)] != tokens
    ]


def _num_shared(a: Tokens, b: Tokens) -> int:
    pairs = enumerate(zip(a, b, strict=False))
    return next((n for n, (x, y) in pairs if x != y), min(len(a), len(b)))


def _parents(leaves: Sequence[Tokens]) -> dict[Tokens, set[int]]:
    """Node -> the leaves right below it."""
    nodes: dict[Tokens, set[int]] = {}
    for leaf in leaves:
        nodes.setdefault(leaf[:-1], set()).add(leaf[-1])
    return nodes


def _gaps(
    leaves: Sequence[Tokens], known: Mapping[Tokens, TokenScore]
) -> tuple[dict[Tokens, set[int]], list[Tokens]]:
    """(node -> tokens to ask after it again, leaves to compute again without the cache)."""
    again: dict[Tokens, set[int]] = {}
    whole = []
    for leaf in leaves:
        gaps = [leaf[:i] for i in range(len(leaf)) if leaf[: i + 1] not in known]
        if len(gaps) > MOST_GAPS:
            whole.append(leaf)
            continue
        for node in gaps:
            again.setdefault(node, set()).add(leaf[len(node)])
    return again, whole


def _undecided(continuation: Tokens, known: Mapping[Tokens, TokenScore]) -> Tokens | None:
    """The node after which it isn't known whether the continuation's token is the greedy one, if that matters."""
    flags = [known[continuation[: i + 1]].is_greedy for i in range(len(continuation))]
    if False in flags or None not in flags:
        return None
    return continuation[: flags.index(None)]


def known_score(continuation: Tokens, known: Mapping[Tokens, TokenScore]) -> ContinuationScore:
    """The continuation's score.

    Args:
        continuation: its tokens.
        known: each of its beginnings -> the score of the last token there.
    """
    return total(known[continuation[: i + 1]] for i in range(len(continuation)))


def total(scores: Iterable[TokenScore]) -> ContinuationScore:
    """The score of all tokens of a continuation together."""
    found = list(scores)
    return ContinuationScore(
        logprob=sum(s.logprob for s in found),
        is_greedy=all(s.is_greedy for s in found),
        num_tokens=len(found),
    )
