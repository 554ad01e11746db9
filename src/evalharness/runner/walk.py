"""What has to be done for docs outside a limit, so that the others are asked as in a run of all docs.

lm-eval draws few-shots from one generator for all docs of a task, in order, so that a doc's few-shots depend on the
docs before it. Otherwise prompts are seeded by doc, but a task's own Python may keep its own generator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

from lm_eval.api.samplers import FirstNSampler
from lm_eval.api.task import ConfigurableTask

from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.user_code import Bounds

_WRITES_PROMPTS = ("doc_to_text", "doc_to_target", "doc_to_choice")


class Chance(Enum):
    """How a doc's prompt may depend on the docs before it."""

    none = auto()
    fewshots = auto()
    """Only the few-shots, drawn by lm-eval's sampler."""
    anything = auto()
    """The whole prompt, written by the task's own Python, which may keep its own generator."""


class _DrawnError(Exception):
    """The few-shots are drawn; nothing more is needed of the doc."""


def chance_of(loaded: LoadedTask) -> Chance:
    """What has to be done for docs that aren't scored, if they come before scored ones."""
    ids = loaded.subset.doc_ids
    if not ids or ids[-1] + 1 == len(ids):
        return Chance.none
    task, config = loaded.task, loaded.task.config
    configs = (config, config.fewshot_config)
    written = [getattr(each, name, None) for each in configs for name in _WRITES_PROMPTS]
    if type(task) is not ConfigurableTask or any(map(callable, written)):
        return Chance.anything
    sampler = getattr(task, "sampler", None)
    if not config.num_fewshot or sampler is None or type(sampler) is FirstNSampler:
        return Chance.none
    return Chance.fewshots


def watch_fewshots(loaded: LoadedTask) -> None:
    """Keep the few-shots that the task's sampler drew last as its `last_drawn`; what it returns is unchanged."""
    sampler = getattr(loaded.task, "sampler", None)
    if sampler is None or hasattr(sampler, "last_drawn"):
        return
    draw, sampler.last_drawn, sampler.ends_there = sampler.sample, (), False

    def sample(*args: Any, **kwargs: Any) -> Any:
        sampler.last_drawn = draw(*args, **kwargs)
        if sampler.ends_there:
            raise _DrawnError
        return sampler.last_drawn

    sampler.sample = sample


@contextlib.contextmanager
def stopped_at_the_draw(sampler: Any) -> Iterator[None]:
    """While active, building a prompt fails once its few-shots are drawn."""
    sampler.ends_there = True
    try:
        yield
    finally:
        sampler.ends_there = False


def bounds_of_unscored(loaded: LoadedTask) -> Bounds:
    """Time limit of the task's code for docs that aren't scored: as for each doc in a run of all docs."""
    share = loaded.num_docs / loaded.num_docs_available
    return Bounds(loaded.bounds.limit_s, (loaded.bounds.max_overruns + 1) / share)
