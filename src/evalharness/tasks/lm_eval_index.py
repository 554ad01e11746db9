"""lm-eval's own tasks without importing lm-eval: their kind and data, from a cache in the user's cache folder.

lm-eval has 14,000 YAML files; reading them takes 8 to 14 seconds on a slow machine. The cache is valid while version,
location and folders of its tasks are unchanged.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import ConfigError
from evalharness.paths import cache_folder

logger = logging.getLogger(__name__)


class StockRow(NamedTuple):
    """A task, group or tag of lm-eval's."""

    kind: str
    """lm-eval's output type; group or tag."""
    source: str | None
    """Hub id and configuration of its data."""
    members: tuple[str, ...]
    """Of a tag or group."""


def stock_rows(cache: Path | None = None, *, only_cached: bool = False) -> dict[str, StockRow]:
    """Name -> row, for everything in lm-eval.

    Args:
        cache: folder of the cache; the user's by default.
        only_cached: return nothing if the cache is missing, instead of reading for seconds.

    Raises:
        ConfigError: lm-eval isn't installed.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "lm-eval isn't installed; `pip install 'evalharness[gpu]'` (or [cpu], [hf])"
        )
    stock = Path(spec.origin).parent / "tasks"
    path = (cache or cache_folder()) / f"lm-eval-list-{folder_state(stock)}.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {name: StockRow(row[0], row[1], tuple(row[2])) for name, row in rows.items()}
    except (OSError, ValueError, AttributeError, TypeError, IndexError):
        if only_cached:
            return {}
        rows = _read(stock)
        keep(path, {name: list(row) for name, row in rows.items()})
        return rows


def _read(stock: Path) -> dict[str, StockRow]:
    from lm_eval.tasks._index import TaskIndex

    return {name: _row(entry) for name, entry in TaskIndex.build([stock]).items()}


def _row(entry: Any) -> StockRow:
    config = entry.cfg or {}
    if entry.kind.name == "TAG":
        return StockRow("tag", None, tuple(sorted(entry.tags)))
    if entry.kind.name == "GROUP":
        below = config.get("task")
        names = [below] if isinstance(below, str) else below or []
        return StockRow("group", None, tuple(name for name in names if isinstance(name, str)))
    kind = "python" if "class" in config else str(config.get("output_type", "generate_until"))
    parts = (config.get("dataset_path"), config.get("dataset_name"))
    return StockRow(kind, "/".join(str(part) for part in parts if part) or None, ())


def folder_state(stock: Path) -> str:
    """Version, location and folders of lm-eval's tasks: an added or removed file changes its folder's time."""
    digest = hashlib.sha256(f"{metadata.version('lm-eval')} {stock}".encode())
    for folder, _, files in sorted(os.walk(stock)):
        digest.update(f"{folder} {Path(folder).stat().st_mtime_ns} {len(files)}".encode())
    return digest.hexdigest()[:16]


def keep(path: Path, rows: Mapping[str, Any]) -> None:
    """Write a temporary file and rename it, so that a reader never sees half of it; failures are only logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(rows), encoding="utf-8")
        beside.replace(path)
    except OSError as e:
        logger.info("no cache of lm-eval's task names: %s", e)
