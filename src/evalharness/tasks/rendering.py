"""A doc's text, target and choices, rendered once; lm-eval renders them several times per sample, and for each repeat."""

from __future__ import annotations

import copy
import functools
from typing import Any

from lm_eval.api.task import ConfigurableTask, Task

KEPT = 1024
"""Most docs that are remembered: those in flight, and the few-shots."""
_FIELDS = ("doc_to_text", "doc_to_target", "doc_to_choice")


def render_once(task: Task) -> None:
    """Let a task remember its templates' results for recent docs.

    Only for lm-eval's own methods, as a task's code may differ from call to call.
    """
    for name in _FIELDS:
        if getattr(type(task), name, None) is getattr(ConfigurableTask, name):
            setattr(task, name, _Remembered(task, name))


class _Remembered:
    """The cache of one of these methods."""

    def __init__(self, task: Any, name: str) -> None:
        self._task, self._name = task, name
        self._render = getattr(ConfigurableTask, name).__get__(task)
        self._kept = functools.lru_cache(maxsize=KEPT)(lambda doc, own: self._render(doc.doc, own))

    def __call__(self, doc: Any, own: Any = None) -> Any:
        """The result of the task's method.

        Args:
            doc: a doc of the task.
            own: a template instead of the task's, as few-shots may have.
        """
        template = getattr(self._task.config, self._name) if own is None else own
        if not self._is_fixed(template):
            return self._render(doc, own)
        value = self._kept(_Same(doc), template)
        return value if isinstance(value, (str, int)) else _copied(value)

    def _is_fixed(self, template: Any) -> bool:
        """Whether it always gives the same for a doc, and isn't a plain field that needs no template."""
        is_fixed = isinstance(template, str) and _says_the_same(template)
        return is_fixed and self._task.prompt is None


@functools.cache
def _says_the_same(template: str) -> bool:
    return "{" in template and "random" not in template


def _copied(value: Any) -> Any:
    """A copy that its user may change; choices are nearly always a list of texts, for which deepcopy is slow."""
    if type(value) is list:
        return [part if type(part) is str else copy.deepcopy(part) for part in value]
    return copy.deepcopy(value)


class _Same:
    """A doc compared by identity; while it is kept, no other has its id."""

    __slots__ = ("doc",)

    def __init__(self, doc: Any) -> None:
        self.doc = doc

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.doc is other.doc

    def __hash__(self) -> int:
        return id(self.doc)
