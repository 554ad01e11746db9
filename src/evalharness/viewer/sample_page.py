"""The page of one sample: the conversation, its scoring, and the same sample of another run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalharness.errors import CheckpointError, StoreError
from evalharness.report.arms import ShownTurn, arms
from evalharness.report.choices import ShownChoice, choice_line, shown_choices
from evalharness.store.records import Manifest, TurnRecord
from evalharness.store.turns import load_turns
from evalharness.viewer.conversation import chat_turns
from evalharness.viewer.index import Index
from evalharness.viewer.list_page import (
    Asked,
    ask,
    comparison_address,
    mark,
    sample_address,
)
from evalharness.viewer.query import Query
from evalharness.viewer.run_pages import run_address
from evalharness.viewer.runs import Other, other_runs
from evalharness.viewer.samples import Filtered, Sample, read_sample
from evalharness.viewer.texts import Block, block
from evalharness.viewer.tokens import Token, prompt_tokens

MOST_TOKENS = 4000
"""Turns shown at first."""
_UNFOLDED_TURNS = 3
"""Turns of a prompt before its last one that are shown; more are mostly examples, and are folded."""

Make = Callable[[str, str], Block]
"""A name on the page and a text -> its block."""


class Bubble(NamedTuple):
    """One message."""

    role: str
    text: Block


class TurnView(NamedTuple):
    """A turn of a trajectory with its texts as blocks."""

    turn: TurnRecord
    asks: str
    what: str
    message: Block | None
    text: Block
    thinking: Block | None


class ArmView(NamedTuple):
    """The turns of one procedure."""

    heading: str
    about: str
    turns: Sequence[TurnView]


class Answer(NamedTuple):
    """What a filter extracted."""

    filter: str
    is_main: bool
    text: Block
    gold: Block | None
    """What the filter makes of the target; None where that isn't known."""
    is_choice: bool
    scores: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The model's prompt."""

    first: Sequence[Bubble]
    folded: Sequence[Bubble]
    last: Sequence[Bubble]
    raw: Block
    """The prompt as sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A sample as one run has it."""

    run: Manifest
    sample: Sample
    mark: str
    score: float
    metric: str
    prompt: Prompt
    arms: Sequence[ArmView]
    """Empty where the sample is no conversation."""
    response: Block
    thinking: Block | None
    choices: Sequence[ShownChoice]
    target: Block
    answers: Sequence[Answer]
    error: Block | None
    damaged: str
    """Why its turns can't be read; empty if they can."""
    tokens_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePage:
    """One sample, beside its counterpart if another run is chosen."""

    asked: Asked
    sides: Sequence[Side]
    is_same_prompt: bool
    """Of both sides: it is shown once."""
    position: int
    """Position among the selected samples, from 1; 0 if it isn't one of them."""
    num_found: int
    previous: str
    next: str
    others: Sequence[Other]
    fields: Sequence[tuple[str, str]]
    """Of the address, for the form that chooses the other run."""
    comparison: str
    """Address of the page that compares the two runs; empty without another."""
    here: str
    """The address, to which the name of a text to show in full is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensPage:
    """A prompt's tokens, or why there are none."""

    asked: Asked
    sample: Sample
    tokens: Sequence[Token]
    num_tokens: int
    problem: str
    back: str
    here: str


def sample_page(
    results_dir: Path, run_id: str, query: Query, doc_id: int, repeat: int, whole: str
) -> SamplePage:
    """One sample.

    Args:
        results_dir: folder that holds the runs.
        run_id: the run.
        query: the list that the sample was found in.
        doc_id: which doc.
        repeat: which draw.
        whole: name of a text that is shown in full.

    Raises:
        StoreError: there is no such sample, or its file is damaged.
    """
    asked = ask(results_dir, run_id, query)
    place = _place(asked, doc_id, repeat)
    sides = [_side(results_dir, asked.run, asked.index, place, query, "a", whole)]
    if asked.other and asked.other_index and asked.counterparts:
        there = int(asked.counterparts.places[place])
        if there >= 0:
            other = asked.other, asked.other_index, there, query
            sides.append(_side(results_dir, *other, "b", whole))
    places = asked.places()
    found = np.flatnonzero(places == place)
    at = int(found[0]) if found.size else None
    neighbours = [None if at is None else _neighbour(asked, places, at + step) for step in (-1, 1)]
    return SamplePage(
        asked=asked,
        sides=sides,
        is_same_prompt=len({side.sample.prompt for side in sides}) == 1,
        position=0 if at is None else at + 1,
        num_found=len(places),
        previous=neighbours[0] or "",
        next=neighbours[1] or "",
        others=other_runs(results_dir, asked.run, {query.task}),
        fields=query.fields(doc=doc_id, repeat=repeat or None, other=None),
        comparison=comparison_address(run_id, query),
        here=sample_address(run_id, query, doc_id, repeat),
    )


