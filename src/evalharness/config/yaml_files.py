"""YAML files from untrusted sources, read so that a bad one gives one line of error.

A folder may hold anything: a pipe that blocks its reader, a link to itself, 10,000 brackets, aliases that stand for a
billion values. All of these raise a `ConfigError` with the file's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from evalharness.errors import ConfigError, one_line

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times faster if it was built, and as safe."""

MOST_BYTES = 10_000_000
MOST_VALUES = 1_000_000
"""Most values, with aliases expanded."""
_MOST_CHARACTERS = 160
"""Of what a parser said."""


def shown(path: Path) -> str:
    """A path as a user wants to read it: relative to the working directory if it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def read_yaml(path: Path) -> Any:
    """What the file holds.

    Raises:
        ConfigError: it can't be read, or isn't YAML.
    """
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of a regular file.

    Raises:
        ConfigError: it isn't one, is too large, isn't UTF-8, or may not be read.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"{shown(path)}: {_kind(path)}, not a file")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ConfigError(
                f"{shown(path)}: {size / 1e6:.0f} MB; YAML of more than 10 MB isn't read"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise ConfigError(f"{shown(path)}: not YAML: not UTF-8 at byte {e.start}") from e
    except (OSError, RuntimeError) as e:  # RuntimeError: a loop of links
        why = getattr(e, "strerror", None) or one_line(e)
        raise ConfigError(f"{shown(path)}: can't be read: {why}") from e


def parse_yaml(text: str, path: Path) -> Any:
    """What a text holds.

    Args:
        text: YAML.
        path: the file, for errors.

    Raises:
        ConfigError: it isn't YAML, or is too deep or too large with its aliases expanded.
    """
    try:
        value = yaml.load(text, LOADER)  # safe: see `LOADER`
    except RecursionError as e:
        raise ConfigError(f"{shown(path)}: not YAML: nested too deep") from e
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{shown(path)}{line}: not YAML: {e.problem}") from e
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as e:
        raise ConfigError(f"{shown(path)}: not YAML: {one_line(e)[:_MOST_CHARACTERS]}") from e
    check_size(value, path)
    return value


def check_size(value: Any, path: Path) -> None:
    """Refuse a value that is too large to walk through.

    Raises:
        ConfigError: aliases make it endless, or larger than `MOST_VALUES`.
    """
    try:
        size = _size(value, {})
    except RecursionError as e:
        raise ConfigError(f"{shown(path)}: not YAML: nested too deep") from e
    if size > MOST_VALUES:
        raise ConfigError(
            f"{shown(path)}: not YAML to be read: its aliases stand for more than {MOST_VALUES:,} values"
        )


def _size(value: Any, known: dict[int, int]) -> int:
    """Number of values in it, with aliases expanded; infinite if one holds itself."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if (size := known.get(id(value))) is not None:
        return size
    known[id(value)] = MOST_VALUES + 1  # until it is counted: an alias of itself finds this
    known[id(value)] = size = 1 + sum(_size(inner, known) for inner in _inside(value))
    return size


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    else:
        yield from value


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.is_symlink() and not path.exists():
        return "a link to nothing"
    return "a pipe or device" if path.exists() else "nothing there"
