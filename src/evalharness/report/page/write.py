"""The report on disk: `index.html` for people and `report.json` for programs and for the next report.

`report.json` is `{"schema_version": 1, "evalharness": ..., "made_at": ..., "state": ..., "changes": ..., "trend": ...,
"checkpoints": ..., "cmr": ..., "lineages": ..., "adoption": ..., "runs": ...}`; `state` and `checkpoints` are what the next
report into the same folder is compared with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalharness import __version__
from evalharness.errors import UserError
from evalharness.report.page.adoption import adoption_section
from evalharness.report.page.blocks import Page, Section, Words
from evalharness.report.page.changes import (
    SCHEMA_VERSION,
    State,
    as_fields,
    changes,
    read_state,
    state_of,
)
from evalharness.report.page.cmr import cmr_section
from evalharness.report.page.collect import (
    CompositeRun,
    Findings,
    gather,
)
from evalharness.report.page.effort import effort_section
from evalharness.report.page.headline import headline_section
from evalharness.report.page.leaderboard import leaderboard_section
from evalharness.report.page.lineages import drift_section, learning_section
from evalharness.report.page.methods import contamination_section, methods_section
from evalharness.report.page.ours import ours_section
from evalharness.report.page.render import (
    render,
    require_extra,
)
from evalharness.report.page.scale import scale_section
from evalharness.report.page.since import Before, checkpoint_fields, read_before
from evalharness.report.page.sizes import sizes_section
from evalharness.report.page.trend import trend_section, velocity_section
from evalharness.report.terminal.adoption import adoption_as_json
from evalharness.report.terminal.composite import composite_fields
from evalharness.report.terminal.drift import lineage_as_json
from evalharness.report.terminal.trend import trend_as_json
from evalharness.store.atomic import write_whole
from evalharness.store.json_codec import as_json

HTML, NUMBERS = "index.html", "report.json"


class Report(NamedTuple):
    """The written report."""

    html: Path
    numbers: dict[str, Any]
    """Content of `report.json`."""
    changed: list[str] | None
    """Changes; None for the first report of a folder."""
    size_bytes: int
    """Of the page."""


def write_report(results_dir: Path, out: Path, title: str, num_draws: int) -> Report:
    """Make the report of a results folder; both files appear whole or not at all, the page first.

    Args:
        results_dir: need not exist.
        out: folder, made if needed.
        title: of the page.
        num_draws: bootstrap draws of the trend.

    Raises:
        UserError: plotly or jinja2 isn't installed, `out` is a file, or results_dir can't be read.
        WriteError: the disk.
    """
    require_extra()
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {str(out)!r} is a file; name a folder")
    before, remark = read_state(out / NUMBERS)
    held = read_before(out / NUMBERS)
    found = gather(results_dir, num_draws)
    state = state_of(found)
    changed = changes(before, state) if before else None
    page = Page(
        title=title,
        made_at=found.made_at.strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        sections=_shown(_sections(found, held, changed, before.made_at if before else "", remark)),
    )
    html, numbers = render(page), _numbers(found, state, changed)
    write_whole(out / HTML, html)
    write_whole(
        out / NUMBERS, json.dumps(numbers, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    )
    return Report(out / HTML, numbers, changed, len(html.encode()))


def _sections(
    found: Findings, held: Before, changed: list[str] | None, since: str, remark: str
) -> tuple[Section, ...]:
    return (
        ours_section(found, held),
        headline_section(found, changed, since, remark),
        leaderboard_section(found),
        trend_section(found),
        velocity_section(found),
        sizes_section(found),
        scale_section(found),
        effort_section(found),
        learning_section(found),
        drift_section(found),
        cmr_section(found),
        adoption_section(found),
        contamination_section(),
        methods_section(found, changed or []),
    )


def _shown(sections: Sequence[Section]) -> tuple[Section, ...]:
    """The sections that have something to show, with a list of what has nothing before the last."""
    lines = tuple(f"{s.title}: {line}." for s in sections for line in s.missing)
    *before, last = [section for section in sections if section.blocks]
    if not lines:
        return (*before, last)
    title = "Not measured yet, and the command that would"
    closing = Section(key="unmeasured", title=title, blocks=(Words(lines=lines, is_list=True),))
    return (*before, closing, last)


def _numbers(found: Findings, state: State, changed: list[str] | None) -> dict[str, Any]:
    result: dict[str, Any] = as_json(
        {
            "schema_version": SCHEMA_VERSION,
            "evalharness": __version__,
            "made_at": state.made_at,
            "state": as_fields(state),
            "changes": changed,
            "trend": trend_as_json(found.trend) if found.trend else None,
            "no_trend": found.no_trend or None,
            "checkpoints": checkpoint_fields(
                found.checkpoints, found.trend.placed if found.trend else ()
            ),
            "cmr": [_composite(item) for item in found.composites],
            "lineages": [lineage_as_json(lineage) for lineage in found.lineages],
            "adoption": adoption_as_json(found.adoptions, found.num_snapshots),
            "runs": [
                {
                    "run_id": run.run_id,
                    "model": run.model,
                    "suite": run.suite,
                    "status": run.status,
                    "fingerprint": run.checkpoint.get("fingerprint"),
                    "started_at": run.started_at,
                }
                for run in found.runs
            ],
            "unread": found.unread,
        }
    )
    return result


def _composite(item: CompositeRun) -> dict[str, Any]:
    run = item.run
    about = {"run_id": run.run_id, "model": run.model, "started_at": run.started_at}
    return {**about, **composite_fields(item.composite)}
