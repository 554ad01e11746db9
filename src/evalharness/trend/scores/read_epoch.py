"""Read the scores of Epoch's index as Epoch publishes them: `eci_benchmarks.csv`, or the zip of its benchmark data.

The CSV has a row per model and benchmark, with `performance` as a share that is already corrected for chance. The zip has a
CSV a benchmark with raw scores, and in `benchmark_metadata.csv` how each is read: file, column, scale, chance
(`random_baseline`), ceiling (`score_ceiling`); `eci_model_versions.csv` says which version belongs to which model. Its scores
are corrected here by its own numbers and cut off at 0 and 1, as Epoch does it. All are stored as corrected.

Scores are rounded to 0.01, as in the table that ships.

Source: epoch.ai/data (CC BY 4.0); epoch-research/eci-public, src/eci/dataloader.py (columns and formula).
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from evalharness.errors import UserError, some
from evalharness.trend.scores import cells
from evalharness.trend.scores.benchmarks import find_benchmark
from evalharness.trend.scores.identity import identify
from evalharness.trend.scores.read_csv import check_header, csv_rows, file_text
from evalharness.trend.scores.reading import Problem, Reading, assemble
from evalharness.trend.scores.records import ReportedScore

_T = TypeVar("_T")

REPO = "epoch.ai/data"
CSV_NAME = "eci_benchmarks.csv"
_METADATA, _VERSIONS = "benchmark_metadata.csv", "eci_model_versions.csv"
_NEEDED = ("model", "benchmark", "performance", "date")
_NEEDED_METADATA = (
    "benchmark", "source_file", "score_column", "scale", "random_baseline", "score_ceiling",
)  # fmt: skip
_NEEDED_VERSIONS = ("model_version", "model_group", "date")
_NO_SOURCE = "Epoch AI; first source not given"
_MOST_BYTES = 500_000_000
"""Of an unpacked zip."""


def read_epoch(path: Path, today: date | None = None) -> Reading:
    """The scores in a file of Epoch's.

    Args:
        path: CSV or zip.
        today: releases after it are refused; None: the day in UTC.

    Raises:
        UserError: no such file, a zip that isn't one, or columns or tables are missing.
    """
    today = today or datetime.now(UTC).date()
    if not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".zip" and path.exists():
            raise UserError(f"{str(path)!r}: not a zip file; download it again")
        return _read_table(file_text(path), path.name, today)
    tables = _tables(path)
    if CSV_NAME in tables:
        return _read_table(tables[CSV_NAME], path.name, today)
    return _read_zip(tables, path.name, today)


def _read_table(text: str, collection: str, today: date) -> Reading:
    """The rows of eci_benchmarks.csv."""
    skipped: list[Problem] = []
    scores = []
    for line, row in _rows(text, collection, _NEEDED, skipped):
        problems: list[Problem] = []
        share = _cell(problems, line, row, "performance", _share)
        released = _cell(problems, line, row, "date", lambda text: cells.day(text, today))
        for name in ("model", "benchmark"):
            if not row[name]:
                problems.append(Problem(line, name, "empty"))
        skipped += problems
        if not problems and share is not None:
            scores.append(
                _score(collection, line, row["model"], row.get("model_version", ""), row["benchmark"],
                       share, released, row.get("source", ""))
            )  # fmt: skip
    return assemble(collection, scores, skipped)


class _Benchmark(NamedTuple):
    """A row of benchmark_metadata.csv."""

    name: str
    file: str
    column: str
    scale: float
    chance: float
    ceiling: float
    superseded_by: str


class _Version(NamedTuple):
    """A row of eci_model_versions.csv."""

    model: str
    released: date | None


def _read_zip(tables: Mapping[str, str], collection: str, today: date) -> Reading:
    for name in (_METADATA, _VERSIONS):
        if name not in tables:
            raise UserError(
                f"{collection!r}: no {CSV_NAME} and no {name} in it; it has {some(sorted(tables))}"
            )
    skipped: list[Problem] = []
    benchmarks = _benchmarks(tables[_METADATA], skipped)
    versions = _versions(tables[_VERSIONS], today, skipped)
    scores: list[ReportedScore] = []
    absent, unknown = [], 0
    for benchmark in benchmarks:
        if benchmark.file not in tables:
            absent.append(benchmark.name)
            continue
        found, num_unknown = _of_benchmark(tables, collection, benchmark, versions, skipped)
        scores += found
        unknown += num_unknown
    kept = _without_superseded(scores, benchmarks)
    notices = []
    if absent:
        notices.append(f"benchmarks without a file in the zip: {some(absent)}")
    if unknown:
        notices.append(f"{unknown} scores of versions that {_VERSIONS} doesn't have were left out")
    if len(kept) < len(scores):
        notices.append(
            f"{len(scores) - len(kept)} scores on benchmarks that a newer one replaces were left out"
        )
    return assemble(collection, kept, skipped, notices=notices)


def _of_benchmark(
    tables: Mapping[str, str],
    collection: str,
    benchmark: _Benchmark,
    versions: Mapping[str, _Version],
    skipped: list[Problem],
) -> tuple[list[ReportedScore], int]:
    """The scores of one file of the zip, and how many versions have no model."""
    needed = ("Model version", benchmark.column)
    scores, num_unknown = [], 0
    for line, row in _rows(tables[benchmark.file], benchmark.file, needed, skipped):
        name = row["Model version"]
        if not name or not row[benchmark.column]:
            continue
        if name not in versions:
            num_unknown += 1
            continue
        try:
            raw = cells.number(row[benchmark.column]) * benchmark.scale
            if not -0.001 <= raw <= 1.001:
                raise ValueError(
                    f"{row[benchmark.column]!r} is outside 0 to {1 / benchmark.scale:g}"
                )
        except ValueError as e:
            skipped.append(Problem(line, f"{benchmark.file}: {benchmark.column}", str(e)))
            continue
        above = (raw - benchmark.chance) / (benchmark.ceiling - benchmark.chance)
        model, released = versions[name]
        scores.append(
            _score(collection, line, model, name, benchmark.name, min(max(above, 0.0), 1.0), released,
                   row.get("Source", ""))
        )  # fmt: skip
    return scores, num_unknown


def _without_superseded(
    scores: Sequence[ReportedScore], benchmarks: Iterable[_Benchmark]
) -> list[ReportedScore]:
    """Without a model's scores on a benchmark whose replacement it has a score on."""
    newer = {b.name: b.superseded_by for b in benchmarks if b.superseded_by}
    cells_ = {(score.model, score.benchmark_raw) for score in scores}
    return [s for s in scores if (s.model, newer.get(s.benchmark_raw)) not in cells_]


