"""The YAML files of custom tasks, read without lm-eval: their fields, with the line of each.

lm-eval skips a file that it can't read, and silently keeps the first of two tasks with the same name. `scan` finds the
same files and records what is wrong with them.

    tasks/<name>/<name>.yaml  ->  TaskFile(values with includes merged, functions by name)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evalharness.config.yaml_files import (
    LOADER,
    check_size,
    read_text,
    shown,
)
from evalharness.errors import ConfigError, TaskError, one_line

_IGNORED = {"__pycache__", ".ipynb_checkpoints"}
"""Folders that lm-eval skips."""


_HEAD = 100_000
"""Bytes of an invalid file in which its name is searched for."""


_ASKS = {"output_type", "dataset_path", "custom_dataset", "doc_to_text"}
"""Fields of a task that a group hasn't."""


class FunctionName(NamedTuple):
    """`!function name`, looked up in the folder of its file and then among installed modules."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFile:
    """A YAML file that defines a task or a group."""

    path: Path
    values: dict[str, Any]
    """Fields with those of included files below them; functions as `FunctionName`."""
    places: dict[str, str] = field(default_factory=dict)
    """Field -> 'file, line n'."""

    @property
    def name(self) -> str | None:
        """Name of the task or group; None for a file with neither."""
        task, group = self.values.get("task"), self.values.get("group")
        name = task if "class" in self.values or self.old_groups else group or task
        return name if isinstance(name, str) else None

    @property
    def old_groups(self) -> list[str]:
        """Groups that a task names in the form of an older lm-eval, which now has `tag:` for it; [] in all others."""
        group = self.values.get("group")
        is_task = isinstance(self.values.get("task"), str) and _ASKS & set(self.values)
        if not (group and is_task):
            return []
        return [
            name
            for name in (group if isinstance(group, list) else [group])
            if isinstance(name, str)
        ]

    def place(self, key: str) -> str:
        """Place of a field, as 'file, line n'; the file if the field is missing."""
        return self.places.get(key, shown(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """The definitions in a folder of tasks."""

    root: Path
    files: dict[str, list[Path]]
    """Name of a task or group -> the files that define it; more than one is wrong."""
    unreadable: dict[str, TaskError]
    """Name that a file seems to define -> why it can't be read."""


def read(path: Path, _seen: Sequence[Path] = ()) -> TaskFile:
    """A task's file with its includes; local fields win.

    Raises:
        TaskError: it, or an included file, is missing, isn't YAML, isn't a mapping, or gives a field twice.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise TaskError(f"{shown(path)}: a link to nothing, not a file")
        path = path.resolve()
    except (OSError, RuntimeError) as e:  # a loop of links
        raise TaskError(f"{shown(path)}: can't be read: {one_line(e)}") from e
    if path in _seen:
        raise TaskError(f"{shown(_seen[-1])}: include: {path.name} includes itself")
    values, places = _parse(path)
    included = values.pop("include", [])
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in included if isinstance(included, list) else [included]:
        below_path = path.parent / str(name)
        if not below_path.is_file():
            raise TaskError(f"{places['include']}: include: no file {name!r} beside it")
        below = read(below_path, (*_seen, path))
        merged |= {key: value for key, value in below.values.items() if key != "task_list"}
        origins |= below.places
    return TaskFile(path=path, values=merged | values, places=origins | places)


def scan(root: Path) -> Definitions:
    """All tasks and groups that the YAML files below a folder define."""
    files: dict[str, list[Path]] = {}
    bad: dict[Path, TaskError] = {}
    old: dict[Path, TaskFile] = {}
    for path in yaml_files(root):
        try:
            file = read(path)
            name = file.name
        except TaskError as e:
            bad[path] = e
            continue
        except (Exception, RecursionError) as e:  # any kind of file may be there
            bad[path] = TaskError(f"{shown(path)}: {type(e).__name__}: {one_line(e)}")
            continue
        if file.old_groups and "class" not in file.values:
            old[path] = file
        elif name:
            files.setdefault(name, []).append(path.resolve())
        elif path.stem == path.parent.name:
            bad[path] = TaskError(f"{shown(path)}: task: the name is missing")
    unreadable: dict[str, TaskError] = {}
    for path, error in bad.items():
        names = (_guessed_name(path), path.stem, shown(path))
        # Don't shadow the name of a valid task.
        unreadable[next(n for n in names if n not in {*files, *unreadable})] = error
    for file in old.values():
        tags = ", ".join(file.old_groups)
        error = TaskError(
            f"{file.place('group')}: group: of an older lm-eval; write `tag: [{tags}]` instead, which makes a tag of each"
        )
        for name in filter(None, (file.name, *file.old_groups)):
            if name not in files:
                unreadable.setdefault(name, error)
    return Definitions(root=root, files=files, unreadable=unreadable)


def python_files(folder: Path) -> list[Path]:
    """The files below a folder of tasks that seem to hold a `PythonTask`; none that can't be read."""
    found = []
    for child in sorted(folder.iterdir()) if folder.is_dir() else []:
        if child.name[0] in "_." or not child.is_dir() or any(child.glob("*.yaml")):
            continue
        files = (child / f"{child.name}.py", child / "task.py")
        found += list(filter(_is_python_task, files))[:1]
    return found


