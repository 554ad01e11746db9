"""The verbs `import` and `export`: other harnesses' results in, ours out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalharness.cli.options import (
    RUN_HELP,
    AsJson,
    ResultsDir,
    complete_run,
)
from evalharness.cli.output import print_data, print_json
from evalharness.errors import StoreError, UserError, shortened

if TYPE_CHECKING:
    from evalharness.interchange.hf_eval_results import Exported
    from evalharness.interchange.lm_eval_import import Outcome
    from evalharness.interchange.run_data import Stored


class Format(StrEnum):
    """What a run is written as."""

    lm_eval = "lm-eval"
    hf = "hf"
    eee = "eee"
    csv = "csv"
    md = "md"


_MOST_NOTES = 5
_WITH_SAMPLES = (Format.lm_eval, Format.eee)


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Import this results_*.json of lm-eval, or all of them below this folder, each as a run.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Use this model name instead of that of the entry with the file's Hub id, or else the file's own.",
        ),
    ] = None,
    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            help="File the runs under this suite; its main metrics are used if it exists.",
        ),
    ] = "imported",
    num_docs: Annotated[
        list[str] | None,
        typer.Option(
            "--num-docs",
            metavar="TASK=N",
            help="Give a task's number of docs if the file doesn't; repeat for several tasks.",
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Import lm-eval's results into the store, with the samples beside them (--log_samples).

    The runs then appear in tables and comparisons; their weights stay unverified. A file is imported only once. If a file
    doesn't give the number of docs, as before lm-eval 0.4.3, n is derived from value and standard error and the run says
    so. For perplexities alone this is impossible: --num-docs must give it.
    Exit code: 0 done, 2 nothing imported, 3 some files of the folder can't be read.

    \b
    evalharness import lm_eval_output/
    evalharness import results_2026-01-31T12-00-00.json --model llama-3.2-1b --suite leaderboard
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.interchange.lm_eval_import import import_path

    given = dict(map(_num_docs, num_docs or ()))
    outcome = import_path(path, results_dir, model=model, suite=suite, num_docs=given)
    if as_json:
        from evalharness.report.export import run_as_json

        runs = [run_as_json(run.manifest, run.metrics) for run in outcome.runs]
        print_json(runs)
    else:
        _print_imported(outcome)
    _print_not_imported(outcome)
    if outcome.unreadable:
        from evalharness.cli.run import EXIT_PARTIAL

        raise typer.Exit(EXIT_PARTIAL)


def _num_docs(text: str) -> tuple[str, int]:
    task, _, num = text.rpartition("=")
    if not task or not num.isascii() or not num.isdigit() or not 0 < int(num) < 2**63:
        raise UserError(f"--num-docs {text!r}: TASK=N, such as wikitext=62")
    return task, int(num)


def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help=RUN_HELP,
            autocompletion=complete_run,
        ),
    ],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="Write lm-eval (its results JSON), hf (the Hub's .eval_results YAML), eee (Every Eval Ever), or csv or md "
            "(a model card's table).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write to this file, or into this folder under the format's own names; without it to stdout.",
        ),
    ] = None,
    samples: Annotated[
        bool,
        typer.Option(
            "--samples", help="Write the samples too (lm-eval and eee, with --out FOLDER)."
        ),
    ] = False,
    model_id: Annotated[
        str | None,
        typer.Option("--model-id", help="Name the model as on the Hub, organization/name (eee)."),
    ] = None,
    organization: Annotated[
        str | None,
        typer.Option("--organization", help="Name the organization that evaluated (eee)."),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            help="Map a task to a benchmark of the dataset's eval.yaml, as TASK=DATASET:TASK_ID; repeat for several (hf).",
        ),
    ] = None,
    results_dir: ResultsDir = Path("results"),
) -> None:
    """Write a run in another program's format.

    \b
    evalharness export latest --format md
    evalharness export latest --format lm-eval --samples --out lm_eval_output
    evalharness export latest --format eee --samples --out eee --model-id meta-llama/Llama-3.2-1B
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.interchange.run_data import Stored
    from evalharness.store.read import find_run

    _check(format_, out, samples, model_id)
    manifest = find_run(results_dir, run)
    if manifest.status == "running":
        raise StoreError(f"run {manifest.run_id!r} hasn't ended; `evalharness resume` continues it")
    stored = Stored.load(results_dir / manifest.run_id, manifest)
    if out is not None and _is_folder(out) and format_ in _WITH_SAMPLES:
        return _print_paths(_write_folder(stored, format_, out, samples, model_id, organization))
    text = _text(stored, format_, model_id, organization, benchmark or [])
    if out is None:
        return print_data(text)
    return _print_paths([_write_file(text, _file(stored, format_, out))])


