"""Read scores from what `evalharness leaderboard` prints with --csv or --json: another team's, or another machine's runs.

Only tasks that have a value that is a share; means and composites over tasks are left out, as they are no benchmark's.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from evalharness.errors import UserError
from evalharness.stats.metrics import NO_SHARES
from evalharness.trend.scores.benchmarks import benchmark_of_task
from evalharness.trend.scores.read_csv import check_header, file_text
from evalharness.trend.scores.reading import CellError, Problem, Reading, assemble
from evalharness.trend.scores.records import ReportedScore

_NEEDED = ("model", "task", "metric", "value", "n", "run_id", "started_at")
_MEAN = "mean"
_BILLION = 1e9
_Row = tuple[int, Mapping[str, Any]]


def read_leaderboard(path: Path, today: date | None = None) -> Reading:
    """The scores of an exported leaderboard.

    Args:
        path: of the CSV or JSON.
        today: runs after it are refused; None: the day in UTC.

    Raises:
        UserError: it can't be read, or isn't a leaderboard.
    """
    today = today or datetime.now(UTC).date()
    text = file_text(path)
    rows = _json_rows(text, path) if text.lstrip().startswith("{") else _csv_rows(text, path)
    skipped: list[Problem] = []
    scores = []
    num_means = 0
    for line, row in rows:
        if row["task"] == _MEAN:
            num_means += 1
            continue
        try:
            scores.append(_score(path.name, line, row, today))
        except CellError as e:
            skipped.append(Problem(line, e.column, str(e)))
    notices = [f"{num_means} means over tasks aren't read"] if num_means else []
    return assemble(path.name, scores, skipped, notices=notices)


def _score(collection: str, line: int, row: Mapping[str, Any], today: date) -> ReportedScore:
    for name in ("model", "task", "metric"):
        if not row.get(name):
            raise CellError(name, "empty")
    value = _number(row, "value")
    if row["metric"] in NO_SHARES or not 0 <= value <= 1:
        raise CellError("value", f"{row['metric']} {value:g} is not a share of a maximum")
    benchmark = benchmark_of_task(row["task"])
    low, high = (
        _number(row, name) if row.get(name) not in (None, "") else None
        for name in ("ci_low", "ci_high")
    )
    filtered = row.get("filter") or "none"
    return ReportedScore(
        origin="imported",
        collection=collection,
        line=line,
        model=row["model"],
        total_params_b=_billions(row.get("params_total")),
        active_params_b=_billions(row.get("params_active")),
        benchmark=benchmark.name if benchmark else row["task"],
        benchmark_raw=row["task"],
        metric=row["metric"] if filtered == "none" else f"{row['metric']} ({filtered})",
        score=100 * value,
        score_date=_day(row, today),
        n=int(_number(row, "n")),
        ci_low=None if low is None else 100 * min(max(low, 0.0), 1.0),
        ci_high=None if high is None else 100 * min(max(high, 0.0), 1.0),
        higher_is_better=str(row.get("higher_is_better", True)).casefold() != "false",
        subset=str(row.get("subset") or ""),
        harness="evalharness",
        strategy=str(row.get("strategy") or ""),
        reported_by="evalharness leaderboard",
        source_path=str(row["run_id"]),
        task=row["task"],
    )


def _number(row: Mapping[str, Any], name: str) -> float:
    try:
        found = float(row[name])
    except (TypeError, ValueError, KeyError):
        raise CellError(name, f"{row.get(name)!r} is not a number") from None
    if found != found or abs(found) == float("inf"):
        raise CellError(name, f"{row[name]!r} is not a number")
    return found


def _day(row: Mapping[str, Any], today: date) -> date:
    try:
        found = datetime.fromisoformat(str(row["started_at"])).date()
    except ValueError:
        raise CellError("started_at", f"{row['started_at']!r} is not a date") from None
    if found > today:
        raise CellError("started_at", f"{found} is in the future")
    return found


def _billions(count: Any) -> float | None:
    return float(count) / _BILLION if count not in (None, "") and float(count) > 0 else None


def _csv_rows(text: str, path: Path) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""))
    header = check_header(next(reader, []), path.name, _NEEDED)
    line = reader.line_num + 1
    for cells in reader:
        if len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        elif cells:
            yield line, dict.fromkeys(_NEEDED, "")
        line = reader.line_num + 1


def _json_rows(text: str, path: Path) -> Iterator[_Row]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as e:
        raise UserError(f"{str(path)!r}: not JSON: line {e.lineno}: {e.msg}") from e
    boards = content.get("boards") if isinstance(content, dict) else None
    if not isinstance(boards, list):
        raise UserError(
            f"{str(path)!r}: no `boards` in it; `evalharness leaderboard --json` writes them"
        )
    lines = text.splitlines()
    at = 1
    for board in boards:
        for row in board.get("rows", ()):
            run_id = f'"run_id": {json.dumps(row.get("run_id"))}'
            at = next((n for n in range(at, len(lines) + 1) if run_id in lines[n - 1]), at)
            for task, score in (row.get("scores") or {}).items():
                yield at, {**row, **score, "task": task}
