"""`task check`: docs that can't be asked, because a template or the task's own code fails on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from evalharness.tasks.authoring.blame import blamed, lacking, undefined_field
from evalharness.tasks.authoring.defects import Defect, named_docs
from evalharness.tasks.choices import choices_of
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.user_code import UserCodeError


def unasked_docs(loaded: LoadedTask) -> list[Defect]:
    """An error for each way in which questions, targets or few-shots can't be written.

    The first doc stands for all where the few-shots are.
    """
    task = loaded.task
    failed: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, doc in enumerate(loaded.docs):
        for where, what in _failures(loaded, partial(_write, loaded, doc)):
            failed[where, what].append(place)
    if not failed and (task.get_config("num_fewshot") or 0):
        for where, what in _failures(loaded, partial(prompt_of, loaded, loaded.docs[0])):
            failed[where, what].append(0)
    return [
        Defect("error", f"{named_docs(places)} can't be asked: {what}", where)
        for (where, what), places in failed.items()
    ]


def prompt_of(loaded: LoadedTask, doc: Any) -> str | list[str]:
    """A doc's prompt as it reaches a base model, with its few-shots; several for a task whose choices differ in it."""
    task = loaded.task
    prompt: str | list[str] = task.fewshot_context(
        doc,
        num_fewshot=task.get_config("num_fewshot") or 0,
        gen_prefix=task.doc_to_prefix(doc),
    )
    return prompt


def _write(loaded: LoadedTask, doc: Any) -> None:
    """What every doc needs, few-shots aside."""
    loaded.task.doc_to_text(doc)
    choices_of(loaded.task, doc)
    if loaded.kind != "loglikelihood_rolling":
        loaded.task.doc_to_target(doc)


def _failures(loaded: LoadedTask, write: Callable[[], Any]) -> Iterator[tuple[str, str]]:
    """(place, message) if it fails."""
    try:
        with loaded.bounds.contain("the prompt"):
            write()
    except UserCodeError as e:
        error = e.__cause__ or e
        field = undefined_field(error)
        has = lacking(loaded, field) if field else None
        what = f"{field!r} is undefined; {has}" if has else str(e)
        yield blamed(error, loaded) or "doc_to_text", what
