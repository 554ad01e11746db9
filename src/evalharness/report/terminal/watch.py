"""The result of `watch`: a line per organisation or family, the new checkpoints, and a model entry for each."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from evalharness.report.terminal.format import plain
from evalharness.report.terminal.table_layout import (
    Col,
    fitted_table,
)
from evalharness.store.json_codec import as_json
from evalharness.trend.hub.draft_entries import Draft
from evalharness.trend.hub.records import (
    Checkpoint,
    Look,
)

MOST_SHOWN = 10
"""Checkpoints of a first look."""

_COLUMNS = (
    Col("checkpoint", least=24),
    Col("created"),
    Col("task", least=10, overflow="ellipsis"),
    Col("gated"),
    Col("made from", least=12),
)


def watch_view(looks: Sequence[Look], drafts: Sequence[Draft], *, width: int = 80) -> Group:
    """Each source's line, the result of a first look, what is new, and the entries that were written.

    Args:
        looks: one per organisation or family.
        drafts: an entry for each new checkpoint.
        width: of the terminal.
    """
    parts: list[RenderableType] = [line for look in looks for line in _said(look)]
    first = newest(looks)
    if first:
        parts += [Text(), Text(f"newest {len(first)} of the first look", style="bold")]
        parts.append(_table(first, width))
    if drafts:
        parts += [Text(), Text(f"{len(drafts)} new", style="bold")]
        parts.append(_table([draft.checkpoint for draft in drafts], width))
        parts += [line for draft in drafts if (line := _entry(draft))]
    return Group(*parts)


def watch_as_json(
    looks: Sequence[Look], drafts: Sequence[Draft], *, looked_at: str, endpoint: str
) -> dict[str, Any]:
    """The same for programs."""
    result: dict[str, Any] = as_json(
        {
            "looked_at": looked_at,
            "endpoint": endpoint,
            "num_new": len(drafts),
            "sources": [_source_fields(look) for look in looks],
            "new": [_draft_fields(draft) for draft in drafts],
            "newest_of_first_look": [asdict(item) for item in newest(looks)],
        }
    )
    return result


def entries_view(drafts: Iterable[Draft]) -> Text:
    """The entries that weren't written, to be copied: print it with soft_wrap, so that no line is broken or cut."""
    texts = [
        f"\n# configs/model/{draft.name}.yaml\n{draft.text}"
        for draft in drafts
        if not draft.is_known and draft.path is None
    ]
    return plain("".join(texts).rstrip("\n"), keep_lines=True)


def newest(looks: Iterable[Look]) -> list[Checkpoint]:
    """The newest checkpoints of first looks, each once."""
    found = {item.hub_id: item for look in looks if look.since is None for item in look.found}
    ordered = sorted(found.values(), key=lambda item: item.created_at or "", reverse=True)
    return ordered[:MOST_SHOWN]


def _said(look: Look) -> Iterable[Text]:
    if look.since is None:
        text = f"{len(look.found)} checkpoints; first look: from now on new ones are reported"
    else:
        when = look.since[:16].replace("T", " ")
        text = f"{len(look.found)} checkpoints, {len(look.new)} new since {when} UTC"
    yield plain(f"{look.source}: {text}")
    if not look.found:
        yield Text("  no checkpoints of language models there: is the name spelt correctly?")
    if look.is_cut:
        yield Text(
            "  only its newest repositories were checked; a longer --family finds all of them"
        )


def _table(checkpoints: Iterable[Checkpoint], width: int) -> RenderableType:
    rows = [
        [
            plain(item.hub_id),
            plain((item.created_at or "-")[:10]),
            plain(item.pipeline),
            Text("yes" if item.is_gated else "no"),
            plain(", ".join(item.base_models) or "-"),
        ]
        for item in checkpoints
    ]
    return fitted_table(_COLUMNS, rows, width)


def _entry(draft: Draft) -> Text | None:
    if draft.is_known:
        return plain(f"{draft.checkpoint.hub_id} is model={draft.name} already")
    if draft.is_written:
        return plain(f"{draft.path}: written; check it before a run")
    return plain(f"{draft.path} exists and was not changed") if draft.path else None


def _source_fields(look: Look) -> dict[str, Any]:
    return {
        "source": look.source,
        "is_first": look.since is None,
        "since": look.since,
        "num_checkpoints": len(look.found),
        "num_new": len(look.new),
        "is_cut": look.is_cut,
    }


def _draft_fields(draft: Draft) -> dict[str, Any]:
    entry = {
        "name": draft.name,
        "yaml": draft.text,
        "is_known": draft.is_known,
        "path": draft.path,
        "is_written": draft.is_written,
    }
    return {**asdict(draft.checkpoint), "entry": entry}
