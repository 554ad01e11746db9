"""Two runs compared task by task: paired differences, one family of tests, a verdict in words.

Samples are joined by the hash of their doc (`store.pairs`). A task that isn't the same in both (version, prompt) is left
out, and said to be; so are docs that only one has. `a` is the baseline.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from evalharness.analysis.differing import other_questions, run_notes, task_notes
from evalharness.analysis.hazards import is_hazard
from evalharness.analysis.multiple_tests import alphas
from evalharness.analysis.paired import (
    PairedResult,
    from_normal,
    mde_at,
    paired_test,
    unpaired_test,
)
from evalharness.analysis.paired_metrics import metric_of, paired_metric_test
from evalharness.analysis.sources import few_sources
from evalharness.records import Manifest, MetricRecord
from evalharness.store.items import load_items
from evalharness.store.pairs import Pairs, Scored, load_pairs
from evalharness.store.read import load_metrics

Verdict = Literal["better", "worse", "equivalent", "no difference resolved"]

ALPHA = 0.05
MARGIN = 0.01
"""Differences up to this are taken for none: a point of 100."""
_OF_SCORES = ("mcnemar", "permutation")
"""Tests whose pairs are of scores, so that those of several tasks can be put together."""
_AGREES = 1e-6
_REACH_90 = 2 * 1.6448536269514722
"""Standard errors between the ends of a 90 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskComparison:
    """One task, or a group's tasks together."""

    task: str
    num_members: int
    """Tasks of a group; 1 for a task."""
    metric: str
    filter: str
    higher_is_better: bool
    result: PairedResult
    p_adjusted: float
    """Benjamini-Hochberg over all rows of the comparison."""
    verdict: Verdict
    """Of b against a, in the metric's own direction."""
    num_only_a: int = 0
    """Docs left out because b has no score for them."""
    num_only_b: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """b against a."""

    a: Manifest
    b: Manifest
    margin: float
    tasks: tuple[TaskComparison, ...]
    """Groups as one row each."""
    members: tuple[TaskComparison, ...]
    """The tasks of the groups."""
    overall: TaskComparison | None
    """The mean over `tasks` (or the parts of the suite's composite), with equal weight; None for fewer than two."""
    left_out: Mapping[str, str]
    """Task -> why it isn't compared."""
    notes: tuple[str, ...]
    """What else differs between the two."""


def compare_runs(
    results_dir: Path,
    a: Manifest,
    b: Manifest,
    *,
    tasks: Sequence[str] = (),
    margin: float = MARGIN,
    any_prompt: bool = False,
) -> Comparison:
    """Compare run b with run a.

    Args:
        results_dir: folder that holds both.
        a: the baseline.
        b: the other.
        tasks: only these (or these groups); empty for all.
        margin: largest difference that counts as none.
        any_prompt: compare tasks whose prompts or settings differ, too.

    Raises:
        StoreError: metrics of one can't be read.
    """
    dirs = results_dir / a.run_id, results_dir / b.run_id
    plan = _Plan(a, b, load_metrics(dirs[0]), load_metrics(dirs[1]), tasks, any_prompt)
    plan.dirs = dirs
    pairs, damaged = load_pairs(*dirs, plan.scored)
    plan.drop_damaged(damaged, pairs)
    rows, members = [], []
    for group, names in plan.groups().items():
        found = {name: pairs[name] for name in names if name in pairs}
        each = [row for name in found if (row := plan.task_row(name, pairs[name])) is not None]
        is_named = any(name in tasks for name in names)  # then it is the member that is meant
        if names == [group] or is_named:
            rows += each
        elif group_row := plan.group_row(group, names, found, each):
            rows.append(group_row)
            members += each
        else:
            rows += each
    rows, members = (_judged(some, margin) for some in (rows, members))
    return Comparison(
        a=a,
        b=b,
        margin=margin,
        tasks=tuple(rows),
        members=tuple(members),
        overall=_overall(rows, a, margin),
        left_out=plan.left_out,
        notes=run_notes(a, b),
    )


