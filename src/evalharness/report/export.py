"""The rows of tables for other programs: JSON and CSV."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from evalharness.store.csv_cells import guarded
from evalharness.store.json_codec import as_json
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)
from evalharness.store.subset_words import subset_words


def as_rows(
    rows: Sequence[Mapping[str, Any]], otherwise: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    """Columns, in the order of their first occurrence, and a cell for each; several texts in one cell are joined.

    Args:
        rows: values by column; missing ones are None.
        otherwise: the columns if there are no rows.
    """
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(otherwise)
    return names, [[_joined(row.get(name)) for name in names] for row in rows]


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV with a header; NaN and None are empty cells, and texts are never formulas (`csv_cells`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([guarded(name) for name in columns])
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _joined(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, tuple) else value


def _csv_cell(value: Any) -> Any:
    cell = as_json(value)
    return cell if cell is None or isinstance(cell, int | float) else guarded(str(cell))


def run_as_json(manifest: Manifest, metrics: Sequence[MetricRecord]) -> dict[str, Any]:
    """The manifest's fields, `metrics`, and `composite` if the suite has one."""
    from evalharness.report.terminal.composite import (
        composite_fields,
        find_composite,
    )

    composite = find_composite(manifest, metrics)
    result: dict[str, Any] = as_json(
        {
            **asdict(manifest),
            "subset": subset_words(manifest.tasks),
            "tasks": [asdict(task) | {"subset": task.subset} for task in manifest.tasks],
            "metrics": [asdict(metric) for metric in metrics],
            **({"composite": composite_fields(composite)} if composite else {}),
        }
    )
    return result


def metric_rows(
    manifest: Manifest, metrics: Sequence[MetricRecord]
) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of a run's metrics, each with its run and its task's status and problems."""
    tasks = {task.task: task for task in manifest.tasks}
    run = {"run_id": manifest.run_id, "model": manifest.model, "suite": manifest.suite}
    counts = (
        "status",
        "num_docs",
        "num_docs_available",
        "subset",
        "num_errors",
        "num_truncated",
        "num_empty",
        "num_unclosed_thinking",
        "energy_j",
        "cost_usd",
    )
    rows = [
        {
            **run,
            **asdict(metric),
            **{name: getattr(tasks.get(metric.task), name, None) for name in counts},
        }
        for metric in metrics
    ]
    names = [*run, *(item.name for item in fields(MetricRecord)), *counts]
    return names, [[row[name] for name in names] for row in rows]
