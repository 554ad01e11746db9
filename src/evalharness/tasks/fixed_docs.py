"""A task's docs, made once per run.

lm-eval calls `process_docs` at every access to a split and relies on the cache of `datasets` to get the same docs
again. If the cache is off, or the data is in memory, a function that shuffles gives other docs each time; if it is on,
it gives those of some earlier program.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import datasets
from lm_eval.api.task import Task
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry

from evalharness.tasks.random_state import draws, seeded_again

_PROBED = 2
"""Number of docs to find out whether a function draws."""


class FixedDocsFactory(TaskFactory):  # type: ignore[misc]
    """lm-eval's factory, for tasks whose docs don't depend on earlier or repeated loading."""

    def _build_task(self, entry: Entry, overrides: dict[str, Any] | None) -> Task:
        with seeded_again():
            return super()._build_task(entry, overrides)

    def _load_full_config(
        self, entry: Entry, overrides: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        config: dict[str, Any] = super()._load_full_config(entry, overrides)
        every: dict[str, Any] = _once_everywhere(config)
        return every


def once(process_docs: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, called once for each split, without the cache of its draws."""
    made: list[tuple[Any, Any]] = []

    @functools.wraps(process_docs)
    def docs_of(split: Any) -> Any:
        for given, docs in made:
            if given is split:
                return docs
        is_drawn = isinstance(split, datasets.Dataset) and _draws(process_docs, split)
        with _without_cache() if is_drawn else contextlib.nullcontext():
            docs = process_docs(split)
        made.append((split, docs))
        return docs

    docs_of.is_once = True  # type: ignore[attr-defined]
    return docs_of


def _once_everywhere(value: Any, key: str | None = None) -> Any:
    """A configuration in which each `process_docs` is called once, also those of few-shots and of a group's members."""
    if isinstance(value, Mapping):
        return {name: _once_everywhere(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_once_everywhere(inner) for inner in value]
    if key == "process_docs" and callable(value) and not hasattr(value, "is_once"):
        return once(value)
    return value


def _draws(process_docs: Callable[[Any], Any], split: datasets.Dataset) -> bool:
    few = split.select(range(min(_PROBED, len(split))))
    try:
        with _without_cache(), _without_progress():
            return draws(lambda: process_docs(few))
    except (Exception, SystemExit):  # the task's own code, which may need more docs
        return True


@contextlib.contextmanager
def _without_cache() -> Iterator[None]:
    was_enabled = datasets.is_caching_enabled()
    datasets.disable_caching()
    try:
        yield
    finally:
        if was_enabled:
            datasets.enable_caching()


@contextlib.contextmanager
def _without_progress() -> Iterator[None]:
    was_disabled = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not was_disabled:
            datasets.enable_progress_bars()
