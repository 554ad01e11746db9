"""What the entries in `configs/` say of the names in other people's files: which model that is, which metric counts.

Read as plain YAML, because importing has to work where Hydra's composition isn't needed for anything else.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evalharness import paths

logger = logging.getLogger(__name__)

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times faster where it is built, and as safe."""


class Declared(NamedTuple):
    """The metric and filter that a suite shows first of a task; None where it leaves that to the task."""

    metric: str | None = None
    filter: str | None = None


def find_model(name: str) -> dict[str, Any] | None:
    """The model entry that has this name or Hub id (of several with the same, the first by file name); None if none."""
    entries = list(_entries("model"))
    for key in ("name", "hub_id"):
        for entry in entries:
            if str(entry.get(key) or "").casefold() == name.casefold():
                return entry
    return None


def find_suite(name: str) -> dict[str, Any] | None:
    """The suite of this name; None if there is none."""
    return next((entry for entry in _entries("suite") if entry.get("name") == name), None)


def declared_metrics(suite: str) -> dict[str, Declared]:
    """Task or group -> its main metric in the suite; of all suites together when there is none of this name.

    A task on which suites disagree is left out then: there is no telling which was meant.
    """
    one = find_suite(suite)
    found: dict[str, Declared] = {}
    for entry in [one] if one else _entries("suite"):
        for task, wanted in _tasks(entry).items():
            if found.setdefault(task, wanted) != wanted:
                found[task] = Declared()
    return found


def choose_main(keys: Sequence[tuple[str, str]], wanted: Declared) -> tuple[str, str]:
    """(metric, filter) that stands for a task: the declared one, else its first.

    Args:
        keys: those that the task has, at least one.
        wanted: by the suite.
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


def _entries(group: str) -> Iterator[dict[str, Any]]:
    """The files of a config group, the user's own first."""
    for folder in paths.search("configs"):
        for path in sorted((folder / group).glob("*.yaml")):
            entry = _read(path)
            if entry is not None:
                yield entry


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        logger.warning("%s is not read: %s", path, e)
        return None
    return content if isinstance(content, dict) else None
