"""The page with a task's samples: filters, counts, and fifty samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import numpy as np

from evalharness.report.choices import choice_line, shown_choices
from evalharness.store.records import (
    Manifest,
    TaskSummary,
)
from evalharness.viewer.index import (
    Floats,
    Index,
    Ints,
    open_index,
)
from evalharness.viewer.pairing import (
    Counterparts,
    find_counterparts,
    is_same_data,
)
from evalharness.viewer.query import (
    Order,
    Query,
    Search,
    Show,
    kind,
    search,
    select,
)
from evalharness.viewer.run_pages import Pager, make_pager, run_address
from evalharness.viewer.runs import Other, get_run, other_runs
from evalharness.viewer.samples import Line, can_read_prompts, read_lines
from evalharness.viewer.texts import cut

SAMPLES_A_PAGE = 50
_LONGEST_ANSWER = 120

LABELS = {
    Show.wrong: "wrong",
    Show.right: "right",
    Show.flipped: "flipped",
    Show.better: "better here than in the other run",
    Show.worse: "worse here than in the other run",
    Show.truncated: "truncated",
    Show.errors: "errors",
    Show.empty: "empty",
}
ORDERS = {
    Order.doc: "doc",
    Order.lowest: "score, lowest first",
    Order.highest: "score, highest first",
    Order.longest: "tokens, most first",
    Order.shortest: "tokens, fewest first",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A task of a run with the reader's query: the basis of both the list and the page of a sample."""

    run: Manifest
    summary: TaskSummary
    query: Query
    index: Index
    other: Manifest | None
    other_index: Index | None
    counterparts: Counterparts | None
    found: Search | None

    @property
    def gained(self) -> Floats | None:
        """(samples,) how much better each is here; None without another run."""
        return self.counterparts.gained if self.counterparts else None

    def places(self) -> Ints:
        """The selected samples, in order.

        Raises:
            StoreError: the file is damaged.
        """
        return select(self.index, self.query, self.gained, self.found)


class Box(NamedTuple):
    """A kind of samples to choose."""

    value: Show
    label: str
    num: int
    is_on: bool


class Row(NamedTuple):
    """A sample in the list."""

    address: str
    doc_id: int
    repeat: int
    mark: str
    score: float
    other_score: float
    answer: str
    target: str
    num_tokens: int
    finish_reason: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplesPage:
    """Fifty samples of a task."""

    asked: Asked
    boxes: Sequence[Box]
    others: Sequence[Other]
    rows: Sequence[Row]
    pager: Pager
    has_prompts: bool
    has_tokens: bool
    """Whether text was generated."""
    num_paired: int
    num_searched: int
    comparison: str
    """Address of the page that compares the two runs; empty without another."""
    searching_on: str
    """Address that continues the search; empty if it is complete."""


def ask(results_dir: Path, run_id: str, query: Query) -> Asked:
    """Load the data of a query.

    Raises:
        StoreError: no such run, task or other run, or their files are damaged.
    """
    run = get_run(results_dir, run_id)
    index = open_index(results_dir, run, query.task)
    other = get_run(results_dir, query.other) if query.other else None
    other_index = open_index(results_dir, other, query.task, index.scored) if other else None
    counterparts = None
    if other and other_index:
        by_doc_id = is_same_data(run, other, query.task)
        counterparts = find_counterparts(index, other_index, by_doc_id=by_doc_id)
    return Asked(
        run=run,
        summary=next(task for task in run.tasks if task.task == query.task),
        query=query,
        index=index,
        other=other,
        other_index=other_index,
        counterparts=counterparts,
        found=search(index, query.contains, query.searched_from) if query.contains else None,
    )


def samples_page(results_dir: Path, run_id: str, query: Query, page: int) -> SamplesPage:
    """The page of the selected samples.

    Raises:
        StoreError: as for `ask`.
    """
    asked = ask(results_dir, run_id, query)
    places = asked.places()
    pager = make_pager(len(places), SAMPLES_A_PAGE, page, query.address())
    shown = places[pager.first : pager.last].tolist()
    has_prompts = can_read_prompts(asked.index, shown)
    lines = read_lines(asked.index, shown, with_prompts=has_prompts)
    found, num_rows = asked.found, asked.index.num_rows
    return SamplesPage(
        asked=asked,
        boxes=_boxes(asked),
        others=other_runs(results_dir, asked.run, {query.task}),
        rows=[_row(asked, place, line) for place, line in zip(shown, lines, strict=True)],
        pager=pager,
        has_prompts=has_prompts,
        has_tokens=bool(asked.index.num_tokens.any()),
        comparison=comparison_address(run_id, query),
        num_paired=0 if asked.gained is None else int(np.isfinite(asked.gained).sum()),
        num_searched=found.searched_to - query.searched_from if found else 0,
        searching_on=query.address(searched_from=found.searched_to)
        if found and found.searched_to < num_rows
        else "",
    )


def sample_address(run_id: str, query: Query, doc_id: int, repeat: int) -> str:
    """Address of a sample within the current query."""
    return run_address(run_id, "sample") + query.address(doc=doc_id, repeat=repeat or None)


def comparison_address(run_id: str, query: Query) -> str:
    """Address of the page that compares the run with the query's other one; empty without one."""
    if not query.other:
        return ""
    return "/compare?" + urlencode({"a": run_id, "b": query.other, "task": query.task})


def mark(index: Index, place: int) -> str:
    """error, unscored, right, wrong, or scored if there is no right and wrong."""
    if index.is_error[place]:
        return "error"
    if math.isnan(index.score[place]):
        return "unscored"
    if not index.has_sides:
        return "scored"
    return "right" if index.is_right[place] else "wrong"


def answer_text(answer: str) -> str:
    """An extracted answer in a line; of scored choices without a stored one the most likely, counted from 0."""
    return choice_line(shown_choices(answer)) or cut(answer, _LONGEST_ANSWER)


def _boxes(asked: Asked) -> list[Box]:
    boxes = []
    for show, label in LABELS.items():
        is_on = show in asked.query.show
        if show == Show.empty:  # to count them, all responses have to be read
            num = asked.summary.num_empty
        else:
            is_of_kind = kind(asked.index, show, asked.gained)
            if is_of_kind is None and not is_on:
                continue
            num = 0 if is_of_kind is None else int(is_of_kind.sum())
        boxes.append(Box(show, label, num, is_on))
    return boxes


def _row(asked: Asked, place: int, line: Line) -> Row:
    index, other_score = asked.index, math.nan
    there = asked.counterparts.places[place] if asked.counterparts else -1
    if asked.other_index and there >= 0:
        other_score = float(asked.other_index.score[there])
    doc_id, repeat = int(index.doc_id[place]), int(index.repeat[place])
    return Row(
        address=sample_address(asked.run.run_id, asked.query, doc_id, repeat),
        doc_id=doc_id,
        repeat=repeat,
        mark=mark(index, place),
        score=float(index.score[place]),
        other_score=other_score,
        answer=cut(line.error, _LONGEST_ANSWER) if line.error else answer_text(line.answer),
        target=cut(line.target, _LONGEST_ANSWER),
        num_tokens=int(index.num_tokens[place]),
        finish_reason=line.finish_reason,
        question=line.question,
    )
