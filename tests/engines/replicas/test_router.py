"""Which replica gets a request, as properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.engines.replicas.router import (
    SLACK_SHARE,
    Router,
    block_hashes,
)

BLOCK, SLACK = 4, 3

prompts = st.one_of(
    st.lists(st.integers(0, 1), max_size=20).map(tuple),
    st.sampled_from([(0,) * 20, (0,) * 8 + (1,) * 12, (1,) * 4]),
)
"""Few different tokens and a few that come often, so that prefixes are shared."""
steps = st.lists(st.one_of(prompts, st.integers(0, 4)), max_size=60)
"""A prompt to take a replica for, or the number of the oldest, second oldest, ... request that comes back."""


def router(num_replicas: int = 3, max_blocks: int = 1000) -> Router:
    return Router(num_replicas, block_tokens=BLOCK, slack=SLACK, max_blocks=max_blocks)


def play(router: Router, steps: list[tuple[int, ...] | int]) -> list[int]:
    """Take and release in turn; the replicas still busy, one entry per request."""
    in_flight: list[int] = []
    for step in steps:
        if isinstance(step, tuple):
            in_flight.append(router.take(step))
        elif step < len(in_flight):
            router.release(in_flight.pop(step))
    return in_flight


@given(steps, prompts)
def test_a_prompt_never_waits_behind_more_than_the_slack(
    before: list[tuple[int, ...] | int], prompt: tuple[int, ...]
) -> None:
    replicas = router()
    play(replicas, before)
    idlest = min(replicas.num_busy(n) for n in replicas.alive)
    assert replicas.num_busy(replicas.take(prompt)) - 1 <= idlest * (1 + SLACK_SHARE) + SLACK


@given(steps, prompts)
def test_a_replica_with_the_whole_prompt_is_kept_while_it_has_slack(
    before: list[tuple[int, ...] | int], prompt: tuple[int, ...]
) -> None:
    replicas = router()
    play(replicas, before)
    first = replicas.take(prompt)
    replicas.release(first)
    second = replicas.take(prompt)
    blocks = block_hashes(prompt, BLOCK)
    assert replicas._replicas[second].num_known(blocks) == len(blocks)


@given(steps)
def test_busy_counts_are_the_requests_in_flight(steps: list[tuple[int, ...] | int]) -> None:
    replicas = router()
    in_flight = play(replicas, steps)
    assert [replicas.num_busy(n) for n in range(3)] == [in_flight.count(n) for n in range(3)]


@given(steps, steps, st.integers(0, 2))
def test_a_lost_replica_is_never_taken_again(
    before: list[tuple[int, ...] | int], after: list[tuple[int, ...] | int], lost: int
) -> None:
    replicas = router()
    for number in play(replicas, before):
        replicas.release(number)
    replicas.lose(lost)
    assert lost not in play(replicas, after)


@given(st.lists(prompts, max_size=100))
def test_memory_is_bounded(many: list[tuple[int, ...]]) -> None:
    replicas = router(max_blocks=5)
    play(replicas, list(many))
    assert all(len(r._known) <= 5 for r in replicas._replicas.values())


@given(prompts, prompts)
def test_hashes_agree_for_the_whole_blocks_that_prompts_share(
    one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    pairs = list(zip(block_hashes(one, BLOCK), block_hashes(other, BLOCK), strict=False))
    for number, (mine, theirs) in enumerate(pairs, start=1):
        assert (mine == theirs) == (one[: number * BLOCK] == other[: number * BLOCK])


def test_a_few_shot_block_that_all_prompts_share_uses_all_replicas() -> None:
    replicas = router(4)
    in_flight = [replicas.take((7,) * 40 + (number,) * 4) for number in range(100)]
    counts = [in_flight.count(n) for n in range(4)]
    assert max(counts) - min(counts) <= SLACK + 1


def test_one_request_at_a_time_stays_where_its_prefix_is() -> None:
    replicas = router(4)
    taken = []
    for number in range(20):
        taken.append(replicas.take((7,) * 40 + (number,) * 4))
        replicas.release(taken[-1])
    assert len(set(taken)) == 1


def test_short_prompts_go_to_the_idlest() -> None:
    replicas = router(4)
    assert sorted(replicas.take((1, 2)) for _ in range(8)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_longer_match_wins() -> None:
    replicas = router(2)
    shared, rest = (7,) * BLOCK, (8,) * BLOCK
    first = replicas.take(shared + rest)
    second = replicas.take((9,) * BLOCK)
    replicas.release(first)
    assert first != second
    assert replicas.take(shared + rest) == first


def test_the_ends_of_prompts_are_forgotten_before_their_beginnings() -> None:
    replicas = router(1, max_blocks=2)
    replicas.take((7,) * (4 * BLOCK))
    assert replicas._replicas[0].num_known(block_hashes((7,) * (4 * BLOCK), BLOCK)) == 2


def num_computed(replicas: Router, *, is_routed: bool) -> int:
    """Blocks that 4 replicas compute for 60 tasks of 25 docs, which share 10 blocks; 200 requests are in flight."""
    total, in_flight = 0, []
    for number in range(60 * 25):
        prompt = (number // 25,) * (10 * BLOCK) + (number,) * BLOCK
        blocks = block_hashes(prompt, BLOCK)
        known = {n: r.num_known(blocks) for n, r in replicas._replicas.items()}
        in_flight.append(replicas.take(prompt) if is_routed else number % 4)
        total += len(blocks) - known[in_flight[-1]]
        if not is_routed:
            replicas._replicas[number % 4].learn(blocks, 1000)
        elif len(in_flight) > 200:
            replicas.release(in_flight.pop(0))
    return total


def test_many_tasks_share_more_prefixes_than_in_turn() -> None:
    unique = 60 * (10 + 25)
    ours, in_turn = (
        num_computed(router(4), is_routed=True),
        num_computed(router(4), is_routed=False),
    )
    assert in_turn == 60 * (4 * 10 + 25)
    assert ours - unique < 0.5 * (in_turn - unique)


def test_nothing_left_is_an_error() -> None:
    replicas = router(1)
    replicas.lose(0)
    with pytest.raises(ValueError, match="no replica"):
        replicas.take((1,))
