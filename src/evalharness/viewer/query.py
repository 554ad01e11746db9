"""Selection and order of samples: positions in an index."""

import itertools
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlencode

import numpy as np

from evalharness.viewer import database
from evalharness.viewer.index import Flags, Floats, Index, Ints

SEARCH_S = 2.0
"""Time limit of a search; a longer one stops, reports how far it got, and can be continued."""
_SEARCHED_GROUPS = 8
_MOST_BLANKS = 3
_BLANKS = ", ".join(
    "'" + "".join(blanks) + "'"
    for length in range(_MOST_BLANKS + 1)
    for blanks in itertools.product(" \n\t", repeat=length)
)
"""Responses that count as empty, as SQL: DuckDB finds equal values without reading all the others."""


class Show(StrEnum):
    """A kind of samples; several are combined with "and"."""

    wrong = "wrong"
    right = "right"
    flipped = "flipped"
    better = "better"
    worse = "worse"
    truncated = "truncated"
    errors = "errors"
    empty = "empty"


class Order(StrEnum):
    """Orders of samples."""

    doc = "doc"
    lowest = "lowest"
    highest = "highest"
    longest = "longest"
    shortest = "shortest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query on a task's samples, which a page's address holds completely."""

    task: str
    show: tuple[Show, ...] = ()
    order: Order = Order.doc
    contains: str = ""
    """Text that the prompt has to contain, ignoring case."""
    searched_from: int = 0
    """Row of the file at which the search starts."""
    other: str = ""
    """Id of the run that this one is compared with."""

    def fields(self, **more: str | int | None) -> list[tuple[str, str]]:
        """Names and values of the query, as an address holds them; None leaves a field out."""
        values: dict[str, str | int | None] = {
            "task": self.task,
            "order": self.order if self.order != Order.doc else None,
            "contains": self.contains or None,
            "searched_from": self.searched_from or None,
            "other": self.other or None,
            **more,
        }
        kept = [(name, str(value)) for name, value in values.items() if value is not None]
        return kept + [("show", show) for show in self.show]

    def address(self, **more: str | int | None) -> str:
        """The query as the end of a URL."""
        return "?" + urlencode(self.fields(**more))


class Search(NamedTuple):
    """The progress of a search for text."""

    rows: Ints
    """Rows of the file whose prompt contains the text."""
    searched_to: int
    """The first row that wasn't searched."""
    wall_s: float


def kind(index: Index, show: Show, gained: Floats | None) -> Flags | None:
    """Which samples are of a kind; None if it doesn't apply.

    Args:
        index: of the task.
        show: the kind.
        gained: how much better each sample is than in the other run; None without one.

    Raises:
        StoreError: the file is damaged.
    """
    match show:
        case Show.wrong | Show.right if not index.has_sides:
            return None
        case Show.wrong:
            return index.is_wrong
        case Show.right:
            return index.is_right
        case Show.truncated:
            return index.is_truncated
        case Show.errors:
            return index.is_error
        case Show.empty:
            return _empty(index)
    if gained is None:
        return None
    gains = {Show.flipped: abs(gained) > 0, Show.better: gained > 0, Show.worse: gained < 0}
    return gains[show]


def select(index: Index, query: Query, gained: Floats | None, found: Search | None) -> Ints:
    """Positions in the index, in the chosen order.

    Args:
        index: of the task.
        query: the query; a kind that doesn't apply selects nothing.
        gained: as for `kind`.
        found: the result of the text search, if there is one.

    Raises:
        StoreError: the file is damaged.
    """
    is_kept = np.ones(index.row.size, bool)
    for show in query.show:
        is_of_kind = kind(index, show, gained)
        is_kept &= False if is_of_kind is None else is_of_kind
    if found is not None:
        has_text = np.zeros(index.num_rows, bool)
        has_text[found.rows] = True
        is_kept &= has_text[index.row]
    ordered = _ordered(index, query.order)
    return np.asarray(ordered[is_kept[ordered]])


@lru_cache(maxsize=8)
def _ordered(index: Index, order: Order) -> Ints:
    """All positions in an order; ties in the order of docs."""
    match order:
        case Order.lowest:
            return np.argsort(index.score, kind="stable")
        case Order.highest:
            return np.argsort(-index.score, kind="stable")
        case Order.shortest:
            return np.argsort(index.num_tokens, kind="stable")
        case Order.longest:
            return np.argsort(-index.num_tokens, kind="stable")
    return np.arange(index.row.size)


@lru_cache(maxsize=32)
def search(index: Index, text: str, searched_from: int) -> Search:
    """Rows whose prompt contains the text, ignoring case; every prompt is read, until the time is up.

    Raises:
        StoreError: the file is damaged.
    """
    started = time.monotonic()
    bounds = [*index.group_row[::_SEARCHED_GROUPS].tolist(), index.num_rows]
    found: list[int] = []
    row = min(searched_from, index.num_rows)
    while row < index.num_rows and time.monotonic() - started < SEARCH_S:
        end = next(bound for bound in bounds if bound > row)
        values = {"text": text, "first": row, "last": end - 1}
        found += (row for (row,) in database.rows_of(index.path, _SEARCH, values))
        row = end
    return Search(np.array(found, np.int64), row, time.monotonic() - started)


_SEARCH = """
    SELECT file_row_number FROM FILE
    WHERE file_row_number BETWEEN $first AND $last AND contains(lower(prompt), lower($text))
"""


@lru_cache(maxsize=8)
def _empty(index: Index) -> Flags:
    """Samples that were answered without text."""
    found = database.columns_of(
        index.path,
        f"SELECT file_row_number AS row FROM FILE WHERE response IN ({_BLANKS})",
    )
    is_blank = np.zeros(index.num_rows, bool)
    is_blank[found["row"]] = True
    return np.asarray(is_blank[index.row] & ~index.is_error)
