"""The choices of a multiple-choice doc: their texts, which are right, and which one each of lm-eval's metrics takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lm_eval.api.task import ConfigurableTask, Task


class Choices(NamedTuple):
    """Of one doc, in the order in which they are asked."""

    texts: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    """Those that are right, from 0; empty where the task's own code decides, or where none is."""
    is_without_gold: bool = False
    """lm-eval's own scoring can count no answer as right: the target is none of the choices."""

    @property
    def is_scored_by_lm_eval(self) -> bool:
        """Whether a metric's name says how it chooses; the task's own code may mean anything by acc."""
        return bool(self.gold) or self.is_without_gold


NO_CHOICES = Choices()


def choices_of(task: Task, doc: Any) -> list[str]:
    """The doc's choices; [] where the task has none."""
    if task.get_config("doc_to_choice") is None:
        return []
    return [str(choice) for choice in task.doc_to_choice(doc)]


def gold_places(task: Task, doc: Any) -> list[int]:
    """Indices of the right choices.

    Raises:
        ValueError: the target is none of the choices.
    """
    choices, places = choices_of(task, doc), []
    for one in _golds(task, doc):
        place = _place(one, choices)
        if place is None:
            raise ValueError(f"target {one!r} is none of the {len(choices)} choices")
        places.append(place)
    return places


def asked_choices(task: Task, doc: Any) -> Choices:
    """What a doc offers to choose from; nothing where the task isn't multiple choice."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return NO_CHOICES
    texts = choices_of(task, doc)
    is_scored_by_lm_eval = not callable(task.get_config("process_results")) and (
        type(task).process_results is ConfigurableTask.process_results
    )
    if not texts or not is_scored_by_lm_eval:
        return Choices(tuple(texts))
    places = [_place(one, texts) for one in _golds(task, doc)]
    gold = tuple(place for place in places if place is not None)
    return Choices(tuple(texts), gold, is_without_gold=not gold)


def chosen_by(
    choices: Choices, logprobs: Sequence[float], metrics: Iterable[str]
) -> dict[str, int]:
    """Metric -> the choice that it takes for the model's answer, as lm-eval computes it.

    Args:
        choices: of the doc; nothing is said of those that the task's own code scores.
        logprobs: theirs, and those of the choices without the question where a metric needs these too.
        metrics: names; one that chooses in no such way isn't in the result.
    """
    texts, num = choices.texts, len(choices.texts)
    if not choices.is_scored_by_lm_eval or len(logprobs) not in (num, 2 * num):
        return {}
    chosen = {}
    for metric in metrics:
        if ranks := _ranks(metric, texts, logprobs):
            chosen[metric] = max(range(num), key=ranks.__getitem__)
    return chosen


def _ranks(metric: str, texts: Sequence[str], logprobs: Sequence[float]) -> Sequence[float]:
    """What a metric ranks the choices by, the highest chosen; empty where it ranks nothing."""
    num = len(texts)
    match metric:
        case "acc":
            return logprobs[:num]
        case "acc_norm":
            return [
                _per(logprob, len(text)) for logprob, text in zip(logprobs, texts, strict=False)
            ]
        case "acc_bytes":
            sizes = (len(text.encode()) for text in texts)
            return [_per(logprob, size) for logprob, size in zip(logprobs, sizes, strict=False)]
        case "acc_mutual_info" if len(logprobs) == 2 * num:
            return [known - alone for known, alone in zip(logprobs, logprobs[num:], strict=False)]
    return ()


def _per(logprob: float, size: int) -> float:
    """As numpy divides: by nothing it is infinite, or, of 0, what numpy takes for the greatest."""
    if size:
        return logprob / size
    return -math.inf if logprob < 0 else math.inf


def _golds(task: Task, doc: Any) -> list[Any]:
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    return gold if isinstance(gold, list) else [gold]


def _place(gold: Any, choices: list[str]) -> int | None:
    place = choices.index(gold) if isinstance(gold, str) and gold in choices else gold
    return int(place) if isinstance(place, int) and 0 <= place < len(choices) else None
