"""`task list`: lists our tasks and lm-eval's, without importing lm-eval and without loading data."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from evalharness import paths
from evalharness.config.yaml_files import shown
from evalharness.errors import one_line
from evalharness.tasks.dataset_mirror import BUILDERS
from evalharness.tasks.lm_eval_index import needs_of, stock_rows
from evalharness.tasks.local_rows import num_rows
from evalharness.tasks.yaml.files import (
    FunctionName,
    python_files,
    read,
    scan,
)


class TaskRow(NamedTuple):
    """One line of the list."""

    name: str
    kind: str
    """lm-eval's output type; python, procedural, group, tag, old group, or broken."""
    num_docs: int | None
    """Docs of the scored split, if the folder has it."""
    source: str | None
    """Hub id, file or generator of the data; for a broken task, what is wrong."""
    place: str
    """File of a task of ours; lm-eval."""
    is_custom: bool
    cannot_run: str | None = None
    """Why `tasks=<name>` isn't run as it is; None if it is."""


def custom_rows(*, only_first: bool = False) -> list[TaskRow]:
    """Tasks, groups and tags in our folders that apply, `./tasks` first, each name once.

    Args:
        only_first: leave out those that ship with the package if there is a `./tasks`.
    """
    found: dict[str, TaskRow] = {}
    for root in paths.search("tasks")[: 1 if only_first else None]:
        for row in sorted(_rows(root), key=lambda row: (row.name, row.kind)):
            found.setdefault(row.name, row)
    return list(found.values())


def stock_list() -> list[TaskRow]:
    """Tasks, groups and tags of lm-eval; n is unknown without their data.

    Raises:
        ConfigError: lm-eval isn't installed.
    """
    return [
        TaskRow(
            name, row.kind, None, row.source, "lm-eval", False, row.needs and f"needs {row.needs}"
        )
        for name, row in sorted(stock_rows().items())
    ]


def old_groups() -> list[TaskRow]:
    """Groups in the form of an older lm-eval that some of its tasks still name; their tasks can be run, they can't."""
    rows = stock_rows()
    members: dict[str, list[str]] = {}
    for name, row in sorted(rows.items()):
        for group in row.old_groups:
            members.setdefault(group, []).append(name)
    why = "no: name its tasks"
    return [
        TaskRow(group, "old group", None, ", ".join(names), "lm-eval", False, why)
        for group, names in sorted(members.items())
        if group not in rows
    ]


def matching(rows: list[TaskRow], pattern: str | None) -> list[TaskRow]:
    """Rows whose name matches a pattern with * and ?, or contains a text without either."""
    if not pattern:
        return rows
    glob = pattern if set("*?[") & set(pattern) else f"*{pattern}*"
    return [row for row in rows if fnmatch.fnmatchcase(row.name, glob)]


def summarised(rows: list[TaskRow], most: int = 25) -> list[TaskRow]:
    """The groups and tags of lm-eval with the most tasks, with the number of tasks as their source."""
    stock = stock_rows()
    sizes = {row.name: len(stock[row.name].members) for row in rows if row.kind in ("group", "tag")}
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:most]
    by_name = {row.name: row for row in rows}
    return [by_name[name]._replace(source=f"{sizes[name]} members") for name in sorted(largest)]


def _rows(root: Path) -> Iterator[TaskRow]:
    definitions = scan(root)
    tags: dict[str, list[str]] = {}
    for name, error in definitions.unreadable.items():
        yield _broken(name, one_line(error), root)
    for name, files in definitions.files.items():
        if len(files) > 1:
            problem = f"two files of this name: {' and '.join(shown(path) for path in files)}"
            yield _broken(name, problem, files[0])
            continue
        try:
            row, own_tags = _row(name, files[0])
        except (Exception, RecursionError) as e:  # values of any type
            yield _broken(name, f"{type(e).__name__}: {one_line(e)}", files[0])
            continue
        yield row
        for tag in own_tags:
            tags.setdefault(tag, []).append(name)
    for file in python_files(root):
        yield TaskRow(file.parent.name, "python", None, file.name, shown(file), True)
    for tag, names in tags.items():
        if tag not in definitions.files:
            yield TaskRow(tag, "tag", None, ", ".join(sorted(names)), shown(root), True)


def _broken(name: str, problem: str, path: Path) -> TaskRow:
    return TaskRow(name, "broken", None, problem, shown(path), True, "no: broken")


def _row(name: str, path: Path) -> tuple[TaskRow, list[str]]:
    """The line of a task or group, and a task's tags."""
    values = read(path).values
    num_docs = _num_docs(path.parent, values)
    tags = values.get("tag") or []
    named = [] if "group" in values else tags if isinstance(tags, list) else [tags]
    needs = needs_of(values)
    why_not = needs and f"needs {needs}"
    row = TaskRow(name, _kind(values), num_docs, _source(values), shown(path), True, why_not)
    return row, [tag for tag in named if isinstance(tag, str)]


def _kind(values: dict[str, Any]) -> str:
    if "group" in values:
        return "group"
    if "procedural" in values:
        return "procedural"
    return "python" if "class" in values else str(values.get("output_type", "generate_until"))


def _source(values: dict[str, Any]) -> str | None:
    if isinstance(procedural := values.get("procedural"), dict):
        return str(procedural.get("generator") or ", ".join(procedural.get("generators") or {}))
    if isinstance(values.get("task"), list):
        return ", ".join(str(task) for task in values["task"])
    if isinstance(function := values.get("custom_dataset"), FunctionName):
        return "data/" if _reads_rows(function) else function.name
    parts = (values.get("dataset_path"), values.get("dataset_name"))
    return "/".join(str(part) for part in parts if part) or None


def _num_docs(folder: Path, values: dict[str, Any]) -> int | None:
    """Rows of the split's file in data/, or the size of a generator; other data is not read."""
    if isinstance(procedural := values.get("procedural"), dict):
        return procedural.get("size")
    split = values.get("test_split") or values.get("validation_split")
    own = _reads_rows(values.get("custom_dataset")) and values.get("dataset_path") not in BUILDERS
    if not own or "process_docs" in values:
        return None
    return num_rows(folder, str(split))


def _reads_rows(function: Any) -> bool:
    return isinstance(function, FunctionName) and function.name.endswith("rows.load")
