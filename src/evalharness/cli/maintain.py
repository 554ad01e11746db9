"""The group `results`: its own command (`results.py`), and the verbs that maintain the folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from evalharness.cli import results
from evalharness.cli.options import (
    AsJson,
    ResultsDir,
    complete_run,
    parse_date,
)
from evalharness.cli.output import print_json, print_view
from evalharness.errors import UserError, WriteError

if TYPE_CHECKING:
    from evalharness.store.prune import Candidate

EXIT_DAMAGED = 1
_DEFAULT = "show"
_HELP_OPTIONS = ("-h", "--help")


class DefaultGroup(TyperGroup):
    """A group that is also a command: arguments without a subcommand go to the default one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Send arguments without a subcommand to the default one."""
        if not args or (args[0] not in self.commands and args[0] not in _HELP_OPTIONS):
            args = [_DEFAULT, *args]
        return list(super().parse_args(ctx, args))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The default command's help, and the subcommands below it."""
        default = self.commands[_DEFAULT]
        default.format_usage(ctx, formatter)
        default.format_help_text(ctx, formatter)
        default.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


app = typer.Typer(cls=DefaultGroup, rich_markup_mode=None)
app.command(_DEFAULT, hidden=True)(results.results)


@app.command()
def verify(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Check these runs; without any, all in the folder.",
            autocompletion=complete_run,
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Check every file of the runs against its checksum.

    Every damaged file is listed. Runs that have not ended and runs of old versions have no checksums; their manifest and
    tables are read instead. Folders with a run's files but no manifest are listed too.
    Exit code: 0 no damage, 1 something is damaged, 2 the input is wrong.
    """
    from evalharness.store.verify import find_folder, folders
    from evalharness.store.verify import verify as damages_of

    names = [find_folder(results_dir, name) for name in runs or ()] or folders(results_dir)
    damages = [damage for name in names for damage in damages_of(results_dir / name)]
    damaged = len({damage.run_id for damage in damages})
    if as_json:
        from dataclasses import asdict

        print_json({"num_runs": len(names), "damages": [asdict(damage) for damage in damages]})
    else:
        if damages:
            from evalharness.report.terminal.maintain import damage_table

            print_view(lambda width: damage_table(damages, width=width))
        files = f"{len(damages)} file{'s' if len(damages) != 1 else ''}"
        state = f"{damaged} damaged ({files}); all else reads" if damages else "all is well"
        typer.echo(f"{len(names)} run{'s' if len(names) != 1 else ''} checked: {state}")
    if damages:
        raise typer.Exit(EXIT_DAMAGED)


@app.command()
def prune(
    superseded: Annotated[
        bool,
        typer.Option(
            "--superseded", help="Select runs with a newer complete run of the same identity."
        ),
    ] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Select runs that failed.")] = False,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="DATE", help="Select runs started before this day."),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            min=1,
            help="Select all but the latest N runs of each model and suite.",
        ),
    ] = None,
    journals: Annotated[
        bool,
        typer.Option(
            "--journals",
            help="Select only the journals of complete runs; their responses can't be reused afterwards.",
        ),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Delete what is selected; without this option it is only shown."
        ),
    ] = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show which runs can be deleted; delete them with --yes.

    \b
    evalharness results prune                     # superseded and failed runs
    evalharness results prune --keep 3 --before 2026-01-01
    evalharness results prune --journals --yes

    A run is selected if any of the criteria holds. A run that a process is writing to is kept.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.store.prune import Criteria, leftovers, prunable_journals, prunable_runs
    from evalharness.store.read import list_runs

    criteria = Criteria(
        superseded=superseded, failed=failed, before=parse_date("--before", before), keep=keep
    )
    if criteria != Criteria() and journals:
        raise UserError("--journals selects journals, not runs: give no other criterion with it")
    if criteria == Criteria():
        criteria = Criteria(superseded=True, failed=True)
    runs = list_runs(results_dir)
    if journals:
        found = prunable_journals(results_dir, runs)
    else:
        found = prunable_runs(results_dir, runs, criteria)
        found += leftovers(results_dir)
    done = _remove(found) if yes else found
    _show(done, as_json, yes)


def _remove(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Remove them; those that another process has begun to write to are kept and reported."""
    from evalharness.store.prune import remove

    done: list[Candidate] = []
    for candidate in candidates:
        try:
            is_removed = remove(candidate)
        except WriteError:
            typer.echo(f"removed {len(done)} of {len(candidates)}", err=True)
            raise
        if is_removed:
            done.append(candidate)
        else:
            typer.echo(f"{candidate.path.name} is kept: another process is writing to it", err=True)
    return done


def _show(candidates: Sequence[Candidate], as_json: bool, yes: bool) -> None:
    from evalharness.report.terminal.maintain import (
        candidate_fields,
        candidates_table,
        size,
    )

    num_bytes = sum(candidate.num_bytes for candidate in candidates)
    if as_json:
        content = [candidate_fields(candidate) for candidate in candidates]
        return print_json({"is_deleted": yes, "num_bytes": num_bytes, "candidates": content})
    if not candidates:
        return typer.echo("nothing to prune")
    print_view(lambda width: candidates_table(candidates, width=width))
    state = "deleted" if yes else "can be deleted; --yes deletes them"
    return typer.echo(f"{len(candidates)} of {size(num_bytes)} {state}")
