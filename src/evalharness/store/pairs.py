"""Scores of two runs, joined doc by doc: what paired statistics are computed from.

A doc is known by its hash; docs with the same content count one by one, in the dataset's order. Repeats of a doc are
averaged. A doc without a score (failed, not finished, or only scored elsewhere) isn't dropped: it has the scores that
are possible. Only the columns that are needed are read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt

from evalharness.errors import StoreError
from evalharness.store import (
    layout,
    seal,
)
from evalharness.store.duckdb_session import cursor, file_text
from evalharness.store.records import FLIP
from evalharness.store.sql import parquet_problem


class Scored(NamedTuple):
    """Which of a task's scores: one filter's and one metric's."""

    metric: str
    filter: str


class Asked(NamedTuple):
    """What of a task the two runs were asked."""

    num_docs: tuple[int, int]
    repeats: tuple[int, int]
    """Samples per doc."""
    is_same: bool
    """The same docs, as far as is known: one that only one run has is missing in the other. Else the docs that both were
    asked are compared."""


class Possible(NamedTuple):
    """Scores that docs may have, on a scale from 0 to 1: a missing one may be anything."""

    low_a: npt.NDArray[np.float64]
    """(docs,) least mean over the repeats."""
    high_a: npt.NDArray[np.float64]
    low_b: npt.NDArray[np.float64]
    high_b: npt.NDArray[np.float64]
    clusters: npt.NDArray[np.int64] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """One task in two runs: scores in the same order of docs."""

    a: npt.NDArray[np.float64]
    """(docs,) mean over the repeats of each doc."""
    b: npt.NDArray[np.float64]
    clusters: npt.NDArray[np.int64] | None
    """(docs,) the source of each; None where neither run declares any."""
    possible: Possible
    """Of all docs, those without a score in one or both included."""
    num_only_a: int
    """Docs with a score in a and none in b: not in its data, failed there, or not finished."""
    num_only_b: int
    num_neither: int
    """Docs that were asked and have a score in none."""
    num_other: int
    """Docs with another content in b than in a, at the same place: they are neither paired nor missing."""
    num_a: int
    """All of a's scored docs, paired or not."""
    num_b: int
    mean_a: float
    """Over them; NaN without any."""
    mean_b: float
    is_share: bool
    """All scores that were seen lie between 0 and 1."""

    @property
    def missing_a(self) -> float:
        """Share of a's scores that are missing."""
        return _share(self.possible.low_a, self.possible.high_a)

    @property
    def missing_b(self) -> float:
        """Share of b's."""
        return _share(self.possible.low_b, self.possible.high_b)


class Common(NamedTuple):
    """How far two runs were asked the same docs of a task."""

    num_common: int
    num_other: int
    """Places at which each has a doc that the other was not asked."""


class DocChange(NamedTuple):
    """A doc that one run scores otherwise than the other."""

    task: str
    doc_id: int
    repeat: int
    target: str
    prompt: str
    answer_a: str
    answer_b: str
    response_a: str
    response_b: str
    score_a: float
    score_b: float
    error_a: str | None
    error_b: str | None


def load_pairs(
    run_a: Path,
    run_b: Path,
    tasks: Mapping[str, Scored],
    asked: Mapping[str, Asked] | None = None,
) -> tuple[dict[str, Pairs], list[Path]]:
    """The pairs of each task; a task without samples in one of the runs is left out.

    Args:
        run_a: folder of the first run.
        run_b: of the second.
        tasks: task -> the score that is compared.
        asked: task -> what of it the runs were asked; of others, what they hold.

    Returns:
        task -> its pairs, and the sample files that are damaged, whose tasks are left out.
    """
    files = {
        task: [layout.samples_path(run_dir, task) for run_dir in (run_a, run_b)] for task in tasks
    }
    files = {task: paths for task, paths in files.items() if all(p.is_file() for p in paths)}
    damaged = seal.damaged(dict.fromkeys(path for paths in files.values() for path in paths))
    of_score: dict[Scored, list[str]] = {}
    for task, paths in files.items():
        if not set(paths) & set(damaged):
            of_score.setdefault(tasks[task], []).append(task)
    found: dict[str, Pairs] = {}
    with cursor() as connection:
        for scored, names in of_score.items():
            try:
                found.update(_load(connection, run_a, run_b, names, scored, asked or {}))
            except duckdb.Error:  # each by itself: only tasks whose files are damaged are lost
                for name in names:
                    try:
                        found.update(_load(connection, run_a, run_b, [name], scored, asked or {}))
                    except duckdb.Error:
                        damaged += [p for p in files[name] if parquet_problem(p)] or files[name]
    return {task: found[task] for task in tasks if task in found}, damaged


