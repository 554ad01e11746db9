"""The JSON files of a checkpoint or an adapter, read so that a malicious one can only be refused.

They are untrusted: a file that isn't UTF-8 JSON, isn't a regular file, is too large or nests too deeply gives one line
of error that names the file.
"""

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from evalharness.errors import CheckpointError, one_line

MAX_BYTES = 256 * 2**20
"""Largest JSON file; the index of the largest checkpoints has about 20 MB."""
MAX_DEPTH = 64
"""Deepest nesting of lists and objects; real files have less than 10."""
LARGEST = 10**12
"""Largest count that is believed."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        CheckpointError: missing, not a regular file, not JSON, not an object, nested too deeply, or with invalid text
        (half of a surrogate pair).
    """
    try:
        content = json.loads(read_bytes(path).decode("utf-8"))
    except (ValueError, RecursionError) as e:
        why = "it nests too deeply" if isinstance(e, RecursionError) else one_line(e)
        raise _refused(path, f"can't be read ({why})") from e
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{_where(path)} holds a {type(content).__name__}, not an object; fetch it again."
        )
    _check_values(content, path)
    return content


def read_json_if_there(path: Path) -> dict[str, Any]:
    """Like `read_json`, but {} if there is no such file."""
    return read_json(path) if os.path.lexists(path) else {}


def read_text(path: Path) -> str:
    """The text of a file in UTF-8; every line ends in a line feed.

    Raises:
        CheckpointError: missing, not a regular file, or not UTF-8.
    """
    try:
        text = read_bytes(path).decode("utf-8")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as e:
        raise _refused(path, f"can't be read ({one_line(e)})") from e


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file of at most `MAX_BYTES`; a pipe or device is refused, not waited for."""
    size = file_size(path)
    if size > MAX_BYTES:
        raise _refused(path, f"has {size} bytes, more than any such file needs")
    try:
        return path.read_bytes()
    except OSError as e:
        raise _refused(path, f"can't be read ({_reason(e)})") from e


def file_size(path: Path) -> int:
    """Bytes of a regular file, links followed.

    Raises:
        CheckpointError: missing, or not a file but a folder, a pipe, a device or a loop of links.
    """
    try:
        found = path.stat()
    except FileNotFoundError as e:
        what = "is a link to nothing" if os.path.lexists(path) else "is missing"
        raise CheckpointError(f"{_where(path)} {what}; fetch it again.") from e
    except (OSError, ValueError) as e:
        raise _refused(path, f"can't be read ({_reason(e)})") from e
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise _refused(path, f"is {kind}, not a file")
    return found.st_size


def check_no_pipes(folder: Path) -> None:
    """Raise `CheckpointError` for a pipe, socket or device that a loader of configs and tokenizers would wait for."""
    for path in sorted(folder.iterdir()):
        is_odd = path.exists() and not path.is_file() and not path.is_dir()
        if is_odd and path.suffix in (".json", ".jinja", ".model", ".txt", ".tiktoken", ".py"):
            raise _refused(path, "is a pipe, socket or device, not a file")


def as_dict(value: Any) -> dict[str, Any]:
    """The value if it is an object, else {}: for settings that are only read if they are well-formed."""
    return value if isinstance(value, dict) else {}


def as_number(value: Any) -> float | None:
    """The value as a finite float; None for anything else, bool included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def whole_number(config: dict[str, Any], *keys: str) -> int | None:
    """The first of these settings that is an integer from 0 to `LARGEST`; None if none is."""
    for key in keys:
        value = config.get(key)
        if type(value) is int and 0 <= value <= LARGEST:
            return value
    return None


def _check_values(content: dict[str, Any], path: Path) -> None:
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and _SURROGATE.search(value):
                raise _refused(path, "holds half of a surrogate pair, which is not text")
        if not inner:
            return
        level = inner
    raise _refused(path, f"can't be read (it nests deeper than {MAX_DEPTH} levels)")


def _where(path: Path) -> str:
    kind = "adapter" if path.name.startswith("adapter_") else "checkpoint"
    return f"{kind} {path.parent}: {path.name}"


def _refused(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{_where(path)} {what}; fetch it again.")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or one_line(error)