def verdict(
    result: PairedResult, p_adjusted: float, margin: float, *, higher_is_better: bool
) -> Verdict:
    """The difference in words.

    Better or worse where the adjusted p is under 0.05; else equivalent where the 90 % interval lies within the margin
    (two one-sided tests at 5 %), on scales from 0 to 1; else nothing was resolved.
    """
    if p_adjusted < ALPHA:
        return "better" if (result.difference > 0) == higher_is_better else "worse"
    if is_share(result) and -margin < result.ci90_low and result.ci90_high < margin:
        return "equivalent"
    return "no difference resolved"


class _Plan:
    """Which tasks of two runs can be compared, by which score, and why others can't."""

    def __init__(
        self,
        a: Manifest,
        b: Manifest,
        metrics_a: Sequence[MetricRecord],
        metrics_b: Sequence[MetricRecord],
        only: Sequence[str],
        any_prompt: bool,
    ) -> None:
        self.a, self.b = a, b
        self.dirs = Path(), Path()
        self.tasks_a, self.tasks_b = ({t.task: t for t in run.tasks} for run in (a, b))
        self.metrics_a, self.metrics_b = (
            {(m.task, m.metric, m.filter): m for m in metrics} for metrics in (metrics_a, metrics_b)
        )
        self.main = {m.task: m for m in metrics_a if m.is_main}
        self.left_out: dict[str, str] = {}
        self.scored: dict[str, Scored] = {}
        for name, task in self.tasks_a.items():
            if only and name not in only and task.group not in only:
                continue
            if why := self._why_not(name, any_prompt):
                self.left_out[name] = why
            else:
                # A group's own metric decides for its members, which may show another.
                main = self.main.get(task.group) or self.main[name]
                if (name, main.metric, main.filter) not in self.metrics_a:
                    main = self.main[name]
                self.scored[name] = Scored(main.metric, main.filter)
        if not only:
            for name in self.tasks_b:
                if name not in self.tasks_a:
                    self.left_out[name] = f"only in {b.run_id}"

    def _why_not(self, name: str, any_prompt: bool) -> str | None:
        first, second = self.tasks_a[name], self.tasks_b.get(name)
        if second is None:
            return f"only in {self.a.run_id}"
        for run, task in ((self.a, first), (self.b, second)):
            if task.status == "failed":
                return f"failed in {run.run_id}"
        if first.version != second.version:
            return f"task version {first.version} against {second.version}"
        if name not in self.main:
            return f"no score in {self.a.run_id}"
        if not any_prompt and (what := other_questions(first, second)):
            return f"{what}; --any-prompt compares it all the same"
        return None

    def drop_damaged(self, damaged: Sequence[Path], pairs: Mapping[str, Pairs]) -> None:
        """Say which planned tasks have no pairs."""
        for name in self.scored:
            if name not in pairs and name not in self.left_out:
                files = [p for p in damaged if p.stem == name or p.stem.startswith(f"{name}--")]
                run = files[0].parents[1].name if files else ""
                self.left_out[name] = f"damaged samples in {run}" if files else "no samples"

    def groups(self) -> dict[str, list[str]]:
        """Group -> its planned tasks; a task by itself is its own group."""
        groups: dict[str, list[str]] = {}
        for name in self.scored:
            groups.setdefault(self.tasks_a[name].group, []).append(name)
        return groups

    def task_row(self, name: str, pairs: Pairs) -> TaskComparison | None:
        """The task compared; None (and said why) where no doc has a score in both."""
        first = self.metrics_a.get((name, *self.scored[name]))
        second = self.metrics_b.get((name, *self.scored[name]))
        if second is None or first is None:
            self.left_out[name] = (
                f"no {self.scored[name].metric} ({self.scored[name].filter}) in {self.b.run_id}"
            )
            return None
        notes = task_notes(self.tasks_a[name], self.tasks_b[name])
        if what := other_questions(self.tasks_a[name], self.tasks_b[name]):
            notes += (what,)
        if _is_mean(pairs, first, second):
            if len(pairs.a) == 0:
                self.left_out[name] = (
                    f"no docs in common ({pairs.num_only_a} only in {self.a.run_id}, "
                    f"{pairs.num_only_b} only in {self.b.run_id})"
                )
                return None
            result = paired_test(pairs.a, pairs.b, _rng(name, len(pairs.a)), pairs.clusters)
            if pairs.clusters is not None and (few := few_sources(pairs.clusters)):
                notes += (few,)
        else:
            result, more = _of_items(self.dirs, name, self.scored[name], first, second)
            notes += more
            if math.isnan(result.difference):
                self.left_out[name] = "no score in one of the runs"
                return None
        group = self.tasks_a[name].group
        return _row(name, 1, first, result, pairs.num_only_a, pairs.num_only_b, notes, group)

    def group_row(
        self,
        group: str,
        names: Sequence[str],
        pairs: Mapping[str, Pairs],
        members: Sequence[TaskComparison],
    ) -> TaskComparison | None:
        """The group's tasks together; None where the group has no score of its own, or nothing is left of it."""
        record = self.main.get(group)
        if record is None or not members:
            return None
        metric = (record.metric, record.filter)
        used = [
            m for m in members if (m.metric, m.filter) == metric and m.result.test in _OF_SCORES
        ]
        if len(used) < len(members):
            return None
        found = [pairs[m.task] for m in used]
        size = sum(task.group == group for task in self.a.tasks)
        notes: tuple[str, ...] = ()
        if len(used) < size:
            notes = (f"{len(used)} of {size} tasks",)
        only_a, only_b = (sum(getattr(p, n) for p in found) for n in ("num_only_a", "num_only_b"))
        other = self.metrics_b.get((group, *metric))
        if other is not None and len(used) == size and not _is_pooled(found, record, other):
            notes += ("tasks weigh the same",)
            result = mean_of([m.result for m in used])
        else:
            a, b = (np.concatenate([getattr(p, side) for p in found]) for side in "ab")
            result = paired_test(a, b, _rng(group, len(a)), _pooled_clusters(found))
        return _row(group, len(used), record, result, only_a, only_b, notes)


