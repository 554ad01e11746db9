"""A sample's turns as readers see them: under a heading for each of the strategy's procedures, its controls among them.

Turns are stored one procedure after the other: read on, a control would look like the model's next turn.
"""

from collections.abc import Sequence
from typing import NamedTuple

from evalharness.store.records import TurnRecord


class _Words(NamedTuple):
    heading: str
    about: str
    step: str
    """What a step of it is called."""


_WORDS = {
    "correct": _Words(
        "Self-correction",
        "after the first answer: a critique, then a new answer, round by round; the last one is the sample's answer",
        "round",
    ),
    "reanswer": _Words(
        "Control: asked again",
        "after the first answer, as if nothing of the self-correction had been said: asked again, without a critique",
        "round",
    ),
    "vote": _Words(
        "Control: independent answers",
        "to the same prompt, as many as the tokens of the self-correction allow; with the first answer they vote",
        "draw",
    ),
    "sample": _Words("Draws", "independent answers to the same prompt", "draw"),
    "budget": _Words(
        "Thinking budgets",
        "one thinking, cut at each budget; the answer is forced from there",
        "budget",
    ),
}
"""Arm of a strategy -> how it is shown, in this order."""
_SIDE_BY_SIDE = ("vote", "sample", "budget")
"""Arms whose steps don't follow one another."""
_FORCED = "budget"
"""The arm whose messages are not the user's: the tag that ends the thinking."""


class ShownTurn(NamedTuple):
    """A turn with the words for it."""

    turn: TurnRecord
    asks: str
    """Whose its message is."""
    what: str
    """Purpose, and which round, draw or budget; empty where the heading says all."""


class Arm(NamedTuple):
    """The turns of one procedure."""

    heading: str
    about: str
    """What it is, in a sentence; empty where there is nothing to say."""
    turns: Sequence[ShownTurn]


def arms(turns: Sequence[TurnRecord]) -> list[Arm]:
    """The turns of a sample by procedure: the first answer, the strategy's arms in their order, then a task's own."""
    by_name: dict[str, list[TurnRecord]] = {}
    for turn in turns:
        by_name.setdefault(turn.arm, []).append(turn)
    names = ["", *_WORDS, *by_name]
    found = {name: by_name[name] for name in dict.fromkeys(names) if name in by_name}
    return [_arm(name, found[name], is_alone=len(found) == 1) for name in found]


def _arm(name: str, turns: Sequence[TurnRecord], *, is_alone: bool) -> Arm:
    if name in _SIDE_BY_SIDE:
        turns = sorted(turns, key=lambda turn: (turn.purpose != "think", turn.step, turn.turn))
    shown = [_shown(turn) for turn in turns]
    if is_alone and len(turns) == 1:
        return Arm("Response", "", shown)
    if name in _WORDS:
        return Arm(_WORDS[name].heading, _WORDS[name].about, shown)
    if name or is_alone:
        return Arm(name or "Conversation", "", shown)
    return Arm("First answer" if len(turns) == 1 else "Conversation", "", shown)


def _shown(turn: TurnRecord) -> ShownTurn:
    words = _WORDS.get(turn.arm)
    parts = [turn.purpose] if turn.purpose != "answer" or words else []
    if words and turn.purpose != "think":
        parts.append(f"{words.step} {turn.step}")
    elif turn.step and not words:
        parts.append(f"step {turn.step}")
    asks = "the thinking is ended with" if turn.arm == _FORCED else "user"
    return ShownTurn(turn, asks, ", ".join(parts))
