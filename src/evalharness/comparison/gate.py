"""May the candidate replace the base? A policy and comparisons in, a verdict per task and one overall out.

Each task is tested for non-inferiority: its interval lies above -margin, below it, or is inconclusive. A task's verdict
doesn't depend on how many others are judged: all critical ones have to pass, which needs no correction. What can't be
compared never passes, and missing scores may be anything.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from scipy import special

from evalharness.comparison.compare import Comparison
from evalharness.comparison.compare_rows import TaskComparison
from evalharness.comparison.gate_policy import (
    TIERS,
    Policy,
    Rule,
    Tier,
    fits,
)
from evalharness.comparison.missing import (
    Bounds,
    exactly,
    p_values,
)
from evalharness.stats.estimates import Interval
from evalharness.stats.multiple_tests import adjusted
from evalharness.stats.paired import (
    PairedResult,
    docs_needed,
    mde_at,
    paired_binary_interval,
)
from evalharness.store.records import Manifest

Word = Literal["PASS", "WARN", "BLOCK", "INCONCLUSIVE"]
Outcome = Literal["pass", "fail", "inconclusive"]
Cause = Literal[
    "kept",
    "beyond",
    "few pairs",
    "no interval",
    "no margin",
    "underpowered",
    "close",
    "docs missing",
    "not compared",
]

EXIT_CODES: dict[Word, int] = {"PASS": 0, "WARN": 0, "BLOCK": 1, "INCONCLUSIVE": 2}

_READY_ALPHA = 0.05
"""One-sided alpha of the interval in results."""


class Unmatched(NamedTuple):
    """A run of a suite that only one of the two has."""

    run: Manifest
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One task or group, judged."""

    suite: str
    task: str
    rule: Rule
    row: TaskComparison | None
    """None if it couldn't be compared."""
    margin: float
    """The loss that is allowed; NaN if it couldn't be compared."""
    gain: float
    """Gain of the candidate over the base, positive if better."""
    worst: float
    """Lower end of the one-sided interval of the gain, with the missing scores at their worst; NaN if there is none."""
    best: float
    """Upper end of the other one-sided interval, with the missing scores at their best."""
    p_adjusted: float
    """Adjusted p of no difference, Benjamini-Hochberg over all judged rows; only shown, not used."""
    outcome: Outcome
    cause: Cause
    docs_needed: int | None = None
    """Docs with which an inconclusive task would be decided 8 times out of 10: if nothing is lost or, if the docs are
    enough for that ("close"), if the difference stays the same."""
    why: str = ""
    """Why it couldn't be compared."""

    @property
    def tier(self) -> Tier:
        """Meaning of its failure."""
        return self.rule.tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The verdict and its basis."""

    word: Word
    policy: Policy
    comparisons: tuple[Comparison, ...]
    """Comparisons by suite; a is the base."""
    rows: tuple[GateRow, ...]
    """Judged tasks, critical ones first."""
    unmatched: tuple[Unmatched, ...]

    @property
    def exit_code(self) -> int:
        """PASS and WARN 0, BLOCK 1, INCONCLUSIVE 2."""
        return EXIT_CODES[self.word]


def judge(
    policy: Policy, comparisons: Sequence[Comparison], unmatched: Sequence[Unmatched] = ()
) -> Gate:
    """Judge the candidate (b of each comparison) against the base (a) by the policy."""
    real = [c for c in comparisons if not _fakes(c)]
    found = [(c, row, rule) for c in real for row, rule in _units(policy, c)]
    p_adjusted = adjusted(p_values(row.sure for _, row, _ in found))
    rows = [
        _judged(policy, c.a.suite, row, rule, p)
        for (c, row, rule), p in zip(found, p_adjusted, strict=True)
    ]
    rows += [
        row
        for c in comparisons
        for row in (_left_out(policy, c) if c in real else _fake(policy, c))
    ]
    rows += _missing(policy, comparisons, unmatched)
    rows.sort(key=lambda row: TIERS.index(row.tier))
    return Gate(
        word=overall(rows, needs_critical=policy.needs_critical),
        policy=policy,
        comparisons=tuple(comparisons),
        rows=tuple(rows),
        unmatched=tuple(unmatched),
    )


def overall(rows: Sequence[GateRow], *, needs_critical: bool = True) -> Word:
    """The overall verdict; INCONCLUSIVE if nothing was judged, or nothing critical although the policy requires it."""
    has = {(row.tier, row.outcome) for row in rows}
    if ("critical", "fail") in has:
        return "BLOCK"
    if ("critical", "inconclusive") in has or all(row.row is None for row in rows):
        return "INCONCLUSIVE"
    if needs_critical and ("critical", "pass") not in has:
        return "INCONCLUSIVE"
    return "WARN" if has & {("supporting", "fail"), ("supporting", "inconclusive")} else "PASS"


def one_sided(result: PairedResult, alpha: float) -> Interval:
    """The two one-sided 1 - alpha bounds of the difference, as one interval of level 1 - 2 alpha."""
    low, high = result.ci90_low, result.ci90_high
    if alpha == _READY_ALPHA:
        return Interval(low, high)
    if result.test == "mcnemar":
        return paired_binary_interval(result.wins, result.losses, result.n, 1 - 2 * alpha)
    units = result.num_clusters or result.n
    if result.test == "z":
        factor = float(special.ndtri(1 - alpha) / special.ndtri(1 - _READY_ALPHA))
    elif result.stderr > 0:
        wanted, ready = special.stdtrit(result.freedom, [1 - alpha, 1 - _READY_ALPHA])
        factor = float(wanted / ready)
    else:
        # No doc differs: the interval is what n docs alone can show, 1 - alpha^(1/n) of the range.
        factor = (1 - alpha ** (1 / units)) / (1 - _READY_ALPHA ** (1 / units))
    middle = result.difference
    return Interval(middle - factor * (middle - low), middle + factor * (high - middle))


def _units(policy: Policy, found: Comparison) -> Iterator[tuple[TaskComparison, Rule]]:
    """What is judged: the rows, and tasks of groups if the policy names the task but not the group."""
    group_of = {task.task: task.group for task in found.a.tasks}
    for row in found.tasks:
        group = group_of.get(row.task, row.task)
        yield _as_said(policy, found, row, group)
    for member in found.members:
        group, key = group_of[member.task], policy.key(member.task)
        if key is not None and key != policy.key(group):
            yield _as_said(policy, found, member, group)


def _as_said(
    policy: Policy, found: Comparison, row: TaskComparison, group: str
) -> tuple[TaskComparison, Rule]:
    rule = policy.rule(row.task, group, found.a.domain)
    if rule.better is None:
        return row, rule
    return replace(row, higher_is_better=rule.better == "higher"), rule


def _judged(policy: Policy, suite: str, row: TaskComparison, rule: Rule, p: float) -> GateRow:
    # Only its own test is one-sided.
    row = replace(row, result=replace(row.result, mde=mde_at(row.result, 2 * policy.alpha)))
    result = row.result
    # A share of the base's score, which is open if docs are missing: the smaller bound to pass, the larger to fail.
    bases = [end.value_a for end in row.sure or exactly(result)]
    margin, most = (pick(map(rule.allowed, bases)) for pick in (min, max))
    alone = _gain(exactly(result), policy.alpha, row)
    worst, best = _gain(row.sure, policy.alpha, row)
    gain = result.difference if row.higher_is_better else -result.difference
    outcome: Outcome = "inconclusive"
    cause: Cause
    if (result.num_clusters or result.n) < policy.min_pairs:
        cause = "few pairs"
    elif math.isnan(alone.low):
        cause = "no interval"
    elif best < -most:
        outcome, cause = "fail", "beyond"
    elif worst > -margin:
        outcome, cause = "pass", "kept"
    elif row.is_missing and _is_open(row, margin, alone):
        cause = "docs missing"
    elif margin == 0:
        cause = "no margin"
    else:
        cause = "close" if result.mde <= margin else "underpowered"
    needed = None
    if outcome == "inconclusive" and cause not in ("no interval", "docs missing"):
        needed = _needed(result, margin + gain if cause == "close" else margin, policy.alpha)
    return GateRow(
        suite=suite, task=row.task, rule=rule, row=row, margin=margin, gain=gain, worst=worst, best=best,
        p_adjusted=p, outcome=outcome, cause=cause, docs_needed=needed,
    )  # fmt: skip


def _is_open(row: TaskComparison, margin: float, alone: Interval) -> bool:
    """Whether missing scores prevent a decision: the margin is within their bounds, or without them it would be clear."""
    if alone.low > -margin or alone.high < -margin or row.sure is None:
        return True
    ends = sorted(end.difference * (1 if row.higher_is_better else -1) for end in row.sure)
    return ends[0] <= -margin < ends[1]


def _gain(sure: Bounds | None, alpha: float, row: TaskComparison) -> Interval:
    """The gain at worst and at best, positive if better; NaN if missing scores could be anything."""
    if sure is None:
        return Interval(math.nan, math.nan)
    low, high = one_sided(sure.low, alpha).low, one_sided(sure.high, alpha).high
    return Interval(low, high) if row.higher_is_better else Interval(-high, -low)


def _needed(result: PairedResult, distance: float, alpha: float) -> int | None:
    """Docs that give 80 % power to separate a true difference from the margin at this distance."""
    variance = result.spread**2 * result.n
    if math.isnan(variance) or distance == 0:
        return None
    return docs_needed(distance, variance, alpha=2 * alpha)


def _left_out(policy: Policy, found: Comparison) -> Iterator[GateRow]:
    yield from _unjudged(policy, found, found.left_out)


def _fakes(found: Comparison) -> list[str]:
    """The runs of the fake engine."""
    return list(dict.fromkeys(run.run_id for run in (found.a, found.b) if run.is_fake))


def _fake(policy: Policy, found: Comparison) -> Iterator[GateRow]:
    """Answers of the fake engine are never judged."""
    why = f"the fake engine made up the answers of {' and '.join(_fakes(found))}"
    yield from _unjudged(
        policy, found, {row.task: why for row in found.tasks} | dict(found.left_out)
    )


def _unjudged(policy: Policy, found: Comparison, whys: Mapping[str, str]) -> Iterator[GateRow]:
    group_of = {task.task: task.group for run in (found.b, found.a) for task in run.tasks}
    for task, why in whys.items():
        rule = policy.rule(task, group_of.get(task, task), found.a.domain)
        yield _not_compared(found.a.suite, task, rule, why)


def _missing(
    policy: Policy, comparisons: Sequence[Comparison], unmatched: Sequence[Unmatched]
) -> Iterator[GateRow]:
    """Entries of the policy that match nothing compared: any of tasks; those of a domain if one of the two has it."""
    known = {(t.task, t.group) for c in comparisons for run in (c.a, c.b) for t in run.tasks}
    for key, rule in policy.tasks.items():
        if not any(fits(key, *names) for names in known):
            runs = [u for u in unmatched if any(fits(key, t.task, t.group) for t in u.run.tasks)]
            suite, why = (runs[0].run.suite, runs[0].why) if runs else ("", "in neither run")
            yield _not_compared(suite, key, rule, why)
    compared = {c.a.domain for c in comparisons if c.tasks}
    for domain, rule in policy.domains.items():
        alone = [u for u in unmatched if u.run.domain == domain]
        if alone and domain not in compared:
            yield _not_compared(alone[0].run.suite, f"domain {domain}", rule, alone[0].why)


def _not_compared(suite: str, task: str, rule: Rule, why: str) -> GateRow:
    return GateRow(
        suite=suite, task=task, rule=rule, row=None, margin=math.nan, gain=math.nan, worst=math.nan,
        best=math.nan, p_adjusted=math.nan, outcome="inconclusive", cause="not compared", why=why,
    )  # fmt: skip
