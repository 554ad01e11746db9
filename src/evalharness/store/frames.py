"""The store for notebooks: pandas frames, a row per run, metric, sample or response.

    from evalharness.store import load_samples
    frame = load_samples("results", model="llama-3.1-8b", task="gsm8k")

Imports neither torch, vLLM nor lm-eval; pandas is needed (`pip install evalharness[notebook]`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalharness.errors import UserError
from evalharness.store.columns import RESPONSES, RUNS, SAMPLES, Column

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("prompt", "response", "thinking")


def load_runs(results_dir: str | os.PathLike[str] = "results") -> pd.DataFrame:
    """All runs, newest first; columns of view `runs` without the manifest.

    Raises:
        UserError: results_dir can't be read, or pandas isn't installed.
    """
    names = [column.name for column in RUNS if column.name != "manifest"]
    return _frame(results_dir, "runs", names, {}, "started_at DESC, run_id DESC")


def load_metrics(
    results_dir: str | os.PathLike[str] = "results",
    *,
    run: str | None = None,
    model: str | None = None,
    suite: str | None = None,
    task: str | None = None,
) -> pd.DataFrame:
    """Metrics with their intervals; columns of view `metrics`.

    Args:
        results_dir: folder that holds the runs.
        run: id of one run.
        model: name of a model entry, all its runs.
        suite: name of a suite.
        task: task or group.

    Raises:
        UserError: as for `load_runs`.
    """
    where = {"run_id": run, "model": model, "suite": suite, "task": task}
    return _frame(results_dir, "metrics", None, where, "run_id, task, metric, filter")


def load_samples(
    results_dir: str | os.PathLike[str] = "results",
    *,
    run: str | None = None,
    model: str | None = None,
    suite: str | None = None,
    task: str | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Samples, a row per doc x repeat x filter, `scores` as a dict; columns of view `samples`.

    Args:
        results_dir: folder that holds the runs.
        run: id of one run.
        model: name of a model entry, all its runs.
        suite: name of a suite.
        task: one task.
        columns: columns to load; None for all but the long texts, which `load_responses` returns.

    Raises:
        UserError: as for `load_runs`; an unknown column.
    """
    wanted = columns or [column.name for column in SAMPLES if column.name not in _TEXTS]
    where = {"run_id": run, "model": model, "suite": suite, "task": task}
    return _frame(results_dir, "samples", wanted, where, _ORDER)


def load_responses(
    results_dir: str | os.PathLike[str] = "results",
    *,
    run: str | None = None,
    model: str | None = None,
    suite: str | None = None,
    task: str | None = None,
) -> pd.DataFrame:
    """The models' prompts and responses, a row per doc x repeat; columns of view `responses`.

    Args and Raises: as for `load_samples`.
    """
    where = {"run_id": run, "model": model, "suite": suite, "task": task}
    return _frame(results_dir, "responses", _all(RESPONSES), where, _ORDER)


_ORDER = "run_id, task, doc_id, repeat"


def _all(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]


def _frame(
    results_dir: str | os.PathLike[str],
    view: str,
    columns: Sequence[str] | None,
    where: dict[str, str | None],
    order: str,
) -> pd.DataFrame:
    try:
        import pandas  # noqa: F401 (DuckDB wants it)
    except ModuleNotFoundError as e:
        raise UserError("frames need pandas: `pip install evalharness[notebook]`") from e
    from evalharness.store.sql import query_intact

    tests = [f"{name} = {_text(value)}" for name, value in where.items() if value]
    selected = ", ".join(map(_name, columns)) if columns else "*"
    condition = f" WHERE {' AND '.join(tests)}" if tests else ""
    statement = f"SELECT {selected} FROM {view}{condition} ORDER BY {order}"
    frame = query_intact(Path(results_dir), statement).df()
    if "scores" in frame:
        frame["scores"] = [dict(scores) for scores in frame["scores"]]
    return frame


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
