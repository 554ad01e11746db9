"""The verb `drift`: what each step from a parent to its derivatives did to capability and to safety."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evalharness.cli.results import (
    AsCsv,
    AsJson,
    ResultsDir,
    complete_run,
)
from evalharness.errors import UserError


def drift(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="PARENT CHILD...",
            help="Models (their best run of every suite) or run ids, oldest first. One alone: its line of parents.",
            autocompletion=complete_run,
        ),
    ],
    margin: Annotated[
        float,
        typer.Option(
            "--margin", min=0, max=1, help="Largest difference of a mean that counts as kept."
        ),
    ] = 0.01,
    any_prompt: Annotated[
        bool,
        typer.Option(
            "--any-prompt",
            help="Also compare tasks whose prompts, sampling, docs or scoring differ; says what differs.",
        ),
    ] = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: Annotated[bool, typer.Option("--md", help="Markdown on stdout.")] = False,
) -> None:
    """Show what every step of a lineage did to capability and to safety, as far as the docs resolve it.

    \b
    evalharness drift llama-3.1-8b-instruct my-finetune
    evalharness drift my-finetune
    evalharness drift base sft dpo --md

    Each model is compared with the one before it, and the last with the first. With one name the `parent` of its entry
    is followed. A suite's `domain` says what it measures. Up and down are significant differences of a domain's mean;
    kept means shown to lie within the margin; each whatever the scores are that are missing.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    if as_json + as_csv + as_markdown > 1:
        raise UserError("one of --json, --csv and --md")
    from evalharness.comparison.lineages import find_lineage

    found = find_lineage(results_dir, names, margin, any_prompt=any_prompt)
    if as_json:
        from evalharness.report.terminal.drift import lineage_as_json

        typer.echo(json.dumps(lineage_as_json(found), ensure_ascii=False, indent=2))
    elif as_csv:
        from evalharness.report.export import as_csv as csv_text
        from evalharness.report.terminal.drift import lineage_rows

        typer.echo(csv_text(*lineage_rows(found)), nl=False)
    elif as_markdown:
        from evalharness.report.terminal.drift import markdown

        typer.echo(markdown(found), nl=False)
    else:
        from evalharness.report.terminal.console import console
        from evalharness.report.terminal.drift import drift_view

        out = console()
        out.print(drift_view(found, width=out.width))
