"""The same samples in two runs of a task: their pairing, and how much better one is."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalharness.store.records import FLIP, Manifest
from evalharness.viewer import database
from evalharness.viewer.index import Floats, Index, Ints


class Counterparts(NamedTuple):
    """Another run's samples, in the order of this one's index."""

    places: Ints
    """(samples,) position in the other index; -1 if there is none."""
    gained: Floats
    """(samples,) how much better the score is here; NaN if one of the two has none."""


@lru_cache(maxsize=4)
def find_counterparts(index: Index, other: Index, *, by_doc_id: bool) -> Counterparts:
    """Each sample's counterpart in another run.

    Args:
        index: of one run.
        other: the index of the same scores in another run.
        by_doc_id: pair by ids, because both ran on the same dataset. Otherwise pair by the docs' hashes; docs with the
        same content count one by one, in the dataset's order.
    """
    if by_doc_id:
        keys, other_keys = _mixed(index, index.doc_id), _mixed(other, other.doc_id)
    else:
        keys, other_keys = _content_keys(index), _content_keys(other)
    places = np.full(keys.size, -1)
    if np.array_equal(keys, other_keys):
        places = np.arange(keys.size)
    else:
        _, here, there = np.intersect1d(keys, other_keys, return_indices=True)
        places[here] = there
    theirs = np.full(keys.size, np.nan)
    theirs[places >= 0] = other.score[places[places >= 0]]
    gained = index.score - theirs if index.higher_is_better else theirs - index.score
    gained[np.abs(gained) <= FLIP] = 0
    return Counterparts(places, gained)


def is_same_data(run: Manifest, other: Manifest, task: str) -> bool:
    """Whether the task's docs have the same ids in both runs: same dataset, same task."""
    facts = [
        {(item.dataset_fingerprint, item.task_hash) for item in one.tasks if item.task == task}
        for one in (run, other)
    ]
    return facts[0] == facts[1] and all(value for fact in facts[0] for value in fact)


def _content_keys(index: Index) -> npt.NDArray[np.uint64]:
    """A number per sample that its counterpart in another run shares."""
    hashes = _hashes(index)
    order = np.lexsort((np.arange(hashes.size), index.repeat, hashes))
    sorted_keys = np.stack([hashes[order], index.repeat[order].astype(np.uint64)])
    is_first = np.append(True, np.any(sorted_keys[:, 1:] != sorted_keys[:, :-1], axis=0))
    count = np.arange(hashes.size)
    copy = np.empty_like(count)
    copy[order] = count - np.maximum.accumulate(np.where(is_first, count, 0))
    return np.asarray(_mixed(index, hashes) + copy.astype(np.uint64) * _ODD[1])


@lru_cache(maxsize=4)
def _hashes(index: Index) -> npt.NDArray[np.uint64]:
    found = database.columns_of(
        index.path,
        "SELECT file_row_number AS row, hash(doc_hash) AS hash FROM FILE WHERE filter = $filter",
        {"filter": index.scored.filter},
    )
    by_row = np.zeros(index.num_rows, np.uint64)
    by_row[found["row"]] = found["hash"]
    return np.asarray(by_row[index.row])


_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
"""Spread repeats and copies over 64 bits, so that sums don't collide."""


def _mixed(
    index: Index, doc: npt.NDArray[np.int64] | npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    return np.asarray(doc.astype(np.uint64) + index.repeat.astype(np.uint64) * _ODD[0])
