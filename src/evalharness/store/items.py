"""The items from which a metric that is not a mean is computed, joined doc by doc over two runs.

A sample's item is a number, stored under the metric's name, or a pair of numbers, stored as `metric[0]` and `metric[1]`
(`runner.metric_values.numbers`). Texts aren't stored.
"""

from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt

from evalharness.store import layout
from evalharness.store.duckdb_session import cursor, file_text
from evalharness.store.pairs import Scored

Floats = npt.NDArray[np.float64]


class Items(NamedTuple):
    """One run's items of some docs, as means over the repeats of each; NaN if there are none of a kind."""

    one: Floats
    """(docs,) items that are numbers."""
    first: Floats
    """(docs,) first of a pair."""
    second: Floats
    product: Floats
    """(docs,) of both."""
    is_binary: bool
    """Whether all values of the pairs are 0 or 1."""


class PairedItems(NamedTuple):
    """Two runs' items of one task."""

    all_a: Items
    """Items of all docs that run a has."""
    all_b: Items
    a: Items
    """Items of the docs that both have, in one order."""
    b: Items
    clusters: npt.NDArray[np.int64] | None
    """(docs,) the source of each of these; None if none is declared."""


_DOCS = """
    SELECT doc_hash, copy, avg(x) AS one, avg(y) AS first, avg(z) AS second, avg(y * z) AS product,
           coalesce(bool_and(y IN (0, 1) AND z IN (0, 1)), false) AS is_binary, any_value(cluster) AS cluster
    FROM (SELECT doc_hash, scores[$metric] AS x, scores[$metric || '[0]'] AS y, scores[$metric || '[1]'] AS z, cluster,
                 dense_rank() OVER (PARTITION BY doc_hash ORDER BY doc_id) AS copy
          FROM (FROM read_parquet({path}) UNION ALL BY NAME (SELECT NULL::VARCHAR AS cluster LIMIT 0))
          WHERE filter = $filter AND error IS NULL)
    WHERE x IS NOT NULL OR (y IS NOT NULL AND z IS NOT NULL)
    GROUP BY ALL ORDER BY doc_hash, copy
"""


def load_items(run_a: Path, run_b: Path, task: str, scored: Scored) -> PairedItems | None:
    """The items of a task's metric; None if a run stores none or can't be read."""
    rows = []
    try:
        with cursor() as connection:
            for run_dir in (run_a, run_b):
                path = layout.samples_path(run_dir, task)
                query = _DOCS.format(path=file_text(path))
                rows.append(connection.execute(query, scored._asdict()).fetchall())
    except duckdb.Error:
        return None
    if not all(rows):
        return None
    places = [{tuple(row[:2]): place for place, row in enumerate(of_run)} for of_run in rows]
    both = [key for key in places[0] if key in places[1]]
    a, b = ([rows[side][places[side][key]] for key in both] for side in (0, 1))
    return PairedItems(_items(rows[0]), _items(rows[1]), _items(a), _items(b), _clusters(a, b))


def _items(rows: list[tuple[object, ...]]) -> Items:
    table = np.array([row[2:6] for row in rows], dtype=float).reshape(-1, 4)
    return Items(table[:, 0], table[:, 1], table[:, 2], table[:, 3], all(row[6] for row in rows))


def _clusters(
    a: list[tuple[object, ...]], b: list[tuple[object, ...]]
) -> npt.NDArray[np.int64] | None:
    sources = [one[7] or other[7] for one, other in zip(a, b, strict=True)]
    if not any(sources):
        return None
    numbers: dict[object, int] = {}
    keys = [source or ("doc", place) for place, source in enumerate(sources)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
