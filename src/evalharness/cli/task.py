"""`evalharness task ...`: write your own tasks, preview their prompts, and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalharness.cli.options import AsJson
from evalharness.cli.output import print_json, print_lines
from evalharness.cli.task_load import ANY_MODEL, config_of, load_one, names_model
from evalharness.errors import TaskError, UserError, did_you_mean

app = typer.Typer(no_args_is_help=True, help="Write, list, preview and check tasks.")

_KINDS = ("multiple_choice", "generate", "procedural", "python")
_ANSWERS = ("texts", "letters", "from-0", "from-1")


def _complete(incomplete: str) -> list[str]:
    from evalharness.tasks.authoring.list_tasks import custom_rows
    from evalharness.tasks.lm_eval_index import stock_rows

    stock = stock_rows(only_cached=True) if incomplete else {}
    names = dict.fromkeys([*(row.name for row in custom_rows()), *stock])
    return [name for name in names if name.startswith(incomplete)]


def _complete_mixed(context: typer.Context, incomplete: str) -> list[str]:
    from evalharness.config.completion import complete

    return [*_complete(incomplete), *complete(incomplete, [])]


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="OVERRIDE",
        help="Choose the model with model=<name>; other overrides are as for `evalharness run`.",
        autocompletion=_complete_mixed,
    ),
]


@app.command("new")
def new_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Give the task and its folder this name.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="Choose multiple_choice, generate, procedural (reasoning-gym) or python.",
            autocompletion=lambda: list(_KINDS),
        ),
    ] = "multiple_choice",
    parent: Annotated[
        Path, typer.Option("--dir", help="Write the task into this folder of tasks.")
    ] = Path("tasks"),
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Take the docs from this CSV or JSON: columns question, answer, and A, B, C, ... or choices.",
        ),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            "--answers",
            help="Read the answers of --data as texts, letters, from-0 or from-1 (numbers), where the file doesn't show it.",
            autocompletion=lambda: list(_ANSWERS),
        ),
    ] = None,
) -> None:
    """Write a new task that runs as it is, for you to edit.

    It has a definition, a few docs, a README, a test, and a suite of its own. multiple_choice and generate are YAML in
    lm-eval's format with data/*.jsonl; procedural takes docs and verifier from a reasoning-gym generator; python is a
    class, for several turns, a verifier of your own or generated docs.

    Example: `evalharness task new my_task --kind generate`
    """
    if kind not in _KINDS:
        raise UserError(f"--kind {kind}: one of {', '.join(_KINDS)}{did_you_mean(kind, _KINDS)}")
    if answers is not None and answers not in _ANSWERS:
        near = did_you_mean(answers, _ANSWERS)
        raise UserError(f"--answers {answers}: one of {', '.join(_ANSWERS)}{near}")
    from evalharness.tasks.authoring.own_answers import Answers
    from evalharness.tasks.authoring.scaffold import Kind, scaffold

    made = scaffold(name, Kind(kind), parent, data, Answers(answers) if answers else None)
    print_lines([made.source] if made.source else [])
    for path in made.paths:
        typer.echo(path)
    typer.echo(
        f"\n{'F' if data else 'Write your docs, f'}ill in what is marked FILL IN, then run\n"
        f"  evalharness task check {name}\n"
        f"  evalharness task preview {name} {ANY_MODEL}\n"
        f"  evalharness run {ANY_MODEL} tasks={name}\n"
        "These ask whether the code in the folder may run until you trust it; without a terminal, set "
        "EVALHARNESS_TASKS_TRUST=true"
    )


@app.command("list")
def list_command(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN", help="List only names that contain this, or match it with * and ?."
        ),
    ] = None,
    custom: Annotated[
        bool, typer.Option("--custom", help="List only custom tasks (yours and those shipped).")
    ] = False,
    stock: Annotated[bool, typer.Option("--stock", help="List only lm-eval's tasks.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="List every task of lm-eval's.")] = False,
    as_json: AsJson = False,
) -> None:
    """List tasks, yours and lm-eval's, with kind, docs and source.

    Without a pattern, lm-eval's 14,000 tasks are summed up by group and tag. n is unknown for data outside the task's
    folder. A name that runs can be given to `evalharness run tasks=...`; for the others it says why not.

    Example: `evalharness task list mmlu_ana*`
    """
    from evalharness.tasks.authoring.list_tasks import (
        custom_rows,
        matching,
        old_groups,
        stock_list,
        summarised,
    )

    rows = [] if stock else matching(custom_rows(), pattern)
    others = [] if custom else matching([*stock_list(), *old_groups()], pattern)
    if as_json:
        return print_json([row._asdict() for row in (*rows, *others)])
    if pattern and not rows and not others:
        raise TaskError(f"no task matches {pattern!r}")
    from evalharness.cli.task_tables import rows_table
    from evalharness.report.terminal.console import console

    out = console()
    is_summed = bool(others) and not (pattern or show_all)
    shown = summarised(others) if is_summed else others
    out.print(rows_table([*rows, *shown], out.width))
    if is_summed:
        out.print(
            f"the {len(shown)} largest groups and tags of {len(others)} names of lm-eval's; "
            "`evalharness task list PATTERN` or --all shows more",
            style="dim",
        )
    return None


@app.command("preview")
def preview_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Preview this task.", autocompletion=_complete)
    ],
    overrides: Overrides = None,
    doc: Annotated[int, typer.Option("--doc", min=0, help="Preview this doc, counted from 0.")] = 0,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="List every token of the prompt.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the exact prompt and tokens of one doc.

    Few-shots, stops and target are shown with it. Chat template, few-shots and sampling are those of a run with the same
    overrides; no weights are loaded. Special tokens are in colour, or in [brackets] without a terminal.

    Example: `evalharness task preview gsm8k_sample model=smollm2-135m --doc 3`
    """
    config = config_of(overrides or [])
    if not names_model(overrides or []):
        raise UserError(
            f"task preview: a model is missing: `evalharness task preview {name} {ANY_MODEL}`"
        )
    from evalharness.runner.preview import Previewer

    loaded = load_one(config, name)
    shown = Previewer.of(config).preview(loaded, doc)
    if as_json:
        from dataclasses import asdict

        values = asdict(shown) | {"num_prompt_tokens": len(shown.tokens)}
        return print_json(values)
    from evalharness.cli.task_tables import preview_view
    from evalharness.report.terminal.console import console

    out = console()
    out.print(preview_view(shown, is_coloured=out.is_terminal, with_tokens=tokens), soft_wrap=True)
    return None


