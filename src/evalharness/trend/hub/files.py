"""Files that appear complete or not at all."""

import contextlib
import os
from pathlib import Path

from evalharness.errors import StoreError, WriteError


def check_results_dir(results_dir: Path) -> None:
    """Refuse a results_dir that isn't a folder, before any request to the Hub.

    Raises:
        StoreError: it is a file.
    """
    if results_dir.exists() and not results_dir.is_dir():
        raise StoreError(f"results_dir {str(results_dir)!r} is a file, not a folder")


def write_whole(path: Path, text: str) -> None:
    """Write or replace a file, synced to disk; its folder is made.

    Raises:
        WriteError: it can't be written; the previous file is kept.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as e:
        raise WriteError.of(e, path) from e
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
