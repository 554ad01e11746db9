"""The store for notebooks: pandas frames, a row per run, metric, sample or response.

    from evalharness.store import load_samples
    frame = load_samples("results", model="llama-3.1-8b", task="gsm8k")

Imports neither torch, vLLM nor lm-eval; pandas is needed (the extra `notebook`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalharness.errors import StoreError, UserError, did_you_mean
from evalharness.paths import install_command
from evalharness.store.columns import RESPONSES, RUNS, SAMPLES, Column

if TYPE_CHECKING:
    import pandas as pd


def load_runs(results_dir: str | os.PathLike[str] = "results") -> pd.DataFrame:
    """All runs, newest first; columns of view `runs` without the manifest.

    Raises:
        UserError: results_dir isn't there or can't be read, or pandas isn't installed.
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
        UserError: as of `load_runs`.
        StoreError: no such run, model, suite or task.
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
    """Samples, a row per doc x repeat x filter, `scores` and `chosen` as dicts; columns of view `samples`.

    Args:
        results_dir: folder that holds the runs.
        run: id of one run.
        model: name of a model entry, all its runs.
        suite: name of a suite.
        task: one task.
        columns: those wanted; None for all.

    Raises:
        UserError: as of `load_runs`; an unknown column.
        StoreError: no such run, model, suite or task.
    """
    wanted = columns or _all(SAMPLES)
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
        raise UserError(f"frames need pandas; `{install_command('notebook')}` installs it") from e
    from evalharness.store.duckdb_session import text
    from evalharness.store.sql import query_intact

    tests = [f"{name} = {text(value)}" for name, value in where.items() if value]
    selected = ", ".join(map(_name, columns)) if columns else "*"
    condition = f" WHERE {' AND '.join(tests)}" if tests else ""
    statement = f"SELECT {selected} FROM {view}{condition} ORDER BY {order}"
    if not Path(results_dir).is_dir():
        near = did_you_mean(Path(results_dir).name, _siblings(Path(results_dir)))
        raise StoreError(f"results_dir {str(results_dir)!r}: no such folder{near}")
    frame = query_intact(Path(results_dir), statement).df()
    if frame.empty:
        _check_names(Path(results_dir), where)
    for name in ("scores", "chosen"):
        if name in frame:
            frame[name] = [
                dict(values) if isinstance(values, dict) else {} for values in frame[name]
            ]
    return frame


def _siblings(folder: Path) -> list[str]:
    above = folder.absolute().parent
    return [path.name for path in above.iterdir() if path.is_dir()] if above.is_dir() else []


def _check_names(results_dir: Path, where: dict[str, str | None]) -> None:
    """Refuse a run, model, suite or task that no run has: an empty frame would say that it has no rows.

    Raises:
        StoreError: the first, with the nearest that there is.
    """
    from evalharness.store.read import list_runs

    runs = list_runs(results_dir)
    known = {
        "run_id": {run.run_id for run in runs},
        "model": {run.model for run in runs},
        "suite": {run.suite for run in runs},
        "task": {name for run in runs for task in run.tasks for name in (task.task, task.group)},
    }
    for field, value in where.items():
        if value and value not in known[field]:
            kind = field.removesuffix("_id")
            near = did_you_mean(value, known[field])
            raise StoreError(f"no {kind} {value!r} in {str(results_dir)!r}{near}")


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
