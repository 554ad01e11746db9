"""A team's Markdown tracker: the block between two comment markers, and nothing outside it.

    <!-- evalharness:tracker -->
    ... kept current by `evalharness trend --tracker FILE.md`
    <!-- /evalharness:tracker -->

The block ends with a comment that stores the current and the previous value of each metric, from which the next update
shows what changed. The same numbers make the same block.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.errors import UserError
from evalharness.report import markdown as md
from evalharness.report.terminal.format import (
    number,
    signed,
)
from evalharness.trend.hub.watch import Release
from evalharness.trend.tracker import (
    Watched,
    as_state,
)

BEGIN = "<!-- evalharness:tracker -->"
END = "<!-- /evalharness:tracker -->"
_STATE = "<!-- evalharness:state "
_MOST_RELEASES = 10


def updated(document: str, rows: Sequence[Watched], releases: Sequence[Release]) -> str:
    """The document with its block updated; a document without one gets it at its end.

    Args:
        document: Markdown.
        rows: the watched metrics.
        releases: the newest checkpoints that `watch` found.

    Raises:
        UserError: one marker without the other, or several.
    """
    counts = document.count(BEGIN), document.count(END)
    if counts not in ((0, 0), (1, 1)) or (
        counts[0] and document.index(BEGIN) > document.index(END)
    ):
        raise UserError(
            f"tracker: {counts[0]} of {BEGIN} and {counts[1]} of {END}: one of each is needed, in this order, or none"
        )
    if counts == (0, 0):
        gap = (
            ""
            if not document or document.endswith("\n\n")
            else "\n" * (2 - document.endswith("\n"))
        )
        return f"{document}{gap}{_block(rows, releases, {})}\n"
    start, end = document.index(BEGIN), document.index(END) + len(END)
    before = _read_state(document[start:end])
    return document[:start] + _block(rows, releases, before) + document[end:]


def _block(rows: Sequence[Watched], releases: Sequence[Release], before: Mapping[str, Any]) -> str:
    state = {}
    now = as_state(rows)
    cells = []
    for row in rows:
        held = before.get(row.key, {})
        old = held.get("now")
        # An unchanged number keeps its last change.
        previous = held.get("previous") if old == now.get(row.key) else old
        cells.append(_cells(row, previous))
        if row.key in now:
            state[row.key] = {"now": now[row.key], "previous": previous}
    lines = [BEGIN, *md.table(["watched", "value", "of", "date", "change", "run"], cells)]
    if releases:
        lines += ["", "Recent releases:", ""]
        lines += [_release(repo) for repo in releases[:_MOST_RELEASES]]
    # "--" would end the comment.
    held_text = json.dumps(state, sort_keys=True, ensure_ascii=True).replace("-", "\\u002d")
    return "\n".join([*lines, "", f"{_STATE}{held_text} -->", END])


def _cells(row: Watched, previous: Mapping[str, Any] | None) -> list[str]:
    if not row.is_measured:
        return [row.name, "not measured", "", "", "", ""]
    remark = f" ({md.escaped(row.remark)})" if row.remark else ""
    return [
        md.escaped(row.name),
        _value(row),
        md.escaped(row.subject) + remark,
        row.date,
        _change(row, previous),
        f"`{md.escaped(row.run_id)}`" if row.run_id else "",
    ]


def _value(row: Watched) -> str:
    if row.value is None:
        return "-"
    bounds = ""
    if row.ci_low is not None and row.ci_high is not None:
        bounds = f" [{number(row.ci_low)}, {number(row.ci_high)}]"
    return f"{number(row.value)}{bounds} {row.unit}".rstrip()


def _change(row: Watched, previous: Mapping[str, Any] | None) -> str:
    if not previous or previous.get("value") is None or row.value is None:
        return "first"
    moved = (
        f"{signed(row.value - float(previous['value']))} since {md.escaped(str(previous['date']))}"
    )
    if previous.get("subject") != row.subject:
        moved += f", was {md.escaped(str(previous['subject']))}"
    return moved


def _release(repo: Release) -> str:
    day = f", {repo.created_at[:10]}" if repo.created_at else ""
    return f"- {md.escaped(repo.hub_id)}{day}"


def _read_state(block: str) -> dict[str, Any]:
    """The content of the block; empty if an edit has made it unreadable."""
    start = block.find(_STATE)
    if start < 0:
        return {}
    text = block[start + len(_STATE) : block.find("-->", start)]
    try:
        state = json.loads(text)
    except ValueError:
        return {}
    is_sound = isinstance(state, dict) and all(isinstance(v, dict) for v in state.values())
    return state if is_sound else {}
