"""Texts of the samples on a page, read from the file by position, without the rest of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evalharness.report.choices import ShownChoice, shown_choices
from evalharness.store.columns import added_since
from evalharness.store.records import ScoredChoice
from evalharness.viewer import database
from evalharness.viewer.conversation import question
from evalharness.viewer.index import Index
from evalharness.viewer.texts import ending

_MOST_PROMPT_BYTES = 64_000_000
"""Most bytes of prompts unpacked for a page of samples: a row group's share one dictionary, which is read as a whole."""
_LONGEST_ANSWER = 1500
"""Read for a list; enough for the log-likelihoods of some thirty choices."""
_LONGEST_EXCERPT = 200
_ADDED = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in added_since(2))
_WHOLE = f"(SELECT * FROM FILE UNION ALL BY NAME (SELECT {_ADDED} LIMIT 0))"
"""The file, with the columns that one of an older schema lacks."""
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
    chosen: dict[str, int]
    """Metric -> choice."""
    gold_answer: str | None
    """What it makes of the target; None where that isn't known."""


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
    choices: tuple[ScoredChoice, ...]
    """Empty where none were asked, and in files before schema 3."""
    gold: tuple[int, ...]
    filters: tuple[Filtered, ...]

    @property
    def shown_choices(self) -> list[ShownChoice]:
        """The choices with what takes each under the main filter; empty where none were asked."""
        return shown_choices(self.response, self.choices, self.filters[0].chosen, self.gold)


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
        SELECT file_row_number, left(answer, {_LONGEST_ANSWER}), left(coalesce(gold_answer, target), {_LONGEST_ANSWER}),
               finish_reason, coalesce(left(error, {_LONGEST_ANSWER}), ''), {prompt},
               chosen[$metric], left(choices[chosen[$metric] + 1].text, {_LONGEST_ANSWER}),
               [left(choices[g + 1].text, {_LONGEST_ANSWER}) for g in gold]
        FROM {_WHOLE} WHERE file_row_number IN $rows
        """,
        {"rows": rows, "metric": index.scored.metric},
    )
    by_row = {
        row: Line(
            answer if chosen is None else f"{chosen}: {text}",
            " or ".join(gold) if gold else target,
            finish,
            error,
            ending(question(asked), _LONGEST_EXCERPT),
        )
        for row, answer, target, finish, error, asked, chosen, text, gold in found
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
        SELECT filter, answer, scores, chosen, gold_answer, {", ".join(names)}
        FROM {_WHOLE} WHERE doc_id = $doc_id AND repeat = $repeat ORDER BY filter <> $filter, file_row_number
        """,
        {"doc_id": doc_id, "repeat": repeat, "filter": index.scored.filter},
    )
    filters = tuple(
        Filtered(name, answer, dict(scores), dict(chosen or {}), gold_answer)
        for name, answer, scores, chosen, gold_answer, *_ in found
    )
    values = dict(zip(names, found[0][5:], strict=True))
    values["choices"] = tuple(ScoredChoice(**choice) for choice in values["choices"] or ())
    values["gold"] = tuple(values["gold"] or ())
    return Sample(**values, filters=filters)
