"""Terminal tables of runs, samples and query results: records or rows in, rich renderables out.

Names and texts come from datasets and models: they are shown as plain text, never as markup.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalharness.report.terminal.format import (
    duration,
    number,
    plain,
)
from evalharness.report.terminal.table_layout import (
    WIDE,
    Col,
    fits,
    fitted_table,
)
from evalharness.store.records import Manifest
from evalharness.store.subset_words import (
    NOT_COMPARABLE,
    limited,
    subset_kind,
)

STATUS_STYLE = {"complete": "green", "running": "cyan", "failed": "red"}

_LONGEST_CELL = 300


def runs_table(manifests: Sequence[Manifest], *, width: int = 80) -> Table:
    """One row per run, in the order given; `width` (of the terminal) decides which columns are shown."""
    columns = [
        Col("run", least=44 if width >= WIDE else 38),
        Col("model", least=8, overflow="ellipsis"),
        Col("suite", least=6, overflow="ellipsis"),
        Col("status"),
        Col("tasks", justify="right"),
        Col("docs", justify="right"),
        Col("errors", justify="right"),
        Col("started (UTC)"),
        Col("wall", justify="right"),
    ]
    hidden = set() if width >= WIDE else {"docs", "errors", "started (UTC)"}
    shown = [place for place, column in enumerate(columns) if column.name not in hidden]
    rows = [_run_cells(run) for run in manifests]
    table = fitted_table(
        [columns[place] for place in shown],
        [[row[place] for place in shown] for row in rows],
        width,
    )
    if tasks := limited(task for run in manifests for task in run.tasks):
        table.caption = Text(f"* {subset_kind(tasks)} only (n of N): {NOT_COMPARABLE}")
        table.caption_justify = "left"
    return table


def samples_view(samples: Iterable[dict[str, Any]], *, prompt_chars: int = 400) -> Group:
    """Samples (rows of `samples`) one below the other: end of the prompt, response, answer, target, scores."""
    parts: list[RenderableType] = []
    for row in samples:
        title = plain(f"{row['task']}  doc {row['doc_id']}  repeat {row['repeat']}")
        title.stylize("bold")
        prompt = row["prompt"]
        cut = "..." if len(prompt) > prompt_chars else ""
        scores = ", ".join(f"{name} {number(score)}" for name, score in row["scores"].items())
        texts = {
            "prompt": cut + prompt[-prompt_chars:],
            **{name: row[name] for name in ("thinking", "response", "answer", "target", "error")},
            "filter": row["filter"],
            "scores": scores or "not scored",
            "finish": f"{row['finish_reason']}, {row['num_generated_tokens']} tokens",
        }
        parts += [title, _fields(texts), Text()]
    return Group(*parts)


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


def _run_cells(run: Manifest) -> list[Text]:
    return [
        plain(run.run_id),
        plain(run.model),
        plain(run.suite),
        status_text(run.status),
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
