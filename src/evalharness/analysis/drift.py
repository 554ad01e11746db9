"""What a modification did to capability and to safety: each model of a lineage against the one it was made from.

Comparisons by suite in; rows and means by domain out, and a call that says no more than the docs resolve. Means are of
scores of which higher is better (and safer): where lower is, 1 - score counts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from scipy import stats

from evalharness.analysis.compare import (
    ALPHA,
    MARGIN,
    Comparison,
    TaskComparison,
    is_share,
    mean_of,
)
from evalharness.analysis.multiple_tests import alphas
from evalharness.analysis.paired import PairedResult, mde_at
from evalharness.config import Domain
from evalharness.records import Manifest

Call = Literal["up", "down", "kept", "not worse", "not resolved", "not measured"]

DOMAINS = tuple(domain.value for domain in Domain)


class Link(NamedTuple):
    """Two models of a lineage that are compared."""

    parent: str
    child: str
    comparisons: Sequence[Comparison]
    """By suite; a is the parent. Empty where no suite was run for both."""
    notes: Sequence[str] = ()
    is_whole: bool = False
    """The last against the first, over all that lies between."""


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
    """Rows with scores from 0 to 1 (and parts of the composite, where the suite has one)."""
    mean: PairedResult | None
    """Their mean with equal weight, better being higher; None without any."""
    p_adjusted: float
    """Of the mean: Benjamini-Hochberg over steps and domains."""
    call: Call
    """up, down: significant. kept: the 90 % interval within +-margin. not worse: its lower end above -margin."""
    is_within: bool
    """The 90 % interval lies within +-margin, whatever the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A model against the one it was made from."""

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
    """Each against its parent and, with more than one, the last against the first."""
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
        notes: what a reader has to know of the whole.
    """
    found = [[_domain(link, name) for name in DOMAINS] for link in links]
    means = [domain.mean for domains in found for domain in domains]
    adjusted = iter(zip(_adjusted(means), _left(means), strict=True))
    steps = [
        Step(
            parent=link.parent,
            child=link.child,
            is_whole=link.is_whole,
            comparisons=tuple(link.comparisons),
            domains=tuple(_called(domain, *next(adjusted), margin) for domain in domains),
            notes=tuple(link.notes),
        )
        for link, domains in zip(links, found, strict=True)
    ]
    return Lineage(models=tuple(models), steps=tuple(steps), margin=margin, notes=tuple(notes))


def ancestors(model: str, parents: dict[str, str | None]) -> list[str]:
    """The model and those it was made from, oldest first, as far as parents are known; a circle ends where it closes."""
    line = [model]
    while (parent := parents.get(line[-1])) and parent not in line:
        line.append(parent)
    return line[::-1]


def parent_note(parent: Manifest, child: Manifest) -> str | None:
    """What the child's entry says of its parent, where it isn't this one."""
    named = child.config.get("model", {}).get("parent")
    if named == parent.model or child.model == parent.model:
        return None
    says = f"names {named!r} as its parent" if named else "names no parent"
    return f"the entry of {child.model!r} {says}, not {parent.model!r}"


def flipped(result: PairedResult) -> PairedResult:
    """The result of 1 - score."""
    return replace(
        result,
        value_a=1 - result.value_a,
        value_b=1 - result.value_b,
        difference=-result.difference,
        ci_low=-result.ci_high,
        ci_high=-result.ci_low,
        ci90_low=-result.ci90_high,
        ci90_high=-result.ci90_low,
        wins=result.losses,
        losses=result.wins,
        p_b_above_a=1 - result.p_b_above_a,
    )


def call(mean: PairedResult | None, p: float, margin: float) -> Call:
    """The word for a domain's mean; up and down only where the adjusted p is below 0.05."""
    if mean is None:
        return "not measured"
    if p < ALPHA:
        return "up" if mean.difference > 0 else "down"
    if _is_within(mean, margin):
        return "kept"
    return "not worse" if mean.ci90_low > -margin else "not resolved"


def _domain(link: Link, name: str) -> DomainDrift:
    rows: list[DriftRow] = []
    # Of a task that stands in several suites the mean takes the one over more docs: they are the same docs.
    in_mean: dict[str, int] = {}
    for found in link.comparisons:
        if found.a.domain != name:
            continue
        parts = (found.a.config.get("suite", {}).get("composite") or {}).get("parts")
        for row in found.tasks:
            if is_share(row.result) and (not parts or row.task in parts):
                held = in_mean.get(row.task)
                if held is None or rows[held].row.result.n < row.result.n:
                    in_mean[row.task] = len(rows)
            rows.append(DriftRow(found.a.suite, row))
    used = [
        row.result if row.higher_is_better else flipped(row.result)
        for row in (rows[place].row for place in in_mean.values())
    ]
    return DomainDrift(
        domain=name,
        rows=tuple(rows),
        num_in_mean=len(used),
        mean=mean_of(used) if used else None,
        p_adjusted=math.nan,
        call="not measured",
        is_within=False,
    )


def _called(domain: DomainDrift, p: float, alpha: float, margin: float) -> DomainDrift:
    mean = domain.mean
    return replace(
        domain,
        mean=None if mean is None else replace(mean, mde=mde_at(mean, alpha)),
        p_adjusted=p,
        call=call(domain.mean, p, margin),
        is_within=domain.mean is not None and _is_within(domain.mean, margin),
    )


def _adjusted(means: Iterable[PairedResult | None]) -> list[float]:
    p_values = [math.nan if mean is None else mean.p_value for mean in means]
    known = [p for p in p_values if not math.isnan(p)]
    adjusted = iter(stats.false_discovery_control(known) if known else ())
    return [p if math.isnan(p) else float(next(adjusted)) for p in p_values]


def _left(means: Sequence[PairedResult | None]) -> list[float]:
    """The alpha of each mean's test that the correction leaves."""
    p_values = [math.nan if mean is None else mean.p_value for mean in means]
    left = iter(alphas([p for p in p_values if not math.isnan(p)], ALPHA))
    return [ALPHA if math.isnan(p) else next(left) for p in p_values]


def _is_within(mean: PairedResult, margin: float) -> bool:
    return -margin < mean.ci90_low and mean.ci90_high < margin