@app.command("check")
def check_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Check these tasks; overrides such as model=<name> can be among them.",
            autocompletion=_complete_mixed,
        ),
    ] = None,
    check_all: Annotated[bool, typer.Option("--all", help="Check every task in ./tasks.")] = False,
    all_docs: Annotated[
        bool,
        typer.Option(
            "--all-docs", help="Score all docs instead of up to 100 within a few seconds."
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count warnings and notes like errors.")
    ] = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="First fill in the count, the chance level and the prompt in README.md, and show what changed.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check tasks for defects, and print one line for each.

    A task's lines are there as soon as it is checked. It must load. Its docs and ids must be unique; gold must score 1, empty and wrong answers 0; prompts must fit the
    context; few-shots must not be scored docs; no gold answer may contain a stop string; choices must differ and gold must
    not favour a position; data must be pinned, and README.md and SOURCE.json must be complete. With model=<name>, prompts
    are measured with its tokenizer, chat template and context; without it, 4096 tokens are the limit.

    An error makes numbers wrong, a warning makes them less reliable. A note is a rule for tasks that ship with the harness,
    for which it is an error. Only errors count, unless --strict is given.

    \b
    evalharness task check my_task
    evalharness task check my_task model=llama-3.1-8b-instruct
    evalharness task check my_task --fix
    evalharness task check --all --strict

    Exit code: 0 no error, 1 errors, 2 a task that can't be loaded.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    given = names or []
    overrides = [text for text in given if "=" in text]
    wanted = [text for text in given if "=" not in text]
    if check_all:
        from evalharness.tasks.authoring.list_tasks import custom_rows

        wanted += [
            row.name for row in custom_rows(only_first=True) if row.kind not in ("group", "tag")
        ]
    if not wanted:
        raise UserError("task check: give a name, or --all")
    if path := next((text for text in wanted if "/" in text and Path(text).is_dir()), None):
        raise UserError(f"task check {path}: give the names of tasks in ./tasks, not a folder")
    from evalharness.cli.task_check import check_tasks, exit_code
    from evalharness.cli.task_tables import result_lines
    from evalharness.report.terminal.console import console

    results = []
    for result in check_tasks([*dict.fromkeys(wanted)], overrides, all_docs=all_docs, fix=fix):
        results.append(result)
        if not as_json:
            out = console()
            for line in result_lines(result, strict=strict):
                out.print(line, soft_wrap=True)
    if as_json:
        print_json([result.as_json() for result in results])
    raise typer.Exit(exit_code(results, strict=strict))
