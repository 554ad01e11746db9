"""Imported scores on disk: `<results_dir>/.scores/<first 12 of its sha256>.csv`, one file an import, never changed.

The folder is hidden, so that no list of runs sees it. A file is CSV as `trend.scores.read_csv` takes it, with the two columns
`collection` and `line` more: the file that a score came from, and where it stood there. To take an import back, delete its file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from evalharness.errors import StoreError, UserError
from evalharness.store.atomic import write_whole
from evalharness.store.layout import check_results_dir
from evalharness.trend.scores.read_csv import (
    COLUMNS,
    PLACE,
    read_text,
)
from evalharness.trend.scores.records import (
    ReportedScore,
    distinct,
)
from evalharness.trend.scores.seed_scores import seed_readings

logger = logging.getLogger(__name__)

FOLDER = ".scores"

_COLUMNS = (*COLUMNS, *PLACE[1:])


class Stored(NamedTuple):
    """The outcome of storing scores."""

    path: Path | None
    """None if nothing is new."""
    added: tuple[ReportedScore, ...]
    num_known: int
    """Number of scores from earlier imports."""


def load_scores(results_dir: Path, include_seed: bool = True) -> list[ReportedScore]:
    """All reported scores: those of the package, then the imported ones, without duplicates.

    Raises:
        StoreError: the folder may not be read.
    """
    seed = [score for reading in seed_readings() for score in reading.scores]
    return distinct([*(seed if include_seed else ()), *_imported(results_dir)])


def store_scores(
    results_dir: Path, scores: Sequence[ReportedScore], *, is_dry: bool = False
) -> Stored:
    """Store the scores that aren't in an earlier import; the file appears complete or not at all.

    Args:
        results_dir: made if needed.
        scores: of one file.
        is_dry: report what would be done, and do nothing.

    Raises:
        StoreError: results_dir is a file or may not be read.
        WriteError: it can't be written.
    """
    check_results_dir(results_dir)
    known = {score.content for score in _imported(results_dir)}
    added = [score for score in distinct(scores) if score.content not in known]
    num_known = len(scores) - len(added)
    if not added:
        return Stored(None, (), num_known)
    text = _as_csv(added)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = results_dir / FOLDER / f"{digest[:12]}.csv"
    if not is_dry:
        write_whole(path, text)
    return Stored(path, tuple(added), num_known)


def _imported(results_dir: Path) -> list[ReportedScore]:
    folder = results_dir / FOLDER
    try:
        paths = sorted(path for path in folder.iterdir() if path.match("[!.]*.csv"))
    except FileNotFoundError:
        return []
    except OSError as e:
        raise StoreError(f"{str(folder)!r}: can't read: {e.strerror}") from e
    return distinct(score for path in paths for score in _read(path))


def _read(path: Path) -> Iterable[ReportedScore]:
    """The scores of one file; damaged lines are left out with a warning in the log."""
    try:
        text = path.read_bytes().decode()
        # Dates were checked on the day of the import.
        reading = read_text(text, path.name, "imported", date.max, has_place=True)
    except (OSError, UnicodeDecodeError, UserError) as e:
        logger.warning("%s: left out: %s", path, e)
        return ()
    for problem in reading.skipped:
        logger.warning("%s: left out: %s", path, problem)
    return reading.scores


def _as_csv(scores: Iterable[ReportedScore]) -> str:
    text = io.StringIO(newline="")
    # Python quotes a lone carriage return only where it is part of the line's end.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    writer.writerows([getattr(score, name) for name in _COLUMNS] for score in scores)
    return text.getvalue()