def _check(format_: Format, out: Path | None, samples: bool, model_id: str | None) -> None:
    from evalharness.interchange.every_eval_ever import is_model_id

    if samples and format_ not in _WITH_SAMPLES:
        raise UserError(f"--samples: {format_.value} has no samples; lm-eval and eee have")
    if samples and (out is None or not _is_folder(out)):
        raise UserError("--samples: writes several files; say where with --out FOLDER")
    if model_id is not None and not is_model_id(model_id):
        raise UserError(f"--model-id {model_id!r}: organization/name is needed, as on the Hub")


def _text(
    stored: Stored,
    format_: Format,
    model_id: str | None,
    organization: str | None,
    benchmarks: list[str],
) -> str:
    from evalharness.interchange import every_eval_ever, hf_eval_results, model_card
    from evalharness.interchange.lm_eval_export import results_json

    match format_:
        case Format.lm_eval:
            return results_json(stored)
        case Format.eee:
            content = every_eval_ever.aggregate(
                stored, model_id=model_id, organization=organization
            )
            return every_eval_ever.as_text(content)
        case Format.hf:
            named = dict(map(hf_eval_results.parse_benchmark, benchmarks))
            return _text_of(hf_eval_results.eval_results(stored, named))
        case Format.csv:
            return model_card.card_csv(stored)
        case Format.md:
            return model_card.card_markdown(stored)


def _write_folder(
    stored: Stored,
    format_: Format,
    out: Path,
    samples: bool,
    model_id: str | None,
    organization: str | None,
) -> list[Path]:
    if format_ is Format.lm_eval:
        from evalharness.interchange.lm_eval_export import write_lm_eval

        return write_lm_eval(stored, out, with_samples=samples)
    from evalharness.interchange.every_eval_ever_samples import write_every_eval_ever

    written = write_every_eval_ever(
        stored, out, with_samples=samples, model_id=model_id, organization=organization
    )
    if written.num_unscored:
        typer.echo(f"{written.num_unscored} samples without a score are left out", err=True)
    return written.paths


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def _file(stored: Stored, format_: Format, out: Path) -> Path:
    """The file to write; in a folder it has the format's own name."""
    if not _is_folder(out):
        return out
    if format_ is Format.hf:  # the folder is a clone of the model's repository
        return out / ".eval_results" / f"{stored.manifest.run_id}.yaml"
    return out / f"{stored.manifest.run_id}.{format_.value}"


def _write_file(text: str, path: Path) -> Path:
    from evalharness.interchange.run_data import write_text

    if path.exists() and path.read_bytes() != text.encode():
        raise UserError(f"--out {str(path)!r} exists with other content; remove it first")
    return write_text(path, text)


def _print_imported(outcome: Outcome) -> None:
    for run in outcome.runs:
        manifest = run.manifest
        num_docs = sum(task.num_docs for task in manifest.tasks)
        _echo(f"{manifest.run_id}: {len(manifest.tasks)} tasks, {num_docs} docs, {manifest.status}")
        left_out = (f"{name}: left out: {why}" for name, why in manifest.left_out.items())
        notes = [*manifest.remarks, *left_out, *run.notes]
        for note in notes[:_MOST_NOTES]:
            _echo(f"  {shortened(note)}")
        if len(notes) > _MOST_NOTES:
            _echo(f"  and {len(notes) - _MOST_NOTES} more, in the run's manifest")
    _echo(f"`evalharness results {outcome.runs[-1].manifest.run_id}` shows the scores", err=True)


def _print_not_imported(outcome: Outcome) -> None:
    for file, run_id in outcome.already.items():
        _echo(f"{file}: imported before, as {run_id}", err=True)
    for why in outcome.unreadable:
        _echo(f"left out: {why}", err=True)


def _print_paths(paths: Iterable[Path]) -> None:
    for path in paths:
        _echo(str(path))


def _text_of(exported: Exported) -> str:
    """The file's text; tasks that aren't in it are reported on stderr."""
    for task, why in exported.left_out.items():
        _echo(f"left out {task}: {why}", err=True)
    return exported.text


def _echo(line: str, *, err: bool = False) -> None:
    """Print a line; names and paths in it come from untrusted files."""
    from evalharness.report.terminal.format import plain

    typer.echo(plain(line).plain, err=err)
