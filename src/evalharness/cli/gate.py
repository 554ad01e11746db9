"""The verb `gate`: a verdict for CI on whether a candidate may replace its base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalharness.cli.options import (
    AnyPrompt,
    AsJson,
    AsMarkdown,
    ResultsDir,
    complete_run,
)
from evalharness.cli.output import chosen_form, show

if TYPE_CHECKING:
    from evalharness.comparison.gate import (
        Gate,
        Unmatched,
    )
    from evalharness.comparison.gate_policy import Policy
    from evalharness.store.match_runs import (
        Matched,
        Side,
    )

_HELP = "Name the {} by a run id, a prefix of it, or a model (its best run of each suite)."


def gate(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help=_HELP.format("base"), autocompletion=complete_run)
    ],
    candidate: Annotated[
        str,
        typer.Argument(
            metavar="CANDIDATE", help=_HELP.format("candidate"), autocompletion=complete_run
        ),
    ],
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            help="Read the margins from this YAML file instead of configs/gate/default.yaml.",
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Judge only the two models' runs of this suite.")
    ] = None,
    any_prompt: AnyPrompt = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Judge whether CANDIDATE is no worse than BASE, task by task, by a policy of margins.

    \b
    evalharness gate llama-3.1-8b-instruct my-finetune --policy policy.yaml
    evalharness gate BASE_RUN CANDIDATE_RUN --md

    A task passes when its loss is shown to be smaller than its margin, fails when it is shown to be larger, and is
    inconclusive otherwise, for instance when missing scores could change the verdict. Docs are paired. A task that can't be
    compared never passes.

    \b
    PASS          exit code 0: no critical or supporting task loses more than its margin
    WARN          exit code 0: a supporting task fails or is inconclusive
    BLOCK         exit code 1: a critical task fails
    INCONCLUSIVE  exit code 2: a critical task can't be judged, or none was judged
                  (wrong input is 2 as well, with a line on stderr)
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    form = chosen_form(as_json=as_json, as_markdown=as_markdown)
    from evalharness.comparison.gate_policy import (
        default_path,
        load_policy,
    )
    from evalharness.report.terminal import gate as forms

    found, names = _judged(
        results_dir,
        (base, candidate),
        suite,
        load_policy(policy or default_path()),
        any_prompt=any_prompt,
    )
    show(
        form,
        view=lambda width: forms.gate_view(found, names, width=width),
        content=lambda: forms.gate_as_json(found, names),
        markdown=lambda: forms.markdown(found, names),
    )
    raise typer.Exit(found.exit_code)


def _judged(
    results_dir: Path,
    names: tuple[str, str],
    suite: str | None,
    policy: Policy,
    *,
    any_prompt: bool,
) -> tuple[Gate, tuple[str, str]]:
    """The gate, and the names of the two in it."""
    from evalharness.comparison.compare import compare_runs
    from evalharness.comparison.gate import judge
    from evalharness.store.match_runs import (
        find_side,
        match,
        nothing_in_common,
    )
    from evalharness.store.read import list_runs

    runs = list_runs(results_dir)
    first, second = (find_side(results_dir, runs, name, suite) for name in names)
    matched = match(first, second)
    if not matched.pairs:
        raise nothing_in_common(first, second)
    comparisons = [compare_runs(results_dir, a, b, any_prompt=any_prompt) for a, b in matched.pairs]
    found = judge(policy, comparisons, _unmatched(matched, first, second))
    is_same = first.model == second.model
    return found, (first.label, second.label) if is_same else (first.model, second.model)


def _unmatched(matched: Matched, first: Side, second: Side) -> list[Unmatched]:
    from evalharness.comparison.gate import Unmatched

    return [
        Unmatched(run, f"{other.name} has no run of suite {run.suite}")
        for alone, other in ((matched.only_a, second), (matched.only_b, first))
        for run in alone
    ]
