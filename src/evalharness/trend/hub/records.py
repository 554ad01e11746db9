"""What the Hub said, as records: a model's counts at one time, and checkpoints with what an entry needs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

RELATIONS = ("adapter", "finetune", "merge", "quantized")
"""How a repository can declare that it was made from another."""


class Entry(NamedTuple):
    """What is needed here of a file in configs/model; a model that has none is named by its Hub id."""

    name: str
    hub_id: str
    family: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What the Hub said of one model at one time. None is unknown, never 0."""

    model: str
    """The entry's name, or the Hub id of a model without one."""
    hub_id: str
    """As it was asked for."""
    renamed_to: str | None = None
    """The id under which the Hub answered, where that is another."""
    error: str | None = None
    """Why something below is unknown."""
    downloads: int | None = None
    """In the last 30 days: a rolling window, so that its change is no flow."""
    downloads_all_time: int | None = None
    likes: int | None = None
    trending_score: float | None = None
    created_at: str | None = None
    """ISO date and time; the Hub knows none before 2022-03-02."""
    base_models: tuple[str, ...] = ()
    """Hub ids that the repository says it was made from."""
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
    """Sightings of several models, taken one after the other."""

    taken_at: str
    """UTC, ISO, to the millisecond; when it began."""
    endpoint: str
    """The Hub that was asked."""
    models: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A repository with weights of a language model."""

    hub_id: str
    created_at: str | None
    """ISO date and time; None where the Hub doesn't know it."""
    base_models: tuple[str, ...] = ()
    license: str | None = None
    pipeline: str = ""
    """The Hub's task, e.g. text-generation."""
    is_gated: bool = False
    has_chat_template: bool = False
    has_safetensors: bool = False
    is_transformers: bool = False
    """transformers can load it; otherwise its files are in a format of their own."""

    @property
    def org(self) -> str:
        """Whose it is."""
        return self.hub_id.split("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one organisation or family has, and what of it is new since the last look."""

    source: str
    """org:<name> | family:<text>"""
    since: str | None
    """When it was looked at before (UTC, ISO); None: never."""
    found: tuple[Checkpoint, ...]
    """All that count, newest first."""
    new: tuple[Checkpoint, ...]
    """Those that weren't there before; empty on the first look."""
    is_cut: bool = False
    """There may be more than were listed."""
