"""The verbs `results` and `sql`: what the store holds, as tables, JSON or CSV."""

from pathlib import Path
from typing import Annotated, Any

import typer

from evalharness.cli.options import (
    RUN_HELP,
    AsCsv,
    AsJson,
    ResultsDir,
    complete_run,
)
from evalharness.cli.output import Form, chosen_form, print_view, show, show_rows
from evalharness.errors import StoreError, UserError, did_you_mean
from evalharness.store.records import Manifest

_MOST_RUNS = 50
"""Runs shown as a table without --all."""
_MOST_ROWS = 200
"""Most rows of a query that are shown as a table."""


def _complete_run_or_verb(context: typer.Context, incomplete: str) -> list[str]:
    names = complete_run(context, incomplete)
    return [*names, *(verb for verb in VERBS if verb.startswith(incomplete))]


VERBS = ("verify", "prune")
"""The subcommands that `results` takes instead of a run (`maintain.py`)."""


def results(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help=f"{RUN_HELP} Without it, all runs are listed.",
            autocompletion=_complete_run_or_verb,
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    show_all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Show all runs; of one run every metric and filter, and the tasks of every group.",
        ),
    ] = False,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve", help="Show the gain from the run's strategy: its curves, with intervals."
        ),
    ] = False,
    task: Annotated[
        str | None, typer.Option("--task", help="Show this task, with --samples or --curve.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Show this many samples of a task, from the first."),
    ] = None,
) -> None:
    """List runs, or show one: every score with its n and 95 % interval.

    Examples: `evalharness results`, `evalharness results latest --all`,
    `evalharness results latest --task gsm8k --samples 3`, `evalharness results latest --curve`.
    """
    form = chosen_form(as_json=as_json, as_csv=as_csv)
    if task is not None and samples is None and not curve:
        samples = 1
    if run is None:
        if samples is not None or curve:
            raise UserError(
                "--task, --samples and --curve need a run: `evalharness results latest --samples 3`"
            )
        return _list(results_dir, form, show_all)
    from evalharness.store.read import as_seen, find_run

    manifest = as_seen(results_dir, find_run(results_dir, run))
    if curve:
        return _curve(results_dir / manifest.run_id, manifest, task, form)
    if samples is not None:
        return _samples(results_dir / manifest.run_id, manifest, task, samples, form)
    return _show(results_dir / manifest.run_id, manifest, form, show_all)


