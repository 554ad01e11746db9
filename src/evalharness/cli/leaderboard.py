"""The verb `leaderboard`: models against tasks over the whole store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalharness.cli.options import (
    AnyPrompt,
    AsCsv,
    AsJson,
    AsMarkdown,
    ResultsDir,
    parse_date,
)
from evalharness.cli.output import chosen_form, print_lines, show
from evalharness.errors import StoreError, did_you_mean, some

if TYPE_CHECKING:
    from evalharness.comparison.leaderboard import Board
    from evalharness.store.records import Manifest


def leaderboard(
    suite: Annotated[
        list[str] | None, typer.Option("--suite", help="Show only this suite; repeat for several.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Show only models that match this glob; repeat for several."),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family", help="Show only families that match this glob; repeat for several."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            help="Show only columns that match this glob; repeat for several. The mean stays the same.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Use only runs started on this day or later."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="DATE", help="Use only runs started on this day or earlier."
        ),
    ] = None,
    released_since: Annotated[
        str | None,
        typer.Option(
            "--released-since",
            metavar="DATE",
            help="Show only models released on this day or later.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="TASK", help="Rank by this task instead of the mean."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every run, not only the best one of each model.")
    ] = False,
    any_prompt: AnyPrompt = False,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Show this many rows of each table.")
    ] = 50,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Rank models over all runs: a table per suite, scores with intervals and ranges of ranks.

    \b
    evalharness leaderboard
    evalharness leaderboard --suite leaderboard --family 'llama*' --released-since 2024-07-01
    evalharness leaderboard --suite safety --sort wmdp --md

    A model is listed with its best run of a suite: complete before partial, all docs before some of them, then the latest.
    Runs with a strategy are rows of their own. A score whose prompts, sampling, docs or scoring differ from most rows' is
    shown and marked ≠, but neither averaged nor ranked. For the ranks, missing scores count at their worst and their best.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    form = chosen_form(as_json=as_json, as_csv=as_csv, as_markdown=as_markdown)
    from evalharness.report.terminal import leaderboard as forms
    from evalharness.store.read import list_runs

    left_out: list[str] = []
    runs = list_runs(results_dir)
    if not runs:
        raise StoreError(f"no runs in {str(results_dir)!r}; `evalharness run` makes one")
    chosen = _chosen(
        _filtered(runs, suite, model, family, (parse_date("--since", since), parse_date("--until", until)), parse_date("--released-since", released_since), left_out),
        show_all, left_out,
    )  # fmt: skip
    boards = [
        _columns(board, task)
        for board in _boards(results_dir, chosen, sort, left_out, any_prompt=any_prompt)
    ]
    left_out += _half_copied(results_dir)
    show(
        form,
        view=lambda width: forms.leaderboard_view(boards, width=width, top=top, with_runs=show_all),
        content=lambda: {"boards": forms.leaderboard_as_json(boards), "left_out": left_out},
        rows=lambda: forms.leaderboard_rows(boards),
        markdown=lambda: forms.markdown(boards),
    )
    if form != "json":
        print_lines(left_out, to_stderr=True)


def _filtered(
    runs: Sequence[Manifest],
    suites: Sequence[str] | None,
    models: Sequence[str] | None,
    families: Sequence[str] | None,
    started: tuple[date | None, date | None],
    released_since: date | None,
    left_out: list[str],
) -> list[Manifest]:
    for name in suites or ():
        known = {run.suite for run in runs}
        if name not in known:
            raise StoreError(f"no run of suite {name!r}{did_you_mean(name, known)}")
    found = [run for run in runs if not suites or run.suite in suites]
    found = [run for run in found if _is_like(run.model, models)]
    found = [run for run in found if _is_like(_entry(run, "family"), families)]
    since, until = started
    found = [run for run in found if _is_within(run.started_at[:10], since, until)]
    if released_since is not None:
        undated = {run.model for run in found if not _entry(run, "release_date")}
        if undated:
            left_out.append(f"left out, no release date: {some(sorted(undated))}")
        found = [run for run in found if _is_within(_entry(run, "release_date"), released_since, None)]  # fmt: skip
    if not found:
        raise StoreError(f"none of {len(runs)} runs matches; `evalharness results` lists them")
    return found


def _chosen(runs: Sequence[Manifest], show_all: bool, left_out: list[str]) -> list[Manifest]:
    """The best run of each model, suite, version and strategy; or all of them."""
    from evalharness.store.select_runs import best_run

    ended = [run for run in runs if run.status != "running" and not run.is_fake]
    if fakes := [run.run_id for run in runs if run.is_fake]:
        left_out.append(f"left out, answered by the fake engine: {some(fakes)}")
    if unfinished := [run.run_id for run in runs if run.status == "running" and not run.is_fake]:
        left_out.append(f"left out, not ended: {some(unfinished)}")
    if show_all:
        return ended
    of_row: dict[tuple[str, ...], list[Manifest]] = {}
    for run in ended:
        key = (run.model, run.suite, run.suite_version, run.strategy)
        of_row.setdefault(key, []).append(run)
    return [best for found in of_row.values() if (best := best_run(found))]


def _boards(
    results_dir: Path,
    runs: Sequence[Manifest],
    sort: str | None,
    left_out: list[str],
    *,
    any_prompt: bool,
) -> list[Board]:
    from evalharness.comparison.leaderboard import build_boards
    from evalharness.store.read import load_main_metrics

    found = load_main_metrics(results_dir, [run.run_id for run in runs])
    if found.damaged:
        left_out.append(
            f"left out, metrics damaged: {some(found.damaged)}; `evalharness results verify` says more"
        )
    read = {*found.of_run, *found.damaged}
    empty = [run.run_id for run in runs if run.run_id not in read]
    if empty:
        left_out.append(f"left out, no metrics: {some(empty)}")
    boards = build_boards(runs, found.of_run, sort, any_prompt=any_prompt)
    known = list(dict.fromkeys(task for board in boards for task in board.tasks))
    if sort is not None and sort not in known:
        raise StoreError(f"--sort {sort!r}: no such column{did_you_mean(sort, known)}")
    if not boards:
        raise StoreError("no run to rank: " + "; ".join(left_out))
    return boards


def _columns(board: Board, patterns: Sequence[str] | None) -> Board:
    from dataclasses import replace

    if not patterns:
        return board
    return replace(board, tasks=tuple(task for task in board.tasks if _is_like(task, patterns)))


def _half_copied(results_dir: Path) -> list[str]:
    from evalharness.store.read import half_copied

    names = half_copied(results_dir)
    return [f"no runs, a manifest is missing: {some(names)}"] if names else []


def _is_like(name: str, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _entry(run: Manifest, name: str) -> str:
    """A field of the model's entry; empty when there is none."""
    return str((run.config.get("model") or {}).get(name) or "")


def _is_within(day: str, since: date | None, until: date | None) -> bool:
    try:
        found = date.fromisoformat(day)
    except ValueError:
        return since is None and until is None
    return (since is None or since <= found) and (until is None or found <= until)
