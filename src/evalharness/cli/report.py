"""The verb `report`: the store and the scores as one HTML file."""

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
        typer.Option(
            "--out",
            help="Write the page (index.html) and its numbers (report.json) into this folder.",
        ),
    ],
    title: Annotated[
        str, typer.Option("--title", help="Give the page this title.")
    ] = "Open-weight capability report",
    draws: Annotated[
        int, typer.Option("--draws", min=10, help="Use this many bootstrap draws for the trend.")
    ] = 200,
    results_dir: ResultsDir = Path("results"),
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the numbers (report.json) as JSON, with null for NaN."),
    ] = False,
) -> None:
    """Write the trend and all results as one HTML page, which opens offline and can be mailed.

    \b
    evalharness report --out report
    evalharness report --out report --title "Week 14"

    It shows frontier, velocity, scale, lineages, safety and adoption. The next report into the same folder also lists what
    has changed since.
    Needs plotly and jinja2: pip install 'evalharness[report]'.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    # The fits are many small products, which threads of BLAS only slow down.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from evalharness.report.page.write import write_report

    made = write_report(results_dir, out, title, draws)
    if as_json:
        return print_json(made.numbers)
    changed = (
        "the first here" if made.changed is None else f"changes since the last: {len(made.changed)}"
    )
    num_runs = len(made.numbers["runs"])
    return typer.echo(
        f"{made.html}: {made.size_bytes / _MIB:.1f} MiB, {num_runs} run{'s' if num_runs != 1 else ''}, {changed}"
    )
