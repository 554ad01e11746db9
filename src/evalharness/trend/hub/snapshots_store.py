"""Snapshots on disk: `<results_dir>/.adoption/<date-time>.json`, one file each, never changed afterwards.

The folder is hidden, so that no list of runs sees it. A file is `{"schema_version": 1, "taken_at": ..., "endpoint": ...,
"models": [...]}` with a `Sighting`'s fields per model.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from evalharness.errors import StoreError, one_line
from evalharness.store.atomic import write_whole
from evalharness.trend.hub.records import (
    Sighting,
    Snapshot,
)

logger = logging.getLogger(__name__)

FOLDER = ".adoption"
SCHEMA_VERSION = 1

_TEXTS = ("renamed_to", "error", "created_at", "gated")
_NAMES = {field.name for field in fields(Sighting)}


def write(results_dir: Path, snapshot: Snapshot) -> Path:
    """Add a snapshot, completely or not at all.

    Raises:
        WriteError: it can't be written.
    """
    path = results_dir / FOLDER / f"{snapshot.taken_at.replace(':', '-')}.json"
    content = {"schema_version": SCHEMA_VERSION, **asdict(snapshot)}
    write_whole(path, json.dumps(content, ensure_ascii=True, indent=1) + "\n")
    return path


def read_all(results_dir: Path) -> list[Snapshot]:
    """All snapshots, oldest first. One that can't be read is logged as a warning and left out.

    Raises:
        StoreError: the folder may not be read.
    """
    folder = results_dir / FOLDER
    try:
        paths = [path for path in folder.iterdir() if path.suffix == ".json"]
    except FileNotFoundError:
        return []
    except OSError as e:
        raise StoreError(f"{str(folder)!r}: can't read: {e.strerror}") from e
    found = [snapshot for path in sorted(paths) if (snapshot := _try_read(path))]
    return sorted(found, key=lambda snapshot: datetime.fromisoformat(snapshot.taken_at))


def _try_read(path: Path) -> Snapshot | None:
    try:
        return _snapshot(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        logger.warning("%s: left out, not a snapshot: %s", path, one_line(e))
        return None


def _snapshot(content: dict[str, Any]) -> Snapshot:
    if content["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version {content['schema_version']!r}")
    if datetime.fromisoformat(content["taken_at"]).tzinfo is None:
        raise ValueError(f"taken_at {content['taken_at']!r} has no time zone")
    models = tuple(_sighting(item) for item in content["models"])
    return Snapshot(taken_at=content["taken_at"], endpoint=str(content["endpoint"]), models=models)


def _sighting(values: dict[str, Any]) -> Sighting:
    """The sighting that was written; fields that a newer version added are dropped."""
    known = {name: value for name, value in values.items() if name in _NAMES}
    known["base_models"] = tuple(map(str, known.get("base_models") or ()))
    for name, value in known.items():
        if not _fits(name, value):
            raise ValueError(f"{name} is {value!r}")
    return Sighting(**known)


def _fits(name: str, value: Any) -> bool:
    if name == "base_models":
        return True
    if name in ("model", "hub_id"):
        return isinstance(value, str)
    if name in _TEXTS:
        return value is None or isinstance(value, str)
    number = isinstance(value, int | float) if name == "trending_score" else isinstance(value, int)
    return value is None or (number and not isinstance(value, bool))
