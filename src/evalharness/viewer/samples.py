"""Texts of the samples on a page, read from the file by position, without the rest of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalharness.store import layout
from evalharness.viewer import database
from evalharness.viewer.conversation import question
from evalharness.viewer.index import Index
from evalharness.viewer.texts import ending

_MOST_PROMPT_BYTES = 64_000_000
"""Most bytes of prompts unpacked for a page of samples: a row group's share one dictionary, which is read as a whole."""
_LONGEST_ANSWER = 1500
"""Read for a list; enough for the log-likelihoods of some thirty choices."""
_LONGEST_EXCERPT = 200
_EXCERPT_FROM = 2000


class Line(NamedTuple):
    """A sample in a list."""

    answer: str
    target: str
    finish_reason: str
    error: str
    question: str
    """End of the prompt; empty if prompts weren't read."""


class Filtered(NamedTuple):
    """What one of the task's filters made of a response."""

    filter: str
    answer: str
    scores: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample with all its texts."""

    doc_id: int
    repeat: int
    doc_hash: str
    prompt: str
    target: str
    response: str
    thinking: str | None
    finish_reason: str
    num_prompt_tokens: int
    num_generated_tokens: int
    latency_s: float
    error: str | None
    filters: tuple[Filtered, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a sample's conversation."""

    turn: int
    arm: str
    step: int
    purpose: str
    message: str
    text: str
    thinking: str | None
    answer: str | None
    score: float | None
    p_yes: float | None
    num_generated_tokens: int
    finish_reason: str


def can_read_prompts(index: Index, places: Sequence[int]) -> bool:
    """Whether the prompts of these samples can be read quickly, as they aren't spread all over a large file."""
    groups = np.unique(np.searchsorted(index.group_row, index.row[list(places)], side="right") - 1)
    return bool(index.group_bytes[groups].sum() <= _MOST_PROMPT_BYTES)


def read_lines(index: Index, places: Sequence[int], *, with_prompts: bool) -> list[Line]:
    """The samples at these positions in the index, in their order.

    Raises:
        StoreError: the file is damaged.
    """
    rows = index.row[list(places)].tolist()
    prompt = f"right(prompt, {_EXCERPT_FROM})" if with_prompts else "''"
    found = database.rows_of(
        index.path,
        f"""
        SELECT file_row_number, left(answer, {_LONGEST_ANSWER}), left(target, {_LONGEST_ANSWER}),
               finish_reason, coalesce(left(error, {_LONGEST_ANSWER}), ''), {prompt}
        FROM FILE WHERE file_row_number IN $rows
        """,
        {"rows": rows},
    )
    by_row = {
        row: Line(answer, target, finish, error, ending(question(asked), _LONGEST_EXCERPT))
        for row, answer, target, finish, error, asked in found
    }
    return [by_row[row] for row in rows]


def read_sample(index: Index, place: int) -> Sample:
    """The sample at a position in the index.

    Raises:
        StoreError: the file is damaged.
    """
    doc_id, repeat = int(index.doc_id[place]), int(index.repeat[place])
    names = [name for name in Sample.__dataclass_fields__ if name != "filters"]
    found = database.rows_of(
        index.path,
        f"""
        SELECT filter, answer, scores, {", ".join(names)}
        FROM FILE WHERE doc_id = $doc_id AND repeat = $repeat ORDER BY filter <> $filter, file_row_number
        """,
        {"doc_id": doc_id, "repeat": repeat, "filter": index.scored.filter},
    )
    filters = tuple(Filtered(name, answer, dict(scores)) for name, answer, scores, *_ in found)
    values = dict(zip(names, found[0][3:], strict=True))
    return Sample(**values, filters=filters)


def read_turns(run_dir: Path, task: str, sample: Sample) -> list[Turn]:
    """The turns of a sample's conversation, in order; none if the task has none.

    Raises:
        StoreError: the file is damaged.
    """
    path = layout.turns_path(run_dir, task)
    if not path.is_file():
        return []
    names = list(Turn.__dataclass_fields__)
    selected = ", ".join(
        "coalesce(len(token_ids), 0)" if name == "num_generated_tokens" else name for name in names
    )
    rows = database.rows_of(
        path,
        f"SELECT {selected} FROM FILE WHERE doc_id = $doc_id AND repeat = $repeat ORDER BY turn",
        {"doc_id": sample.doc_id, "repeat": sample.repeat},
    )
    return [Turn(**dict(zip(names, row, strict=True))) for row in rows]
