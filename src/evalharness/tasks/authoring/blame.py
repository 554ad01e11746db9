"""Where a task's error comes from: the file and line of its own code, or its YAML's file, line and field."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from evalharness.config.yaml_files import shown
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.suite import task_manager
from evalharness.tasks.yaml.definitions import own_folder
from evalharness.tasks.yaml.files import TaskFile, read
from evalharness.tasks.yaml.validate import blamed_field, templates

_UNDEFINED = re.compile(r"'(\w+)' is undefined|has no attribute '(\w+)'")
_MOST_DOCS = 10_000


def blamed(error: BaseException, loaded: LoadedTask) -> str | None:
    """'file, line n' of the task's own code, 'file, line n: field' of its YAML, or None if neither shows."""
    index = task_manager().task_index
    folder = own_folder(loaded.name, index)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if folder and Path(frame.filename).is_relative_to(folder)]
    if own:
        return f"{shown(Path(own[-1].filename))}, line {own[-1].lineno}"
    path = index[loaded.name].yaml_path if loaded.name in index else None
    if path is None:
        return None
    file = read(path)
    place = blamed_field(error, file)
    if (name := undefined_field(error)) and (fields := list(_mentioning(file, name))):
        field = next((f for f in fields if place.endswith(f": {f}")), fields[0])
        return f"{file.place(field.partition('.')[0])}: {field}"
    return place


def undefined_field(error: BaseException) -> str | None:
    """The field of a doc that a template names and the doc lacks."""
    found = _UNDEFINED.search(str(error))
    return (found[1] or found[2]) if found else None


def lacking(loaded: LoadedTask, field: str) -> str | None:
    """The first doc without a field, its file and the fields that it has; None if every doc has it."""
    folder = own_folder(loaded.name, task_manager().task_index)
    for split, docs in _splits(loaded):
        for number, doc in enumerate(islice(docs, _MOST_DOCS)):
            if hasattr(doc, "keys") and field not in doc:
                files = [f"data/{split}{suffix}" for suffix in (".jsonl", ".csv")]
                there = [name for name in files if folder and (folder / name).is_file()]
                where = there[0] if there else f"the split {split!r}"
                return f"doc {number} of {where} has {', '.join(map(str, doc.keys()))}"
    return None


def _splits(loaded: LoadedTask) -> Iterator[tuple[str, Any]]:
    """Those that are scored or shown in prompts, with their docs."""
    task = loaded.task
    config, shots = task.config, getattr(task, "fewshot_cfg", None)
    names = (config.test_split or config.validation_split, getattr(shots, "split", None))
    for name in dict.fromkeys(filter(None, names)):
        if name in (getattr(task, "dataset", None) or {}):
            yield name, task.dataset[name]


def _mentioning(file: TaskFile, name: str) -> Iterator[str]:
    for field, template in templates(file):
        if re.search(rf"\b{re.escape(name)}\b", template):
            yield field
