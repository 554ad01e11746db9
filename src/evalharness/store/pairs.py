"""Scores of two runs, joined doc by doc: what paired statistics are computed from.

A doc is known by its hash; docs with the same content count one by one, in the dataset's order. Repeats of a doc are
averaged. Only the columns that are needed are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt

from evalharness.errors import StoreError
from evalharness.store import layout, sealing
from evalharness.store.duck import cursor
from evalharness.store.sql import parquet_problem


class Scored(NamedTuple):
    """Which of a task's scores: one filter's and one metric's."""

    metric: str
    filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """One task in two runs: scores in the same order of docs."""

    a: npt.NDArray[np.float64]
    """(docs,) mean over the repeats of each doc."""
    b: npt.NDArray[np.float64]
    clusters: npt.NDArray[np.int64] | None
    """(docs,) the source of each; None where neither run declares any."""
    num_only_a: int
    """Docs with a score in a and none in b: not in its data, failed there, or not finished."""
    num_only_b: int
    mean_a: float
    """Over all of a's scored docs, paired or not; NaN without any."""
    mean_b: float


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
    run_a: Path, run_b: Path, tasks: Mapping[str, Scored]
) -> tuple[dict[str, Pairs], list[Path]]:
    """The pairs of each task; a task without samples in one of the runs is left out.

    Args:
        run_a: folder of the first run.
        run_b: of the second.
        tasks: task -> the score that is compared.

    Returns:
        task -> its pairs, and the sample files that are damaged, whose tasks are left out.
    """
    files = {
        task: [layout.samples_path(run_dir, task) for run_dir in (run_a, run_b)] for task in tasks
    }
    files = {task: paths for task, paths in files.items() if all(p.is_file() for p in paths)}
    damaged = sealing.damaged(dict.fromkeys(path for paths in files.values() for path in paths))
    of_score: dict[Scored, list[str]] = {}
    for task, paths in files.items():
        if not set(paths) & set(damaged):
            of_score.setdefault(tasks[task], []).append(task)
    found: dict[str, Pairs] = {}
    with cursor() as connection:
        for scored, names in of_score.items():
            try:
                found.update(_load(connection, run_a, run_b, names, scored))
            except duckdb.Error:  # each by itself: only tasks whose files are damaged are lost
                for name in names:
                    try:
                        found.update(_load(connection, run_a, run_b, [name], scored))
                    except duckdb.Error:
                        damaged += [p for p in files[name] if parquet_problem(p)] or files[name]
    return {task: found[task] for task in tasks if task in found}, damaged


def load_changes(run_a: Path, run_b: Path, task: str, scored: Scored, most: int) -> list[DocChange]:
    """Samples of a task whose scores differ most between two runs, the largest change first.

    Raises:
        StoreError: a file is missing or damaged.
    """
    paths = [layout.samples_path(run_dir, task) for run_dir in (run_a, run_b)]
    for path in paths:
        if why := sealing.problem(path):
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
                {**scored._asdict(), "task": task, "flip": _FLIP, "most": most},
            ).fetchall()
    except duckdb.Error as e:
        raise StoreError(
            f"samples of task {task!r}: can't be read: {str(e).splitlines()[0]}"
        ) from e
    return [DocChange(*row) for row in rows]


_FLIP = 0.001
"""The least change of a score that counts, as in `analysis.noise`."""

_JOIN = """
    WITH a AS ({a}), b AS ({b}),
         docs_a AS (SELECT task, doc_hash, copy, avg(score) AS score, any_value(cluster) AS cluster FROM a GROUP BY ALL),
         docs_b AS (SELECT task, doc_hash, copy, avg(score) AS score, any_value(cluster) AS cluster FROM b GROUP BY ALL)
    SELECT list_position($tasks, task) AS place, docs_a.score AS a, docs_b.score AS b,
           coalesce(docs_a.cluster, docs_b.cluster) AS source,
           CASE WHEN source IS NULL THEN NULL ELSE dense_rank() OVER (ORDER BY source) END AS cluster
    FROM docs_a FULL JOIN docs_b USING (task, doc_hash, copy)
    ORDER BY place, doc_hash, copy
"""


def _samples(*, texts: bool = False) -> str:
    """A file's samples under one filter with their score, and which of its equal docs each belongs to."""
    more = ", doc_id, repeat, target, prompt, answer, response, error" if texts else ""
    return f"""
        SELECT task, doc_hash, scores[$metric] AS score, cluster{more},
               dense_rank() OVER (PARTITION BY task, doc_hash ORDER BY doc_id) AS copy
        FROM FILE WHERE filter = $filter
    """


def _load(
    connection: duckdb.DuckDBPyConnection,
    run_a: Path,
    run_b: Path,
    tasks: Sequence[str],
    scored: Scored,
) -> dict[str, Pairs]:
    """The pairs of tasks that are scored alike: one query, not one each."""
    files = [[layout.samples_path(run_dir, task) for task in tasks] for run_dir in (run_a, run_b)]
    query = _with_files(_JOIN.format(a=_samples(), b=_samples()), files)
    found = connection.execute(query, {**scored._asdict(), "tasks": list(tasks)}).fetchnumpy()
    a, b = (_floats(found[name]) for name in ("a", "b"))
    is_of = {task: found["place"] == place for place, task in enumerate(tasks, 1)}
    return {task: _pairs(a[rows], b[rows], found["cluster"][rows]) for task, rows in is_of.items()}


def _pairs(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], clusters: Any) -> Pairs:
    has_a, has_b = np.isfinite(a), np.isfinite(b)
    both = has_a & has_b
    return Pairs(
        a=a[both],
        b=b[both],
        clusters=_codes(clusters, both),
        num_only_a=int((has_a & ~has_b).sum()),
        num_only_b=int((has_b & ~has_a).sum()),
        mean_a=float(a[has_a].mean()) if has_a.any() else float("nan"),
        mean_b=float(b[has_b].mean()) if has_b.any() else float("nan"),
    )


def _with_files(query: str, files: Sequence[Sequence[Path]]) -> str:
    """The query with its FILEs in order, each some files of one run; those of schema 1 have no column `cluster`."""
    for paths in files:
        globs = (layout.literal_glob(path).replace("'", "''") for path in paths)
        listed = ", ".join(f"'{glob}'" for glob in globs)
        rows = f"(FROM read_parquet([{listed}]) UNION ALL BY NAME (SELECT NULL::VARCHAR AS cluster LIMIT 0))"
        query = query.replace("FROM FILE", f"FROM {rows}", 1)
    return query


def _floats(values: Any) -> npt.NDArray[np.float64]:
    """A column with NULL as NaN."""
    column: npt.NDArray[np.float64] = values.astype(float)
    return column.filled(np.nan) if isinstance(column, np.ma.MaskedArray) else column


def _codes(values: Any, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64] | None:
    """The sources as whole numbers; a doc that declares none is its own."""
    codes = _floats(values)[kept]
    missing = np.isnan(codes)
    if missing.all():
        return None
    codes[missing] = -1 - np.arange(missing.sum())
    return codes.astype(np.int64)
