"""The verb `report`: all that the store and the scores say, as one HTML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from evalharness.cli.options import ResultsDir
from evalharness.cli.output import print_json

_MIB = 2**20


def report(
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder of the page, index.html, and its numbers, report.json."),
    ],
    title: Annotated[
        str, typer.Option("--title", help="Of the page.")
    ] = "Open-weight capability report",
    draws: Annotated[
        int, typer.Option("--draws", min=10, help="Bootstrap draws of the trend.")
    ] = 200,
    results_dir: ResultsDir = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="The numbers (of report.json) on stdout; NaN is null.")
    ] = False,
) -> None:
    """Write one HTML file that opens offline and can be mailed: frontier, velocity, scale, lineages, safety, adoption.

    \b
    evalharness report --out report
    evalharness report --out report --title "Week 14"

    The next report into the same folder says what changed since.
    Needs plotly and jinja2: pip install 'evalharness[report]'.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    # The fits are many small products: threads of BLAS only get into each other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from evalharness.report.page.write import write_report

    made = write_report(results_dir, out, title, draws)
    if as_json:
        return print_json(made.numbers)
    changed = (
        "the first here" if made.changed is None else f"changes since the last: {len(made.changed)}"
    )
    num_runs = len(made.numbers["runs"])
    return typer.echo(f"{made.html}: {made.size_bytes / _MIB:.1f} MiB, {num_runs} runs, {changed}")
