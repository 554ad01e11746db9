"""The first section of a page: the checkpoints that were run here, the newest first, each beside what it must beat."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from evalharness.comparison.checkpoints import Checkpoint, SuiteMean
from evalharness.comparison.drift import DomainDrift, Step
from evalharness.report.page import texts
from evalharness.report.page.blocks import Block, Fact, Facts, Fold, Section, Table, table, words
from evalharness.report.page.collect import Findings
from evalharness.report.page.since import Before, since_words
from evalharness.store.subset_words import limited
from evalharness.trend.placed import PlacedModel
from evalharness.trend.sizes import Nearest

_MOST_FACTS = 3
"""Number of checkpoints that are shown whole."""
_CALLS = {
    "up": "better",
    "down": "worse",
    "kept": "no different",
    "not worse": "not worse",
    "not resolved": "not resolved",
}


def ours_section(found: Findings, before: Before) -> Section:
    """The newest checkpoints, and a table of the others.

    Args:
        found: of this report.
        before: the checkpoints of the last report.
    """
    if not found.checkpoints:
        fill = "`evalharness run model=... suite=leaderboard`"
        return Section(key="ours", title="Our checkpoints", missing=(fill,))
    shown, rest = found.checkpoints[:_MOST_FACTS], found.checkpoints[_MOST_FACTS:]
    facts = tuple(_fact(c, found, before) for c in shown)
    blocks: list[Block] = [Facts(facts=facts)]
    if rest:
        name = f"{texts.plural(len(rest), 'older checkpoint')}"
        blocks.append(Fold(title=name, blocks=(_table(rest, found, before),)))
    blocks.append(
        words(
            "Of each suite the best run: complete before partial, most docs, then the latest. Means with 95 % intervals; "
            "index and its differences with 90 %; beside the parent: "
            "points on the same docs, one test over the steps and domains of its lineage."
        )
    )
    return Section(key="ours", title="Our checkpoints", blocks=tuple(blocks))


def _fact(c: Checkpoint, found: Findings, before: Before) -> Fact:
    first = next((s for s in c.suites if _has_mean(s)), c.suites[0])
    value = _mean(first) if _has_mean(first) else "no mean"
    lines = [
        _about(first),
        *(f"{s.run.suite}: {_mean(s)}; {_about(s)}" for s in c.suites if s is not first),
        _index(c, found),
        f"beside its parent{_parent(c)}",
        f"beside the nearest open model of its size{_open(c, found)}",
        f"since the last report: {since_words(c, _placed(c, found), before)}",
    ]
    return Fact(f"{c.model}, {first.run.suite}", value, tuple(lines))


def _table(rest: Sequence[Checkpoint], found: Findings, before: Before) -> Table:
    rows = [
        (
            c.model,
            "; ".join(f"{s.run.suite} {_mean(s)}" for s in c.suites),
            c.newest[:10],
            _index_value(_placed(c, found)),
            _parent(c).lstrip(":, "),
            _open(c, found).lstrip(":, "),
            since_words(c, _placed(c, found), before),
        )
        for c in rest
    ]
    columns = ("checkpoint", "mean, %", "newest run", "#index [90 %]", "beside its parent", "beside the nearest open model of its size", "since the last report")  # fmt: skip
    return table("Older checkpoints, the newest first", columns, rows)


def _has_mean(s: SuiteMean) -> bool:
    return s.mean is not None and not math.isnan(s.mean.score.value)


def _mean(s: SuiteMean) -> str:
    if s.mean is None:
        return "no mean"
    if math.isnan(s.mean.score.value):
        return f"no mean: {s.mean.num_scored} of {s.mean.num_parts} tasks scored"
    return texts.share(s.mean.score.value, s.mean.score.ci_low, s.mean.score.ci_high)


def _about(s: SuiteMean) -> str:
    """Day, number of docs, and whatever makes the run less than a whole one."""
    run = s.run
    num = sum(task.num_docs for task in run.tasks)
    available = sum(task.num_docs_available for task in run.tasks)
    docs = f"{num:,} of {available:,} docs" if limited(run.tasks) else f"{num:,} docs"
    status = "" if run.status == "complete" else f", {run.status}"
    later = f", {texts.plural(s.num_later, 'later run')} not taken" if s.num_later else ""
    return f"{run.started_at[:10]}, {docs}{status}{later}"


def _placed(c: Checkpoint, found: Findings) -> PlacedModel | None:
    return (
        next((p for p in found.trend.placed if p.model == c.model), None) if found.trend else None
    )


def _index(c: Checkpoint, found: Findings) -> str:
    if p := _placed(c, found):
        return f"index {_index_value(p)}, 90 %"
    if found.trend is None:
        return f"no index: {found.no_trend}"
    return f"no index: {found.trend.refused.get(c.model, 'no complete run with a score')}"


def _index_value(p: PlacedModel | None) -> str:
    if p is None:
        return texts.NOTHING
    at = p.placement
    value = texts.index(at.value) if math.isfinite(at.value) else "unbounded"
    return f"{value} {texts.span(at.ci_low, at.ci_high)}"


def _parent(c: Checkpoint) -> str:
    if c.step is None:
        return f": not compared, {c.no_step}"
    said = [_domain(d, c.margin) for d in c.step.domains if d.call != "not measured"]
    return f", {c.step.parent}: {'; '.join(said) or _without_mean(c.step)}"


def _domain(d: DomainDrift, margin: float) -> str:
    points = f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"
    by = f" by more than {points}" if d.call in ("kept", "not worse") else ""
    moved = f", {texts.points(d.mean.difference, d.mean.ci_low, d.mean.ci_high)}" if d.mean else ""
    return f"{d.domain} {_CALLS[d.call]}{by}{moved}"


def _without_mean(step: Step) -> str:
    notes: Mapping[str, None] = dict.fromkeys(_reasons(step))
    return f"not compared, {'; '.join(notes) or 'no task has a score from 0 to 1'}"


def _reasons(step: Step) -> Iterator[str]:
    for comparison in step.comparisons:
        yield from (f"{task}: {why}" for task, why in comparison.left_out.items())


def _open(c: Checkpoint, found: Findings) -> str:
    match found.nearest.get(c.model):
        case Nearest() as near:
            moved = f"{near.difference:+.1f} [{near.ci_low:+.1f}, {near.ci_high:+.1f}] on the index"
            return f", {near.model} ({near.size_b:.3g} B): {near.call}, {moved}"
        case str() as why:
            return f": not compared, {why}"
    return ": not compared, as it has no index"