def _of_items(
    dirs: tuple[Path, Path], name: str, scored: Scored, first: MetricRecord, second: MetricRecord
) -> tuple[PairedResult, tuple[str, ...]]:
    """A metric that is no mean: paired where its items are stored, else of both standard errors; and what to say of it."""
    items = load_items(*dirs, name, scored)
    metric = None if items is None else metric_of(items, first.value, second.value)
    if items is not None and metric is not None and len(items.a.one) > 1:
        return paired_metric_test(items, metric, _rng(name, len(items.a.one))), ()
    n = min(first.n, second.n)
    result = unpaired_test(first.value, first.stderr, second.value, second.stderr, n)
    return result, (
        "unpaired: the metric is no mean of samples, and can't be computed from what is stored",
    )


def _row(
    task: str,
    num_members: int,
    metric: MetricRecord,
    result: PairedResult,
    num_only_a: int,
    num_only_b: int,
    notes: tuple[str, ...],
    group: str = "",
) -> TaskComparison:
    is_safer_low = metric.higher_is_better and is_hazard(task, group)
    if is_safer_low:
        notes += ("lower is safer",)
    return TaskComparison(
        task=task,
        num_members=num_members,
        metric=metric.metric,
        filter=metric.filter,
        higher_is_better=metric.higher_is_better and not is_safer_low,
        result=result,
        p_adjusted=math.nan,
        verdict="no difference resolved",
        num_only_a=num_only_a,
        num_only_b=num_only_b,
        notes=notes,
    )


