"""The index by which a task's samples are filtered and ordered, in memory: numbers only, a few dozen bytes a sample.

Texts stay in the file and are read for the rows of a page, by position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from evalharness.errors import StoreError, one_line
from evalharness.store import layout
from evalharness.store.pairs import Scored
from evalharness.store.records import (
    FLIP,
    Manifest,
    MetricRecord,
)
from evalharness.viewer import database
from evalharness.viewer.runs import Stamp, get_metrics, stamp

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Index:
    """A task's samples under its main filter, ordered by doc and repeat. Arrays are (samples,) unless said otherwise."""

    path: Path
    scored: Scored
    higher_is_better: bool
    row: Ints
    """Position in the file."""
    doc_id: Ints
    repeat: Ints
    score: Floats
    """NaN where there is none."""
    has_sides: bool
    """Whether all scores are between 0 and 1, so that answers are right or wrong."""
    is_right: Flags
    """The full score (0 if lower is better)."""
    is_wrong: Flags
    """Whether it is scored and not right."""
    num_tokens: Ints
    """Generated."""
    is_truncated: Flags
    is_error: Flags
    group_row: Ints
    """(row groups,) the first row of each."""
    group_bytes: Ints
    """(row groups,) bytes of its prompts in memory."""
    num_rows: int
    """Rows in the file; with several filters, more than samples."""

    def place_of(self, doc_id: int, repeat: int) -> int | None:
        """Position of a sample in the index; None if it isn't there."""
        first, last = np.searchsorted(self.doc_id, [doc_id, doc_id + 1])
        found = np.flatnonzero(self.repeat[first:last] == repeat)
        return int(first + found[0]) if found.size else None


def open_index(results_dir: Path, run: Manifest, task: str, scored: Scored | None = None) -> Index:
    """The index of one task of a run.

    Args:
        results_dir: folder that holds the runs.
        run: the run.
        task: one of its tasks.
        scored: which scores to use; None for the task's main ones.

    Raises:
        StoreError: the run has no such task or no samples of it yet, or their file is damaged.
    """
    if task not in (item.task for item in run.tasks):
        raise StoreError(f"run {run.run_id!r} has no task {task!r}")
    run_dir = results_dir / run.run_id
    path = layout.samples_path(run_dir, task)
    if not path.is_file():
        raise StoreError(f"run {run.run_id!r} has no samples of task {task!r} (yet)")
    metrics = [metric for metric in _metrics(run_dir) if metric.task == task]
    main = next((Scored(m.metric, m.filter) for m in metrics if m.is_main), None)
    less_is_better = tuple(m.metric for m in metrics if not m.higher_is_better)
    index = _read(path, stamp(path), scored or main or _first_score(path), less_is_better)
    if scored or not main or np.isfinite(index.score).any():
        return index
    # A metric over all docs: samples have no score of it, but of other metrics.
    first = _first_score(path, main.filter)
    return _read(path, stamp(path), first, less_is_better)


def _metrics(run_dir: Path) -> Sequence[MetricRecord]:
    try:
        return get_metrics(run_dir)
    except StoreError:  # the run's page says so
        return ()


@lru_cache(maxsize=8)
def _read(path: Path, _: Stamp, scored: Scored, less_is_better: tuple[str, ...]) -> Index:
    found = database.columns_of(path, _NUMBERS, scored._asdict())
    order = np.lexsort((found["repeat"], found["doc_id"]))
    score = np.ma.filled(found.pop("score").astype(float), np.nan)[order]
    higher_is_better = scored.metric not in less_is_better
    is_right = (1 - score if higher_is_better else score) < FLIP
    is_scored = np.isfinite(score)
    num_rows, num_bytes = _groups(path)
    return Index(
        path=path,
        scored=scored,
        higher_is_better=higher_is_better,
        score=score,
        has_sides=bool(is_scored.any() and np.nanmin(score) >= 0 and np.nanmax(score) <= 1),
        is_right=is_right,
        is_wrong=is_scored & ~is_right,
        **{name: np.asarray(column)[order] for name, column in found.items()},
        group_row=np.cumsum(num_rows) - num_rows,
        group_bytes=num_bytes,
        num_rows=int(num_rows.sum()),
    )


_NUMBERS = """
    SELECT file_row_number AS row, doc_id, repeat, scores[$metric] AS score, num_generated_tokens AS num_tokens,
           finish_reason IN ('length', 'unclosed') AS is_truncated, error IS NOT NULL AS is_error
    FROM FILE WHERE filter = $filter
"""


def _groups(path: Path) -> tuple[Ints, Ints]:
    """Rows of each row group, and bytes of its prompts in memory."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            place = file.metadata.schema.names.index("prompt")
            groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    except (OSError, ValueError, pa.ArrowException) as e:
        raise StoreError(f"{path.parent.name}/{path.name} can't be read: {one_line(e)}") from e
    sizes = [(group.num_rows, group.column(place).total_uncompressed_size) for group in groups]
    found = np.array(sizes, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _first_score(path: Path, filter_: str | None = None) -> Scored:
    """The first score of the first scored sample (under a filter)."""
    found = database.rows_of(
        path,
        """
        SELECT map_keys(scores)[1], filter FROM FILE WHERE filter = coalesce($filter, filter)
        ORDER BY cardinality(scores) = 0, file_row_number LIMIT 1
        """,
        {"filter": filter_},
    )
    metric, name = found[0] if found else (None, None)
    return Scored(metric or "", name or filter_ or "none")
