"""lm-eval's own tasks without importing lm-eval: their kind, file and data, from a cache in the user's cache folder.

lm-eval reads its 14,000 YAML files at every start, which takes 8 to 14 seconds on a slow machine. What is kept holds while
version, place and folders of its tasks stay as they are.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.errors import ConfigError
from evalharness.paths import cache_folder, install_command

logger = logging.getLogger(__name__)


class StockRow(NamedTuple):
    """A task, group or tag of lm-eval's."""

    kind: str
    """lm-eval's output type; group or tag."""
    source: str | None
    """Hub id and configuration of its data."""
    members: tuple[str, ...]
    """Of a tag or group."""
    index_kind: str
    """lm-eval's own word for it: TASK, PY_TASK, GROUP or TAG."""
    file: str | None
    """Relative to the folder of lm-eval's tasks."""
    tags: tuple[str, ...]
    needs: str | None = None
    """What keeps a task from running as it is; of a group or tag only if it keeps every member."""
    old_groups: tuple[str, ...] = ()
    """Names of groups in the form of an older lm-eval, which this one doesn't know."""


def stock_rows(
    cache: Path | None = None, stock: Path | None = None, *, only_cached: bool = False
) -> dict[str, StockRow]:
    """Name -> row of everything that lm-eval brings.

    Args:
        cache: folder of the cache; the user's by default.
        stock: folder of lm-eval's tasks; the installed one's by default.
        only_cached: nothing where the cache is missing, rather than seconds of reading.

    Raises:
        ConfigError: lm-eval isn't installed.
    """
    stock = stock or _installed()
    path = (cache or cache_folder()) / f"lm-eval-index-{_folder_state(stock)}.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {name: _cached(*row) for name, row in rows.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        if only_cached:
            return {}
        rows = _read(stock)
        _keep(path, rows)
        return rows


def _installed() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"lm-eval isn't installed; `{install_command('gpu')}` (or [cpu], [hf]) installs it"
        )
    return Path(spec.origin).parent / "tasks"


def _cached(
    kind: str,
    source: str | None,
    members: Sequence[str],
    index_kind: str,
    file: str | None,
    tags: Sequence[str],
    needs: str | None,
    old_groups: Sequence[str],
) -> StockRow:
    lists = (tuple(members), tuple(tags), tuple(old_groups))
    return StockRow(kind, source, lists[0], index_kind, file, lists[1], needs, lists[2])


def _read(stock: Path) -> dict[str, StockRow]:
    from lm_eval.tasks._index import TaskIndex

    rows = {name: _row(entry, stock) for name, entry in TaskIndex.build([stock]).items()}
    return {name: row._replace(needs=_needs_of_all(name, rows)) for name, row in rows.items()}


def _needs_of_all(
    name: str, rows: Mapping[str, StockRow], above: tuple[str, ...] = ()
) -> str | None:
    """What a task needs, or every member of a group or tag."""
    row = rows.get(name)
    if row is None or name in above:
        return None
    if not row.members:
        return row.needs
    needs = {_needs_of_all(member, rows, (*above, name)) for member in row.members}
    return needs.pop() if len(needs) == 1 else None


def _row(entry: Any, stock: Path) -> StockRow:
    config, tags = entry.cfg or {}, tuple(sorted(entry.tags))
    file = entry.yaml_path.relative_to(stock).as_posix() if entry.yaml_path else None
    index = (entry.kind.name, file, tags)
    if entry.kind.name == "TAG":
        return StockRow("tag", None, tags, *index)
    if entry.kind.name == "GROUP":
        below = config.get("task")
        names = [below] if isinstance(below, str) else below or []
        members = tuple(name for name in names if isinstance(name, str))
        return StockRow("group", None, members, *index)
    kind = "python" if "class" in config else str(config.get("output_type", "generate_until"))
    parts = (config.get("dataset_path"), config.get("dataset_name"))
    source = "/".join(str(part) for part in parts if part) or None
    return StockRow(kind, source, (), *index, needs_of(config), _names(config.get("group")))


def needs_of(config: Mapping[str, Any]) -> str | None:
    """What keeps a task from running as it is: data that isn't text, or code that must be allowed."""
    if any(config.get(key) is not None for key in ("doc_to_image", "doc_to_audio")):
        return "images or audio"
    return "run.allow_unsafe_code=true" if config.get("unsafe_code") else None


def _names(value: Any) -> tuple[str, ...]:
    """One name or a list of them."""
    listed = value if isinstance(value, list) else [value]
    return tuple(name for name in listed if isinstance(name, str))


def _folder_state(stock: Path) -> str:
    """Version, place and folders of lm-eval's tasks, and what is kept of them: an added or removed file changes its folder's time."""
    digest = hashlib.sha256(f"{metadata.version('lm-eval')} {stock} {StockRow._fields}".encode())
    for folder, _, files in sorted(os.walk(stock)):
        digest.update(f"{folder} {Path(folder).stat().st_mtime_ns} {len(files)}".encode())
    return digest.hexdigest()[:16]


def _keep(path: Path, rows: Mapping[str, Any]) -> None:
    """Written beside and renamed, so that a reader never sees half of it; a cache that can't be written is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(rows), encoding="utf-8")
        beside.replace(path)
    except OSError as e:
        logger.info("no cache of lm-eval's task names: %s", e)
