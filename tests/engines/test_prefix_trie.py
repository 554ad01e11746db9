"""Every token once, and always the value that scoring each continuation alone would give."""

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.engines.prefix_trie import (
    Answer,
    Tokens,
    TokenScore,
    score_nodes,
)


def truth(tokens: Tokens) -> TokenScore:
    """Any function of a token and all before it."""
    value = hash(tokens) % 1000
    return TokenScore(-value / 100, value < 300)


class CachingModel:
    """Answers as an engine with a prefix cache of `block` tokens does.

    `by_token` is vLLM's newer model runner: no greedy flags inside a prompt, and nothing at all inside it when the
    cached prefix goes past the first position wanted.
    """

    def __init__(self, block: int, by_token: bool = False) -> None:
        self.block, self.by_token = block, by_token
        self.cached: set[Tokens] = set()
        self.asked: list[Tokens] = []
        self.questions: list[tuple[Tokens, int, list[int], bool]] = []
        self.num_computed = 0

    async def ask(
        self, prompt: Tokens, start: int, token_ids: Sequence[int], may_read_cache: bool
    ) -> Answer:
        self.asked.append(prompt)
        self.questions.append((prompt, start, [*token_ids], may_read_cache))
        hit = self._num_cached(prompt) if may_read_cache else 0
        self.num_computed += len(prompt) - hit
        self._remember(prompt)
        after = {t: truth((*prompt, t)) for t in token_ids}
        if self.by_token:
            wanted = range(start, len(prompt)) if hit < start else range(0)
            return Answer(
                {p: truth(prompt[: p + 1])._replace(is_greedy=None) for p in wanted}, after
            )
        known = range(max(start, hit + 1), len(prompt))
        return Answer({p: truth(prompt[: p + 1]) for p in known}, after)

    def _num_cached(self, tokens: Tokens) -> int:
        sizes = range(self.block, len(tokens), self.block)
        return max((n for n in sizes if tokens[:n] in self.cached), default=0)

    def _remember(self, tokens: Tokens) -> None:
        for size in range(self.block, len(tokens) + 1, self.block):
            self.cached.add(tokens[:size])


def expected(context: Tokens, continuation: Tokens) -> tuple[float, bool]:
    scores = [truth(context + continuation[: i + 1]) for i in range(len(continuation))]
    return sum(s.logprob for s in scores), all(s.is_greedy for s in scores)


TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple)


@given(
    context=TOKENS,
    continuations=st.lists(TOKENS, min_size=1, max_size=5),
    block=st.integers(1, 4),
    primes=st.booleans(),
    by_token=st.booleans(),
    is_warm=st.booleans(),
)
def test_nodes_score_as_each_continuation_alone(
    context: Tokens,
    continuations: list[Tokens],
    block: int,
    primes: bool,
    by_token: bool,
    is_warm: bool,
) -> None:
    model = CachingModel(block, by_token)
    if is_warm:
        for c in continuations:
            model._remember(context + c)
    result = asyncio.run(score_nodes(context, continuations, model.ask, primes=primes))
    for continuation, found in zip(continuations, result.scores, strict=True):
        logprob, is_greedy = expected(context, continuation)
        assert math.isclose(found.logprob, logprob, abs_tol=1e-9)
        assert found.is_greedy is is_greedy
        assert found.num_tokens == len(continuation)


def nodes(
    model: CachingModel, context: Tokens, *continuations: Tokens, primes: bool = False
) -> int:
    return asyncio.run(score_nodes(context, continuations, model.ask, primes=primes)).num_resent


def test_choices_of_one_token_are_one_question() -> None:
    model = CachingModel(2)
    nodes(model, (1, 2, 3), (4,), (5,), (6,))
    assert model.asked == [(1, 2, 3)]


def test_the_last_token_of_a_continuation_is_never_computed() -> None:
    model = CachingModel(8)
    nodes(model, (1, 2, 3), (4, 5), (6, 7, 8))
    assert model.asked == [(1, 2, 3, 4), (1, 2, 3, 6, 7)]


def test_leaves_below_one_node_are_one_question() -> None:
    model = CachingModel(8)
    nodes(model, (1, 2, 3), (4, 5), (4, 6), (4, 7))
    assert model.asked == [(1, 2, 3, 4)]


def test_a_primed_context_is_asked_first() -> None:
    model = CachingModel(8)
    nodes(model, (1, 2, 3), (4, 5), (6, 7), primes=True)
    assert model.asked[0] == (1, 2, 3)


def test_duplicates_and_prefixes_are_asked_once_at_nodes() -> None:
    model = CachingModel(4)
    nodes(model, (1, 2, 3, 4), (7, 8), (7, 8), (7,))
    assert model.asked == [(1, 2, 3, 4, 7)]


def test_a_branch_at_a_block_boundary_is_asked_again_from_the_cache() -> None:
    model = CachingModel(2)
    # Both share (1 2 7 8), which the second finds in the cache: it learns nothing of its next token, 6.
    assert nodes(model, (1, 2), (7, 8, 5, 1, 1), (7, 8, 6, 1, 1)) == 1
    assert model.asked[-1] == (1, 2, 7, 8)


def test_a_continuation_left_in_the_cache_is_computed_again() -> None:
    model = CachingModel(2)
    long = (7, 8, 1, 2, 3, 4, 5, 6, 7, 9)
    model._remember((1, 2, *long))
    assert nodes(model, (1, 2), long) == 1
    assert model.num_computed > len(long)
    assert model.questions[-1] == ((1, 2, *long[:-1]), 2, [9], False)


@pytest.mark.parametrize("by_token", [False, True])
def test_nothing_is_asked_again_in_a_cold_cache(by_token: bool) -> None:
    model = CachingModel(4, by_token)
    assert nodes(model, (1, 2, 3, 4, 5), (7, 8, 1), (9, 8, 1), primes=True) == 0


@pytest.mark.parametrize("by_token", [False, True])
def test_what_two_continuations_share_is_asked_of_the_first(by_token: bool) -> None:
    model = CachingModel(4, by_token)
    shared = (7, 8, 1, 2, 3, 4)  # past the end of the second block
    assert nodes(model, (1, 2, 3, 4, 5), (*shared, 5, 6), (*shared, 6, 7), primes=True) == 0
    assert len(model.asked) == 3


@pytest.mark.parametrize("num_gaps", [4, 5])
def test_up_to_four_gaps_are_asked_one_by_one(num_gaps: int) -> None:
    model = CachingModel(1)
    leaf = tuple(range(7, 8 + num_gaps))
    model._remember((1, *leaf))
    assert nodes(model, (1,), leaf) == (4 if num_gaps == 4 else 1)
    assert {may_read for *_, may_read in model.questions[1:]} == {num_gaps == 4}


@pytest.mark.parametrize("by_token", [False, True])
def test_the_first_tokens_are_asked_of_the_context_and_the_others_from_there_on(
    by_token: bool,
) -> None:
    model = CachingModel(4, by_token)
    assert nodes(model, (1, 2, 3, 4), (7, 8, 1), (7, 9, 1), (5,), primes=True) == 0
    assert model.questions[:3] == [
        ((1, 2, 3, 4), 5, [5, 7], True),
        ((1, 2, 3, 4, 7, 8), 5, [1], True),
        ((1, 2, 3, 4, 7, 9), 5, [1], True),
    ]
