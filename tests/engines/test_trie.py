"""Every token once, and always the value that scoring each continuation alone would give."""

import asyncio
import math
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from evalharness.engines.trie import Tokens, TokenScore, score_trie


def truth(tokens: Tokens) -> TokenScore:
    """Any function of a token and all before it."""
    value = hash(tokens) % 1000
    return TokenScore(-value / 100, value < 300)


class CachingModel:
    """Answers probes and tails as an engine with a prefix cache of `block` tokens does."""

    def __init__(self, block: int, cached: Sequence[Tokens] = ()) -> None:
        self.block = block
        self.cached = set(cached)
        self.num_probes = 0
        self.tails: list[Tokens] = []

    async def probe(self, context: Tokens, token_ids: Sequence[int]) -> Mapping[int, TokenScore]:
        self.num_probes += 1
        self._remember(context)
        return {t: truth((*context, t)) for t in token_ids}

    async def tail(
        self, tokens: Tokens, start: int, may_read_cache: bool
    ) -> Mapping[int, TokenScore]:
        self.tails.append(tokens)
        hit = self._num_cached(tokens) if may_read_cache else 0
        self._remember(tokens)
        return {p: truth(tokens[: p + 1]) for p in range(max(start, hit + 1), len(tokens))}

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
    min_probe=st.sampled_from([0, 4, 100]),
    is_warm=st.booleans(),
)
def test_scores_equal_those_of_each_continuation_alone(
    context: Tokens, continuations: list[Tokens], block: int, min_probe: int, is_warm: bool
) -> None:
    model = CachingModel(block)
    if is_warm:  # an earlier request left everything in the cache: the worst case
        for c in continuations:
            model._remember(context + c)
    result = asyncio.run(
        score_trie(context, continuations, model.probe, model.tail, min_probe=min_probe)
    )
    for continuation, score in zip(continuations, result.scores, strict=True):
        logprob, is_greedy = expected(context, continuation)
        assert math.isclose(score.logprob, logprob, abs_tol=1e-9)
        assert score.is_greedy == is_greedy
        assert score.num_tokens == len(continuation)


def score(model: CachingModel, context: Tokens, *continuations: Tokens) -> int:
    return asyncio.run(
        score_trie(context, continuations, model.probe, model.tail, min_probe=4)
    ).num_resent


def test_one_token_choices_are_one_request() -> None:
    model = CachingModel(2)
    score(model, (1, 2, 3), (4,), (5,), (6,))
    assert (model.num_probes, model.tails) == (1, [])


def test_duplicates_and_prefixes_are_asked_once() -> None:
    model = CachingModel(4)
    score(model, (1, 2, 3, 4), (7, 8), (7, 8), (7,), (9,))
    assert (model.num_probes, model.tails) == (1, [(1, 2, 3, 4, 7, 8)])


def test_a_short_context_is_not_probed_when_tails_are_needed() -> None:
    model = CachingModel(4)
    score(model, (1, 2), (7, 8), (9, 8))
    assert (model.num_probes, len(model.tails)) == (0, 2)


def test_what_a_cached_prefix_hides_a_sibling_knows() -> None:
    model = CachingModel(2)
    # The second tail finds (1 2 3 4 7 8) in the cache and learns nothing of 7, 8 and 1; the first has computed them.
    assert score(model, (1, 2, 3, 4), (7, 8, 1, 1), (7, 8, 1, 2)) == 0


def test_what_nobody_knows_is_sent_again_and_counted() -> None:
    model = CachingModel(2)
    model._remember((1, 2, 3, 4, 7, 8, 1, 1))
    assert score(model, (1, 2, 3, 4), (7, 8, 1, 1)) == 1