def _score(
    collection: str,
    line: int,
    model: str,
    version: str,
    benchmark: str,
    share: float,
    released: date | None,
    source: str,
) -> ReportedScore:
    known = find_benchmark(benchmark)
    return ReportedScore(
        origin="imported",
        collection=collection,
        line=line,
        model=model,
        release_date=released,
        benchmark=known.name if known else benchmark,
        benchmark_raw=benchmark,
        metric="corrected for chance",
        score=round(100 * share, 2),
        chance_corrected=True,
        setting=identify(version).setting if version else "",
        reported_by=f"via Epoch: {source}" if source else _NO_SOURCE,
        source_repo=REPO,
        source_path=CSV_NAME,
        date_source="Epoch",
        notes=version,
    )


def _tables(path: Path) -> dict[str, str]:
    """File name -> text of the CSVs in a zip.

    Raises:
        UserError: it is damaged, too large, or a file isn't UTF-8.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = [f for f in archive.infolist() if f.filename.endswith(".csv")]
            if sum(f.file_size for f in files) > _MOST_BYTES:
                raise UserError(f"{str(path)!r}: more than {_MOST_BYTES // 10**6} MB unpacked")
            return {
                PurePosixPath(f.filename).name: archive.read(f).decode("utf-8-sig") for f in files
            }
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as e:
        raise UserError(f"{str(path)!r}: a damaged zip: {e}; download it again") from e
    except UnicodeDecodeError as e:
        raise UserError(f"{str(path)!r}: a CSV in it is not UTF-8 at byte {e.start}") from e


def _rows(
    text: str, name: str, needed: Sequence[str], skipped: list[Problem]
) -> Iterator[tuple[int, dict[str, str]]]:
    rows = csv_rows(text, skipped)
    header = check_header(next(rows, (1, []))[1], name, needed)
    for line, found in rows:
        if len(found) != len(header):
            skipped.append(Problem(line, "", f"{len(found)} cells under {len(header)} columns"))
            continue
        yield line, dict(zip(header, found, strict=True))


def _benchmarks(text: str, skipped: list[Problem]) -> list[_Benchmark]:
    found = []
    for line, row in _rows(text, _METADATA, _NEEDED_METADATA, skipped):
        if row.get("in_eci", "").casefold() == "false":
            continue
        try:
            scale, chance = cells.number(row["scale"] or "1"), cells.number(row["random_baseline"])
            ceiling = cells.number(row["score_ceiling"] or "1")
            if not 0 <= chance < ceiling <= 1 or scale <= 0:
                raise ValueError(
                    f"chance {chance:g} and ceiling {ceiling:g} are not shares in order"
                )
        except ValueError as e:
            skipped.append(Problem(line, f"{_METADATA}: random_baseline", str(e)))
            continue
        found.append(
            _Benchmark(row["benchmark"], row["source_file"], row["score_column"], scale, chance, ceiling,
                       row.get("superseded_by", ""))
        )  # fmt: skip
    return found


def _versions(text: str, today: date, skipped: list[Problem]) -> dict[str, _Version]:
    found = {}
    for line, row in _rows(text, _VERSIONS, _NEEDED_VERSIONS, skipped):
        try:
            released = cells.day(row["date"][:10], today) if row["date"] else None
        except ValueError as e:
            skipped.append(Problem(line, f"{_VERSIONS}: date", str(e)))
            continue
        if row["model_version"] and row["model_group"]:
            found[row["model_version"]] = _Version(row["model_group"], released)
    return found


def _share(text: str) -> float:
    value = cells.number(text)
    if 1 < value <= 100:
        raise ValueError(f"{text!r} is above 1: a percentage among shares?")
    if not 0 <= value <= 1:
        raise ValueError(f"{text!r} is outside 0 to 1")
    return value


def _cell(
    problems: list[Problem], line: int, row: Mapping[str, str], name: str, read: Callable[[str], _T]
) -> _T | None:
    if not row[name]:
        problems.append(Problem(line, name, "empty"))
        return None
    try:
        return read(row[name])
    except ValueError as e:
        problems.append(Problem(line, name, str(e)))
        return None


def as_table(scores: Iterable[ReportedScore]) -> str:
    """The scores as the table that ships with the package: each model under its one name, scores to 0.01.

    Raises:
        UserError: a model isn't in models.csv, or a benchmark isn't in benchmarks.yaml.
    """
    rows: list[tuple[str, ...]] = []
    unknown: dict[str, None] = {}
    for score in scores:
        found = identify(score.model)
        if not found.is_known:
            unknown[f"model {score.model}"] = None
        if find_benchmark(score.benchmark) is None:
            unknown[f"benchmark {score.benchmark}"] = None
        score_text = f"{score.score:g}"
        released = str(score.release_date or "")
        rows.append(
            (
                found.model,
                score.benchmark,
                score_text,
                score.setting,
                released,
                score.reported_by,
                score.notes,
            )
        )
    if unknown:
        raise UserError(
            f"not known yet: {some(unknown, most=20)}; add them to models.csv and benchmarks.yaml"
        )
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["model", "benchmark", "score", "setting", "release_date", "reported_by", "notes"]
    )
    rows.sort(key=lambda row: (row[0].casefold(), row[1].casefold()))
    writer.writerows(rows)
    return text.getvalue()
