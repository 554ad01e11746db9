"""A model entry for a checkpoint that has none: YAML as in configs/model, guessed from the Hub's data.

Names, tags and licences on the Hub are untrusted: only plain characters of them are written to an entry, as Hydra would
interpret `${...}`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from evalharness.config.naming import entry_name, family_of, variant_of
from evalharness.errors import WriteError
from evalharness.trend.hub.records import (
    Checkpoint,
    Entry,
)

_PLAIN = re.compile(r"[\w.+ -]+", re.ASCII)
_UNKNOWN_BEFORE = "2022-03-03"
"""The Hub dates everything older to the day before this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A new entry, or the existing one."""

    checkpoint: Checkpoint
    name: str
    text: str
    """YAML."""
    is_known: bool = False
    """Whether there is an entry with this Hub id already."""
    path: str | None = None
    """Its file, if it was written or existed before."""
    is_written: bool = False


def drafts(checkpoints: Iterable[Checkpoint], known: Sequence[Entry], endpoint: str) -> list[Draft]:
    """An entry for each, with a unique name. A parent may be among them."""
    entries = {entry.hub_id.lower(): entry for entry in known}
    names = {entry.name for entry in known}
    new = []
    for checkpoint in sorted(checkpoints, key=lambda item: (item.created_at or "", item.hub_id)):
        key = checkpoint.hub_id.lower()
        is_known = key in entries
        if not is_known:
            name = entry_name(checkpoint.hub_id, names)
            names.add(name)
            repo = checkpoint.hub_id.split("/")[1]
            family = family_of(repo, filter(None, (entry.family for entry in known)))
            entries[key] = Entry(name, checkpoint.hub_id, family)
        new.append((checkpoint, is_known))
    return [
        Draft(
            checkpoint=checkpoint,
            name=entries[checkpoint.hub_id.lower()].name,
            text=_text(checkpoint, entries, endpoint),
            is_known=is_known,
        )
        for checkpoint, is_known in new
    ]


def write_drafts(found: Iterable[Draft], folder: Path) -> list[Draft]:
    """Write those that have no entry as <folder>/<name>.yaml; an existing file is not changed.

    Raises:
        WriteError: the folder can't be written.
    """
    return [draft if draft.is_known else _write(draft, folder) for draft in found]


def _write(draft: Draft, folder: Path) -> Draft:
    path = folder / f"{draft.name}.yaml"
    if path.exists():
        return replace(draft, path=str(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(draft.text)
    except OSError as e:
        raise WriteError.of(e, path) from e
    return replace(draft, path=str(path), is_written=True)


def _text(checkpoint: Checkpoint, entries: dict[str, Entry], endpoint: str) -> str:
    entry = entries[checkpoint.hub_id.lower()]
    bases = [entries[base.lower()] for base in checkpoint.base_models if base.lower() in entries]
    parent = bases[0].name if len(checkpoint.base_models) == len(bases) == 1 else None
    date = (checkpoint.created_at or "")[:10]
    has_date = date >= _UNKNOWN_BEFORE
    is_plain = checkpoint.license and _PLAIN.fullmatch(checkpoint.license)
    values: dict[str, Any] = {
        "name": entry.name,
        "hub_id": checkpoint.hub_id,
        "family": entry.family,
        "variant": variant_of(
            checkpoint.hub_id.split("/")[1], has_chat_template=checkpoint.has_chat_template
        ).value,
        "release_date": date if has_date else None,
        "release_source": f"{endpoint}/{checkpoint.hub_id}" if has_date else None,
        "parent": parent if parent != entry.name else None,
        "is_text_only": checkpoint.pipeline != "text-generation" or None,
        "license": checkpoint.license if is_plain else None,
    }
    kept = {name: value for name, value in values.items() if value is not None}
    notes = _folded(" ".join(_notes(checkpoint, has_date, parent)))
    return f"{yaml.safe_dump(kept, sort_keys=False, width=1000)}notes: >-\n{notes}\n"


def _folded(text: str) -> str:
    """Lines of a folded YAML block."""
    return textwrap.fill(
        text,
        100,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _notes(checkpoint: Checkpoint, has_date: bool, parent: str | None) -> Iterable[str]:
    yield "Drafted from the Hub: family and variant are guesses."
    if has_date:
        yield "The date is the day on which the repository was made."
    else:
        yield "The Hub has no date."
    if checkpoint.base_models and parent is None:
        yield f"Made from {', '.join(filter(_is_plain_id, checkpoint.base_models))}."
    if checkpoint.is_gated:
        yield "Gated: accept the licence on the Hub first."
    if not checkpoint.has_safetensors:
        yield "Weights come as .bin (pickle): needs model.allow_pickle=true."
    if not checkpoint.is_transformers:
        yield "The Hub doesn't list it as a transformers checkpoint: check its files first."


def _is_plain_id(hub_id: str) -> bool:
    return _PLAIN.fullmatch(hub_id.replace("/", "-")) is not None
