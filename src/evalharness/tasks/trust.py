"""Tasks are code: their templates and functions run with the user's rights. Decides which may run without asking.

lm-eval's own tasks and those that ship with us are trusted. For every other folder of tasks (`./tasks` in the working
directory) the user is asked once, in a terminal; the answer is remembered by the folder's path, one per line, in
`<user's config folder>/trusted_tasks`. `tasks.trust=true`, or EVALHARNESS_TASKS_TRUST=true, answers it beforehand.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from lm_eval.tasks._index import Entry

from evalharness import paths
from evalharness.config.schema import Config
from evalharness.errors import ConfigError, TaskError, one_line, some
from evalharness.tasks.yaml.definitions import (
    members,
    own_folder,
)

VARIABLE = "EVALHARNESS_TASKS_TRUST"
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
_trusted_now: set[Path] = set()
"""Folders trusted for this process only, because the list couldn't be written."""


def require(config: Config, index: Mapping[str, Entry]) -> None:
    """Refuse a suite with tasks that aren't trusted.

    Args:
        config: of the run; its suite's names are all in the index, or seem to be defined in our files.
        index: all that lm-eval knows.

    Raises:
        TaskError: names them, and the way out.
        ConfigError: the variable is neither true nor false.
    """
    for folder, names in _untrusted(config, index).items():
        raise TaskError(
            f"{_what(folder, names)} is code that runs with your rights, and the folder isn't trusted yet: read it, then "
            f"set {VARIABLE}=true (`run` and `task` take tasks.trust=true, too), or answer once in a terminal"
        )


def ask(config: Config) -> None:
    """Ask about what `require` would refuse, if there is a terminal; a yes is remembered.

    A yes that can't be stored holds for this process, with a warning.

    Raises:
        ConfigError: the variable is neither true nor false.
    """
    if not any(_is_asked_about(folder, config) for folder in paths.search("tasks")):
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    from evalharness.tasks.suite import task_manager

    for folder, names in _untrusted(config, task_manager().task_index).items():
        question = f"{_what(folder, names)} is code that runs with your rights. Trust this folder from now on?"
        sys.stderr.write(f"{one_line(question)} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            try:
                remember(folder)
            except OSError as e:
                _trusted_now.add(folder)
                why = f"{e.strerror or e}: {str(_list())!r}"
                sys.stderr.write(
                    f"warning: trusted this time only, as the answer can't be stored: {one_line(why)}\n"
                )


def remember(folder: Path) -> None:
    """Trust a folder of tasks from now on.

    Raises:
        OSError: the list can't be written.
    """
    path = _list()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{_line(folder)}\n")


def _untrusted(config: Config, index: Mapping[str, Entry]) -> dict[Path, list[str]]:
    """Folder -> the suite's tasks in it, for the folders to ask about."""
    found: dict[Path, list[str]] = {}
    roots = paths.search("tasks")
    for name in _all_members(config.suite.tasks, index):
        place = own_folder(name, index)
        if place is not None:
            folder = next((root for root in roots if place.is_relative_to(root)), place)
            found.setdefault(folder, []).append(name)
    return {folder: names for folder, names in found.items() if _is_asked_about(folder, config)}


def _all_members(names: Iterable[str], index: Mapping[str, Entry]) -> dict[str, None]:
    return dict.fromkeys(member for name in names for member in members(name, index))


def _is_asked_about(folder: Path, config: Config) -> bool:
    if _is_given() or config.tasks.trust or folder in _trusted_now:
        return False
    return folder != paths.shipped("tasks").resolve() and _line(folder) not in _remembered()


def _is_given() -> bool:
    """Whether the variable is true."""
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value not in (*_YES, *_NO):
        raise ConfigError(f"{VARIABLE}={value!r}: true or false")
    return value in _YES


def _remembered() -> list[str]:
    try:
        return _list().read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []


def _line(folder: Path) -> str:
    """The folder's line in the list, as JSON, because a name may have a line break."""
    return json.dumps(str(folder))


def _list() -> Path:
    return paths.config_folder() / "trusted_tasks"


def _what(folder: Path, names: list[str]) -> str:
    return f"task {some(map(repr, names))} in {str(folder)!r}"
