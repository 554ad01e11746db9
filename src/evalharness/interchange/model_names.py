"""Main metrics of tasks in imported files, from the suites in `configs/`.

Read as plain YAML, because importing doesn't otherwise need Hydra.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalharness import paths
from evalharness.config.yaml_files import read_yaml
from evalharness.errors import ConfigError

logger = logging.getLogger(__name__)


class Declared(NamedTuple):
    """The main metric and filter of a task in a suite; None if the suite leaves that to the task."""

    metric: str | None = None
    filter: str | None = None


def find_suite(name: str) -> dict[str, Any] | None:
    """The suite of this name; None if there is none."""
    return next((entry for entry in _suites() if entry.get("name") == name), None)


def declared_metrics(suite: str) -> dict[str, Declared]:
    """Task or group -> its main metric in the suite, or in all suites together if there is none of this name.

    A task on which suites disagree is then left out.
    """
    one = find_suite(suite)
    found: dict[str, Declared] = {}
    for entry in [one] if one else _suites():
        for task, wanted in _tasks(entry).items():
            if found.setdefault(task, wanted) != wanted:
                found[task] = Declared()
    return found


def choose_main(keys: Sequence[tuple[str, str]], wanted: Declared) -> tuple[str, str]:
    """The main (metric, filter) of a task: the declared one, else its first.

    Args:
        keys: those that the task has, at least one.
        wanted: the suite's main metric.
    """
    named = [key for key in keys if key[0] == wanted.metric] or list(keys)
    return next((key for key in named if key[1] == wanted.filter), named[0])


def _tasks(suite: Mapping[str, Any]) -> dict[str, Declared]:
    tasks = suite.get("tasks")
    if not isinstance(tasks, dict):
        return {}
    return {
        str(task): Declared(wanted.get("metric"), wanted.get("filter"))
        for task, wanted in tasks.items()
        if isinstance(wanted, dict)
    }


def _suites() -> Iterator[dict[str, Any]]:
    """The suites' files, the user's own first; a warning is logged for one that can't be read."""
    for folder in paths.search("configs"):
        for path in sorted((folder / "suite").glob("*.yaml")):
            try:
                content = read_yaml(path)
            except ConfigError as e:
                logger.warning("suite skipped: %s", e)
                continue
            if isinstance(content, dict):
                yield content
