"""A Parquet file's own checksum: a change of any byte is detected before the file is read as data.

Parquet's page checksums don't cover the footer, and DuckDB doesn't check them. So the footer's key-value metadata has
`evalharness.crc32`: 8 hexadecimal digits, the CRC-32 of the whole file with zeros in their place. A file without it was
written by an older version or by another program: if the run has ended, its sha256 must be that on the run's list
(`store.checksums`), which `results verify` compares for all files. Without a list, as in unfinished runs, only the
pages' checksums are checked.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from evalharness.errors import one_line
from evalharness.store import checksums

KEY = "evalharness.crc32"
OPEN = "00000000"
"""The digits before `seal` writes them."""
_BEFORE_VALUE = KEY.encode() + b"\x18\x08"
"""The key as Thrift's compact protocol has it, then the header of the value: a string, 8 bytes."""
_MAGIC = b"PAR1"
_AT_ONCE = 1 << 20


def seal(path: Path) -> None:
    """Write the checksum of a finished file with `KEY: OPEN` in its metadata.

    Raises:
        OSError: it can't be written.
    """
    with path.open("r+b") as file:
        place = _place(file)
        assert place is not None, "written without a place for its checksum"
        digits = f"{_crc(file, place):08x}"
        file.seek(place)
        file.write(digits.encode())


def problem(path: Path) -> str | None:
    """Why the file isn't what was written, in one line; None if it is, or if it has no checksum.

    An intact file is not read again by this process as long as it doesn't change.
    """
    try:
        stat = path.stat()
        _check(path, stat.st_size, stat.st_ino, stat.st_mtime_ns)
    except OSError as e:
        return f"can't be read: {e.strerror}"
    except _Damaged as e:
        return one_line(e)
    return None


def damaged(paths: Iterable[Path]) -> list[Path]:
    """Files that aren't what was written; several large ones are read at a time."""
    known = list(paths)
    large = [path for path in known if _size(path) > _AT_ONCE]
    if len(large) > 1:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(problem, large))  # remembered
    return [path for path in known if problem(path)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Damaged(Exception):  # noqa: N818 (private)
    """Raised if the file isn't what was written."""


@lru_cache(maxsize=100_000)
def _check(path: Path, size: int, *_version: int) -> None:
    """Raise what is wrong, so that only intact files are remembered."""
    with path.open("rb") as opened:
        file = BytesIO(opened.read()) if size <= _AT_ONCE else opened
        place = _place(file)
        if place is None:
            _check_listed(path)
            return
        file.seek(place)
        digits = file.read(len(OPEN))
        if digits != f"{_crc(file, place):08x}".encode():
            raise _Damaged("not what was written (its checksum differs)")


def _check_listed(path: Path) -> None:
    """Raise if a run's list has another sha256 for the file, or can't be read."""
    for folder in path.parents[:2]:
        try:
            expected = checksums.listed(folder).get(path.relative_to(folder).as_posix())
        except ValueError as e:
            raise _Damaged(one_line(e)) from e
        if expected is not None and expected != checksums.sha256(path):
            raise _Damaged("not what was written (another program wrote it: its sha256 differs)")


def _place(file: BinaryIO) -> int | None:
    """Position of the digits; None if there is no key."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    end = file.read()
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length > size - 8:
        raise _Damaged("not a Parquet file: its end is missing")
    file.seek(size - 8 - length)
    footer = file.read(length)
    found = footer.rfind(_BEFORE_VALUE)
    return None if found < 0 else size - 8 - length + found + len(_BEFORE_VALUE)


def _crc(file: BinaryIO, place: int) -> int:
    """CRC-32 of the whole file, with the digits at `place` as zeros."""
    file.seek(0)
    crc, at = 0, 0
    while block := file.read(_AT_ONCE):
        begin, end = max(0, place - at), min(len(block), place + len(OPEN) - at)
        if begin < end:
            block = block[:begin] + b"0" * (end - begin) + block[end:]
        crc = zlib.crc32(block, crc)
        at += len(block)
    return crc
