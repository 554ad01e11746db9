"""The keys of a run's configuration, read from the dataclasses of `schema`, and the names in its groups."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from evalharness import paths
from evalharness.config.schema import Config
from evalharness.errors import ConfigError, then

GROUPS = ("model", "engine", "sampling", "strategy", "suite", "experiment")

ALL_KEYS = "`evalharness run model=<name> --cfg job` shows all keys"


def options(group: str, folders: Sequence[Path] | None = None) -> list[str]:
    """The names of a group's files in these configs folders, or by default in those that apply here."""
    found = folders if folders is not None else paths.search("configs")
    return sorted({file.stem for folder in found for file in (folder / group).glob("*.yaml")})


def keys() -> list[str]:
    """Every dotted key that holds a value."""
    return list(_keys(Config, ""))


def check_key(key: str) -> bool:
    """Whether a key is inside a mapping with free names, such as engine.extra.

    Raises:
        ConfigError: there is no such key; the message names the nearest.
    """
    node: Any = Config
    parts = key.split(".")
    for i, part in enumerate(parts):
        inside = ".".join(parts[:i])
        fields = _fields(node)
        if fields:
            if part not in fields:
                near = _nearest(key, parts, i, fields)
                raise ConfigError(f"{key}: no such key{then(near, ALL_KEYS)}")
            node = fields[part]
        elif typing.get_origin(node) is dict:
            node = typing.get_args(node)[1]
            if node is Any:
                return True
        else:
            raise ConfigError(f"{key}: no such key; {inside} is one value, not a mapping")
    return False


def is_free_mapping(key: str) -> bool:
    """Whether a key holds a mapping with free names."""
    node = _type_at(key)
    return typing.get_origin(node) is dict and typing.get_args(node)[1] is Any


def expected(key: str) -> str:
    """What a key holds, in words: 'int or null', 'one of vllm, hf, fake'."""
    node = _type_at(key)
    kinds = [kind for kind in _union(node) if kind is not type(None)]
    words = [
        f"one of {', '.join(choices(key))}" if _is_enum(kind) else _name(kind) for kind in kinds
    ]
    return " or ".join([*words, *["null"] * (len(kinds) < len(_union(node)))])


def choices(key: str) -> list[str]:
    """The values that a key allows, where they can be listed."""
    (kind, *_) = _union(_type_at(key))
    if kind is bool:
        return ["true", "false"]
    return [str(member.value) for member in kind] if _is_enum(kind) else []


def _type_at(key: str) -> Any:
    node: Any = Config
    for part in key.split("."):
        is_mapping = typing.get_origin(node) is dict
        node = typing.get_args(node)[1] if is_mapping else _fields(node).get(part, Any)
    return node


def _keys(node: type, prefix: str) -> Iterator[str]:
    for name, kind in _fields(node).items():
        if _fields(kind):
            yield from _keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _fields(node: Any) -> dict[str, Any]:
    node = next((kind for kind in _union(node) if dataclasses.is_dataclass(kind)), node)
    if not dataclasses.is_dataclass(node):
        return {}
    hints = typing.get_type_hints(node)
    return {field.name: hints[field.name] for field in dataclasses.fields(node)}


def _nearest(
    key: str, parts: Sequence[str], level: int, fields: Sequence[str] | dict[str, Any]
) -> str:
    """'; did you mean ...?': a key of the same name elsewhere, else the nearest name at the same level."""
    last = parts[-1]
    namesakes = [k for k in keys() if level == 0 and k.rsplit(".", 1)[-1] == last]
    close = difflib.get_close_matches(
        parts[level], {*fields, *(GROUPS if level == 0 else ())}, n=1, cutoff=0.5
    )
    found = [".".join([*parts[:level], name, *parts[level + 1 :]]) for name in close]
    found = found or namesakes or difflib.get_close_matches(key, keys(), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def _union(node: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(node) in (typing.Union, types.UnionType)
    return typing.get_args(node) if is_union else (node,)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _name(kind: Any) -> str:
    if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is dict:
        return "a mapping"
    return {str: "text", bool: "true or false", float: "a number", int: "a whole number"}.get(
        kind, "another type"
    )
