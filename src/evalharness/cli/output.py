"""The one switch of every verb that shows something: for a terminal, as JSON, as CSV or as Markdown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import typer

from evalharness.cli.streams import is_utf8
from evalharness.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

Form: TypeAlias = Literal["table", "json", "csv", "md"]
Rows: TypeAlias = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Columns, and rows with a value for each."""


def chosen_form(*, as_json: bool = False, as_csv: bool = False, as_markdown: bool = False) -> Form:
    """The form that the options ask for; a table if none does.

    Raises:
        UserError: several are given.
    """
    wanted: dict[Form, bool] = {"json": as_json, "csv": as_csv, "md": as_markdown}
    given = [form for form, is_given in wanted.items() if is_given]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(f'--{form}' for form in given)}: only one of them can be given"
        )
    return given[0] if given else "table"


def show(
    form: Form,
    *,
    view: Callable[[int], RenderableType],
    content: Callable[[], Any],
    rows: Callable[[], Rows] | None = None,
    markdown: Callable[[], str] | None = None,
) -> None:
    """Print what a verb found, in the form that is asked for; only that form is made.

    Args:
        form: the form to print; a form that the verb has no option for needs no argument here.
        view: makes what a terminal of the given width shows.
        content: makes the content of the JSON.
        rows: makes the rows of the CSV.
        markdown: makes the whole Markdown text.
    """
    if form == "json":
        print_json(content())
    elif form == "csv" and rows is not None:
        from evalharness.report.export import as_csv

        print_data(as_csv(*rows()))
    elif form == "md" and markdown is not None:
        print_data(markdown())
    else:
        print_view(view)


def show_rows(form: Form, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows that have no view of their own: an object each in JSON, a plain table on a terminal."""
    from evalharness.report.terminal.run_list import rows_table

    show(
        form,
        view=lambda width: rows_table(names, rows, width=width),
        content=lambda: [dict(zip(names, row, strict=True)) for row in rows],
        rows=lambda: (names, rows),
    )


def print_view(view: Callable[[int], RenderableType]) -> None:
    """Print a view, made for the width of the terminal."""
    from evalharness.report.terminal.console import console

    out = console()
    out.print(view(out.width), crop=False)  # a path is whole, so that it can be copied


def print_json(content: Any) -> None:
    """Print JSON: NaN is null; what the terminal's encoding lacks, and a lone surrogate, is escaped."""
    from evalharness.store.json_codec import as_json

    text = json.dumps(as_json(content), ensure_ascii=not is_utf8(sys.stdout.encoding), indent=2)
    typer.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def print_data(text: str) -> None:
    """Print text for other programs: in UTF-8, whatever the terminal's encoding is."""
    typer.echo(text if is_utf8(sys.stdout.encoding) else text.encode("utf-8"), nl=False)


def print_lines(lines: Iterable[str], *, to_stderr: bool = False) -> None:
    """Print lines that may hold untrusted text of files and models."""
    from evalharness.report.terminal.format import plain

    for line in lines:
        typer.echo(plain(line).plain, err=to_stderr)
