"""The verb `scores models`: which names are taken as one model, by which rule, and where that is doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalharness.cli.options import AsCsv, AsJson, ResultsDir
from evalharness.cli.output import chosen_form, print_lines, show_rows

if TYPE_CHECKING:
    from evalharness.trend.scores.identity import Group


def models(
    merged: Annotated[
        bool, typer.Option("--merged", help="Show only models with several names.")
    ] = False,
    ambiguous: Annotated[
        bool,
        typer.Option(
            "--ambiguous", help="Show only names that may be another model, with the doubt."
        ),
    ] = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show which names are one model.

    A table that ships with the package says it for the models of the index; rules take off what names add: provider/,
    effort, quantization, -hf, date. A name that could be two models stays apart and is listed by --ambiguous. To join your
    own model to a reported one, write `reported_as` in its entry, or in a column of the file that you import.

    \b
    evalharness scores models --merged
    evalharness scores models --ambiguous --csv
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.trend.scores.identity import groups
    from evalharness.trend.scores.measured import measured_scores
    from evalharness.trend.scores.storage import load_scores

    form = chosen_form(as_json=as_json, as_csv=as_csv)
    found = groups([*load_scores(results_dir), *measured_scores(results_dir)])
    shown = [g for g in found if not merged or len(g.spellings) > 1]
    shown = [g for g in shown if not ambiguous or g.doubts]
    if form != "table":
        return show_rows(form, _NAMES, [_fields(group) for group in shown])
    show_rows(
        "table",
        ["model", "scores", "names (what was taken off)", "settings", "doubt"],
        [
            [g.model, g.num_scores, _names(g), ", ".join(g.settings), "; ".join(g.doubts)]
            for g in shown
        ],
    )
    num_names = sum(len(group.spellings) for group in found)
    return print_lines(
        [
            f"{num_names} names are {len(found)} models; {sum(len(g.spellings) > 1 for g in found)} have several names, "
            f"{sum(bool(g.doubts) for g in found)} are doubtful"
        ]
    )


_NAMES = ["model", "num_scores", "name", "rules", "settings", "doubts", "source"]


def _fields(group: Group) -> list[Any]:
    return [
        group.model,
        group.num_scores,
        list(group.spellings),
        ["+".join(rules) or "table" for rules in group.spellings.values()],
        list(group.settings),
        list(group.doubts),
        _source(group.model),
    ]


def _source(model: str) -> str:
    from evalharness.trend.scores.identity import known_models

    known = known_models().get(model)
    return f"models.csv ({known.date_source})" if known else "its name"


def _names(group: Group) -> str:
    """Names with the rules that led to the model, those of the table without."""
    return ", ".join(_name(name, rules) for name, rules in group.spellings.items())


def _name(name: str, rules: Sequence[str]) -> str:
    return f"{name} ({', '.join(rules)})" if rules else name