def _is_python_task(file: Path) -> bool:
    try:
        return file.is_file() and b"PythonTask" in file.read_bytes()
    except OSError:
        return False


def yaml_files(root: Path) -> Iterator[Path]:
    """Everything below a folder named *.yaml, in order, files or not."""
    for path in sorted(root.glob("**/*.yaml"), key=Path.as_posix):
        if not _IGNORED & set(path.parts):
            yield path


def _guessed_name(path: Path) -> str:
    """The name in a file that isn't valid YAML, as far as it can be found."""
    try:
        text = path.read_bytes()[:_HEAD].decode("utf-8", "replace") if path.is_file() else ""
    except OSError:
        text = ""
    found = re.search(r"^(?:task|group):\s*['\"]?([\w.\-/]+)", text, re.MULTILINE)
    return found[1] if found else path.stem


def _parse(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        loader = _Loader(path)
    except ConfigError as e:
        raise TaskError(str(e)) from e
    except yaml.YAMLError as e:
        raise TaskError(f"{shown(path)}: not YAML: {one_line(e)}") from e
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise TaskError(f"{shown(path)}: expected fields of a task, `name: value` in each line")
        places = _places(node, path)
        values: dict[str, Any] = loader.construct_document(node)
        check_size(values, path)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise TaskError(f"{shown(path)}, line {line}: not YAML: {e.problem}") from e
    except ConfigError as e:
        raise TaskError(str(e)) from e
    except RecursionError as e:
        raise TaskError(f"{shown(path)}: not YAML: nested too deep") from e
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as e:
        raise TaskError(f"{shown(path)}: not YAML: {one_line(e)}") from e
    finally:
        loader.dispose()
    return values, places


def _places(node: yaml.MappingNode, path: Path) -> dict[str, str]:
    places: dict[str, str] = {}
    for key, _ in node.value:
        place = f"{shown(path)}, line {key.start_mark.line + 1}"
        if str(key.value) in places:
            raise TaskError(f"{place}: {key.value}: is given twice; keep one")
        places[str(key.value)] = place
    return places


class _Loader(LOADER):  # type: ignore[misc]
    """Safe YAML in which `!function` is a name."""

    def __init__(self, path: Path) -> None:
        super().__init__(read_text(path))
        self.folder = path.parent


def _function(loader: _Loader, node: yaml.ScalarNode) -> FunctionName:
    return FunctionName(str(loader.construct_scalar(node)), loader.folder)


_Loader.add_constructor("!function", _function)
