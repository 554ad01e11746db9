"""The verb `scores`: import, list and trace reported scores, beside those measured here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalharness.cli.options import (
    AsCsv,
    AsJson,
    ResultsDir,
)
from evalharness.cli.output import chosen_form, print_json, print_lines, show_rows
from evalharness.cli.scores_models import models
from evalharness.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from evalharness.cli.output import Form
    from evalharness.trend.scores.reading import Reading
    from evalharness.trend.scores.records import ReportedScore
    from evalharness.trend.scores.storage import Stored

_MOST_ROWS = 200
"""Most scores that are shown as a table."""
_MOST_REMARKS = 50
"""Most lines of each kind that are shown about a file."""

app = typer.Typer(
    no_args_is_help=True,
    help="List and import scores that others reported, beside those measured here.",
)
app.command("models")(models)


@app.command("import", no_args_is_help=True)
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Read this file: CSV with model, benchmark, score (0 to 100) and more, or what --format says.",
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="Read csv, epoch (Epoch's eci_benchmarks.csv, or the zip of its benchmark data), eee (Every Eval Ever JSON), "
            "or leaderboard (what `evalharness leaderboard --csv` or --json printed).",
        ),
    ] = "csv",
    chance_corrected: Annotated[
        bool,
        typer.Option(
            "--chance-corrected",
            help="Take scores of a CSV as corrected for chance where its column chance_corrected doesn't say.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the file, but store nothing.")
    ] = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Store the scores of a file in <results_dir>/.scores.

    Required columns: model, benchmark, score (0 to 100), and reported_by or source_repo. Optional ones give the protocol
    (metric, n, n_shot, cot, chat, subset, setting, harness), the model (reported_as, family, release_date, total_params_b,
    active_params_b, n_experts, open_weight, variant), the score's kind and day (chance_corrected, score_date) and the source
    (source_path, source_commit, notes). Empty cells are unknown. Every line that can't be read is reported. Nothing is merged:
    two sources of one score stay two scores.

    \b
    evalharness scores import my_scores.csv --dry-run
    evalharness scores import eci_benchmarks.csv --format epoch

    Exit code: 0 done, or all of it was imported before; 2 the file is wrong, or no line could be read.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.trend.scores.storage import store_scores

    reading = _read(file, form, chance_corrected=chance_corrected)
    stored = store_scores(results_dir, reading.scores, is_dry=dry_run)
    conflicts = _conflicts_of(stored.added, results_dir)
    if as_json:
        print_json(_import_as_json(reading, stored, conflicts, dry_run))
    else:
        for kind in (reading.notices, reading.skipped, reading.duplicates, reading.unknown):
            _warn(str(remark) for remark in kind)
        _warn(_conflict_line(group) for group in conflicts)
    if not reading.scores:
        num_bad = len({problem.line for problem in reading.skipped})
        raise UserError(
            f"{str(file)!r}: nothing imported: "
            + (f"none of {num_bad} lines could be read" if num_bad else "no lines below the header")
        )
    if not as_json:
        print_lines([_imported_line(reading, stored, dry_run)])


def _read(file: Path, form: str, *, chance_corrected: bool) -> Reading:
    from evalharness.trend.scores.read_csv import read_scores
    from evalharness.trend.scores.read_eee import read_eee
    from evalharness.trend.scores.read_epoch import read_epoch
    from evalharness.trend.scores.read_leaderboard import read_leaderboard

    if form == "csv":
        return read_scores(file, chance_corrected=chance_corrected)
    readers = {"epoch": read_epoch, "eee": read_eee, "leaderboard": read_leaderboard}
    if form not in readers:
        known = ["csv", *readers]
        raise UserError(f"--format {form!r}: one of {', '.join(known)}{did_you_mean(form, known)}")
    if chance_corrected:
        raise UserError(f"--chance-corrected is for CSV; a file of --format {form} says it itself")
    return readers[form](file)


@app.command("list")
def list_scores(
    model: Annotated[
        str | None, typer.Option("--model", help="Show only models with this text in their name.")
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option("--benchmark", help="Show only this benchmark, by any of its names."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Show only sources with this text: seed, imported, measured, a file, an organisation, or a run id.",
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List scores, reported and measured, with protocol and source.

    Scores that contradict each other are marked. Case, spaces and - _ . / are ignored in names. --csv has every field, and
    `scores import` can read it.

    \b
    evalharness scores list --model "llama 3.1 8b" --benchmark mmlu
    evalharness scores list --source measured
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    form = chosen_form(as_json=as_json, as_csv=as_csv)
    scores = _all_scores(results_dir)
    scores = _of_model(scores, model) if model else scores
    scores = _of_benchmark(scores, benchmark) if benchmark else scores
    scores = _of_source(scores, source) if source else scores
    if form != "table":
        return _show_all(form, scores)
    if not scores:
        return print_lines(["No score has that model, benchmark and source."])
    return _print_table(sorted(scores, key=lambda s: (s.benchmark.casefold(), s.model.casefold())))


@app.command()
def sources(
    results_dir: ResultsDir = Path("results"), as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """Show where the scores come from.

    Each source is shown with its collection, counts, dates and licence.
    """
    form = chosen_form(as_json=as_json, as_csv=as_csv)
    rows = _sources(_all_scores(results_dir))
    if form != "table":
        return show_rows(form, list(rows[0]), [list(row.values()) for row in rows])
    return _print_sources(rows)


def _all_scores(results_dir: Path) -> list[ReportedScore]:
    from evalharness.trend.scores.measured import measured_scores
    from evalharness.trend.scores.storage import load_scores

    return [*load_scores(results_dir), *measured_scores(results_dir)]


def _of_model(scores: Sequence[ReportedScore], name: str) -> list[ReportedScore]:
    from evalharness.trend.scores.benchmarks import squeezed

    found = [score for score in scores if squeezed(name) in squeezed(score.model)]
    if not found:
        known = {score.model for score in scores}
        raise UserError(f"no scores of a model {name!r}{did_you_mean(name, known)}")
    return found


def _of_benchmark(scores: Sequence[ReportedScore], name: str) -> list[ReportedScore]:
    from evalharness.trend.scores.benchmarks import (
        find_benchmark,
        squeezed,
    )

    known = find_benchmark(name)
    wanted = squeezed(known.name if known else name)
    found = [score for score in scores if squeezed(score.benchmark) == wanted]
    if not found:
        names = {score.benchmark for score in scores}
        raise UserError(f"no scores on a benchmark {name!r}{did_you_mean(name, names)}")
    return found


def _of_source(scores: Sequence[ReportedScore], text: str) -> list[ReportedScore]:
    def words(score: ReportedScore) -> str:
        parts = (score.origin, score.collection, score.source_repo, score.reported_by, score.run_id)
        return "\n".join(parts).casefold()

    found = [score for score in scores if text.casefold() in words(score)]
    if not found:
        raise UserError(f"no scores from a source {text!r}; `evalharness scores sources` lists all")
    return found


def _conflicts_of(
    added: Sequence[ReportedScore], results_dir: Path
) -> list[tuple[ReportedScore, ...]]:
    """The groups of contradicting scores that hold a new one."""
    from evalharness.trend.scores.records import (
        distinct,
        find_conflicts,
    )
    from evalharness.trend.scores.storage import load_scores

    wanted = {score.quantity for score in added}
    scores = distinct([*added, *load_scores(results_dir)])
    return find_conflicts([score for score in scores if score.quantity in wanted])


def _conflict_line(group: Sequence[ReportedScore]) -> str:
    values = ", ".join(
        f"{score.score:.6g} ({score.collection} line {score.line})" for score in group
    )
    first = group[0]
    return f"{first.model}, {first.benchmark} ({_protocol(first)}) differ: {values}; all are kept"


def _protocol(score: ReportedScore) -> str:
    shots = f"{score.n_shot}-shot" if score.n_shot else ""
    chat = {True: "chat", False: "no chat", None: ""}[score.chat]
    cot = {True: "CoT", False: "no CoT", None: ""}[score.cot]
    strategy = "" if score.strategy == "single" else score.strategy
    setting = f"effort {score.setting}" if score.setting else ""
    parts = (score.metric, shots, cot, chat, score.subset, setting, strategy, score.harness)
    return ", ".join(part for part in parts if part)


def _imported_line(reading: Reading, stored: Stored, is_dry: bool) -> str:
    if not stored.added:
        return f"Nothing new: all {len(reading.scores)} scores were imported before."
    num_models = len({score.model for score in stored.added})
    num_benchmarks = len({score.benchmark for score in stored.added})
    known = f"; {stored.num_known} were imported before" if stored.num_known else ""
    verb = "Would import" if is_dry else "Imported"
    return (
        f"{verb} {len(stored.added)} scores, {num_models} models on {num_benchmarks} benchmarks, into "
        f"{stored.path}{known}."
    )


def _import_as_json(
    reading: Reading,
    stored: Stored,
    conflicts: Sequence[Sequence[ReportedScore]],
    is_dry: bool,
) -> dict[str, Any]:
    return {
        "path": str(stored.path) if stored.path and not is_dry else None,
        "is_dry_run": is_dry,
        "num_imported": len(stored.added),
        "num_known": stored.num_known,
        "skipped": [problem._asdict() for problem in reading.skipped],
        "duplicates": [problem._asdict() for problem in reading.duplicates],
        "unknown_benchmarks": [problem._asdict() for problem in reading.unknown],
        "notices": list(reading.notices),
        "conflicts": [[_as_dict(score) for score in group] for group in conflicts],
    }


def _as_dict(score: ReportedScore) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(score)


def _show_all(form: Form, scores: Sequence[ReportedScore]) -> None:
    from dataclasses import fields

    from evalharness.trend.scores.records import ReportedScore

    names = [field.name for field in fields(ReportedScore)]
    show_rows(form, names, [[getattr(score, name) for name in names] for score in scores])


def _print_table(scores: Sequence[ReportedScore]) -> None:
    from evalharness.report.terminal.format import number
    from evalharness.trend.scores.records import find_conflicts

    contradicted = {score for group in find_conflicts(scores) for score in group}
    shown = scores[:_MOST_ROWS]
    rows = [
        [
            score.benchmark,
            score.model,
            score.score,
            "*" if score in contradicted else "",
            "-" if score.ci_low is None else f"{number(score.ci_low)}-{number(score.ci_high or 0)}",
            str(score.n or "-"),
            _protocol(score),
            score.reported_by or score.source_repo,
        ]
        for score in shown
    ]
    names = ["benchmark", "model", "score", "", "95 %", "n", "protocol", "reported by"]
    show_rows("table", names, rows)
    if any(row[3] for row in rows):
        print_lines(["* differs from another score of the same model, benchmark and protocol"])
    if len(scores) > _MOST_ROWS:
        typer.echo(
            f"first {_MOST_ROWS} of {len(scores)} scores; narrow down with --model, --benchmark and --source; --csv gives all",
            err=True,
        )


def _sources(scores: Iterable[ReportedScore]) -> list[dict[str, Any]]:
    from evalharness.trend.scores.records import by_source
    from evalharness.trend.scores.seed_scores import licence_of

    return [
        {
            "origin": origin,
            "collection": collection,
            "source": source,
            "scores": len(group),
            "models": len({score.model for score in group}),
            "benchmarks": len({score.benchmark for score in group}),
            **dict(zip(("first_release", "last_release"), _first_and_last(group), strict=True)),
            "licence": licence_of(source) if origin == "seed" else "",
        }
        for (origin, collection, source), group in by_source(scores).items()
    ]


def _print_sources(rows: Sequence[dict[str, Any]]) -> None:
    names = ["from", "source", "scores", "models", "benchmarks", "released", "licence"]
    cells = [
        {
            **row,
            "from": f"{row['origin']}: {row['collection']}",
            "released": f"{row['first_release']} to {row['last_release']}"
            if row["first_release"]
            else "",
        }
        for row in rows
    ]
    show_rows("table", names, [[row[name] for name in names] for row in cells])


def _first_and_last(scores: Iterable[ReportedScore]) -> tuple[str, str]:
    dates = sorted(score.release_date for score in scores if score.release_date)
    return (str(dates[0]), str(dates[-1])) if dates else ("", "")


def _warn(remarks: Iterable[str]) -> None:
    """Print the first of them on stderr."""
    lines = list(remarks)
    print_lines(lines[:_MOST_REMARKS], to_stderr=True)
    if len(lines) > _MOST_REMARKS:
        typer.echo(f"and {len(lines) - _MOST_REMARKS} more such lines; --json has all", err=True)
