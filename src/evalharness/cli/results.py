"""The verbs `results` and `sql`: what the store holds, as tables, JSON or CSV."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalharness.errors import StoreError, UserError, did_you_mean
from evalharness.store.records import Manifest

if TYPE_CHECKING:
    from rich.console import Console

_MOST_ROWS = 200
"""Rows of a query shown as a table."""


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Names of runs that begin so, for shell completion."""
    from evalharness.store.read import run_names

    names = ["latest", *run_names(context.params.get("results_dir") or Path("results"))]
    return [name for name in names if name.startswith(incomplete)]


def _complete_run_or_verb(context: typer.Context, incomplete: str) -> list[str]:
    names = complete_run(context, incomplete)
    return [*names, *(verb for verb in VERBS if verb.startswith(incomplete))]


VERBS = ("verify", "prune")
"""What `results` takes besides a run (`maintain.py`)."""

ResultsDir = Annotated[
    Path,
    typer.Option(
        "--results-dir", envvar="EVALHARNESS_RESULTS_DIR", help="Folder that holds the runs."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout; NaN is null.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="CSV on stdout; NaN is empty.")]


def results(
    run: Annotated[
        str | None,
        typer.Argument(
            help="Run id or how it begins, `latest`, or a model (its latest run). Without it: all runs.",
            autocompletion=_complete_run_or_verb,
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="Every metric and filter, and the tasks of every group.")
    ] = False,
    curve: Annotated[
        bool,
        typer.Option("--curve", help="What the run's strategy bought: its curves, with intervals."),
    ] = False,
    task: Annotated[
        str | None, typer.Option("--task", help="With --samples or --curve: the task to show.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Show the first N samples of a task.")
    ] = None,
) -> None:
    """List runs, or show one: every score with its n and 95 % interval.

    Examples: `evalharness results`, `evalharness results latest --all`,
    `evalharness results latest --task gsm8k --samples 3`, `evalharness results latest --curve`.
    """
    _refuse_both(as_json, as_csv)
    if task is not None and samples is None and not curve:
        samples = 1
    if run is None:
        if samples is not None or curve:
            raise UserError(
                "--task, --samples and --curve need a run: `evalharness results latest --samples 3`"
            )
        return _list(results_dir, as_json, as_csv)
    from evalharness.store.read import as_seen, find_run

    manifest = as_seen(results_dir, find_run(results_dir, run))
    if curve:
        return _curve(results_dir / manifest.run_id, manifest, task, as_json, as_csv)
    if samples is not None:
        return _samples(results_dir / manifest.run_id, manifest, task, samples, as_json, as_csv)
    return _show(results_dir / manifest.run_id, manifest, as_json, as_csv, show_all)


def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="One SELECT over the views runs, metrics, samples, turns and curves."),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    columns: Annotated[
        bool, typer.Option("--columns", help="Show the views' columns and stop.")
    ] = False,
) -> None:
    """Query the results with SQL (DuckDB); nothing is ever written.

    Example: `evalharness sql "SELECT model, task, value, ci_low, ci_high, n FROM metrics WHERE is_main"`
    """
    _refuse_both(as_json, as_csv)
    if columns:
        names, rows = _columns()
        return _print_rows(names, rows, as_json, as_csv)
    if query is None:
        raise UserError('sql: a query is missing; `evalharness sql "FROM runs"`, or --columns')
    from evalharness.store import sql as store

    cursor = store.query_intact(results_dir, query)
    names = [item[0] for item in cursor.description or []]
    if as_json or as_csv:
        return _print_rows(names, cursor.fetchall(), as_json, as_csv)
    rows = cursor.fetchmany(_MOST_ROWS + 1)
    _print_rows(names, rows[:_MOST_ROWS], as_json, as_csv)
    if len(rows) > _MOST_ROWS:
        typer.echo(f"first {_MOST_ROWS} rows; --csv and --json give all", err=True)


def _list(results_dir: Path, as_json: bool, as_csv: bool) -> None:
    from evalharness.store.columns import RUNS, run_row
    from evalharness.store.read import as_seen, list_runs

    runs = [as_seen(results_dir, run) for run in list_runs(results_dir)]
    if as_json or as_csv:
        names = [column.name for column in RUNS if column.name != "manifest"]
        rows = [[row[name] for name in names] for row in map(run_row, runs)]
        return _print_rows(names, rows, as_json, as_csv)
    if not runs:
        typer.echo(
            f"No runs in {results_dir} yet; `evalharness run model=smollm2-135m suite=quick` makes one."
        )
        return None
    from evalharness.report.terminal import run_list

    console = _console()
    console.print(run_list.runs_table(runs, width=console.width))
    return None


