"""Answers with a known score, scored through a task's own requests, filters and metrics.

A perfect model's answer must score 1, an empty and a wrong one 0; otherwise the task has a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lm_eval.api.task import Task

from evalharness.tasks.choices import choices_of
from evalharness.tasks.sampling import read_settings

SURE = 0.0
UNLIKELY = -700.0
"""Log-likelihoods of choices that a model takes and does not take."""


class Score(NamedTuple):
    """Score of one doc in one metric; `value` is an item of the metric's aggregation, mostly a number."""

    metric: str
    filter: str
    value: Any


def chance_score(task: Task) -> float | None:
    """Score of guessing among the choices: the mean of 1 / choices; None without choices, or if several are right."""
    if task.OUTPUT_TYPE != "multiple_choice" or callable(task.get_config("process_results")):
        return None
    sizes = [len(choices_of(task, doc)) for doc in task.eval_docs]
    return sum(1 / size for size in sizes if size) / len(sizes) if sizes else None


def gold_text(task: Task, doc: Any) -> str:
    """A perfect model's answer: the target as in few-shots, up to a stop string that it ends with."""
    own = task.fewshot_cfg.doc_to_target if hasattr(task, "fewshot_cfg") else None
    gold = task.doc_to_target(doc, own) if own is not None else task.doc_to_target(doc)
    if isinstance(gold, int) and (choices := choices_of(task, doc)):
        return choices[gold]
    text = str(gold[0] if isinstance(gold, list) and gold else gold)
    return next((text.removesuffix(s) for s in stop_strings(task) if text.endswith(s)), text)


def stop_strings(task: Task) -> list[str]:
    """The strings that end an answer of the task."""
    return list(read_settings(task.get_config("generation_kwargs") or {}).get("until", ()))


def preferring(task: Task, doc: Any, places: Sequence[int]) -> list[tuple[float, bool]]:
    """The log-likelihoods of a model that is sure of these choices, one per request of the doc."""
    num = len(choices_of(task, doc))
    said = [(SURE, True) if i in places else (UNLIKELY, False) for i in range(num)]
    num_requests = len(_requests(task, doc))
    return said + [(-1.0, False)] * (num_requests - num)


def score(task: Task, doc: Any, responses: Sequence[Any]) -> list[Score]:
    """A doc's score in every metric and filter of the task.

    Args:
        task: loaded.
        doc: one of its docs.
        responses: one per request: a text, or (log-likelihood, is greedy).
    """
    requests = _requests(task, doc)
    num_draws = int(task.get_config("repeats") or 1)
    for request, response in zip(requests, responses, strict=True):
        request.resps = [response] * num_draws
    before = getattr(task, "_instances", None)
    task._instances = requests
    try:
        task.apply_filters()
    finally:
        task._instances = before
    found = []
    for filter_ in requests[0].filtered_resps:
        results = task.process_results(doc, [r.filtered_resps[filter_] for r in requests])
        found += [Score(metric, filter_, value) for metric, value in results.items()]
    return found


def as_numbers(task: Task, scores: Sequence[Sequence[Score]]) -> Mapping[tuple[str, str], float]:
    """(metric, filter) -> the scores of several docs as one number, by the metric's own aggregation."""
    values: dict[tuple[str, str], list[Any]] = {}
    for metric, filter_, value in (s for of_doc in scores for s in of_doc):
        values.setdefault((metric, filter_), []).append(value)
    aggregations = task.aggregation()
    return {
        key: float(aggregations[key[0]](v)) for key, v in values.items() if key[0] in aggregations
    }


def _requests(task: Task, doc: Any) -> list[Any]:
    context = [""] * len(choices_of(task, doc)) if getattr(task, "multiple_input", 0) else ""
    requests = task.construct_requests(doc=doc, ctx=context, metadata=(task.task_name, 0, 1))
    return requests if isinstance(requests, list) else [requests]
