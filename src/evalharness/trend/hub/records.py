"""Data of the Hub as records: a model's counts at one time, and checkpoints with the fields of an entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

RELATIONS = ("adapter", "finetune", "merge", "quantized")
"""Relations by which a repository declares that it was made from another."""


class Entry(NamedTuple):
    """The needed fields of a file in configs/model; a model without one is named by its Hub id."""

    name: str
    hub_id: str
    family: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The Hub's data on one model at one time. None is unknown, never 0."""

    model: str
    """The entry's name, or the Hub id of a model without one."""
    hub_id: str
    """The id in the request."""
    renamed_to: str | None = None
    """The id in the Hub's answer, if that differs."""
    error: str | None = None
    """Why something below is unknown."""
    downloads: int | None = None
    """In the last 30 days: a rolling window, so its change is not a rate."""
    downloads_all_time: int | None = None
    likes: int | None = None
    trending_score: float | None = None
    created_at: str | None = None
    """ISO date and time; the Hub has none before 2022-03-02."""
    base_models: tuple[str, ...] = ()
    """Hub ids that the repository declares it was made from."""
    gated: str | None = None
    """no | auto | manual"""
    params_total: int | None = None
    """Of the safetensors files."""
    num_spaces: int | None = None
    """The Hub lists 100 at most."""
    children_model_count: int | None = None
    """The Hub's own count of direct derivatives."""
    num_adapters: int | None = None
    num_finetunes: int | None = None
    num_merges: int | None = None
    num_quantized: int | None = None
    num_derivatives: int | None = None
    """All repositories that name this one as a base, listed and counted; direct children only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Data on several models, taken one after the other."""

    taken_at: str
    """Start time: UTC, ISO, to the millisecond."""
    endpoint: str
    """Address of the Hub."""
    models: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A repository with weights of a language model."""

    hub_id: str
    created_at: str | None
    """ISO date and time; None if the Hub doesn't have it."""
    base_models: tuple[str, ...] = ()
    license: str | None = None
    pipeline: str = ""
    """The Hub's task, e.g. text-generation."""
    is_gated: bool = False
    has_chat_template: bool = False
    has_safetensors: bool = False
    is_transformers: bool = False
    """Whether transformers can load it; otherwise its files are in another format."""

    @property
    def org(self) -> str:
        """Whose it is."""
        return self.hub_id.split("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The checkpoints of one organisation or family, and which are new since the last look."""

    source: str
    """org:<name> | family:<text>"""
    since: str | None
    """Time of the previous look (UTC, ISO); None if there was none."""
    found: tuple[Checkpoint, ...]
    """All checkpoints that count, newest first."""
    new: tuple[Checkpoint, ...]
    """Those that are new; empty on the first look."""
    is_cut: bool = False
    """Whether there may be more than were listed."""
