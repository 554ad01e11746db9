"""The samples of one task whose score differs between two runs, in pages, and those that only one of them has."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalharness.comparison.compare import Comparison, TaskComparison
from evalharness.errors import StoreError, did_you_mean
from evalharness.store.pairs import Scored
from evalharness.store.records import FLIP
from evalharness.viewer.index import Flags, Floats, Index, Ints, open_index
from evalharness.viewer.list_page import answer_text, mark, sample_address
from evalharness.viewer.pairing import Counterparts, find_counterparts, is_same_data
from evalharness.viewer.query import Query, Show
from evalharness.viewer.run_pages import Pager, make_pager
from evalharness.viewer.samples import Line, can_read_prompts, read_lines
from evalharness.viewer.texts import cut

FLIPS_A_PAGE = 50
_LONGEST_ANSWER = 120
_MOST_DOCS = 20
"""Most docs that are named of those that aren't in both runs."""


class Way(StrEnum):
    """In which direction the second run's score differs from the first's."""

    any = "any"
    better = "better"
    worse = "worse"


_SHOWN = {Way.any: Show.flipped, Way.better: Show.worse, Way.worse: Show.better}
"""The same samples in a list of the first run's, where better means better in the first."""


class Flip(NamedTuple):
    """A sample whose score differs."""

    address: str
    """Its page, both runs side by side."""
    doc_id: int
    repeat: int
    mark_a: str
    mark_b: str
    score_a: float
    score_b: float
    question: str
    answer_a: str
    answer_b: str
    target: str


class Apart(NamedTuple):
    """Samples without a score in both runs."""

    why: str
    num: int
    docs: str
    """The first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipList:
    """A page of one task's flips."""

    task: str
    way: Way
    num_better: int
    num_worse: int
    num_same: int
    has_sides: bool
    """Whether all scores are 0 or 1, so that every flip is from right to wrong or back."""
    rows: Sequence[Flip]
    pager: Pager
    has_prompts: bool
    apart: Sequence[Apart]


def paired_tasks(found: Comparison) -> list[TaskComparison]:
    """The tasks that were compared doc by doc, those of groups among them."""
    rows = (*found.tasks, *found.members)
    return [row for row in rows if row.num_members == 1 and row.result.test != "z"]


def flip_list(
    results_dir: Path, found: Comparison, task: str, way: Way, page: int, address: str
) -> FlipList | None:
    """The flips of a task; None where no task was compared doc by doc.

    Args:
        results_dir: folder that holds both runs.
        found: their comparison.
        task: one of its tasks; empty for the first that has flips.
        way: which flips.
        page: from 1.
        address: of the list, to which the page is added.

    Raises:
        StoreError: the task isn't compared, or a file is damaged.
    """
    tasks = {row.task: row for row in paired_tasks(found)}
    if not tasks:
        return None
    if task and task not in tasks:
        raise StoreError(
            f"task {task!r} isn't compared doc by doc in these runs{did_you_mean(task, tasks)}"
        )
    flipped = (name for name, row in tasks.items() if row.result.wins + row.result.losses)
    name = task or next(flipped, next(iter(tasks)))
    scored = Scored(tasks[name].metric, tasks[name].filter)
    both = _open(results_dir, found, name, scored)
    gained = both.paired.gained
    is_better, is_worse = gained < 0, gained > 0
    is_shown = {Way.any: is_better | is_worse, Way.better: is_better, Way.worse: is_worse}[way]
    places = _largest_first(gained, is_shown)
    pager = make_pager(len(places), FLIPS_A_PAGE, page, address)
    is_main = open_index(results_dir, found.a, name).scored == scored
    shows = (_SHOWN[way],) if is_main else ()  # lists of samples are by the main score
    query = Query(task=name, other=found.b.run_id, show=shows)
    shown = places[pager.first : pager.last].tolist()
    has_prompts = can_read_prompts(both.first, shown)
    return FlipList(
        task=name,
        way=way,
        num_better=int(is_better.sum()),
        num_worse=int(is_worse.sum()),
        num_same=int((gained == 0).sum()),
        has_sides=_is_binary(both.first) and _is_binary(both.second),
        rows=_rows(both, found.a.run_id, query, shown, with_prompts=has_prompts),
        pager=pager,
        has_prompts=has_prompts,
        apart=_apart(both, found.a.run_id, found.b.run_id),
    )


class _Both(NamedTuple):
    """One task in the two runs."""

    first: Index
    second: Index
    paired: Counterparts


def _open(results_dir: Path, found: Comparison, task: str, scored: Scored) -> _Both:
    index, other = (open_index(results_dir, run, task, scored) for run in (found.a, found.b))
    by_doc_id = is_same_data(found.a, found.b, task)
    return _Both(index, other, find_counterparts(index, other, by_doc_id=by_doc_id))


def _largest_first(gained: Floats, is_shown: Flags) -> Ints:
    """Positions of the samples to show: the largest difference first, equal ones in the order of docs."""
    places = np.flatnonzero(is_shown)
    return np.asarray(places[np.argsort(-np.abs(gained[places]), kind="stable")])


def _is_binary(index: Index) -> bool:
    scores = index.score[np.isfinite(index.score)]
    return bool((np.minimum(np.abs(scores), np.abs(1 - scores)) < FLIP).all())


def _rows(
    both: _Both, run_id: str, query: Query, shown: Sequence[int], *, with_prompts: bool
) -> list[Flip]:
    there = both.paired.places[list(shown)].tolist()
    lines = read_lines(both.first, shown, with_prompts=with_prompts)
    other_lines = read_lines(both.second, there, with_prompts=False)
    return [
        _row(both, run_id, query, *found)
        for found in zip(shown, there, lines, other_lines, strict=True)
    ]


def _row(
    both: _Both, run_id: str, query: Query, place: int, there: int, line: Line, other_line: Line
) -> Flip:
    index, other = both.first, both.second
    doc_id, repeat = int(index.doc_id[place]), int(index.repeat[place])
    return Flip(
        address=sample_address(run_id, query, doc_id, repeat),
        doc_id=doc_id,
        repeat=repeat,
        mark_a=mark(index, place),
        mark_b=mark(other, there),
        score_a=float(index.score[place]),
        score_b=float(other.score[there]),
        question=line.question,
        answer_a=answer_text(line.answer),
        answer_b=answer_text(other_line.answer),
        target=cut(line.target, _LONGEST_ANSWER),
    )


def _apart(both: _Both, first: str, second: str) -> list[Apart]:
    """The samples that are left out of the pairs, by why."""
    index, other, places = both.first, both.second, both.paired.places
    is_paired = places >= 0
    has_other = np.zeros(other.row.size, bool)
    has_other[places[is_paired]] = True
    score_b = np.full(index.row.size, np.nan)
    score_b[is_paired] = other.score[places[is_paired]]
    found = {
        f"only in {first}": index.doc_id[~is_paired],
        f"only in {second}": other.doc_id[~has_other],
        f"without a score in {first}": index.doc_id[is_paired & np.isnan(index.score)],
        f"without a score in {second}": index.doc_id[is_paired & np.isnan(score_b)],
    }
    return [Apart(why, len(docs), _named(docs)) for why, docs in found.items() if len(docs)]


def _named(docs: Ints) -> str:
    """The first of some docs."""
    ids = np.unique(docs)
    more = ", …" if len(ids) > _MOST_DOCS else ""
    return ", ".join(map(str, ids[:_MOST_DOCS].tolist())) + more
