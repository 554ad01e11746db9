"""The choices of a multiple-choice sample as readers see them; of runs before schema 3 as far as the response tells."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalharness.store.records import ScoredChoice

MOST_LIKELY = "most likely"
"""What chooses in a sample that stores no metric's choice."""


class ShownChoice(NamedTuple):
    """One choice of a sample."""

    place: int
    """From 0, as targets count."""
    text: str
    """Empty where it isn't stored."""
    logprob: float
    num_tokens: int | None
    is_gold: bool
    chosen_by: tuple[str, ...]
    """Metrics that take it for the answer."""


def shown_choices(
    response: str,
    choices: Sequence[ScoredChoice] = (),
    chosen: Mapping[str, int] | None = None,
    gold: Sequence[int] = (),
) -> list[ShownChoice]:
    """The choices in their order; empty where none were asked.

    Args:
        response: `[[logprob, is_greedy], ...]` as JSON, or any other text.
        choices: as stored.
        chosen: metric -> choice.
        gold: the right ones.
    """
    found = list(choices) or [ScoredChoice("", logprob, None) for logprob in _logprobs(response)]
    by_metric = chosen or {}
    if found and not by_metric:
        best = max(range(len(found)), key=lambda place: found[place].logprob)
        by_metric = {MOST_LIKELY: best}
    return [
        ShownChoice(
            place,
            choice.text,
            choice.logprob,
            choice.num_tokens,
            place in gold,
            tuple(metric for metric, taken in by_metric.items() if taken == place),
        )
        for place, choice in enumerate(found)
    ]


def choice_line(choices: Sequence[ShownChoice], metric: str = "") -> str:
    """The choice that a metric takes (the first that chooses, where it takes none), in a line; empty without choices."""
    taken = next((c for c in choices if metric in c.chosen_by), None)
    taken = taken or next((c for c in choices if c.chosen_by), None)
    if taken is None:
        return ""
    name = f"{taken.place}: {taken.text.strip()}" if taken.text.strip() else f"choice {taken.place}"
    return f"{name} (of {len(choices)}, {taken.logprob:.2f})"


def _logprobs(response: str) -> list[float]:
    if not response.startswith("[["):
        return []
    try:
        return [float(logprob) for logprob, _ in json.loads(response)]
    except (ValueError, TypeError, RecursionError):
        return []
