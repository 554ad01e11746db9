"""The results of `results verify` and `results prune`, as tables for a terminal and rows for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from evalharness.report.terminal.format import plain
from evalharness.report.terminal.run_list import status_text
from evalharness.report.terminal.table_layout import (
    Col,
    fitted_table,
)
from evalharness.store.checksums import Damage
from evalharness.store.prune import Candidate


def damage_table(damages: Sequence[Damage], *, width: int) -> Table:
    """A row per damaged file."""
    columns = [Col("run", least=20), Col("file", least=16), Col("problem", least=20)]
    rows = [[plain(d.run_id), plain(d.path), plain(d.problem)] for d in damages]
    return fitted_table(columns, rows, width)


def candidates_table(candidates: Sequence[Candidate], *, width: int) -> Table:
    """A row per run, journal or leftover that can be deleted."""
    columns = [Col("run", least=20), Col("status"), Col("size", justify="right"), Col("why", least=16)]  # fmt: skip
    rows = [[plain(_name(c)), _status(c), Text(size(c.num_bytes)), plain(c.why)] for c in candidates]  # fmt: skip
    return fitted_table(columns, rows, width)


def candidate_fields(candidate: Candidate) -> dict[str, Any]:
    """The candidate for programs."""
    run = candidate.run
    return {
        "run_id": run.run_id if run else None,
        "path": str(candidate.path),
        "why": candidate.why,
        "num_bytes": candidate.num_bytes,
        "model": run.model if run else None,
        "suite": run.suite if run else None,
        "status": run.status if run else None,
        "started_at": run.started_at if run else None,
    }


def size(num_bytes: int) -> str:
    """Bytes as 812 B, 12.3 KiB, 4.5 MiB or 1.2 GiB."""
    if num_bytes < 1024:
        return f"{num_bytes} B"
    for power, unit in ((1, "KiB"), (2, "MiB")):
        if num_bytes < 999.95 * 1024**power:
            return f"{num_bytes / 1024**power:.1f} {unit}"
    return f"{num_bytes / 1024**3:.1f} GiB"


def _name(candidate: Candidate) -> str:
    return candidate.run.run_id if candidate.run else candidate.path.name


def _status(candidate: Candidate) -> Text:
    return status_text(candidate.run.status) if candidate.run else Text("-", style="dim")
