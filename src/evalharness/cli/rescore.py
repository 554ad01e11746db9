"""The verb `rescore`: stored responses scored again, and which samples changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalharness.cli.options import (
    RUN_HELP,
    AsJson,
    ResultsDir,
    complete_run,
)
from evalharness.cli.output import chosen_form, show
from evalharness.cli.run import stored_config
from evalharness.errors import StoreError


def rescore(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help=RUN_HELP,
            autocompletion=complete_run,
        ),
    ],
    results_dir: ResultsDir = Path("results"),
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", help="Score only this task; repeat for several. The others keep their scores."
        ),
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, but write nothing.")
    ] = False,
    samples: Annotated[
        int, typer.Option("--samples", min=0, help="Show this many changed samples of each task.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Score a run's stored responses again, after a task's filter or metric changed.

    No engine and no weights are needed. The new scores become a run of their own, <RUN>-rescored; the old run is not
    changed. A task whose requests have changed (prompt, choices, few-shots, docs) is refused.
    """
    from evalharness.store.read import find_run

    manifest = find_run(results_dir, run)
    if manifest.status == "running":
        raise StoreError(f"run {manifest.run_id!r} hasn't ended; `evalharness resume` continues it")
    if "import" in manifest.config:
        raise StoreError(
            f"run {manifest.run_id!r} was imported: only runs made here can be scored again"
        )
    config = stored_config(results_dir / manifest.run_id)
    from evalharness.runner.progress import (
        Bars,
        captured_output,
        log_to_capture,
    )
    from evalharness.tasks.trust import ask

    ask(config)

    with (
        captured_output() as capture,
        log_to_capture(),
        Bars(capture.console) as bars,
        bars.step(f"scoring {manifest.run_id} again"),
    ):
        from evalharness.runner.rescore import rescore

        rescored = rescore(results_dir, manifest, config, tasks=task or (), is_dry=is_dry)

    from evalharness.report.terminal import rescore as forms

    found = (rescored.metrics_before, rescored.metrics_after, rescored.changes)
    new_run = rescored.manifest.run_id if rescored.run_dir else None
    ending = "nothing written"
    if rescored.run_dir:
        ending = f"new run {rescored.run_dir}; {manifest.run_id} stays as it is"
    elif is_dry and rescored.changes:
        ending = "nothing written: --dry-run"
    show(
        chosen_form(as_json=as_json),
        view=lambda width: forms.rescored_view(
            *found, num_samples=rescored.num_samples, ending=ending, most=samples, width=width
        ),
        content=lambda: forms.rescored_as_json(
            *found, num_samples=rescored.num_samples, run=manifest.run_id, new_run=new_run
        ),
    )
