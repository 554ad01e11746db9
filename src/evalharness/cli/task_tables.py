"""What `evalharness task ...` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from evalharness.engines.requests import changed_settings
from evalharness.report.terminal.format import plain, styled
from evalharness.report.terminal.table_layout import (
    Col,
    fitted_table,
)

if TYPE_CHECKING:
    from rich.table import Table

    from evalharness.cli.task_check import Checked
    from evalharness.runner.preview import Preview
    from evalharness.tasks.authoring.list_tasks import TaskRow

_SPECIAL = "bold magenta"
_FEWSHOT_WIDTH = 100
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def result_lines(result: Checked, *, strict: bool) -> Iterator[Text]:
    """A line for each fix and defect of a task; one that says it is fine if nothing counts."""
    name = plain(result.name)
    if result.problem:
        yield Text.assemble(name, ": ", ("error", _STYLES["error"]), ": ", plain(result.problem))
        return
    for what in result.fixed:
        yield Text.assemble(name, ": ", ("fixed", "bold green"), ": README.md: ", plain(what))
    for level, what, where in result.defects:
        yield Text.assemble(
            name, ": ", (level, _STYLES[level]), ": ", plain(where), ": ", plain(what)
        )
    if not result.counts(strict=strict):
        yield Text.assemble(name, ": ", ("ok", "bold green"), f" ({result.summary})")


def rows_table(rows: Sequence[TaskRow], width: int) -> Table:
    """Tasks with kind, docs and source, and whether `run` takes their names."""
    columns = [
        Col("task", least=16),
        Col("kind"),
        Col("runs", least=4, overflow="ellipsis"),
        Col("n", justify="right"),
        Col("source", least=10, overflow="ellipsis"),
        Col("where", least=8, overflow="ellipsis"),
    ]
    cells = [
        [
            plain(row.name),
            Text(row.kind, style=_STYLES["error"] if row.kind == "broken" else ""),
            styled(row.cannot_run, _STYLES["warning"]) if row.cannot_run else Text("yes"),
            Text("-" if row.num_docs is None else str(row.num_docs)),
            plain(row.source or "-"),
            plain(row.place),
        ]
        for row in rows
    ]
    return fitted_table(columns, cells, width)


def preview_view(shown: Preview, *, is_coloured: bool, with_tokens: bool) -> Group:
    """The prompt as it is sent, with its settings."""
    head = Text(f"{shown.task}, doc {shown.doc_id}, {shown.kind}", style="bold")
    parts = [head, Text("prompt " + "─" * 60, style="dim")]
    parts += [_prompt(shown, is_coloured=is_coloured), Text("─" * 67, style="dim")]
    parts += [Text.assemble((f"{label:<10}", "bold"), value) for label, value in _facts(shown)]
    if with_tokens:
        parts += [_token_line(place, shown, is_coloured) for place in range(len(shown.tokens))]
    return Group(*parts)


def _prompt(shown: Preview, *, is_coloured: bool) -> Text:
    """The tokens as one text, special ones marked; characters of several tokens come from the prompt itself."""
    text = Text()
    rest = shown.prompt
    for place, token in enumerate(shown.tokens):
        if not token.is_special:
            continue
        before, found, after = rest.partition(token.text)
        if not found or (place == 0 and before):  # the tokenizer added it
            text.append(_special(token.text, is_coloured))
            continue
        text.append(plain(before, keep_lines=True))
        text.append(_special(token.text, is_coloured))
        rest = after
    text.append(plain(rest, keep_lines=True))
    return text


def _special(text: str, is_coloured: bool) -> Text:
    return Text(text, style=_SPECIAL) if is_coloured else Text(f"[{text}]")


def _token_line(place: int, shown: Preview, is_coloured: bool) -> Text:
    token = shown.tokens[place]
    text = _special(token.text, is_coloured) if token.is_special else Text(repr(token.text))
    return Text.assemble((f"{place:>6}  {token.id:>7}  ", "dim"), text)


def _facts(shown: Preview) -> Iterator[tuple[str, Text]]:
    if shown.problem:
        yield "problem", Text(shown.problem, style=_STYLES["error"])
    several = f", the first of {shown.num_requests} requests" if shown.num_requests > 1 else ""
    yield "tokens", Text(f"{len(shown.tokens)} of {shown.max_model_len}{several}")
    if shown.is_cut:
        yield "cut", Text("the oldest tokens are dropped to fit", style=_STYLES["warning"])
    doubled = _STYLES["warning"] if shown.has_doubled_bos else ""
    yield "BOS", Text(_bos(shown), style=doubled)
    yield "template", Text("chat template" if shown.is_chat else "none (plain prompt)")
    if shown.is_without_system:
        what = "left out: the chat template takes none (the task's description, model.system_instruction)"
        yield "system", Text(what, style=_STYLES["warning"])
    if shown.template_date:
        yield "date", plain(f"{shown.template_date}, written by the template (model.template_date)")
    for remark in shown.remarks:
        yield "note", plain(remark)
    yield "few-shots", Text(str(shown.num_fewshot))
    for doc in shown.fewshots:
        yield "", plain(str(doc)[:_FEWSHOT_WIDTH])
    if shown.sampling:
        yield "stops", plain(", ".join(map(repr, shown.sampling.stop)) or "none")
        yield "sampling", Text(_sampling(shown))
    for choice in shown.choices:
        apart = (
            ", encoded apart: one token would span it and the context" if choice.is_split else ""
        )
        tokens = f" ({choice.num_tokens} tokens{apart})"
        yield "choice", Text.assemble(plain(repr(choice.text)), tokens)
    yield "target", plain(shown.target)
    if shown.is_multiturn:
        yield "turns", Text("several: the task continues from here")


def _bos(shown: Preview) -> str:
    places = shown.bos_places
    if not places:
        return "none"
    if places[:2] == (0, 1):
        return "twice at the start: one of them is too many"
    start = "at the start" if places[0] == 0 else f"first at token {places[0]}"
    more = f", {len(places)} in all" if len(places) > 1 else ""
    return start + more + (": one of them is too many" if shown.has_doubled_bos else "")


def _sampling(shown: Preview) -> str:
    sampling = shown.sampling
    assert sampling is not None
    drawn = f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}"
    how = drawn if sampling.temperature else "greedy"
    more = (f"{name} {value}" for name, value in changed_settings(sampling) if name not in _SHOWN)
    return ", ".join([how, f"up to {sampling.max_gen_toks} tokens", *more])


_SHOWN = ("temperature", "top_p", "max_gen_toks", "seed", "stop")
