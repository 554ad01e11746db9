"""The command line: one Typer app, a function a verb. What a verb needs is imported when it runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from evalharness import __version__, model_cli, results_cli
from evalharness.errors import EvalHarnessError

app = typer.Typer(
    name="evalharness",
    help="Evaluate open Llama-family checkpoints on your own GPUs, and trust the numbers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(model_cli.app, name="model")
app.command()(results_cli.results)
app.command()(results_cli.sql)

EXIT_PARTIAL = 3


def _complete_override(incomplete: str) -> list[str]:
    from evalharness.composition import complete

    return complete(incomplete)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"evalharness {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    no_args_is_help=True,
)
def run(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Hydra overrides: group=option or dotted.key=value.",
            autocompletion=_complete_override,
            metavar="[OVERRIDES]...",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
) -> None:
    """Evaluate a checkpoint on a suite and show the table.

    \b
    evalharness run model=smollm2-135m suite=quick
    evalharness run model=llama-3.1-8b-instruct suite=leaderboard run.limit=50
    evalharness run -m model=llama-3.2-1b,llama-3.2-3b suite=quick

    \b
    Groups (files in configs/<group>, yours in ./configs first):
      model        the checkpoint; `evalharness model list`
      suite        tasks: quick, leaderboard, reasoning
      engine       vllm (GPU if there is one), vllm_gpu, vllm_cpu, hf, fake
      sampling     task (each task's own), greedy, reasoning
      experiment   several settings under one name, e.g. smoke

    \b
    Often used keys:
      run.limit=N                    first N docs of every task
      engine.max_model_len=N         tokens of prompt and answer
      engine.tensor_parallel_size=N  GPUs for one model
      data.mirror=DIR                datasets from DIR/<org>/<name>, no network
      results_dir=DIR                where runs land (or EVALHARNESS_RESULTS_DIR)

    \b
    Hydra's own flags work: -m (several jobs), --cfg job (show the configuration), --config-dir DIR, --info.
    Exit code: 0 done, 2 the input is wrong, 3 the run is partial.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.composition import run_hydra
    from evalharness.run_cli import Jobs

    jobs = Jobs(as_json=as_json)
    run_hydra([*(overrides or []), *context.args], jobs)
    jobs.close()


def main() -> None:
    """Entry point: errors made for users become one line and their exit code."""
    try:
        app(standalone_mode=True)
    except EvalHarnessError as e:
        _fail(e)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_PARTIAL)


def _fail(error: EvalHarnessError) -> None:
    message = " ".join(str(error).split())
    sys.stderr.write(f"error: {message}\n")
    sys.exit(error.exit_code)
