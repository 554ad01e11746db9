"""What a page is made of. Texts are as their source has them: the template escapes them, `render` cleans them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


class Column(NamedTuple):
    """Of a table."""

    name: str
    is_number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text; the first cell names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    is_board: bool = False
    """Whether its columns are equally wide, so that it scrolls by whole ones."""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure with its numbers."""

    key: str
    """Its id in the page."""
    caption: str
    summary: str
    """Description for readers who can't see it."""
    figure: Mapping[str, Any]
    """The figure for plotly, with colours by their names in the style (`charts.Colour`)."""
    data: Table
    height: int = 420
    """Pixels."""
    kind: Literal["chart"] = "chart"


class Link(NamedTuple):
    """A source, or a place on the page."""

    text: str
    url: str


class Fact(NamedTuple):
    """One of the numbers at the top of the page."""

    name: str
    value: str
    lines: tuple[str, ...] = ()
    link: Link | None = None
    """How it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The numbers side by side."""

    facts: tuple[Fact, ...]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Sentences, each a paragraph or an item of a list."""

    lines: tuple[str, ...]
    is_list: bool = False
    kind: Literal["words"] = "words"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Heading of a part of a section."""

    text: str
    kind: Literal["heading"] = "heading"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How one kind of number is made."""

    name: str
    text: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Methods:
    """All of them."""

    methods: tuple[Method, ...]
    kind: Literal["methods"] = "methods"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Blocks that are shown on demand."""

    title: str
    blocks: tuple[Block, ...]
    kind: Literal["fold"] = "fold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Charts next to each other if there is room."""

    charts: tuple[Chart, ...]
    is_small: bool = False
    kind: Literal["beside"] = "beside"


Block = Table | Chart | Facts | Words | Heading | Methods | Fold | Beside


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page with its entry in the contents."""

    key: str
    title: str
    blocks: tuple[Block, ...] = ()
    """Without any, the section isn't shown."""
    missing: tuple[str, ...] = ()
    """What isn't measured yet, and the command that would: a line each in the list at the page's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole page."""

    title: str
    made_at: str
    version: str
    sections: tuple[Section, ...]


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose columns of numbers are named with a leading `#`."""
    heads = tuple(Column(name.removeprefix("#"), name.startswith("#")) for name in columns)
    return Table(caption=caption, columns=heads, rows=tuple(tuple(row) for row in rows))


def words(*lines: str) -> Words:
    """Paragraphs; empty ones are left out."""
    return Words(lines=tuple(line for line in lines if line))


def charts_in(blocks: Sequence[Block]) -> list[Chart]:
    """All charts, in their order on the page."""
    found: list[Chart] = []
    for block in blocks:
        match block:
            case Chart():
                found.append(block)
            case Beside():
                found += block.charts
            case Fold():
                found += charts_in(block.blocks)
    return found