def tokens_page(
    results_dir: Path, run_id: str, query: Query, doc_id: int, repeat: int, *, show_all: bool
) -> TokensPage:
    """The tokens of a sample's prompt.

    Raises:
        StoreError: there is no such sample, or its file is damaged.
    """
    asked = ask(results_dir, run_id, query)
    sample = read_sample(asked.index, _place(asked, doc_id, repeat))
    tokens: list[Token] = []
    problem = ""
    try:
        tokens = prompt_tokens(results_dir, asked.run, sample.prompt)
    except CheckpointError as e:
        problem = str(e)
    return TokensPage(
        asked=asked,
        sample=sample,
        tokens=tokens if show_all else tokens[:MOST_TOKENS],
        num_tokens=len(tokens),
        problem=problem,
        back=sample_address(run_id, query, doc_id, repeat),
        here=run_address(run_id, "tokens") + query.address(doc=doc_id, repeat=repeat or None),
    )


def _place(asked: Asked, doc_id: int, repeat: int) -> int:
    place = asked.index.place_of(doc_id, repeat)
    if place is None:
        raise StoreError(f"task {asked.query.task!r} has no doc {doc_id} with repeat {repeat}")
    return place


def _neighbour(asked: Asked, places: np.ndarray, at: int) -> str | None:
    if not 0 <= at < len(places):
        return None
    index, place = asked.index, places[at]
    doc = int(index.doc_id[place]), int(index.repeat[place])
    return sample_address(asked.run.run_id, asked.query, *doc)


def _side(
    results_dir: Path, run: Manifest, index: Index, place: int, query: Query, name: str, whole: str
) -> Side:
    make: Make = partial(_block, name, whole)
    sample, turns, damaged = read_sample(index, place), [], ""
    try:
        turns = load_turns(results_dir / run.run_id, query.task, sample.doc_id, sample.repeat)
    except StoreError as e:
        damaged = str(e)
    address = query.address(doc=sample.doc_id, repeat=sample.repeat or None, other=None)
    return Side(
        run=run,
        sample=sample,
        mark=mark(index, place),
        score=float(index.score[place]),
        metric=index.scored.metric,
        prompt=_prompt(sample.prompt, make, is_open=whole.startswith(f"{name}-prompt")),
        arms=[
            ArmView(arm.heading, arm.about, [_turn(shown, make) for shown in arm.turns])
            for arm in arms(turns)
        ],
        response=make("response", sample.response),
        thinking=make("thinking", sample.thinking) if sample.thinking else None,
        choices=sample.shown_choices,
        target=make("target", _target(sample)),
        answers=_answers(sample, index.scored.filter, make),
        error=make("error", sample.error) if sample.error else None,
        damaged=damaged,
        tokens_address=run_address(run.run_id, "tokens") + address,
    )


def _target(sample: Sample) -> str:
    """The target; of choices the right ones with their texts."""
    right = [f"{c.place}: {c.text.strip()}" for c in sample.shown_choices if c.is_gold]
    return "\n".join(right) or sample.target


def _block(side: str, whole: str, name: str, text: str) -> Block:
    full = f"{side}-{name}"
    return block(full, text, is_whole=whole == full)


def _prompt(prompt: str, make: Make, *, is_open: bool) -> Prompt:
    bubbles = [
        Bubble(said.role, make(f"prompt-{place}", said.text))
        for place, said in enumerate(chat_turns(prompt))
    ]
    raw = make("prompt", prompt)
    num_first = int(bool(bubbles) and bubbles[0].role == "system")
    end = len(bubbles) - 1
    if is_open or end - num_first <= _UNFOLDED_TURNS:
        return Prompt(first=(), folded=(), last=bubbles, raw=raw)
    return Prompt(
        first=bubbles[:num_first], folded=bubbles[num_first:end], last=bubbles[end:], raw=raw
    )


def _turn(shown: ShownTurn, make: Make) -> TurnView:
    turn = shown.turn
    name = f"turn-{turn.turn}"
    return TurnView(
        turn,
        shown.asks,
        shown.what,
        make(f"{name}-message", turn.message) if turn.message else None,
        make(f"{name}-text", turn.text),
        make(f"{name}-thinking", turn.thinking) if turn.thinking else None,
    )


def _answers(sample: Sample, main: str, make: Make) -> list[Answer]:
    return [_answer(sample, found, place, main, make) for place, found in enumerate(sample.filters)]


def _answer(sample: Sample, found: Filtered, place: int, main: str, make: Make) -> Answer:
    is_choice = bool(shown_choices(found.answer))
    choices = shown_choices(found.answer, sample.choices, found.chosen) if is_choice else []
    text = choice_line(choices, next(iter(found.scores), "")) or found.answer
    is_main = found.filter == main
    gold = None if found.gold_answer is None else make(f"gold-{place}", found.gold_answer)
    return Answer(
        found.filter, is_main, make(f"answer-{place}", text), gold, is_choice, found.scores
    )
