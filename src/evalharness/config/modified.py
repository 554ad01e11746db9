"""How a run's suite differs from the file of its name: a composed suite and its file in, short descriptions out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from evalharness.config.schema import (
    SuiteConfig,
    TaskConfig,
)

_GROUP = "suite"


def suite_changes(suite: SuiteConfig, choice: str | None, folders: Sequence[Path]) -> list[str]:
    """Tasks that were added (+task), left out (-task) or changed (task.key) on the command line or by an experiment.

    Empty for a suite that was given its own name or version.

    Args:
        suite: as composed.
        choice: the file's name without its suffix; None if no file was chosen.
        folders: configs folders; the first wins.
    """
    found = _load(choice, folders) if choice else None
    if found is None:
        return []
    file = OmegaConf.to_container(found)
    assert isinstance(file, dict)
    if (suite.name, suite.version) != (file.get("name"), str(file.get("version", "1"))):
        return []
    return list(_changes(suite, file.get("tasks") or {}))


def _changes(suite: SuiteConfig, own: dict[str, dict[str, Any] | None]) -> Iterator[str]:
    yield from (f"+{task}" for task in suite.tasks if task not in own)
    yield from (f"-{task}" for task in own if task not in suite.tasks)
    for task, given in own.items():
        if task in suite.tasks:
            was = OmegaConf.to_object(
                OmegaConf.merge(OmegaConf.structured(TaskConfig), given or {})
            )
            for key in fields(TaskConfig):
                if getattr(suite.tasks[task], key.name) != getattr(was, key.name):
                    yield f"{task}.{key.name}"


def _load(name: str, folders: Sequence[Path]) -> DictConfig | None:
    """A suite's file, merged over those that its `defaults` name."""
    path = next(
        (p for folder in folders if (p := folder / _GROUP / f"{name}.yaml").is_file()), None
    )
    if path is None:
        return None
    found = OmegaConf.load(path)
    assert isinstance(found, DictConfig)
    below = [one for one in found.pop("defaults", []) if isinstance(one, str) and one != "_self_"]
    parts = [
        part
        for one in below
        if one != name and (part := _load(one.lstrip("/"), folders)) is not None
    ]
    merged = OmegaConf.merge(*parts, found)
    assert isinstance(merged, DictConfig)
    return merged
