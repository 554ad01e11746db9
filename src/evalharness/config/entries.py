"""The entries in configs/model, read the same way everywhere: their names, files and fields.

An entry's name is the `name:` in its file, or without one the file's own name without `.yaml`. The user's entries
(`./configs/model`) hide shipped ones with the same name or file. Two entries in one folder with the same name are both
invalid.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from evalharness.config.yaml_files import (
    read_yaml,
    shown,
)
from evalharness.errors import ConfigError, WriteError, one_line
from evalharness.paths import search

_FILE_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A file of configs/model."""

    name: str
    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    """Fields as in the file; those of its `defaults` are not looked up. Empty if there is a problem."""
    problem: str | None = None
    """Why it can't be used, in one line."""

    @property
    def stem(self) -> str:
        """Its name for Hydra."""
        return self.path.stem


def all_entries(folders: Sequence[Path] | None = None) -> list[ModelEntry]:
    """Every entry, including those with a problem; the user's first, each folder's by file name.

    Args:
        folders: configs folders; the first wins; by default, those that apply here.
    """
    found: dict[object, ModelEntry] = {}
    stems: set[str] = set()
    for folder in search("configs") if folders is None else folders:
        entries = [_read(path) for path in sorted((folder / "model").glob("*.yaml"))]
        entries = _without_doubles([entry for entry in entries if entry.stem not in stems])
        stems |= {entry.stem for entry in entries}
        for entry in entries:
            found.setdefault(entry.path if entry.problem else entry.name, entry)
    return list(found.values())


def usable_entries() -> list[ModelEntry]:
    """The entries without a problem; the others are named in a warning."""
    usable = []
    for entry in all_entries():
        if entry.problem:
            logger.warning("model entry skipped: %s", entry.problem)
        else:
            usable.append(entry)
    return usable


def find_entry(name: str, folders: Sequence[Path] | None = None) -> ModelEntry | None:
    """The entry of this name, else the one whose file has it; it may have a problem."""
    entries = all_entries(folders)
    by_name = (e for e in entries if e.name == name and not e.problem)
    by_file = (e for e in entries if e.stem == name)
    return next(by_name, None) or next(by_file, None)


def find_entry_of(model: str) -> ModelEntry | None:
    """The entry that a model's name in another program's file refers to: by its name, else its Hub id, ignoring case.

    Of several with the same Hub id, the first by file name; entries with a problem are skipped.
    """
    entries, wanted = usable_entries(), model.casefold()
    by_name = (e for e in entries if e.name.casefold() == wanted)
    by_id = (e for e in entries if str(e.values.get("hub_id") or "").casefold() == wanted)
    return next(by_name, None) or next(by_id, None)


def write_entry(folder: Path, values: Mapping[str, Any]) -> Path:
    """Write <folder>/<name>.yaml, whole or not at all.

    Raises:
        ConfigError: the name can't be a file's, or an entry has it.
        WriteError: the folder can't be written.
    """
    name = str(values["name"])
    if not _FILE_NAME.fullmatch(name):
        raise ConfigError(f"model {name!r}: expected letters, digits and - _ . + as a name")
    path = folder / f"{name}.yaml"
    known = find_entry(name)
    if known or path.exists():
        where = known.path if known else path
        raise ConfigError(
            f"{shown(where)}: there is an entry {name!r} already; --name gives another name"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(
            yaml.safe_dump(dict(values), sort_keys=False, width=1000), encoding="utf-8"
        )
        beside.replace(path)
    except OSError as e:
        raise WriteError.of(e, path) from e
    return path


def _read(path: Path) -> ModelEntry:
    try:
        values = read_yaml(path)
    except ConfigError as e:
        return ModelEntry(name=path.stem, path=path, problem=one_line(e))
    if values is None:
        values = {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        found = "a list" if isinstance(values, list) else "something else"
        problem = f"{shown(path)}: {found} where keys belong; write `name: value` lines"
        return ModelEntry(name=path.stem, path=path, problem=problem)
    name = values.get("name", path.stem)
    if isinstance(name, dict | list) or name is None or not str(name).strip():
        problem = f"{shown(path)}: name: expected text; without the line it is {path.stem!r}"
        return ModelEntry(name=path.stem, path=path, problem=problem)
    return ModelEntry(name=str(name), path=path, values=values)


def _without_doubles(entries: Sequence[ModelEntry]) -> list[ModelEntry]:
    """Entries of one folder; those that share a name have that as their problem."""
    by_name: dict[str, list[ModelEntry]] = {}
    for entry in entries:
        if not entry.problem:
            by_name.setdefault(entry.name, []).append(entry)
    checked = []
    for entry in entries:
        others = [e.path.name for e in by_name.get(entry.name, ()) if e is not entry]
        if others and not entry.problem:
            problem = (
                f"{shown(entry.path)}: name: {entry.name!r} is also that of {others[0]}; rename one"
            )
            entry = replace(entry, values={}, problem=problem)
        checked.append(entry)
    return checked
