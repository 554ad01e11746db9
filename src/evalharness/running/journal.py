"""Every response on disk within a second of its arrival: what was finished is never lost.

One file per process in the run's `journal/` folder, one JSON line per response:

    {"key": <sha256 of the request>, "type": "Generation", "response": {...}}

Appended, fsynced in batches, never rewritten; a torn last line is dropped on reading. No locks and no database,
because shared disks are NFS as often as not.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalharness.records import ContinuationScore, Generation, Scores

FLUSH_EVERY_S = 1.0


class Journal:
    """Appends responses. Use as an async context manager: leaving it writes what is left."""

    def __init__(self, folder: Path) -> None:
        """Open a new file in `folder`, which is made when it isn't there."""
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*.jsonl")))
        self._file = (folder / f"{number:04d}.jsonl").open("xb")
        self._pending: list[bytes] = []
        self._flusher: asyncio.Task[None] | None = None

    def append(self, key: str, response: Generation | Scores) -> None:
        """Take a response; it is on disk within `FLUSH_EVERY_S`."""
        line = {"key": key, "type": type(response).__name__, "response": asdict(response)}
        self._pending.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    async def __aenter__(self) -> Journal:
        """Start flushing in the background."""
        self._flusher = asyncio.create_task(self._flush_forever())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Write what is left and close."""
        assert self._flusher is not None
        self._flusher.cancel()
        self._write()
        self._file.close()

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._write()

    def _write(self) -> None:
        if self._pending:
            lines, self._pending = self._pending, []
            self._file.write(b"".join(lines))
            self._file.flush()
            os.fsync(self._file.fileno())


def read_journal(folder: Path) -> Iterator[tuple[str, Generation | Scores]]:
    """Every whole record of a run's journal as (request key, response); damaged lines are left out."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                record = parse_line(line)
                if record is not None:
                    yield record


def parse_line(line: bytes) -> tuple[str, Generation | Scores] | None:
    """One line as (request key, response); None when it is torn or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
        return record["key"], _response(record["type"], record["response"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _response(kind: str, fields: dict[str, Any]) -> Generation | Scores:
    if kind == "Generation":
        return Generation(**fields | {"token_ids": tuple(fields["token_ids"])})
    if kind == "Scores":
        scores = tuple(ContinuationScore(**c) for c in fields["continuations"])
        return Scores(**fields | {"continuations": scores})
    raise ValueError(f"unknown record type {kind!r}")
