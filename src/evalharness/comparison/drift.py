"""What a modification changed in capability and safety: each model of a lineage compared with its parent.

Comparisons by suite in; rows and means by domain out, with a call that claims no more than the docs resolve. Means are
of scores of which higher is better (and safer); where lower is better, 1 - score is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, overload

from evalharness.comparison.comparability import added_tasks
from evalharness.comparison.compare import (
    MARGIN,
    Comparison,
    is_share,
)
from evalharness.comparison.compare_rows import TaskComparison
from evalharness.comparison.missing import (
    Bounds,
    exactly,
    flipped,
    mean_bounds,
    mean_of,
    p_values,
)
from evalharness.config.schema import Domain
from evalharness.stats.multiple_tests import adjusted, alphas
from evalharness.stats.paired import (
    ALPHA,
    PairedResult,
    mde_at,
)
from evalharness.store.records import Manifest

Call = Literal["up", "down", "kept", "not worse", "not resolved", "not measured"]

DOMAINS = tuple(domain.value for domain in Domain)


class Link(NamedTuple):
    """Two models of a lineage that are compared."""

    parent: str
    child: str
    comparisons: Sequence[Comparison]
    """Comparisons by suite; a is the parent. Empty if no suite was run for both."""
    notes: Sequence[str] = ()
    is_whole: bool = False
    """Whether it compares the last with the first, over all steps between."""


class DriftRow(NamedTuple):
    """One task or group of a suite."""

    suite: str
    row: TaskComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainDrift:
    """One domain in one step."""

    domain: str
    rows: tuple[DriftRow, ...]
    num_in_mean: int
    """Rows with scores from 0 to 1 (the composite's parts only, if the suite has one)."""
    mean: PairedResult | None
    """Their mean with equal weight, where higher is better, over docs with a score in both; None without any."""
    bounds: Bounds | None
    """Bounds of the mean for any missing scores, on which the call is based. None if they could be anything."""
    missing_first: float
    """Share of the parent's scores that are missing, averaged over the rows."""
    missing_second: float
    p_adjusted: float
    """Adjusted p of the mean's bounds: Benjamini-Hochberg over steps and domains."""
    call: Call
    """up, down: significant. kept: the 90 % interval within +-margin. not worse: its lower end above -margin."""
    is_within: bool
    """Whether the 90 % interval lies within +-margin, whatever the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A model compared with its parent."""

    parent: str
    child: str
    is_whole: bool
    comparisons: tuple[Comparison, ...]
    domains: tuple[DomainDrift, ...]
    """Capability and safety."""
    notes: tuple[str, ...]

    def domain(self, name: str) -> DomainDrift:
        """Of this name."""
        return next(domain for domain in self.domains if domain.domain == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A model and its descendants, oldest first."""

    models: tuple[str, ...]
    steps: tuple[Step, ...]
    """Each compared with its parent and, if there are several, the last with the first."""
    margin: float
    notes: tuple[str, ...]


def lineage(
    models: Sequence[str],
    links: Sequence[Link],
    margin: float = MARGIN,
    notes: Sequence[str] = (),
) -> Lineage:
    """Judge each step of a lineage.

    Args:
        models: their names, oldest first.
        links: the steps.
        margin: largest difference of a domain's mean that counts as none.
        notes: remarks on the whole lineage.
    """
    found = [[_domain(link, name) for name in DOMAINS] for link in links]
    tested = p_values(domain.bounds for domains in found for domain in domains)
    judged = iter(zip(adjusted(tested), alphas(tested, ALPHA), strict=True))
    steps = [
        Step(
            parent=link.parent,
            child=link.child,
            is_whole=link.is_whole,
            comparisons=tuple(link.comparisons),
            domains=tuple(_called(domain, *next(judged), margin) for domain in domains),
            notes=tuple(link.notes),
        )
        for link, domains in zip(links, found, strict=True)
    ]
    return Lineage(models=tuple(models), steps=tuple(steps), margin=margin, notes=tuple(notes))


def ancestors(model: str, parents: dict[str, str | None]) -> list[str]:
    """The model and its ancestors, oldest first, as far as parents are known; a cycle ends where it closes."""
    line = [model]
    while (parent := parents.get(line[-1])) and parent not in line:
        line.append(parent)
    return line[::-1]


def parent_note(parent: Manifest, child: Manifest) -> str | None:
    """What the child's entry says about its parent, if it isn't this one."""
    named = child.config.get("model", {}).get("parent")
    if named == parent.model or child.model == parent.model:
        return None
    says = f"names {named!r} as its parent" if named else "names no parent"
    return f"the entry of {child.model!r} {says}, not {parent.model!r}"


def call(bounds: Bounds | None, p: float, margin: float) -> Call:
    """The word for a domain's mean that holds for any missing scores; up and down only if the adjusted p is below 0.05."""
    if bounds is None:
        return "not resolved"
    if p < ALPHA:
        return "up" if bounds.low.difference > 0 else "down"
    if bounds.is_within(margin):
        return "kept"
    return "not worse" if bounds.low.ci90_low > -margin else "not resolved"


def _domain(link: Link, name: str) -> DomainDrift:
    rows: list[DriftRow] = []
    # If a task is in several suites, the mean takes the one over more docs, because they are the same docs.
    in_mean: dict[str, int] = {}
    for found in link.comparisons:
        if found.a.domain != name or found.a.is_fake or found.b.is_fake:
            continue
        parts = found.a.composite.get("parts")
        added = added_tasks(found.a) | added_tasks(found.b)
        for row in found.tasks:
            is_part = row.task in parts if parts else row.task not in added
            if is_share(row.result) and is_part:
                held = in_mean.get(row.task)
                if held is None or rows[held].row.result.n < row.result.n:
                    in_mean[row.task] = len(rows)
            rows.append(DriftRow(found.a.suite, row))
    used = [rows[place].row for place in in_mean.values()]
    sure = [_upward(row.sure, row) for row in used]
    return DomainDrift(
        domain=name,
        rows=tuple(rows),
        num_in_mean=len(used),
        mean=mean_of([_upward(exactly(row.result), row)[0] for row in used]) if used else None,
        bounds=mean_bounds([b for b in sure if b]) if used and None not in sure else None,
        missing_first=math.fsum(row.missing_a for row in used) / max(1, len(used)),
        missing_second=math.fsum(row.missing_b for row in used) / max(1, len(used)),
        p_adjusted=math.nan,
        call="not measured",
        is_within=False,
    )


@overload
def _upward(found: Bounds, row: TaskComparison) -> Bounds: ...
@overload
def _upward(found: Bounds | None, row: TaskComparison) -> Bounds | None: ...
def _upward(found: Bounds | None, row: TaskComparison) -> Bounds | None:
    """The row with higher as better."""
    if found is None or row.higher_is_better:
        return found
    return Bounds(flipped(found.high), flipped(found.low))


def _called(domain: DomainDrift, p: float, alpha: float, margin: float) -> DomainDrift:
    mean = domain.mean
    return replace(
        domain,
        mean=None if mean is None else replace(mean, mde=mde_at(mean, alpha)),
        p_adjusted=p,
        call="not measured" if domain.mean is None else call(domain.bounds, p, margin),
        is_within=domain.bounds is not None and domain.bounds.is_within(margin),
    )
