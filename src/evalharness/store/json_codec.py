"""Records to and from files, which can hold only valid UTF-8 and JSON without NaN."""

import json
import math
from dataclasses import asdict, fields
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any

from evalharness.store.records import (
    SCHEMA_VERSION,
    Manifest,
    TaskSummary,
)

_NUMBERS = (
    *("wall_s", "load_s", "serve_s", "num_starts", "num_gpus"),
    *("energy_j", "load_energy_j", "peak_gpu_memory_gib", "cost_usd"),
)
"""Numeric fields of a manifest."""

_COUNTS_OF_TASK = attrgetter(*(f.name for f in fields(TaskSummary) if f.type == "int"))


def clean_text(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD (split pairs are joined); files hold only valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def as_json(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinity as None, other objects as text, all the way down."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(key): as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
        case Enum():
            return value.value
    return str(value)


def manifest_to_json(manifest: Manifest) -> str:
    """The text of `manifest.json`."""
    content = json.dumps(as_json(asdict(manifest)), ensure_ascii=False, indent=1)
    return clean_text(content) + "\n"


class NewerVersionError(ValueError):
    """Raised for files that only a newer version of this program can read."""


def manifest_from_json(text: str) -> Manifest:
    """The manifest that was written; fields that a newer version added are dropped.

    Raises:
        NewerVersionError: a newer version wrote it.
        ValueError: not JSON, or not a manifest of any version.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("not an object")
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerVersionError(
            f"of schema_version {version}, this version reads up to {SCHEMA_VERSION}; update evalharness to read it"
        )
    if version not in (SCHEMA_VERSION, *_MIGRATIONS):
        raise ValueError(f"schema_version {version!r}, this version reads up to {SCHEMA_VERSION}")
    while (migrate := _MIGRATIONS.get(content["schema_version"])) is not None:
        migrate(content)
    try:
        content["remarks"] = tuple(content.get("remarks", ()))
        tasks = tuple(_task(item) for item in content.pop("tasks", []))
        manifest = Manifest(**_known(Manifest, content), tasks=tasks)
    except (AttributeError, TypeError) as e:
        raise ValueError(str(e)) from e
    for name in _NUMBERS:
        number = getattr(manifest, name)
        is_number = isinstance(number, int | float) and math.isfinite(number)
        if number is not None and not is_number:
            raise ValueError(f"{name} is {number!r}, not a number")
    for name in ("run_id", "status", "model", "suite", "started_at"):
        if not isinstance(getattr(manifest, name), str):
            raise ValueError(f"{name} is not text")
    return manifest


def _to_2(content: dict[str, Any]) -> None:
    """Suites had no domain; the one named safety gets that domain."""
    suite = content.setdefault("config", {}).setdefault("suite", {})
    suite["domain"] = "safety" if content.get("suite") == "safety" else "capability"
    content["schema_version"] = 2


def _to_3(content: dict[str, Any]) -> None:
    """Manifests are the same; samples had no choices."""
    content["schema_version"] = 3


def _to_4(content: dict[str, Any]) -> None:
    """Manifests are the same; samples had no `gold_answer`."""
    content["schema_version"] = 4


_MIGRATIONS = {1: _to_2, 2: _to_3, 3: _to_4}
"""schema_version -> what makes a manifest of the next one of it. Files stay as they were written."""


def _task(content: dict[str, Any]) -> TaskSummary:
    if content.get("wall_s") is None:
        content["wall_s"] = math.nan
    content["remarks"] = tuple(content.get("remarks", ()))
    summary = TaskSummary(**_known(TaskSummary, content))
    if not isinstance(summary.task, str):
        raise TypeError(f"a task's name is {summary.task!r}, not text")
    try:
        are_finite = math.isfinite(sum(_COUNTS_OF_TASK(summary)))
    except TypeError:
        are_finite = False
    if not are_finite:
        raise TypeError(f"a count of task {summary.task!r} is not a number")
    return summary


def _known(record: type, content: dict[str, Any]) -> dict[str, Any]:
    names = _names(record)
    if content.keys() <= names:  # the usual case: a listing reads tens of thousands of tasks
        return content
    return {key: value for key, value in content.items() if key in names}


@cache
def _names(record: type) -> frozenset[str]:
    return frozenset(item.name for item in fields(record))
