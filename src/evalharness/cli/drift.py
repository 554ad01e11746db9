"""The verb `drift`: what each step from a parent to its derivatives did to capability and to safety."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalharness.cli.options import (
    AnyPrompt,
    AsCsv,
    AsJson,
    AsMarkdown,
    ResultsDir,
    complete_run,
)
from evalharness.cli.output import chosen_form, show


def drift(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="PARENT CHILD...",
            help="Name models (their best run of each suite) or run ids, oldest first; one name stands for its whole line of parents.",
            autocompletion=complete_run,
        ),
    ],
    margin: Annotated[
        float,
        typer.Option(
            "--margin", min=0, max=1, help="Treat differences of a mean up to this as kept."
        ),
    ] = 0.01,
    any_prompt: AnyPrompt = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Show what every step of a lineage changed in capability and safety, as far as the docs resolve it.

    \b
    evalharness drift llama-3.1-8b-instruct my-finetune
    evalharness drift my-finetune
    evalharness drift base sft dpo --md

    Each model is compared with the one before it, and the last with the first. With one name, the `parent` of its entry is
    followed. A suite's `domain` says what it measures. Up and down are significant differences of a domain's mean; kept
    means that the difference is shown to lie within the margin. Each holds whatever the missing scores may be.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    form = chosen_form(as_json=as_json, as_csv=as_csv, as_markdown=as_markdown)
    from evalharness.comparison.lineages import find_lineage
    from evalharness.report.terminal import drift as forms

    found = find_lineage(results_dir, names, margin, any_prompt=any_prompt)
    show(
        form,
        view=lambda width: forms.drift_view(found, width=width),
        content=lambda: forms.lineage_as_json(found),
        rows=lambda: forms.lineage_rows(found),
        markdown=lambda: forms.markdown(found),
    )
