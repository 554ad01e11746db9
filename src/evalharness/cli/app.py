"""The command line: one Typer app, a function per verb. A verb's modules are imported when it runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from evalharness import __version__
from evalharness.cli import (
    compare,
    direct,
    drift,
    gate,
    hub,
    import_export,
    leaderboard,
    maintain,
    model,
    report,
    rescore,
    results,
    scores,
    task,
    trend,
    view,
)
from evalharness.cli.options import RUN_HELP, AsJson, ResultsDir, complete_run
from evalharness.cli.output import print_json, print_lines
from evalharness.cli.streams import simplify_streams
from evalharness.cli.verbs import GroupedVerbs
from evalharness.errors import EvalHarnessError, UserError, one_line

if TYPE_CHECKING:
    from evalharness.cli.run import Jobs
    from evalharness.config.schema import Config

_UsageError: Any = typer.BadParameter.__mro__[1]
"""What Typer raises for invalid arguments; it exports only a subclass of it."""

EXIT_WRONG_INPUT = 2
EXIT_PARTIAL = 3
_SIGINT = 130
"""The exit code that Typer gives Ctrl-C."""

app = typer.Typer(
    name="evalharness",
    cls=GroupedVerbs,
    help="Evaluate open Llama-family checkpoints on your own GPUs, and trust the numbers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _complete_override(context: typer.Context, incomplete: str) -> list[str]:
    from evalharness.config.completion import complete

    if incomplete.startswith("tasks="):
        return direct.complete_task(incomplete)
    return complete(incomplete, context.params.get("overrides") or [])


_Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Override the configuration with group=option or dotted.key=value (Hydra).",
        autocompletion=_complete_override,
        metavar="OVERRIDE",
    ),
]


_IsSure = Annotated[bool, typer.Option("--yes", help="Run however many tasks a pattern matches.")]


class _Ended:
    """How the jobs ended, for `main`."""

    is_interrupted = False


_ended = _Ended()


@contextmanager
def _ending(jobs: Jobs) -> Iterator[None]:
    """Whatever ends the jobs is reported in one line and becomes the exit code."""
    try:
        yield
    except EvalHarnessError as e:
        jobs.failed(e)
    except KeyboardInterrupt:
        # The process is on its way out: a second Ctrl-C could only break its clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        jobs.interrupted()
        _ended.is_interrupted = True
    jobs.close()
    raise typer.Exit(jobs.exit_code)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"evalharness {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    no_args_is_help=True,
)
def run(
    context: typer.Context,
    overrides: _Overrides = None,
    is_sure: _IsSure = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a checkpoint on tasks and show the table.

    \b
    evalharness run model=smollm2-135m suite=quick
    evalharness run model=checkpoints/step-4000 tasks=gsm8k,mmlu:5 limit=200
    evalharness run -m model=llama-3.2-1b,llama-3.2-3b suite=quick

    \b
    What to run:
      model=NAME|PATH|ORG/NAME       an entry of configs/model, a folder, or a Hub id[@revision]
      adapter=PATH|ORG/NAME          a LoRA adapter over it
      suite=NAME,...                 a run of each suite
      tasks=NAME,...                 tasks, groups or patterns, lm-eval's or yours; NAME:5: 5 shots
      limit=N                        N random docs of every task, each category with its share

    \b
    Groups (files in configs/<group>, yours in ./configs first):
      model        the checkpoint; `evalharness model list` lists them
      suite        tasks: quick, leaderboard, reasoning, cmr, safety
      engine       vllm (GPU if there is one), vllm_gpu, vllm_cpu, replicas, openai, hf, fake
      sampling     task (each task's own), greedy, reasoning
      strategy     single, repeats, self_correct, verify, budget
      experiment   several settings under one name, e.g. smoke

    \b
    Often used keys:
      run.limit_seed=N               draw other docs; the same ones for every model
      run.limit_from=first           the first N, as lm-eval takes them
      +suite.tasks.NAME.limit=N      one more task: any of lm-eval's, or yours in ./tasks
      engine.max_model_len=N         tokens of prompt and answer
      engine.tensor_parallel_size=N  GPUs for one model
      engine.deterministic=true      the same answers at every batch size (GPU only, slower)
      cost.usd_per_gpu_hour=X        price of a GPU hour; the table then shows what the run cost
      tasks.trust=true               run the code in ./tasks without asking
      data.mirror=DIR                datasets from DIR/<org>/<name>, no network
      results_dir=DIR                where runs are written (or EVALHARNESS_RESULTS_DIR)

    \b
    Hydra's own flags work:
      -m (several jobs), --cfg job (show the configuration), --config-dir DIR, --info

    Exit code: 0 done, 2 the input is wrong, 3 the run is partial.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.cli.run import Jobs
    from evalharness.config.compose import run_hydra

    arguments = [*(overrides or []), *context.args]
    jobs = Jobs(as_json=as_json)

    def job(config: Config) -> None:
        try:
            direct.check_complete(arguments, is_composed=True)
        except EvalHarnessError as e:
            return jobs.failed(e)
        return jobs(config)

    with _ending(jobs):
        direct.check_complete(arguments, is_composed=False)
        meant = direct.understand(arguments, is_sure=is_sure)
        print_lines(meant.remarks, to_stderr=True)
        run_hydra(meant.arguments, job, jobs.failed)


@app.command()
def resume(
    run_name: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help=RUN_HELP,
            autocompletion=complete_run,
        ),
    ],
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Continue a run that ended early, with the configuration it was started with.

    Stored responses are not computed again. The exit codes are those of `evalharness run`.
    """
    from evalharness.cli.run import (
        Jobs,
        unfinished,
    )

    jobs = Jobs(as_json=as_json)
    with _ending(jobs):
        jobs(unfinished(results_dir, run_name))


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    no_args_is_help=True,
)
def selfcheck(
    context: typer.Context,
    overrides: _Overrides = None,
    is_sure: _IsSure = False,
    small: Annotated[
        int,
        typer.Option(
            "--small", min=1, help="Put this many sequences in a batch of the second run."
        ),
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure the noise floor: run the same suite twice with different batch sizes and show what differs.

    The first run is as configured, the second uses batches of --small. Both take the first 10 docs of every task unless
    run.limit (and run.limit_from) says otherwise, reuse no stored responses, and are written to results_dir/.selfcheck.

    \b
    evalharness selfcheck model=smollm2-135m
    evalharness selfcheck model=llama-3.1-8b-instruct suite=leaderboard run.limit=100
    evalharness selfcheck model=llama-3.1-8b-instruct engine.deterministic=true

    Exit code: 0 done, 1 answers differ despite engine.deterministic=true, 2 the input is wrong, 3 a run is partial.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    from evalharness.cli.selfcheck import (
        DEFAULTS,
        Selfchecks,
    )
    from evalharness.config.compose import run_hydra

    jobs = Selfchecks(small, as_json=as_json)
    with _ending(jobs):
        meant = direct.understand([*(overrides or []), *context.args], is_sure=is_sure)
        print_lines(meant.remarks, to_stderr=True)
        run_hydra([*DEFAULTS, *meant.arguments], jobs, jobs.failed)


app.command()(rescore.rescore)
app.command()(compare.compare)
app.command()(leaderboard.leaderboard)
app.command(no_args_is_help=True)(gate.gate)
app.command(no_args_is_help=True)(drift.drift)
app.command("import", no_args_is_help=True)(import_export.import_)
app.command(no_args_is_help=True)(import_export.export)
app.add_typer(maintain.app, name="results")
app.command()(results.sql)
app.command()(trend.trend)
app.command(no_args_is_help=True)(report.report)
app.command()(view.view)
app.add_typer(scores.app, name="scores")
app.add_typer(hub.app, name="adoption")
app.command()(hub.watch)
app.add_typer(model.app, name="model")
app.add_typer(task.app, name="task")


def main() -> None:
    """Entry point: wrong input becomes one line and an exit code."""
    simplify_streams()
    try:
        code = app(prog_name="evalharness", standalone_mode=False) or 0
    except _UsageError as e:
        if type(e).__name__ == "NoArgsIsHelpError":
            _leave(str(e.format_message()), EXIT_WRONG_INPUT)
        _fail(UserError(_usage(e)))
    except EvalHarnessError as e:
        _fail(e)
    except ModuleNotFoundError as e:  # of the base install, which only reads results
        from evalharness.cli.run import NEEDED, not_installed

        if (e.name or "").partition(".")[0] not in NEEDED:
            raise
        verb = " ".join(word for word in sys.argv[1:3] if word.isalpha())
        _fail(not_installed(verb, e))
    except typer.Abort:
        code = _SIGINT
    if code == _SIGINT:
        _leave("interrupted", EXIT_PARTIAL)
    if _ended.is_interrupted:
        from evalharness.runner.signals import leave

        leave(code)
    sys.exit(code)


def _usage(error: Any) -> str:
    verb = error.ctx.command_path if error.ctx else "evalharness"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}{' ' if message.endswith('?') else '; '}`{verb} --help` explains"


def _fail(error: EvalHarnessError) -> NoReturn:
    if "--json" in sys.argv:
        from evalharness.cli.run import error_fields

        print_json(error_fields(error))
    _leave(f"error: {one_line(error)}", error.exit_code)


def _leave(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"{line}\n")
    sys.exit(code)
