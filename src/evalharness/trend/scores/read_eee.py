"""Read the aggregate files of Every Eval Ever: one JSON a model, with the scale of each score beside it.

A score is put on 0 to 100 by its own `min_score` and `max_score`; one whose scale isn't given is skipped. The benchmark is
`evaluation_name` where that is a benchmark or a task known here; the data set's name where the file has one result of
it; both names otherwise, as a result may be a part of its data set.

Source: evaleval/every_eval_ever, schemas/eval.schema.json 0.2 and 0.3.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from evalharness.errors import UserError
from evalharness.trend.scores.benchmarks import benchmark_of_task, find_benchmark
from evalharness.trend.scores.read_csv import file_text
from evalharness.trend.scores.reading import CellError, Problem, Reading, assemble
from evalharness.trend.scores.records import ReportedScore

_NEEDED = ("model_info", "source_metadata", "evaluation_results")


def read_eee(path: Path, today: date | None = None) -> Reading:
    """The scores of a file, one object or a list of them.

    Args:
        path: of the JSON.
        today: evaluations after it are refused; None: the day in UTC.

    Raises:
        UserError: it can't be read, isn't JSON, or isn't of this format.
    """
    today = today or datetime.now(UTC).date()
    text = file_text(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as e:
        raise UserError(f"{str(path)!r}: not JSON: line {e.lineno}: {e.msg}") from e
    entries = content if isinstance(content, list) else [content]
    for entry in entries:
        missing = [n for n in _NEEDED if not isinstance(entry, dict) or not entry.get(n)]
        if missing:
            raise UserError(
                f"{str(path)!r}: not an aggregate of Every Eval Ever: no {', '.join(missing)}"
            )
    lines = _lines_of_results(text, sum(len(e["evaluation_results"]) for e in entries))
    skipped: list[Problem] = []
    scores = []
    for entry in entries:
        datasets = Counter(_dataset(result) for result in entry["evaluation_results"])
        for result in entry["evaluation_results"]:
            line = next(lines)
            try:
                scores.append(_score(path.name, line, entry, result, datasets, today))
            except CellError as e:
                skipped.append(Problem(line, e.column, str(e)))
    return assemble(path.name, scores, skipped)


def _score(
    collection: str,
    line: int,
    entry: Mapping[str, Any],
    result: Mapping[str, Any],
    datasets: Counter[str],
    today: date,
) -> ReportedScore:
    config, details = result.get("metric_config") or {}, result.get("score_details") or {}
    least, most = (_number(config.get(n), f"metric_config.{n}") for n in ("min_score", "max_score"))
    value = _number(details.get("score"), "score_details.score")
    if not least <= value <= most or most <= least:
        raise CellError("score_details.score", f"{value:g} is outside {least:g} to {most:g}")
    uncertainty = details.get("uncertainty") or {}
    source, model = entry["source_metadata"], entry["model_info"]
    name = str(model.get("id") or model.get("name") or "")
    if not name:
        raise CellError("model_info.id", "empty")
    benchmark = _benchmark(result, datasets)
    settings = (result.get("generation_config") or {}).get("additional_details") or {}
    shots = str(settings.get("num_fewshot") or "")
    organization = source.get("source_organization_name")
    return ReportedScore(
        origin="imported",
        collection=collection,
        line=line,
        model=name,
        benchmark=benchmark,
        benchmark_raw=str(result.get("evaluation_name") or ""),
        metric=str(config.get("metric_name") or config.get("evaluation_description") or ""),
        score=100 * (value - least) / (most - least),
        score_date=_day(entry, result, today),
        n=_count(uncertainty.get("num_samples")),
        higher_is_better=not config.get("lower_is_better"),
        n_shot=shots if shots.isdecimal() else None,
        subset=str((details.get("details") or {}).get("subset") or ""),
        harness=str((entry.get("eval_library") or {}).get("name") or ""),
        reported_by=str(source.get("source_name") or organization or "Every Eval Ever"),
        source_repo="evaleval/every_eval_ever",
        source_path=str(entry.get("evaluation_id") or ""),
        notes="" if organization in (None, "unknown") else str(organization),
    )


def _benchmark(result: Mapping[str, Any], datasets: Counter[str]) -> str:
    name, dataset = str(result.get("evaluation_name") or ""), _dataset(result)
    known = find_benchmark(name) or benchmark_of_task(name)
    if known is None and datasets[dataset] == 1:
        known = find_benchmark(dataset)
    if known is not None:
        return known.name
    return f"{dataset}: {name}" if dataset and dataset != name else name or dataset


def _dataset(result: Mapping[str, Any]) -> str:
    return str((result.get("source_data") or {}).get("dataset_name") or "")


def _day(entry: Mapping[str, Any], result: Mapping[str, Any], today: date) -> date | None:
    """When it was evaluated; None if the file says only when it was collected."""
    for holder in (result, entry):
        if stamp := holder.get("evaluation_timestamp"):
            try:
                found = datetime.fromtimestamp(float(stamp), UTC).date()
            except (TypeError, ValueError, OverflowError, OSError):
                raise CellError(
                    "evaluation_timestamp", f"{stamp!r} is not a time in seconds"
                ) from None
            if found > today:
                raise CellError("evaluation_timestamp", f"{found} is in the future")
            return found
    return None


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CellError(
            where,
            "missing: the scale isn't known" if value is None else f"{value!r} is not a number",
        )
    return float(value)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _lines_of_results(text: str, count: int) -> Iterator[int]:
    """The line of each result, where the text has its name once; otherwise that of the list."""
    key = '"evaluation_name"'
    lines = [n for n, line in enumerate(text.splitlines(), 1) for _ in range(line.count(key))]
    first = next((n for n, t in enumerate(text.splitlines(), 1) if '"evaluation_results"' in t), 1)
    return iter(lines if len(lines) == count else [first] * count)
