"""The Hub's view of the files in configs/model: names, Hub ids, families."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from evalharness.config.entries import (
    ModelEntry,
    find_entry,
    usable_entries,
)
from evalharness.errors import UserError, did_you_mean, then
from evalharness.trend.hub.records import Entry

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_LINE = "llama"
"""The family whose makers are watched by default."""


def is_hub_id(text: str) -> bool:
    """Whether the text has the form organisation/name."""
    return _HUB_ID.fullmatch(text) is not None and ".." not in text


def known_entries() -> list[Entry]:
    """Every entry with a Hub id; a warning is logged for a file that can't be read."""
    return [known for entry in usable_entries() if (known := _known(entry)) is not None]


def wanted(models: Sequence[str], known: Iterable[Entry]) -> list[Entry]:
    """The entries for names and Hub ids, each once.

    Raises:
        UserError: a name has no entry, or its entry has no Hub id.
    """
    by_name = {entry.name: entry for entry in known}
    by_id = {entry.hub_id.lower(): entry for entry in by_name.values()}
    found: dict[str, Entry] = {}
    for model in models:
        entry = by_name.get(model) or by_id.get(model.lower())
        if entry is None and is_hub_id(model):
            entry = Entry(name=model, hub_id=model)
        if entry is None:
            raise UserError(_unknown(model, by_name))
        found.setdefault(entry.hub_id.lower(), entry)
    return list(found.values())


def makers(known: Iterable[Entry]) -> list[str]:
    """Organisations of the Llama models that aren't made from others."""
    firsts = (
        entry
        for entry in known
        if not entry.parent and (entry.family or "").lower().startswith(_LINE)
    )
    return sorted({entry.hub_id.split("/")[0] for entry in firsts})


def _unknown(model: str, by_name: Iterable[str]) -> str:
    if find_entry(model) is not None:
        return f"model {model!r} has no hub_id; give a Hub id (organisation/name)"
    return (
        f"{model!r} is neither a name in configs/model nor a Hub id (organisation/name)"
        f"{then(did_you_mean(model, by_name), '`evalharness model list` shows all names')}"
    )


def _known(entry: ModelEntry) -> Entry | None:
    values = entry.values
    if not isinstance(hub_id := values.get("hub_id"), str):
        return None
    family, parent = values.get("family"), values.get("parent")
    return Entry(
        name=entry.name,
        hub_id=hub_id,
        family=str(family) if family else None,
        parent=str(parent) if parent else None,
    )