def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERY",
            help="Run this SELECT over the views runs, metrics, samples, turns and curves.",
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    columns: Annotated[
        bool, typer.Option("--columns", help="Show the columns of the views and exit.")
    ] = False,
) -> None:
    """Query the results with SQL (DuckDB); nothing is written.

    Example: `evalharness sql "SELECT model, task, value, ci_low, ci_high, n FROM metrics WHERE is_main"`
    """
    form = chosen_form(as_json=as_json, as_csv=as_csv)
    if columns:
        names, rows = _columns()
        return show_rows(form, names, rows)
    if query is None:
        raise UserError('sql: a query is missing; `evalharness sql "FROM runs"`, or --columns')
    from evalharness.store import sql as store

    cursor = store.query_intact(results_dir, query)
    names = [item[0] for item in cursor.description or []]
    if form != "table":
        return show_rows(form, names, cursor.fetchall())
    rows = cursor.fetchmany(_MOST_ROWS + 1)
    show_rows(form, names, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        typer.echo(f"first {_MOST_ROWS} rows; --csv and --json give all", err=True)
    fake = "SELECT count(*) FROM runs WHERE engine IN ('fake', 'dummy')"
    (num_fake,) = store.query_intact(results_dir, fake).fetchone() or (0,)
    if num_fake and "fake" not in query:
        typer.echo(
            f"{num_fake} of the runs are of the fake engine, which makes answers up (`runs.engine`)",
            err=True,
        )


def _list(results_dir: Path, form: Form, show_all: bool) -> None:
    from evalharness.report.terminal.run_list import list_rows, listed_runs, runs_table
    from evalharness.store.read import as_seen, list_runs

    runs = [as_seen(results_dir, run) for run in list_runs(results_dir)]
    if not runs and form == "table":
        typer.echo(
            f"No runs in {results_dir} yet; `evalharness run model=smollm2-135m suite=quick` makes one."
        )
        return None
    if form != "table":
        return show_rows(form, *list_rows(listed_runs(results_dir, runs)))
    listed = listed_runs(results_dir, runs if show_all else runs[:_MOST_RUNS])
    print_view(lambda width: runs_table(listed, width=width))
    if len(listed) < len(runs):
        typer.echo(f"the latest {len(listed)} of {len(runs)} runs; --all shows all", err=True)
    return None


def _show(run_dir: Path, manifest: Manifest, form: Form, show_all: bool) -> None:
    from evalharness.report import export
    from evalharness.report.terminal.run import run_table
    from evalharness.store.read import load_metrics

    metrics = load_metrics(run_dir)
    show(
        form,
        view=lambda width: run_table(
            manifest, metrics, run_dir=str(run_dir), width=width, show_all=show_all
        ),
        content=lambda: export.run_as_json(manifest, metrics),
        rows=lambda: export.metric_rows(manifest, metrics),
    )


def _curve(run_dir: Path, manifest: Manifest, task: str | None, form: Form) -> None:
    from dataclasses import asdict

    from evalharness.report.terminal.ascii_curves import curves_view, why_no_curve
    from evalharness.store.read import load_curves, load_metrics

    points = load_curves(run_dir)
    known = list(dict.fromkeys(point.task for point in points))
    if not points:
        raise UserError(why_no_curve(manifest))
    if task is not None and task not in known:
        raise StoreError(
            f"run {manifest.run_id!r} has no curve of task {task!r}{did_you_mean(task, known)}"
        )
    points = [point for point in points if task in (None, point.task)]
    if form != "table":
        rows = [asdict(point) for point in points]
        return show_rows(form, list(rows[0]), [list(row.values()) for row in rows])
    metrics = load_metrics(run_dir)
    return print_view(lambda width: curves_view(points, metrics, width=width))


def _samples(run_dir: Path, manifest: Manifest, task: str | None, num: int, form: Form) -> None:
    from dataclasses import asdict
    from itertools import chain, groupby, islice

    from evalharness.report.terminal import run_list
    from evalharness.store.read import iter_samples
    from evalharness.store.turns import load_turns

    known = [item.task for item in manifest.tasks]
    if task is None and len(known) == 1:
        task = known[0]
    if task is None:
        raise UserError(f"--samples: say which with --task: {', '.join(known)}")
    if known and task not in known:
        raise StoreError(f"run {manifest.run_id!r} has no task {task!r}{did_you_mean(task, known)}")
    samples = groupby(iter_samples(run_dir, task), lambda row: (row.doc_id, row.repeat))
    found = list(chain.from_iterable(list(group) for _, group in islice(samples, num)))
    if form == "table":  # under the filter whose score the run's table shows
        found = [sample for sample in found if sample.is_main] or found
    rows = [asdict(sample) for sample in found]
    if form != "table":
        for row, sample in zip(rows, found, strict=True):
            row["choices"] = [choice._asdict() for choice in sample.choices]
        names = list(rows[0]) if rows else []
        return show_rows(form, names, [list(row.values()) for row in rows])
    turns = [load_turns(run_dir, task, sample.doc_id, sample.repeat) for sample in found]
    return print_view(lambda _: run_list.samples_view(rows, turns))


def _columns() -> tuple[list[str], list[list[Any]]]:
    from evalharness.store.columns import TABLES

    rows = [[view, *column] for view, columns in TABLES.items() for column in columns]
    return ["view", "column", "type", "holds"], rows