def load_common(run_a: Path, run_b: Path, tasks: Iterable[str]) -> dict[str, Common]:
    """How many docs of each task two runs have in common; a task whose samples one lacks, or can't be read, is left out."""
    found = {}
    with cursor() as connection:
        for task in tasks:
            paths = [layout.samples_path(run_dir, task) for run_dir in (run_a, run_b)]
            if not all(path.is_file() and not seal.problem(path) for path in paths):
                continue
            try:
                row = connection.execute(_with_files(_COMMON, [[p] for p in paths])).fetchone()
            except duckdb.Error:
                continue
            assert row is not None
            found[task] = Common(*row)
    return found


_COMMON = """
    WITH a AS (SELECT DISTINCT doc_id, doc_hash FROM FILE), b AS (SELECT DISTINCT doc_id, doc_hash FROM FILE)
    SELECT (SELECT count(*) FROM a WHERE doc_hash IN (SELECT doc_hash FROM b)),
           (SELECT count(*) FROM (SELECT * FROM a ANTI JOIN b USING (doc_hash))
            JOIN (SELECT * FROM b ANTI JOIN a USING (doc_hash)) USING (doc_id))
"""


def load_changes(run_a: Path, run_b: Path, task: str, scored: Scored, most: int) -> list[DocChange]:
    """Samples of a task whose scores differ most between two runs, the largest change first.

    Raises:
        StoreError: a file is missing or damaged.
    """
    paths = [layout.samples_path(run_dir, task) for run_dir in (run_a, run_b)]
    for path in paths:
        if why := seal.problem(path):
            raise StoreError(f"samples of task {task!r}: can't be read: {str(path)!r}: {why}")
    query = f"""
        WITH a AS ({_samples(texts=True)}), b AS ({_samples(texts=True)})
        SELECT $task, a.doc_id, a.repeat, a.target, a.prompt, a.answer, b.answer, a.response, b.response,
               a.score, b.score, a.error, b.error
        FROM a JOIN b USING (doc_hash, copy, repeat)
        WHERE abs(a.score - b.score) > $flip
        ORDER BY abs(a.score - b.score) DESC, a.doc_id, a.repeat LIMIT $most
    """
    try:
        with cursor() as connection:
            rows = connection.execute(
                _with_files(query, [[path] for path in paths]),
                {**scored._asdict(), "task": task, "flip": FLIP, "most": most},
            ).fetchall()
    except duckdb.Error as e:
        raise StoreError(
            f"samples of task {task!r}: can't be read: {str(e).splitlines()[0]}"
        ) from e
    return [DocChange(*row) for row in rows]


_DOCS = """
    SELECT task, doc_hash, copy, min(doc_id) AS doc_id, avg(score) AS score, count(score) AS num, count(error) AS failed, min(score) AS least,
           max(score) AS most, any_value(cluster) AS cluster
    FROM {samples} GROUP BY ALL
"""

_JOIN = f"""
    WITH a AS ({{a}}), b AS ({{b}}), docs_a AS ({_DOCS.format(samples="a")}), docs_b AS ({_DOCS.format(samples="b")})
    SELECT list_position($tasks, task) AS place, docs_a.score AS a, docs_b.score AS b, docs_a.num AS num_a,
           docs_b.num AS num_b, docs_a.doc_id AS id_a, docs_b.doc_id AS id_b,
           coalesce(docs_a.failed, 0) + coalesce(docs_b.failed, 0) AS failed,
           least(docs_a.least, docs_b.least) AS least, greatest(docs_a.most, docs_b.most) AS most,
           coalesce(docs_a.cluster, docs_b.cluster) AS source,
           CASE WHEN source IS NULL THEN NULL ELSE dense_rank() OVER (ORDER BY source) END AS cluster
    FROM docs_a FULL JOIN docs_b USING (task, doc_hash, copy)
    ORDER BY place, doc_hash, copy
"""


def _samples(*, texts: bool = False) -> str:
    """A file's samples under one filter with their score, and which of its equal docs each belongs to."""
    more = ", repeat, target, prompt, answer, response" if texts else ""
    return f"""
        SELECT task, doc_id, doc_hash, CASE WHEN isfinite(scores[$metric]) THEN scores[$metric] END AS score, cluster, error{more},
               dense_rank() OVER (PARTITION BY task, doc_hash ORDER BY doc_id) AS copy
        FROM FILE WHERE filter = $filter
    """


def _load(
    connection: duckdb.DuckDBPyConnection,
    run_a: Path,
    run_b: Path,
    tasks: Sequence[str],
    scored: Scored,
    asked: Mapping[str, Asked],
) -> dict[str, Pairs]:
    """The pairs of tasks that are scored alike: one query, not one each."""
    files = [[layout.samples_path(run_dir, task) for task in tasks] for run_dir in (run_a, run_b)]
    query = _with_files(_JOIN.format(a=_samples(), b=_samples()), files)
    found = connection.execute(query, {**scored._asdict(), "tasks": list(tasks)}).fetchnumpy()
    table = {name: _floats(found[name]) for name in _COLUMNS}
    is_of = {task: found["place"] == place for place, task in enumerate(tasks, 1)}
    return {
        task: _pairs({name: column[rows] for name, column in table.items()}, asked.get(task))
        for task, rows in is_of.items()
    }


