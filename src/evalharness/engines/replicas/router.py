"""Which replica gets a request: the one that has computed most of its prompt, as long as the load stays balanced.

Prompts are compared in whole blocks of tokens, as prefix caches do. A replica that knows the longest part of a prompt
gets it unless it is too much busier than the idlest; then the best of the others. So a few-shot prefix common to all
prompts of a task starts on one replica and, if the task is large, spreads to the next ones; from then on only load
decides between those that have it. Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

BLOCK_TOKENS = 64
SLACK = 8
"""Requests by which a replica may be busier than the idlest and still get a prompt that it knows."""
SLACK_SHARE = 0.25
"""Plus this share of the idlest's requests: while all are busy, a task of a hundred docs stays together; at the end of
a run, when little is left, the load is spread evenly."""
MAX_BLOCKS = 32_768
"""Blocks remembered per replica: 2 M tokens, more than a KV cache holds, in about 5 MB."""


class _Replica:
    """What the router knows about one replica."""

    def __init__(self) -> None:
        self.num_busy = 0
        """Requests in flight."""
        self.num_taken = 0
        """Requests so far; breaks ties."""
        self._known: OrderedDict[int, None] = OrderedDict()
        """Hashes of the blocks that it computed, each over everything up to its end; the latest last."""

    def num_known(self, blocks: Sequence[int]) -> int:
        """How many of a prompt's leading blocks it has."""
        for number, block in enumerate(blocks):
            if block not in self._known:
                return number
        return len(blocks)

    def learn(self, blocks: Sequence[int], max_blocks: int) -> None:
        # The end first, so that ends of prompts are forgotten before their shared prefixes.
        for block in reversed(blocks):
            self._known[block] = None
            self._known.move_to_end(block)
        while len(self._known) > max_blocks:
            self._known.popitem(last=False)


class Router:
    """Takes a replica for each request; every `take` is followed by one `release`."""

    def __init__(
        self,
        num_replicas: int,
        *,
        block_tokens: int = BLOCK_TOKENS,
        slack: int = SLACK,
        max_blocks: int = MAX_BLOCKS,
    ) -> None:
        """Start with all replicas idle and their caches empty."""
        self._replicas = {number: _Replica() for number in range(num_replicas)}
        self._block_tokens, self._slack, self._max_blocks = block_tokens, slack, max_blocks

    @property
    def alive(self) -> tuple[int, ...]:
        """Indices of the replicas that are left."""
        return tuple(self._replicas)

    def num_busy(self, replica: int) -> int:
        """Requests in flight; 0 for one that is lost."""
        return self._replicas[replica].num_busy if replica in self._replicas else 0

    def take(self, token_ids: Sequence[int]) -> int:
        """The replica for a prompt, which counts as busy with it from now on.

        Raises:
            ValueError: none is left.
        """
        if not self._replicas:
            raise ValueError("no replica is left")
        blocks = block_hashes(token_ids, self._block_tokens)
        idlest = min(r.num_busy for r in self._replicas.values())
        limit = idlest + self._slack + int(SLACK_SHARE * idlest)
        allowed = {n: r for n, r in self._replicas.items() if r.num_busy <= limit}
        number, chosen = max(
            allowed.items(),
            key=lambda item: (item[1].num_known(blocks), -item[1].num_busy, -item[1].num_taken),
        )
        chosen.num_busy += 1
        chosen.num_taken += 1
        chosen.learn(blocks, self._max_blocks)
        return number

    def release(self, replica: int) -> None:
        """Count a request as finished, with or without an answer."""
        if replica in self._replicas:
            self._replicas[replica].num_busy -= 1

    def lose(self, replica: int) -> bool:
        """Never choose it again; returns whether it was still in use."""
        return self._replicas.pop(replica, None) is not None


def block_hashes(token_ids: Sequence[int], block_tokens: int) -> list[int]:
    """One hash for each complete block, over all tokens up to its end: equal hashes mean equal prefixes."""
    hashes, before = [], 0
    for end in range(block_tokens, len(token_ids) + 1, block_tokens):
        before = hash((before, tuple(token_ids[end - block_tokens : end])))
        hashes.append(before)
    return hashes
