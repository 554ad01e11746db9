"""Options that several verbs share."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from evalharness.errors import UserError


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Names of runs with this prefix, for shell completion."""
    from evalharness.store.read import run_names

    names = ["latest", *run_names(context.params.get("results_dir") or Path("results"))]
    return [name for name in names if name.startswith(incomplete)]


def parse_date(option: str, text: str | None) -> date | None:
    """The day that an option gives, None where it isn't given.

    Raises:
        UserError: it is no date.
    """
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as e:
        raise UserError(f"{option} {text!r}: a date such as 2025-01-31") from e


RUN_HELP = "Choose the run by its id or a prefix of it, `latest`, or a model (its latest run)."
ResultsDir = Annotated[
    Path,
    typer.Option(
        "--results-dir", envvar="EVALHARNESS_RESULTS_DIR", help="Use this folder for the runs."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, with null for NaN.")
]
AsCsv = Annotated[
    bool, typer.Option("--csv", help="Print the result as CSV, with empty cells for NaN.")
]
AsMarkdown = Annotated[bool, typer.Option("--md", help="Print the result as Markdown.")]
AnyPrompt = Annotated[
    bool,
    typer.Option(
        "--any-prompt",
        help="Also compare tasks whose prompts, sampling, docs or scoring differ, and say what differs.",
    ),
]