_COLUMNS = ("a", "b", "num_a", "num_b", "id_a", "id_b", "failed", "least", "most", "cluster")
_Table = Mapping[str, npt.NDArray[np.float64]]


def _pairs(docs: _Table, asked: Asked | None) -> Pairs:
    """The pairs of one task; the columns are those of `_JOIN`, NaN where a run hasn't the doc."""
    in_a, in_b = np.isfinite(docs["num_a"]), np.isfinite(docs["num_b"])
    has_a, has_b = docs["num_a"] > 0, docs["num_b"] > 0
    # A metric may be there for some docs only: without a score, and without a failure, in both, it isn't missing.
    counts = has_a | has_b | (docs["failed"] > 0)
    other = np.intersect1d(docs["id_a"][~in_b], docs["id_b"][~in_a])
    is_other = (~in_b & np.isin(docs["id_a"], other)) | (~in_a & np.isin(docs["id_b"], other))
    counts &= ~is_other
    num_more = 0
    if asked is not None and asked.is_same:
        num_more = max(0, max(asked.num_docs) - len(counts) + len(other))
    elif asked is not None:
        # What a run was not asked isn't missing in it; what it didn't get to is.
        counts &= in_a | (in_a.sum() < asked.num_docs[0])
        counts &= in_b | (in_b.sum() < asked.num_docs[1])
    both = has_a & has_b
    repeats = asked.repeats if asked is not None else (1, 1)
    ends = [
        _ends(docs[side][counts], docs[f"num_{side}"][counts], num, num_more)
        for side, num in zip("ab", repeats, strict=True)
    ]
    sources = np.append(docs["cluster"][counts], np.full(num_more, np.nan))
    seen = [end for end in (docs["least"], docs["most"]) if np.isfinite(end).any()]
    return Pairs(
        a=docs["a"][both],
        b=docs["b"][both],
        clusters=_codes(docs["cluster"][both]),
        possible=Possible(*ends[0], *ends[1], _codes(sources)),
        num_only_a=int((counts & has_a & ~has_b).sum()),
        num_only_b=int((counts & has_b & ~has_a).sum()),
        num_neither=int((counts & ~has_a & ~has_b).sum()) + num_more,
        num_other=len(other),
        num_a=int(has_a.sum()),
        num_b=int(has_b.sum()),
        mean_a=float(docs["a"][has_a].mean()) if has_a.any() else float("nan"),
        mean_b=float(docs["b"][has_b].mean()) if has_b.any() else float("nan"),
        is_share=all(np.nanmin(end) >= 0 and np.nanmax(end) <= 1 for end in seen),
    )


def _ends(
    means: npt.NDArray[np.float64], nums: npt.NDArray[np.float64], repeats: int, num_more: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The least and the greatest mean of docs of which `nums` of `repeats` samples are scored, the others from 0 to 1."""
    num = np.append(np.nan_to_num(nums), np.zeros(num_more))
    mean = np.append(np.where(nums > 0, means, 0.0), np.zeros(num_more))
    of = np.maximum(num, repeats)
    # Of a doc with all its scores both ends are its mean itself, unrounded.
    low = np.where(num == of, mean, mean * num / of)
    return low, np.where(num == of, mean, low + (of - num) / of)


def _share(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> float:
    return float((high - low).mean()) if len(low) else 0.0


def _with_files(query: str, files: Sequence[Sequence[Path]]) -> str:
    """The query with its FILEs in order, each some files of one run; those of schema 1 have no column `cluster`."""
    for paths in files:
        listed = ", ".join(map(file_text, paths))
        rows = f"(FROM read_parquet([{listed}]) UNION ALL BY NAME (SELECT NULL::VARCHAR AS cluster LIMIT 0))"
        query = query.replace("FROM FILE", f"FROM {rows}", 1)
    return query


def _floats(values: Any) -> npt.NDArray[np.float64]:
    """A column with NULL as NaN."""
    column: npt.NDArray[np.float64] = values.astype(float)
    return column.filled(np.nan) if isinstance(column, np.ma.MaskedArray) else column


def _codes(sources: npt.NDArray[np.float64]) -> npt.NDArray[np.int64] | None:
    """The sources as whole numbers; a doc that declares none is its own."""
    codes = sources.copy()
    missing = np.isnan(codes)
    if missing.all():
        return None
    codes[missing] = -np.arange(missing.sum())  # those that are declared count from 1
    return codes.astype(np.int64)
