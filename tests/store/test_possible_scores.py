"""What two runs' scores of a task say, doc by doc: who has which, and between what the missing ones lie."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evalharness.store.pairs import Asked, Pairs, _pairs

NAN = math.nan
COLUMNS = ("a", "num_a", "b", "num_b", "failed")
DOCS = {
    "in both": (1.0, 1, 1.0, 1, 0),
    "not asked of b": (0.5, 1, NAN, NAN, 0),
    "failed in b": (0.0, 1, NAN, 0, 1),
    "failed in both": (NAN, 0, NAN, 0, 2),
    "without the metric": (NAN, 0, NAN, 0, 0),
}
ALL = tuple(DOCS)


def pairs(
    docs: Sequence[str] | Sequence[tuple[float, ...]],
    asked: Asked | None = None,
    *,
    clusters: Sequence[float] | None = None,
    **columns: Any,
) -> Pairs:
    rows = [DOCS[doc] if isinstance(doc, str) else doc for doc in docs]
    table = dict(zip(COLUMNS, map(np.array, zip(*rows, strict=True)), strict=True))
    table |= {"least": np.fmin(table["a"], table["b"]), "most": np.fmax(table["a"], table["b"])}
    places = np.arange(len(rows))
    table |= {f"id_{run}": np.where(np.isnan(table[f"num_{run}"]), NAN, places) for run in "ab"}
    table["cluster"] = np.array([NAN] * len(rows) if clusters is None else clusters)
    table |= {name: np.array(values) for name, values in columns.items()}
    return _pairs({name: column.astype(float) for name, column in table.items()}, asked)


def ends(found: Pairs) -> list[list[float]]:
    return [end.tolist() for end in found.possible[:4]]


def asked(a: int, b: int, *, is_same: bool = True, repeats: tuple[int, int] = (1, 1)) -> Asked:
    return Asked(num_docs=(a, b), repeats=repeats, is_same=is_same)


def turned(docs: Sequence[str]) -> list[tuple[float, ...]]:
    """With the two runs exchanged."""
    return [(b, num_b, a, num_a, failed) for a, num_a, b, num_b, failed in (DOCS[d] for d in docs)]


def test_every_doc_is_counted_where_its_score_is() -> None:
    found, back = pairs(ALL), pairs(turned(ALL))
    assert (found.a.tolist(), found.b.tolist()) == ([1.0], [1.0])
    assert (found.num_a, found.num_b, found.mean_a, found.mean_b) == (3, 1, 0.5, 1.0)
    assert (found.num_only_a, found.num_only_b, found.num_neither) == (2, 0, 1)
    assert (back.num_a, back.num_b, back.mean_a, back.mean_b) == (1, 3, 1.0, 0.5)
    assert (back.num_only_a, back.num_only_b, back.num_neither) == (0, 2, 1)


def test_a_missing_score_may_be_anything_from_0_to_1() -> None:
    found, back = pairs(ALL), pairs(turned(ALL))
    assert ends(found) == [[1, 0.5, 0, 0], [1, 0.5, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]]
    assert ends(back) == [*ends(found)[2:], *ends(found)[:2]]
    assert (found.missing_a, found.missing_b) == (0.25, 0.75)


def test_docs_that_neither_run_got_to_are_missing_in_both() -> None:
    for sizes in ((7, 6), (6, 7), (7, 7)):
        found = pairs(ALL, asked(*sizes))
        assert (found.num_only_a, found.num_neither) == (2, 1 + 2)
        assert ends(found) == [[1, 0.5, 0, 0, 0, 0], [1, 0.5, 0, 1, 1, 1], [1, 0, 0, 0, 0, 0], [1] * 6]  # fmt: skip
    assert pairs(ALL, asked(3, 3)).num_neither == 1


@pytest.mark.parametrize(("of_b", "num_only_a"), [(4, 1), (5, 2)])
def test_a_doc_that_a_run_was_not_asked_is_not_missing_in_it(of_b: int, num_only_a: int) -> None:
    """It has 4 of the docs; asked for 5 it may have been asked for this one."""
    found = pairs(ALL, asked(5, of_b, is_same=False))
    back = pairs(turned(ALL), asked(of_b, 5, is_same=False))
    assert (found.num_only_a, found.num_neither, len(ends(found)[0])) == (num_only_a, 1, 2 + num_only_a)  # fmt: skip
    assert (back.num_only_b, back.num_neither, len(ends(back)[0])) == (num_only_a, 1, 2 + num_only_a)  # fmt: skip
    assert found.a.tolist() == [1.0]


def test_of_a_doc_some_samples_may_be_missing() -> None:
    docs = [(0.5, 3, 1.0, 2, 0), (0.5, 4, 0.25, 5, 0), (NAN, 0, 0.7, 2, 0)]
    found = pairs(docs, asked(3, 3, repeats=(4, 2)))
    assert ends(found)[:2] == [[0.375, 0.5, 0.0], [0.625, 0.5, 1.0]]
    assert ends(found)[2:] == [[1.0, 0.25, 0.7]] * 2
    assert (found.missing_a, found.missing_b) == (pytest.approx((0.25 + 0 + 1) / 3), 0.0)


def test_without_any_score_there_is_no_mean_and_nothing_is_known() -> None:
    found = pairs(["failed in both"])
    assert (math.isnan(found.mean_a), math.isnan(found.mean_b), found.is_share) == (
        True,
        True,
        True,
    )
    assert (len(found.a), found.num_a, found.num_b, found.num_neither) == (0, 0, 0, 1)
    none = pairs(["without the metric"])
    assert (none.missing_a, none.missing_b, none.num_neither) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("least", "most", "is_share"),
    [(0.0, 1.0, True), (-0.1, 0.5, False), (0.5, 1.1, False), (NAN, NAN, True)],
)
def test_scores_are_shares_that_lie_between_0_and_1(
    least: float, most: float, is_share: bool
) -> None:
    found = pairs(["in both"] * 3, least=[0.5, NAN, least], most=[0.5, NAN, most])
    assert found.is_share is is_share


def test_sources_are_of_the_docs_that_count() -> None:
    docs = ["in both", "without the metric", "failed in both", "in both"]
    found = pairs(docs, asked(5, 5), clusters=[3, 5, 3, NAN])
    assert found.clusters is not None
    assert found.possible.clusters is not None
    first, second = found.clusters.tolist()
    assert first != second
    codes = found.possible.clusters.tolist()
    assert codes[0] == codes[1]
    assert len(set(codes)) == 3  # the shared one, a doc of its own, and the one that wasn't got to
    assert pairs(docs).clusters is None
