"""The verb `compare`: two or more runs on the same docs, with paired statistics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from evalharness.errors import StoreError, UserError, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalharness.comparison.compare import Comparison
    from evalharness.store.pairs import DocChange
    from evalharness.store.records import Manifest

Margin = Annotated[
    float,
    typer.Option(
        "--margin", min=0, max=1, help="Treat differences up to this as none (0.01 is one point)."
    ),
]


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B [C ...]",
            help="Compare these runs (ids or prefixes) or models (their best run of each suite both have) with the first, A.",
            autocompletion=complete_run,
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite", help="Compare only runs of this suite; without names, of all models."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="Compare only this task or group; repeat for several."),
    ] = None,
    margin: Margin = 0.01,
    show_all: Annotated[bool, typer.Option("--all", help="Show the tasks of every group.")] = False,
    flips: Annotated[
        bool,
        typer.Option(
            "--flips", help="Show the docs whose score changed, with both answers side by side."
        ),
    ] = False,
    samples: Annotated[
        int,
        typer.Option("--samples", min=1, help="Show this many docs of each task, with --flips."),
    ] = 5,
    any_prompt: AnyPrompt = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Compare runs with the first one: paired differences, tests, power, and a verdict in words.

    \b
    evalharness compare llama-3.1-8b-instruct my-finetune
    evalharness compare BASE_RUN OTHER_RUN --flips --task gsm8k
    evalharness compare --suite quick --md

    Samples are paired by doc. A task whose prompts, sampling, docs or scoring differ is left out, and listed with the reason.
    Where scores are missing, a verdict is given only if it holds for every value that they could have.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    form = chosen_form(as_json=as_json, as_csv=as_csv, as_markdown=as_markdown)
    from evalharness.comparison.compare import compare_runs
    from evalharness.report.terminal import compare as forms

    comparisons = [
        compare_runs(results_dir, a, b, tasks=task or (), margin=margin, any_prompt=any_prompt)
        for a, b in _chosen(results_dir, names or [], suite)
    ]
    _check_tasks(comparisons, task or [])
    changes = [_changes(results_dir, found, samples) if flips else [] for found in comparisons]
    show(
        form,
        view=lambda width: forms.comparisons_view(
            comparisons, changes, show_all=show_all, width=width
        ),
        content=lambda: forms.comparisons_as_json(comparisons, changes),
        rows=lambda: forms.comparison_rows(comparisons, show_all=show_all),
        markdown=lambda: forms.markdown(comparisons, show_all=show_all),
    )
    if not any(found.tasks for found in comparisons):
        raise StoreError(forms.NOTHING_IN_COMMON)


def _chosen(
    results_dir: Path, names: list[str], suite: str | None
) -> list[tuple[Manifest, Manifest]]:
    """The pairs of runs to compare, the baseline first in each."""
    from evalharness.store.read import list_runs
    from evalharness.store.select_runs import (
        best_run,
        runs_of,
    )

    if len(names) == 1:
        raise UserError(
            f"compare: {names[0]!r} with what? `evalharness compare {names[0]} OTHER`, or --suite for all models"
        )
    if names:
        return _by_name(results_dir, names, suite)
    if suite is None:
        raise UserError("compare: two runs or models, or --suite; `evalharness results` lists them")
    runs = list_runs(results_dir)
    models = dict.fromkeys(run.model for run in reversed(runs) if run.suite == suite)
    found = [run for model in models if (run := best_run(runs_of(runs, model, suite)))]
    if fakes := [run.run_id for run in runs if run.suite == suite and run.is_fake]:
        typer.echo(f"left out, answered by the fake engine: {', '.join(fakes)}", err=True)
    if len(found) < 2:
        known = {run.suite for run in runs}
        raise StoreError(
            f"suite {suite!r} was run for {len(found)} models{did_you_mean(suite, known - {suite})}; compare needs two"
        )
    return [(found[0], run) for run in found[1:]]


def _by_name(
    results_dir: Path, names: Sequence[str], suite: str | None
) -> list[tuple[Manifest, Manifest]]:
    """A pair for every suite that both models have; suites that only one has are reported."""
    from evalharness.store.match_runs import (
        find_side,
        match,
        nothing_in_common,
    )
    from evalharness.store.read import list_runs

    runs = list_runs(results_dir)
    first, *others = (find_side(results_dir, runs, name, suite) for name in names)
    pairs = []
    for other in others:
        matched = match(first, other)
        if not matched.pairs:
            raise nothing_in_common(first, other)
        pairs += matched.pairs
        for side, alone in ((first, matched.only_a), (other, matched.only_b)):
            for run in alone:
                line = f"left out: suite {run.suite!r}: only {side.name!r} has a run of it"
                typer.echo(one_line(line), err=True)
    return pairs


def _check_tasks(comparisons: list[Comparison], wanted: list[str]) -> None:
    for found in comparisons:
        known = {t.task for t in found.a.tasks} | {t.group for t in found.a.tasks}
        for name in wanted:
            if name not in known:
                raise StoreError(
                    f"run {found.a.run_id!r} has no task {name!r}{did_you_mean(name, known)}"
                )


def _changes(results_dir: Path, found: Comparison, most: int) -> list[DocChange]:
    from evalharness.store.pairs import Scored, load_changes

    single = [row for row in (*found.tasks, *found.members) if row.num_members == 1]
    dirs = results_dir / found.a.run_id, results_dir / found.b.run_id
    return [
        change
        for row in single
        if row.result.test != "z"
        for change in load_changes(*dirs, row.task, Scored(row.metric, row.filter), most)
    ]
