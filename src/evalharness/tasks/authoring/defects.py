"""What `task check` finds: a line for each problem of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

Level: TypeAlias = Literal["error", "warning", "note"]
"""An error makes numbers wrong, a warning makes them less reliable than they seem, a note is a rule of this house."""
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

_MOST_NAMED = 3
"""Most docs that a line names."""


class Defect(NamedTuple):
    """A problem of a task."""

    level: Level
    what: str
    where: str
    """A field of the YAML, a file of the folder, or `docs`."""


def named_docs(places: Sequence[int]) -> str:
    """'doc 3', 'docs 3, 7 and 9', 'docs 3, 7, 9 and 40 more'."""
    shown = [str(place) for place in places[:_MOST_NAMED]]
    if len(places) == 1:
        return f"doc {shown[0]}"
    if len(places) > _MOST_NAMED:
        return f"docs {', '.join(shown)} and {len(places) - _MOST_NAMED} more"
    return f"docs {', '.join(shown[:-1])} and {shown[-1]}"
