"""What a run's journal holds."""

from collections.abc import Iterator
from pathlib import Path

from evalharness.engines.requests import Generation, Scores
from evalharness.runner.journal_lines import parse_line


def read_journal(folder: Path) -> Iterator[tuple[str, Generation | Scores]]:
    """Every whole record as (request key, response); damaged lines are left out."""
    for path in sorted(folder.glob("*.jsonl")):
        yield from filter(None, map(parse_line, path.read_bytes().splitlines(keepends=True)))
