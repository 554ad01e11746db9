"""lm-eval's index of task names, parsed once per installation.

lm-eval reads its 14,000 YAML files at every start, which takes 8 to 14 seconds on a slow machine. What it finds, name ->
kind, file and tags, is kept as JSON in the user's cache folder, and read again while no folder of its tasks has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry, Kind, TaskIndex

logger = logging.getLogger(__name__)

STOCK = Path(lm_eval.tasks.__file__).parent


class CachedTaskManager(TaskManager):  # type: ignore[misc]
    """lm-eval's TaskManager with its own tasks out of the cache; `include` is read anew, the last folder winning."""

    def __init__(self, include: Sequence[Path]) -> None:
        """Index `include` over lm-eval's own tasks."""
        super().__init__(include_path=list(include), include_defaults=False)
        self._index: dict[str, Entry] = {**stock_index(), **self._index}
        names: dict[Kind, list[str]] = defaultdict(list)
        for name, entry in self._index.items():
            names[entry.kind].append(name)
        self._all_tasks = sorted(self._index)
        self._all_subtasks = sorted(names[Kind.TASK] + names[Kind.PY_TASK])
        self._all_groups = sorted(names[Kind.GROUP])
        self._all_tags = sorted(names[Kind.TAG])


def stock_index(cache: Path | None = None) -> dict[str, Entry]:
    """The tasks, groups and tags that lm-eval brings.

    Args:
        cache: folder of the cache; the user's by default.
    """
    path = (cache or _cache_folder()) / f"lm-eval-tasks-{_state()}.json"
    try:
        return {name: _entry(name, row) for name, row in json.loads(path.read_text()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        index: dict[str, Entry] = TaskIndex.build([STOCK])
        _keep(path, {name: _row(entry) for name, entry in index.items()})
        return index


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evalharness"


def _state() -> str:
    """Version, place and folders of lm-eval's tasks: an added or removed file changes its folder's time."""
    digest = hashlib.sha256(f"{metadata.version('lm-eval')} {STOCK}".encode())
    for folder, _, files in sorted(os.walk(STOCK)):
        digest.update(f"{folder} {Path(folder).stat().st_mtime_ns} {len(files)}".encode())
    return digest.hexdigest()[:16]


def _row(entry: Entry) -> dict[str, Any]:
    place = entry.yaml_path.relative_to(STOCK).as_posix() if entry.yaml_path else None
    return {"kind": entry.kind.name, "yaml": place, "tags": sorted(entry.tags)}


def _entry(name: str, row: Mapping[str, Any]) -> Entry:
    place = STOCK / row["yaml"] if row["yaml"] else None
    return Entry(name=name, kind=Kind[row["kind"]], yaml_path=place, tags=set(row["tags"]))


def _keep(path: Path, rows: Mapping[str, Any]) -> None:
    """Written beside and renamed, so that a reader never sees half of it; a cache that can't be written is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(rows))
        beside.replace(path)
    except OSError as e:
        logger.info("no cache of lm-eval's task names: %s", e)
