"""A run as a table for a model card: Markdown for people, CSV for programs. Every score with its interval and n."""

import re

from evalharness.interchange.run_data import (
    OWN,
    Row,
    Stored,
)
from evalharness.report import markdown
from evalharness.report.export import as_csv
from evalharness.report.terminal.format import (
    number,
    plain,
)
from evalharness.store.subset_words import (
    NOT_COMPARABLE,
    subset_kind,
)

_CSV_COLUMNS = (
    "model", "task", "metric", "filter", "value", "ci_low", "ci_high", "n", "num_docs_available", "num_fewshot",
    "task_version", "subset", "is_partial", "higher_is_better", "harness", "run_id", "started_at",
)  # fmt: skip
_ACTIVE = re.compile(r"([\\`*<>\[\]|])")
"""Characters that are markup within a cell of a Markdown table."""


def card_csv(run: Stored) -> str:
    """A row per task or group: its main metric, unrounded."""
    manifest = run.manifest
    return as_csv(
        _CSV_COLUMNS,
        [
            (
                manifest.model, row.metric.task, row.metric.metric, row.metric.filter, row.metric.value,
                row.metric.ci_low, row.metric.ci_high, row.metric.n, row.num_docs_available, row.num_fewshot,
                row.version, row.subset, row.is_partial, row.metric.higher_is_better, _harness(run),
                manifest.run_id, manifest.started_at,
            )
            for row in run.rows()
        ],
    )  # fmt: skip


def card_markdown(run: Stored) -> str:
    """The same rows rounded, with remarks below."""
    rows = run.rows()
    heads = ["task", "metric", "score [95 % CI]", "n", "shots", "version"]
    lines = markdown.table(heads, map(_cells, rows), right=("score [95 % CI]", "n", "shots"))
    lines += ["", *_marks(run, rows), _made_by(run)]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    metric = row.metric
    name = metric.metric if metric.filter == "none" else f"{metric.metric} ({metric.filter})"
    marks = "\\*" * bool(row.subset) + "†" * row.is_partial
    num_tasks = f" ({len(row.tasks)} tasks)" if row.tasks[0].task != metric.task else ""
    n = f"{metric.n}/{row.num_docs_available}" if row.subset else str(metric.n)
    return [
        _text(metric.task) + num_tasks + marks,
        _text(name) + ("" if metric.higher_is_better else " ↓"),
        f"{number(metric.value)} [{number(metric.ci_low)}, {number(metric.ci_high)}]",
        n,
        "" if row.num_fewshot is None else str(row.num_fewshot),
        _text(row.version or ""),
    ]


def _marks(run: Stored, rows: list[Row]) -> list[str]:
    marks = []
    if kind := subset_kind(task for row in rows for task in row.tasks):
        marks.append(f"\\* {kind} only: {NOT_COMPARABLE}.")
    if any(row.is_partial for row in rows):
        marks.append("† partial: samples are missing.")
    if missing := run.without_score():
        marks.append(f"Without a score: {', '.join(_text(name) for name in missing)}.")
    if run.composite:
        texts = (str(run.composite.get(key) or "") for key in ("name", "definition", "note"))
        marks.append(". ".join(_text(text).rstrip(".") for text in texts if text) + ".")
    return [line for mark in marks for line in (mark, "")]


def _made_by(run: Stored) -> str:
    manifest = run.manifest
    engine = " ".join(str(manifest.engine.get(key) or "") for key in ("kind", "version", "dtype"))
    fingerprint = manifest.checkpoint.get("fingerprint")
    is_verified = fingerprint and manifest.checkpoint.get("weights_fingerprint") != "unverified"
    parts = [
        _text(manifest.model),
        _text(_harness(run)) + (f", imported by {OWN}" if run.is_imported else ""),
        "" if run.is_imported else f"engine {_text(engine.strip())}",
        f"weights {str(fingerprint)[:12]}" if is_verified else "weights unverified",
        f"run {_text(manifest.run_id)}",
    ]
    return "; ".join(filter(None, parts)) + "."


def _harness(run: Stored) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.harness.items())


def _text(text: str) -> str:
    return _ACTIVE.sub(r"\\\1", plain(text).plain).replace("\\<", "&lt;").replace("\\>", "&gt;")
