"""Terminal tables of runs, samples and query results: records or rows in, rich renderables out.

Names and texts come from datasets and models: they are shown as plain text, never as markup.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalharness.comparison.board_scores import NO_SCORE
from evalharness.comparison.run_mean import RunMean, run_mean
from evalharness.report.choices import ShownChoice, choice_line, shown_choices
from evalharness.report.terminal.format import (
    duration,
    number,
    plain,
)
from evalharness.report.terminal.table_layout import (
    Col,
    fits,
    fitted_table,
    hiding_table,
    is_fitting,
)
from evalharness.report.terminal.turns import turns_view
from evalharness.store import layout
from evalharness.store.columns import RUNS, run_row
from evalharness.store.read import load_main_metrics
from evalharness.store.records import Manifest, TurnRecord
from evalharness.store.subset_words import (
    NOT_COMPARABLE,
    limited,
    subset_kind,
    subset_words,
)

logger = logging.getLogger(__name__)

STATUS_STYLE = {"complete": "green", "running": "cyan", "failed": "red"}

_LONGEST_CELL = 300


class Listed(NamedTuple):
    """A run of a list."""

    run: Manifest
    mean: RunMean | None
    """None for a suite without a mean, and while there are no metrics."""

    @property
    def subset(self) -> str:
        """Which docs it has; empty for all."""
        return subset_words(self.run.tasks)


def listed_runs(results_dir: Path, runs: Sequence[Manifest]) -> list[Listed]:
    """The runs with their means; one whose metrics are damaged has none."""
    found = load_main_metrics(results_dir, [run.run_id for run in runs])
    listed = []
    for run in runs:
        path = results_dir / run.run_id / layout.METRICS
        is_lost = run.status == "complete" and not path.is_file()
        if is_lost or run.run_id in found.damaged:
            state = "missing" if is_lost else "damaged"
            logger.warning(
                "no score: '%s' is %s; `evalharness results verify` lists such files", path, state
            )
            listed.append(Listed(run, None))
        else:
            listed.append(Listed(run, run_mean(run, found.of_run.get(run.run_id, ()))))
    return listed


def list_rows(listed: Sequence[Listed]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the list for programs: those of view `runs`, and the mean."""
    names = [column.name for column in RUNS if column.name != "manifest"]
    rows = []
    for run, mean in listed:
        row = run_row(run)
        score = mean.score if mean else NO_SCORE
        about = [mean.name, mean.num_parts] if mean else [None, None]
        rows.append([*(row[name] for name in names), *about, *score[:3]])
    return [*names, "mean", "num_in_mean", "score", "score_ci_low", "score_ci_high"], rows


_LEAST_ID = 24
_GOES_FIRST = (
    "started (UTC)",
    "tasks",
    "errors",
    "engine",
    "suite",
    "model",
    "strategy",
    "docs",
    "time",
)
"""Columns that a narrow terminal lacks, the first of them first."""


def runs_table(listed: Sequence[Listed], *, width: int = 80) -> Table:
    """One row per run, in the order given; `width` (of the terminal) decides which columns are shown."""
    columns = [
        Col("run"),
        Col("score [95 % CI]"),
        Col("model", least=8, overflow="ellipsis"),
        Col("suite", least=6, overflow="ellipsis"),
        Col("status"),
        Col("engine"),
        Col("strategy"),
        Col("tasks", justify="right"),
        Col("docs", justify="right"),
        Col("errors", justify="right"),
        Col("started (UTC)"),
        Col("time", justify="right"),
    ]
    is_plain = all(one.run.strategy == "single" for one in listed)
    kept = [column for column in columns if not (is_plain and column.name == "strategy")]
    rows = [
        [cell for column, cell in zip(columns, _run_cells(one), strict=True) if column in kept]
        for one in listed
    ]
    hide = [[name] for name in _GOES_FIRST]
    if not is_fitting(kept, rows, width, hide):
        kept[0] = Col("run", least=_LEAST_ID)
    table = hiding_table(kept, rows, width, hide)
    if tasks := limited(task for one in listed for task in one.run.tasks):
        table.caption = Text(f"* {subset_kind(tasks)} only (n of N): {NOT_COMPARABLE}")
        table.caption_justify = "left"
    return table


def mean_cell(mean: RunMean | None) -> Text:
    """A run's mean with its interval; how many parts have a score where not all have one."""
    if mean is None:
        return Text("-", style="dim")
    if math.isnan(mean.score.value):
        return Text(f"{mean.num_scored} of {mean.num_parts} scored", style="dim")
    ends = mean.score.ci_low, mean.score.ci_high
    shown = "no CI" if math.isnan(sum(ends)) else ", ".join(map(number, ends))
    return Text(number(mean.score.value)) + Text(f" [{shown}]", style="dim")


