"""A team's own checkpoints, the newest first: each with its runs, their means, and what it changed over its parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalharness.comparison.drift import Lineage, Step, ancestors
from evalharness.comparison.lineages import parents_of
from evalharness.comparison.run_mean import RunMean, run_mean
from evalharness.store.records import Manifest, MetricRecord
from evalharness.store.select_runs import runs_by_suite, runs_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteMean:
    """A checkpoint's best run of a suite."""

    run: Manifest
    mean: RunMean | None
    """None for a suite whose tasks have no mean."""
    num_later: int
    """Later runs of the suite that are partial, over fewer docs, or of a strategy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One model that was run here."""

    model: str
    suites: tuple[SuiteMean, ...]
    """The newest first."""
    step: Step | None
    """Comparison with its parent, or with the nearest ancestor that was run here."""
    margin: float
    """Of the step; 0 without one."""
    no_step: str
    """Why there is no comparison."""

    @property
    def newest(self) -> str:
        """Start of its newest run (ISO)."""
        return self.suites[0].run.started_at


def checkpoints(
    runs: Sequence[Manifest],
    metrics: Mapping[str, Sequence[MetricRecord]],
    lineages: Sequence[Lineage],
) -> list[Checkpoint]:
    """All models with a run that has ended, those of the newest runs first; runs of the fake engine don't count.

    Args:
        runs: all of the store.
        metrics: run id -> its main metrics, for runs with readable ones.
        lineages: the measured ones, whose steps are the comparisons.
    """
    parents = parents_of(runs)
    own = [run for run in runs if not run.is_fake]
    found = []
    for model in dict.fromkeys(run.model for run in own):
        best = runs_by_suite(own, model)
        if not best:
            continue  # all still running
        suites = [_suite(own, run, metrics) for run in best.values()]
        lineage, step = _step(model, lineages)
        found.append(
            Checkpoint(
                model=model,
                suites=tuple(sorted(suites, key=lambda s: s.run.started_at, reverse=True)),
                step=step,
                margin=lineage.margin if lineage else 0,
                no_step="" if step else _no_step(own, model, parents),
            )
        )
    return sorted(found, key=lambda c: (c.newest, c.model), reverse=True)


def _suite(
    runs: Sequence[Manifest], run: Manifest, metrics: Mapping[str, Sequence[MetricRecord]]
) -> SuiteMean:
    later = [r for r in runs_of(runs, run.model, run.suite) if r.started_at > run.started_at]
    return SuiteMean(
        run=run,
        mean=run_mean(run, metrics[run.run_id]) if run.run_id in metrics else None,
        num_later=len(later),
    )


def _step(model: str, lineages: Sequence[Lineage]) -> tuple[Lineage | None, Step | None]:
    for lineage in lineages:
        for step in lineage.steps:
            if step.child == model and not step.is_whole and step.comparisons:
                return lineage, step
    return None, None


def _no_step(runs: Sequence[Manifest], model: str, parents: Mapping[str, str | None]) -> str:
    above = ancestors(model, dict(parents))[:-1]
    if not above:
        return "its entry names no parent"
    has_runs = [name for name in reversed(above) if runs_of(runs, name)]
    if not has_runs:
        return f"{above[-1]} has no run here"
    return f"no suite was run with equal settings for {has_runs[0]}, too"
