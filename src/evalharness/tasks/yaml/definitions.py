"""Which file defines one of our tasks, and whether it is valid: readable, complete and with a unique name."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from lm_eval.tasks._index import Entry

from evalharness import paths
from evalharness.config.yaml_files import shown
from evalharness.errors import TaskError
from evalharness.tasks.task_manager import STOCK
from evalharness.tasks.yaml.files import (
    Definitions,
    scan,
)
from evalharness.tasks.yaml.validate import validate


def own_definitions() -> list[Definitions]:
    """Definitions of every folder of tasks that applies; the first wins."""
    return [scan(root) for root in paths.search("tasks")]


def check_definition(
    name: str, index: Mapping[str, Entry], definitions: list[Definitions]
) -> Path | None:
    """Check our files behind a name, and those of its members if it is a group or tag.

    Args:
        name: of a task, group or tag.
        index: all that lm-eval knows.
        definitions: see `own_definitions`.

    Returns:
        The file that defines the name, if it is our YAML.

    Raises:
        TaskError: the first thing that is wrong, with file and field.
    """
    file = None
    for member in dict.fromkeys(members(name, index)):
        path = _check_one(member, index.get(member), definitions)
        file = path if member == name else file
    return file


def hides(name: str, path: Path, definitions: list[Definitions], stock: Container[str]) -> str:
    """The owner of a task of the same name that one of our files hides; '' for none."""
    others = [p for found in definitions for p in found.files.get(name, ()) if p != path]
    if others:
        return shown(others[0])
    return "lm-eval's own" if name in stock else ""


def own_folder(name: str, index: Mapping[str, Entry]) -> Path | None:
    """The path of one of our tasks; None for lm-eval's."""
    entry = index.get(name)
    if entry is None:
        return None
    path = Path((entry.cfg or {}).get("python_file") or entry.yaml_path or STOCK)
    return None if path.is_relative_to(STOCK) else path.parent


def members(
    name: str, index: Mapping[str, Entry], seen: AbstractSet[str] = frozenset()
) -> Iterator[str]:
    """A name, with all members if it is a group or tag."""
    yield name
    entry = index.get(name)
    if entry is None or name in seen:  # a group that contains itself
        return
    below = (entry.cfg or {}).get("task") if entry.kind.name == "GROUP" else None
    named = (
        (m.get("task") if isinstance(m, dict) else m for m in below or ())
        if isinstance(below, list)
        else ()
    )
    names = [m for m in named if isinstance(m, str)]
    for member in [*names, *(sorted(entry.tags) if entry.kind.name == "TAG" else ())]:
        yield from members(member, index, {*seen, name})


def _check_one(name: str, entry: Entry | None, definitions: list[Definitions]) -> Path | None:
    for found in definitions:
        if name in found.unreadable:
            raise found.unreadable[name]
        files = found.files.get(name, [])
        python = (entry.cfg or {}).get("python_file") if entry else None
        if python and files:
            files = [*files, Path(python)]
        if len(files) > 1:
            places = " and ".join(shown(path) for path in files)
            raise TaskError(f"task: the name {name!r} is in {places}; rename one")
        if files:
            validate(files[0])
            return files[0]
    path: Path | None = entry.yaml_path if entry else None
    if path is None or path.is_relative_to(STOCK):
        return None
    validate(path)
    return path