_PROMPT_CHARS = 400


def samples_view(
    samples: Sequence[dict[str, Any]], turns: Sequence[Sequence[TurnRecord]] = ()
) -> Group:
    """Samples one below the other: end of the prompt, response or conversation, answer, target, scores.

    Args:
        samples: rows of `samples`.
        turns: of each; empty where it is no conversation.
    """
    parts: list[RenderableType] = []
    for row, of_sample in zip(samples, turns or [()] * len(samples), strict=True):
        title = plain(f"{row['task']}  doc {row['doc_id']}  repeat {row['repeat']}")
        title.stylize("bold")
        prompt = row["prompt"]
        cut = "..." if len(prompt) > _PROMPT_CHARS else ""
        scores = ", ".join(f"{name} {number(score)}" for name, score in row["scores"].items())
        choices = shown_choices(row["response"], row["choices"], row["chosen"], row["gold"])
        before = {"prompt": cut + prompt[-_PROMPT_CHARS:]}
        texts = {
            "thinking": None if of_sample else row["thinking"],
            **(
                {
                    "choices": "\n".join(map(_choice_line, choices)),
                    "answer": choice_line(choices, next(iter(row["chosen"]), "")),
                }
                if choices
                else {"response": None if of_sample else row["response"], "answer": row["answer"]}
            ),
            "target": row["target"],
            "compared with": row["gold_answer"],
            "error": row["error"],
            "filter": row["filter"],
            "scores": scores or "not scored",
            "finish": f"{row['finish_reason']}, {row['num_generated_tokens']} tokens",
        }
        if of_sample:
            parts += [title, _fields(before), *turns_view(of_sample), _fields(texts), Text()]
        else:
            parts += [title, _fields(before | texts), Text()]
    return Group(*parts)


def _choice_line(choice: ShownChoice) -> str:
    tokens = "" if choice.num_tokens is None else f", {choice.num_tokens} tokens"
    marks = ", ".join([*(["right"] if choice.is_gold else []), *choice.chosen_by])
    return f"{choice.place} {choice.text.strip()} ({choice.logprob:.2f}{tokens})" + (
        f"  <- {marks}" if marks else ""
    )


def rows_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, width: int = 80
) -> Table | Group:
    """Any rows, as returned by a query; each row as a separate block if they are too wide for a table."""
    values = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in values]
    fitted = [
        Col(plain(name).plain, justify="right")
        if _is_number([row[place] for row in values])
        else Col(plain(name).plain, least=max(12, min(20, len(name))))
        for place, name in enumerate(columns)
    ]
    if fits(fitted, cells, width):
        return fitted_table(fitted, cells, width)
    blocks: list[RenderableType] = []
    for row in cells:
        blocks += [_block(dict(zip(columns, row, strict=True))), Text()]
    return Group(*blocks)


def status_text(status: str) -> Text:
    """The status of a run or task in its colour."""
    text = plain(status)
    text.stylize(STATUS_STYLE.get(status, "yellow"))
    return text


def _run_cells(listed: Listed) -> list[Text]:
    run = listed.run
    return [
        plain(run.run_id),
        mean_cell(listed.mean) + Text(" fake" if run.is_fake else "", style="yellow"),
        plain(run.model),
        plain(run.suite),
        status_text(run.status),
        plain(str(run.engine.get("kind") or "-")),
        plain(run.strategy),
        Text(str(len(run.tasks)) + "*" * bool(limited(run.tasks))),
        Text(_docs(run)),
        Text(str(sum(task.num_errors for task in run.tasks) or "-")),
        plain(run.started_at[:16].replace("T", " ")),
        Text(duration(run.wall_s)),
    ]


def _docs(run: Manifest) -> str:
    num, available = (
        sum(getattr(t, n) for t in run.tasks) for n in ("num_docs", "num_docs_available")
    )
    return f"{num} of {available}*" if limited(run.tasks) else str(num)


def _fields(texts: dict[str, str | None]) -> Table:
    return _block(
        {name: plain(text, keep_lines=True) for name, text in texts.items() if text is not None}
    )


def _block(cells: dict[str, Text]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, cell in cells.items():
        table.add_row(plain(name), cell)
    return table


def _is_number(values: Sequence[Any]) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in found
    )


def _cell(value: Any) -> Text:
    match value:
        case None:
            return Text("null", style="dim")
        case float():
            return Text(f"{value:.6g}")
    text = str(value)
    return plain(text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + "...")
