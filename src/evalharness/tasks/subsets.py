"""Which docs a limited run takes: docs of a split in, their ids out.

A draw is a function of the docs' content, `run.limit_seed` and the limit alone: the same docs for every checkpoint and
engine, for any order of the split, and for every task over the same data. It is stratified: each category gets its
share of the docs, and at least one. With fewer docs than categories it isn't, as then size would decide which
categories get a doc, and the docs of others would never count.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import lm_eval.utils
from lm_eval.utils import handle_non_serializable

HASH_BYTES = 32
CATEGORY_FIELDS = ("group", "category", "subject", "generator")
"""Fields for a doc's category if the task names none; the first one that the first doc has."""


class Subset(NamedTuple):
    """The docs that a run takes."""

    doc_ids: Sequence[int]
    """Ascending."""
    num_available: int
    """Docs in the split."""
    is_random: bool = False
    counts: Mapping[str, int] = MappingProxyType({})
    """Category -> docs available, for a draw from a task with categories."""
    seats: Mapping[str, int] = MappingProxyType({})
    """Category -> docs taken."""

    @property
    def is_stratified(self) -> bool:
        """Whether each of several categories has its share."""
        return 1 < len(self.counts) <= len(self.doc_ids)

    @property
    def num_raised(self) -> int:
        """Categories with at least twice their share of the docs, because each has at least one."""
        if not self.is_stratified:
            return 0
        share = len(self.doc_ids) / self.num_available
        return sum(num >= 2 * share * self.counts[name] for name, num in self.seats.items() if num)

    @property
    def num_empty(self) -> int:
        """Categories without a doc, because there are more categories than docs to take."""
        return sum(not num for num in self.seats.values())


def first(num_available: int, limit: int | None) -> Subset:
    """The first docs, as in lm-eval; all without a limit."""
    num = num_available if limit is None else min(limit, num_available)
    return Subset(range(num), num_available)


def draw(hashes: bytes, categories: Sequence[str], limit: int, seed: int) -> Subset:
    """A random subset, stratified by category if there are at least as many docs to take as categories.

    Within a category (or of all docs) they are taken by sha256 of the seed and their own hash: each doc is equally
    likely, and the first of equal docs are taken.

    Args:
        hashes: of all docs, `HASH_BYTES` each.
        categories: of all docs.
        limit: docs to take, 1 to fewer than there are.
        seed: another gives other docs.
    """
    counts = Counter(categories)
    ranked = sorted(range(len(categories)), key=lambda doc_id: _rank(seed, _of_doc(hashes, doc_id)))
    if limit < len(counts):
        taken = ranked[:limit]
        seats = dict.fromkeys(counts, 0) | Counter(categories[doc_id] for doc_id in taken)
    else:
        seats = allocate(counts, limit, lambda category: _rank(seed, _bytes(category)))
        left = dict(seats)
        taken = []
        for doc_id in ranked:
            if left[categories[doc_id]]:
                left[categories[doc_id]] -= 1
                taken.append(doc_id)
    return Subset(sorted(taken), len(categories), is_random=True, counts=counts, seats=seats)


def allocate(
    counts: Mapping[str, int], num: int, tie: Callable[[str], bytes] | None = None
) -> dict[str, int]:
    """Number of docs from each category: its share, rounded by largest remainders, and at least one.

    A category that would have none takes one from the category most above its share.

    Args:
        counts: docs of each category; none of a category without docs.
        num: docs to take, from as many as categories with docs up to all.
        tie: breaks ties between categories, the smallest first; None: by names. Their order doesn't matter.

    Returns:
        Category -> docs; they add up to `num`.

    Source: Hamilton's method; Cochran 1977, Sampling Techniques, 5.3 (proportional allocation).
    """
    total = sum(counts.values())
    filled = sorted((name for name, count in counts.items() if count), key=tie or _bytes)
    assert len(filled) <= num <= total
    seats = dict.fromkeys(counts, 0) | {name: num * counts[name] // total for name in filled}
    by_remainder = sorted(filled, key=lambda name: (-(num * counts[name] % total), -counts[name]))
    for name in by_remainder[: num - sum(seats.values())]:
        seats[name] += 1
    for name in filled:
        if not seats[name]:
            donor = max(
                (other for other in filled if seats[other] > 1),
                key=lambda other: seats[other] * total - num * counts[other],
            )
            seats[donor] -= 1
            seats[name] += 1
    return seats


def _of_doc(hashes: bytes, doc_id: int) -> bytes:
    return hashes[doc_id * HASH_BYTES : (doc_id + 1) * HASH_BYTES]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _rank(seed: int, content: bytes) -> bytes:
    return hashlib.sha256(b"%d " % seed + content).digest()


def category_field(doc: Any) -> str:
    """The field of a doc's category; empty if there is none."""
    names = doc if hasattr(doc, "keys") else ()
    return next((name for name in CATEGORY_FIELDS if name in names), "")


def category(doc: Any, by: str) -> str:
    """A doc's category: the result of a Jinja template, or its field's value as JSON (of any type, "null" for none)."""
    if "{" in by:
        return str(lm_eval.utils.apply_template(by, doc))
    return json.dumps(doc.get(by), sort_keys=True, default=handle_non_serializable)