def _judged(rows: Sequence[TaskComparison], margin: float) -> list[TaskComparison]:
    """The rows with their adjusted p and verdict; rows without a p stay outside the family."""
    known = [place for place, row in enumerate(rows) if not math.isnan(row.result.p_value)]
    adjusted = dict.fromkeys(range(len(rows)), math.nan)
    left = dict.fromkeys(range(len(rows)), ALPHA)
    if known:
        p_values = [rows[place].result.p_value for place in known]
        found = stats.false_discovery_control(p_values)
        adjusted.update(zip(known, map(float, found), strict=True))
        left.update(zip(known, alphas(p_values, ALPHA), strict=True))
    return [
        replace(
            row,
            result=replace(row.result, mde=mde_at(row.result, left[place])),
            p_adjusted=adjusted[place],
            verdict=verdict(
                row.result, adjusted[place], margin, higher_is_better=row.higher_is_better
            ),
        )
        for place, row in enumerate(rows)
    ]


def _overall(rows: Sequence[TaskComparison], a: Manifest, margin: float) -> TaskComparison | None:
    composite = a.config.get("suite", {}).get("composite") or {}
    if a.domain == "safety" and not composite:
        return None  # its tasks measure different things
    parts = composite.get("parts") or [row.task for row in rows]
    used = [row for row in rows if row.task in parts and is_share(row.result)]
    used = [row for row in used if row.higher_is_better]
    if len(used) < 2:
        return None
    notes = () if len(used) == len(parts) else (f"mean of {len(used)} of {len(parts)} rows",)
    result = mean_of([row.result for row in used])
    return TaskComparison(
        task=str(composite.get("name") or "mean"),
        num_members=len(used),
        metric="mean",
        filter="none",
        higher_is_better=True,
        result=result,
        p_adjusted=result.p_value,
        verdict=verdict(result, result.p_value, margin, higher_is_better=True),
        notes=notes,
    )


def mean_of(results: Sequence[PairedResult]) -> PairedResult:
    """The mean difference over independent sets of docs, with equal weight; one alone as it is."""
    k = len(results)
    if k == 1:
        return results[0]
    return from_normal(
        math.fsum(r.value_a for r in results) / k,
        math.fsum(r.value_b for r in results) / k,
        math.hypot(*(_stderr(r) for r in results)) / k,
        sum(r.n for r in results),
    )


def _stderr(result: PairedResult) -> float:
    """A row on which nothing changed isn't certain: its interval says how uncertain."""
    if result.stderr > 0:
        return result.stderr
    return (result.ci90_high - result.ci90_low) / _REACH_90


def is_share(result: PairedResult) -> bool:
    """Both scores lie between 0 and 1."""
    return 0 <= result.value_a <= 1 and 0 <= result.value_b <= 1


def _is_mean(pairs: Pairs, first: MetricRecord, second: MetricRecord) -> bool:
    """Whether the metric is the mean of the samples' scores, which pairing needs; a run without scores can't tell."""
    sides = ((pairs.mean_a, first.value), (pairs.mean_b, second.value))
    known = [(m, v) for m, v in sides if not math.isnan(m)]
    has_scores = len(known) == 2 or (pairs.num_only_a or pairs.num_only_b)
    return bool(has_scores) and all(abs(m - v) <= _AGREES * max(1.0, abs(v)) for m, v in known)


def _is_pooled(pairs: Sequence[Pairs], *records: MetricRecord) -> bool:
    for record, side in zip(records, ("a", "b"), strict=True):
        counts = [len(p.a) + getattr(p, f"num_only_{side}") for p in pairs]
        means = [getattr(p, f"mean_{side}") for p in pairs]
        pooled = math.fsum(c * m for c, m in zip(counts, means, strict=True)) / sum(counts)
        if not abs(pooled - record.value) <= _AGREES:
            return False
    return True


def _pooled_clusters(pairs: Sequence[Pairs]) -> npt.NDArray[np.int64] | None:
    if all(p.clusters is None for p in pairs):
        return None
    start, parts = 0, []
    for p in pairs:
        codes = np.arange(len(p.a)) if p.clusters is None else p.clusters
        codes = np.unique(codes, return_inverse=True)[1]
        parts.append(codes + start)
        start += len(codes)
    pooled: npt.NDArray[np.int64] = np.concatenate(parts).astype(np.int64)
    return pooled


def _rng(name: str, n: int) -> np.random.Generator:
    return np.random.default_rng([n, *name.encode()])