def _show(run_dir: Path, manifest: Manifest, as_json: bool, as_csv: bool, show_all: bool) -> None:
    from evalharness.report import export
    from evalharness.report.terminal.run import run_table
    from evalharness.store.read import load_metrics

    metrics = load_metrics(run_dir)
    if as_json:
        return _print_json(export.run_as_json(manifest, metrics))
    if as_csv:
        names, rows = export.metric_rows(manifest, metrics)
        return _print_rows(names, rows, as_json, as_csv)
    console = _console()
    console.print(
        run_table(manifest, metrics, run_dir=str(run_dir), width=console.width, show_all=show_all)
    )
    return None


def _curve(
    run_dir: Path, manifest: Manifest, task: str | None, as_json: bool, as_csv: bool
) -> None:
    from dataclasses import asdict

    from evalharness.store.read import load_curves, load_metrics

    points = load_curves(run_dir)
    known = list(dict.fromkeys(point.task for point in points))
    if not points and manifest.strategy != "single":
        raise UserError(
            f"run {manifest.run_id!r} has no curve yet: no sample of strategy={manifest.strategy} is finished; "
            f"`evalharness resume {manifest.run_id}` continues it"
        )
    if not points:
        raise UserError(
            f"run {manifest.run_id!r} has no curve: it ran with strategy={manifest.strategy}; "
            "`evalharness run ... strategy=repeats` (or self_correct, verify, budget) draws one"
        )
    if task is not None and task not in known:
        raise StoreError(
            f"run {manifest.run_id!r} has no curve of task {task!r}{did_you_mean(task, known)}"
        )
    points = [point for point in points if task in (None, point.task)]
    if as_json or as_csv:
        rows = [asdict(point) for point in points]
        return _print_rows(list(rows[0]), [list(row.values()) for row in rows], as_json, as_csv)
    from evalharness.report.terminal.ascii_curves import curves_view

    console = _console()
    console.print(curves_view(points, load_metrics(run_dir), width=console.width))
    return None


def _samples(
    run_dir: Path, manifest: Manifest, task: str | None, num: int, as_json: bool, as_csv: bool
) -> None:
    from dataclasses import asdict
    from itertools import islice

    from evalharness.report.terminal import run_list
    from evalharness.store.read import iter_samples

    known = [item.task for item in manifest.tasks]
    if task is None and len(known) == 1:
        task = known[0]
    if task is None:
        raise UserError(f"--samples: say which with --task: {', '.join(known)}")
    if known and task not in known:
        raise StoreError(f"run {manifest.run_id!r} has no task {task!r}{did_you_mean(task, known)}")
    rows = [asdict(sample) for sample in islice(iter_samples(run_dir, task), num)]
    if as_json or as_csv:
        names = list(rows[0]) if rows else []
        return _print_rows(names, [list(row.values()) for row in rows], as_json, as_csv)
    return _console().print(run_list.samples_view(rows))


def _columns() -> tuple[list[str], list[list[Any]]]:
    from evalharness.store.columns import TABLES

    rows = [[view, *column] for view, columns in TABLES.items() for column in columns]
    return ["view", "column", "type", "holds"], rows


def _print_rows(names: list[str], rows: list[Any], as_json: bool, as_csv: bool) -> None:
    from evalharness.report import export
    from evalharness.report.terminal import run_list

    if as_json:
        return _print_json([dict(zip(names, row, strict=True)) for row in rows])
    if as_csv:
        return typer.echo(export.as_csv(names, rows), nl=False)
    console = _console()
    return console.print(run_list.rows_table(names, rows, width=console.width))


def _print_json(value: Any) -> None:
    from evalharness.report.export import as_json

    typer.echo(json.dumps(as_json(value), ensure_ascii=False, indent=2))


def _console() -> "Console":
    from evalharness.report.terminal.console import console

    return console()


def _refuse_both(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise UserError("--json or --csv, not both")
