"""The docs that a run asked, for reading its samples later, in another process and perhaps with other data.

A task whose own code makes or shuffles its docs may make others the next time, so those docs are stored with the run.
All other docs are found again in the task's data, by their position or, if that changed, by their hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from lm_eval.utils import handle_non_serializable

from evalharness.errors import TaskError
from evalharness.store.read import iter_docs, load_samples
from evalharness.store.records import (
    DocRecord,
    TaskSummary,
)
from evalharness.tasks.loaded_task import (
    LoadedTask,
    doc_hash,
)
from evalharness.tasks.subsets import Subset


def docs_to_keep(loaded: LoadedTask) -> Iterator[DocRecord]:
    """The scored docs of a task whose code makes them, without those that JSON can't restore exactly."""
    for doc_id, doc in loaded.scored_docs():
        text = json.dumps(doc, default=handle_non_serializable)
        if json.loads(text) == doc:
            yield DocRecord(doc_id, loaded.doc_hash(doc_id), text)


def with_asked_docs(loaded: LoadedTask, run_dir: Path, summary: TaskSummary) -> LoadedTask:
    """The task with the docs that the run's samples asked, each at its old position.

    Args:
        loaded: the task.
        run_dir: the run's folder.
        summary: the run's summary of the task.

    Raises:
        TaskError: a doc is neither in the task's data nor in the run.
        StoreError: the run has no samples of the task, or they are damaged.
    """
    asked = _asked(run_dir, loaded.name)
    places = {doc_hash(doc): place for place, doc in reversed(list(enumerate(loaded.docs)))}
    lost = {hash_ for hash_ in asked.values() if hash_ not in places}
    kept = {r.doc_hash: r.doc for r in iter_docs(run_dir, loaded.name) if r.doc_hash in lost}
    missing = [doc_id for doc_id, hash_ in asked.items() if hash_ in lost and hash_ not in kept]
    if missing:
        raise TaskError(
            f"task {loaded.name!r} has other docs than it had: {len(missing)} of {len(asked)} that were asked "
            f"(the first: doc {missing[0]}) are neither in its data nor stored in the run; "
            "run it again, or leave it out with --task"
        )
    subset = Subset(sorted(asked), summary.num_docs_available, summary.limit_from == "random")
    docs = _AskedDocs(loaded.docs, asked, places, kept)
    return replace(loaded, _docs=docs, _hashes=None, _subset=subset)


def _asked(run_dir: Path, task: str) -> dict[int, str]:
    """Doc id -> hash of the doc."""
    table = load_samples(run_dir, task, ["doc_id", "doc_hash"])
    return {
        doc_id: hash_
        for batch in table.to_batches()
        for doc_id, hash_ in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    }


class _AskedDocs(Sequence[Any]):
    """Docs by the positions that they had."""

    def __init__(
        self,
        docs: Sequence[Any],
        asked: Mapping[int, str],
        places: Mapping[str, int],
        kept: Mapping[str, str],
    ) -> None:
        self._docs, self._asked, self._places, self._kept = docs, asked, places, kept

    def __len__(self) -> int:
        return max(self._asked, default=-1) + 1

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        hash_ = self._asked[index]
        if hash_ in self._kept:
            return json.loads(self._kept[hash_])
        return self._docs[self._places[hash_]]
