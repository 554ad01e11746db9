"""The verb `trend`: the capability index, its frontier and velocity, and a team's tracker document."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalharness.cli.options import (
    AsCsv,
    AsJson,
    ResultsDir,
    parse_date,
)
from evalharness.cli.output import Form, chosen_form, show
from evalharness.errors import UserError

if TYPE_CHECKING:
    from evalharness.trend.build import Trend
    from evalharness.trend.scores.records import ReportedScore
    from evalharness.trend.tracker import Watched


def trend(
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="Set the scale by this collection of reported scores (see `evalharness scores sources`).",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Leave out models released before this date.")
    ] = None,
    anchors: Annotated[
        str | None,
        typer.Option(
            "--anchors", help="Put these two models, LOW,HIGH, at 130 and 150 on the scale."
        ),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            "--fit", help="Fit by likelihood, or by epoch, the published procedure, as a check."
        ),
    ] = "likelihood",
    effort: Annotated[
        str,
        typer.Option(
            "--effort",
            help="Of a model's scores at several efforts on a benchmark, take the highest, lowest, median or default (no effort stated).",
        ),
    ] = "highest",
    draws: Annotated[
        int, typer.Option("--draws", min=10, help="Use this many bootstrap draws.")
    ] = 200,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed all random draws with this number.")
    ] = 0,
    tracker: Annotated[
        Path | None,
        typer.Option("--tracker", help="Update the block of this Markdown file and exit."),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            "--family",
            help="Show your own line instead: the checkpoints of this family (or a model and its ancestors), by date.",
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Take this suite for --family.")
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every model of the index, and every refusal.")
    ] = False,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show where the open-weight frontier is and how fast it moves.

    \b
    evalharness trend
    evalharness trend --all --csv > index.csv
    evalharness trend --tracker TRACKER.md
    evalharness trend --family mine

    The scale comes from reported scores (shipped, and yours: `evalharness scores import`); checkpoints that were run here
    on at least three of its benchmarks are placed on it. A change of pace is reported only if a calibrated test shows it.
    """  # noqa: D301 (backspace keeps click from wrapping a paragraph)
    form = chosen_form(as_json=as_json, as_csv=as_csv)
    # The fits are many small products, which threads of BLAS only slow down.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if family is not None:
        given = {
            "--reference": reference,
            "--since": since,
            "--anchors": anchors,
            "--tracker": tracker,
        }
        if wrong := [name for name, value in given.items() if value is not None]:
            raise UserError(f"--family shows your own line, without an index: leave out {wrong[0]}")
        return _own(results_dir, family, suite, seed, form)
    if suite is not None:
        raise UserError("--suite is for --family: the index is over all benchmarks")
    from evalharness.trend.scores.measured import measured_scores
    from evalharness.trend.scores.storage import load_scores

    measured = measured_scores(results_dir)
    found = _trend(
        [*load_scores(results_dir), *measured],
        reference=reference, since=since, anchors=anchors, fit=fit, effort=effort, draws=draws, seed=seed,
    )  # fmt: skip
    if tracker is not None:
        return _update(tracker, found, measured, results_dir)
    from evalharness.report.terminal import trend as forms

    return show(
        form,
        view=lambda width: forms.trend_view(
            found, today=datetime.now(UTC).date(), show_all=show_all, width=width
        ),
        content=lambda: forms.trend_as_json(found),
        rows=lambda: forms.model_rows(found),
    )


def _own(results_dir: Path, family: str, suite: str | None, seed: int, form: Form) -> None:
    """A team's own line over time."""
    import numpy as np

    from evalharness.comparison.family import find_family
    from evalharness.report.terminal import family as forms
    from evalharness.trend.own_pace import own_pace

    found = find_family(results_dir, family, suite)
    means = [100 * m.mean.score.value if m.mean else np.nan for m in found.members]
    pace = own_pace([m.day for m in found.members], means, np.random.default_rng(seed))
    show(
        form,
        view=lambda width: forms.family_view(found, pace, width=width),
        content=lambda: forms.family_as_json(found, pace),
        rows=lambda: forms.family_rows(found),
    )


def _trend(
    scores: list[ReportedScore],
    *,
    reference: str | None,
    since: str | None,
    anchors: str | None,
    fit: str,
    effort: str,
    draws: int,
    seed: int,
) -> Trend:
    import numpy as np

    from evalharness.trend import build as analysis
    from evalharness.trend.capability_index import Anchors
    from evalharness.trend.observe import EFFORT_POLICIES

    if fit not in ("likelihood", "epoch"):
        raise UserError(f"--fit {fit!r}: likelihood or epoch")
    policy = next((name for name in EFFORT_POLICIES if name == effort), None)
    if policy is None:
        raise UserError(f"--effort {effort!r}: {', '.join(EFFORT_POLICIES)}")
    ends = analysis.ANCHORS
    if anchors is not None:
        low, gap, high = anchors.partition(",")
        if not (low and gap and high):
            raise UserError(f"--anchors {anchors!r}: two models, LOW,HIGH")
        ends = Anchors(low.strip(), high.strip())
    return analysis.build_trend(
        scores,
        np.random.default_rng(seed),
        reference=reference or analysis.REFERENCE,
        since=parse_date("--since", since) or analysis.SINCE,
        anchors=ends,
        method="epoch" if fit == "epoch" else "likelihood",
        num_draws=draws,
        effort=policy,
    )


def _update(path: Path, found: Trend, measured: list[ReportedScore], results_dir: Path) -> None:
    """Write the tracker's block if it changed, completely or not at all."""
    from evalharness.report.terminal.tracker import updated
    from evalharness.store.atomic import replacing
    from evalharness.trend.hub.watch import (
        read_state,
        releases,
    )

    before = ""
    try:
        if path.exists():
            before = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"--tracker {str(path)!r}: can't be read: {e}") from e
    rows = _watched(found, measured, results_dir)
    after = updated(before, rows, releases(read_state(results_dir)))
    if after == before:
        typer.echo(f"{path}: nothing changed")
        return
    try:
        with replacing(path) as temporary:
            temporary.write_text(after, encoding="utf-8")
    except OSError as e:
        raise UserError(f"--tracker {str(path)!r}: can't be written: {e.strerror}") from e
    num = sum(row.is_measured for row in rows)
    typer.echo(f"{path}: updated, {num} of {len(rows)} watched metrics measured")


def _watched(found: Trend, measured: list[ReportedScore], results_dir: Path) -> list[Watched]:
    from evalharness.comparison.lineages import measured_lineages
    from evalharness.store.read import list_runs
    from evalharness.trend.adoption import adoptions
    from evalharness.trend.hub.snapshots_store import read_all
    from evalharness.trend.tracker import watched_metrics

    runs = list_runs(results_dir)
    return watched_metrics(
        found,
        measured,
        {run.run_id: run.started_at for run in runs},
        measured_lineages(results_dir, runs),
        adoptions(read_all(results_dir)),
        today=datetime.now(UTC).date(),
    )
