"""Files that appear whole or not at all, and are still there after a power cut."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalharness.errors import WriteError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path`, synced to disk, when the block ends well, and is removed when not.

    Raises:
        OSError: it can't be written; what was there before still is.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write or replace a file; its folder is made.

    Raises:
        WriteError: it can't be written; what was there before still is.
    """
    with as_write_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


@contextmanager
def as_write_error(path: Path) -> Iterator[None]:
    """What the disk says becomes a WriteError that names `path`."""
    try:
        yield
    except OSError as e:
        raise WriteError.of(e, path) from e


def sync(path: Path) -> None:
    """Have a file's content, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
