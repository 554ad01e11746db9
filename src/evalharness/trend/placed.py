"""Checkpoints that were run here, on the scale of the reported ones, each with what it was placed by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from evalharness.trend.capability_index import CapabilityFit
from evalharness.trend.intervals import Draws
from evalharness.trend.observe import as_row, is_chance_unknown
from evalharness.trend.placement import Placement, place
from evalharness.trend.scores.benchmarks import find_benchmark
from evalharness.trend.scores.identity import identity_of
from evalharness.trend.scores.records import ReportedScore

MIN_PLACED = 3
"""Number of benchmarks that a checkpoint needs to be placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedModel:
    """A checkpoint that was run here, on the reference's scale."""

    model: str
    family: str
    release_date: date | None
    total_params_b: float | None
    active_params_b: float | None
    num_experts: int | None
    placement: Placement
    scores: tuple[ReportedScore, ...]
    """Benchmarks by which it was placed."""
    notes: tuple[str, ...]
    reported: str = ""
    """The same model among the reported ones, if it is on the index."""


def place_measured(
    fit: CapabilityFit, measured: Sequence[ReportedScore], level: float, draws: Draws
) -> tuple[tuple[PlacedModel, ...], dict[str, str]]:
    """The checkpoints that share enough benchmarks with the fit, and why the others can't be placed.

    Args:
        fit: the reference's.
        measured: scores of runs, oldest first.
        level: confidence of the intervals, in (0, 1).
        draws: of the fit.
    """
    by_model: dict[str, dict[str, ReportedScore]] = {}
    for score in measured:
        if score.benchmark in fit.benchmarks and score.n and not is_chance_unknown(score):
            best = by_model.setdefault(score.model, {})
            held = best.get(score.benchmark)
            # Of several measurements, the one over more items, then the later one, as runs come oldest first.
            if held is None or (held.n or 0) <= score.n:
                best[score.benchmark] = score
    placed, refused = [], {}
    for model in dict.fromkeys(score.model for score in measured):
        scores = tuple(by_model.get(model, {}).values())
        if len(scores) < MIN_PLACED:
            shared = ", ".join(s.benchmark for s in scores) or "none"
            refused[model] = (
                f"measured here on {len(scores)} of the index's benchmarks ({shared}); {MIN_PLACED} are needed"
            )
            continue
        rows = [row for s in scores if (row := as_row(s)) is not None]
        found = place(fit, rows, level, draws)
        fact = scores[0]
        reported = identity_of(fact).model
        placed.append(
            PlacedModel(
                model=model,
                family=fact.family,
                release_date=fact.release_date,
                total_params_b=fact.total_params_b,
                active_params_b=fact.active_params_b,
                num_experts=fact.n_experts,
                placement=found,
                scores=scores,
                notes=(*_notes(scores), *filter(None, [found.refusal])),
                reported=reported if reported in fit.models else "",
            )
        )
    return tuple(placed), refused


def _notes(scores: Sequence[ReportedScore]) -> tuple[str, ...]:
    limited = [s.benchmark for s in scores if s.subset]
    notes = [f"some docs only: {', '.join(limited)}"] if limited else []
    at_chance = [
        s.benchmark
        for s in scores
        if (known := find_benchmark(s.benchmark))
        and known.chance is not None
        and s.ci_low is not None
        and s.ci_low <= 100 * known.chance
    ]
    if at_chance:
        notes.append(f"not above chance: {', '.join(at_chance)}")
    return tuple(notes)
