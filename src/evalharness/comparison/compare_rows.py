"""The rows of a comparison before they are judged: which tasks of two runs are paired, by which score, with what result.

Two manifests with their metrics in, a row per task or group out; what can't be compared is left out, with a reason.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from evalharness.comparison.comparability import (
    HINT,
    OF_TASK,
    Field,
    Settings,
    differences,
    drawn_otherwise,
    settings,
    task_notes,
    unknown,
)
from evalharness.comparison.hazards import is_hazard
from evalharness.comparison.missing import (
    Bounds,
    bounds_of,
    exactly,
    mean_bounds,
    mean_of,
    pooled,
    pooled_clusters,
)
from evalharness.stats.metrics import NO_SHARES
from evalharness.stats.paired import (
    PairedResult,
    paired_test,
    unpaired_test,
)
from evalharness.stats.paired_metrics import (
    metric_of,
    paired_metric_test,
)
from evalharness.stats.sources import few_sources
from evalharness.store.items import load_items
from evalharness.store.layout import file_stem
from evalharness.store.pairs import Asked, Common, Pairs, Scored
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)

Verdict = Literal["better", "worse", "equivalent", "no difference resolved"]

_WITH_OTHER_CONTENT = "with other content in the same place"
_AGREES = 1e-6
_OF_SCORES = ("mcnemar", "permutation")
"""Tests on pairs of scores, so that those of several tasks can be combined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskComparison:
    """One task, or the tasks of a group together."""

    task: str
    num_members: int
    """Tasks of a group; 1 for a task."""
    metric: str
    filter: str
    higher_is_better: bool
    result: PairedResult
    """Over the docs with a score in both."""
    p_adjusted: float
    """Adjusted p of the bounds: Benjamini-Hochberg over all rows of the comparison."""
    verdict: Verdict
    """b compared with a, in the metric's own direction, for any missing scores."""
    num_only_a: int = 0
    """Docs without a score in b."""
    num_only_b: int = 0
    num_neither: int = 0
    """Docs that were asked, with a score in neither."""
    missing_a: float = 0.0
    """Share of a's scores that are missing, 0..1."""
    missing_b: float = 0.0
    bounds: Bounds | None = None
    """Over all docs, with the missing scores at their worst and best for b; None if none are missing, or if there are
    no bounds (the scale is open, or the metric is not a mean)."""
    notes: tuple[str, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether any score is missing."""
        return bool(self.missing_a or self.missing_b or self.num_only_a or self.num_only_b)

    @property
    def sure(self) -> Bounds | None:
        """The basis of the verdict; None, without a verdict, if missing scores could be anything."""
        return self.bounds or (None if self.is_missing else exactly(self.result))


class Plan:
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
        """Folders of the two runs, for metrics that are computed from stored items."""
        self.tasks_a, self.tasks_b = ({t.task: t for t in run.tasks} for run in (a, b))
        self.metrics_a, self.metrics_b = (
            {(m.task, m.metric, m.filter): m for m in metrics} for metrics in (metrics_a, metrics_b)
        )
        self.main, self.main_b = (
            {m.task: m for m in metrics if m.is_main} for metrics in (metrics_a, metrics_b)
        )
        self.any_prompt = any_prompt
        self.left_out: dict[str, str] = {}
        self.of_other_docs: dict[str, str] = {}
        """Tasks left out only because of their docs -> what differs."""
        self.scored: dict[str, Scored] = {}
        for name, task in self.tasks_a.items():
            if only and name not in only and task.group not in only:
                continue
            if why := self._why_not(name):
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
                    self.left_out[name] = _only_in(b, a)

    def _why_not(self, name: str) -> str | None:
        first, second = self.tasks_a[name], self.tasks_b.get(name)
        if second is None:
            return _only_in(self.a, self.b)
        for run, task in ((self.a, first), (self.b, second)):
            if task.status == "failed":
                return f"failed in {run.run_id}"
        if name not in self.main:
            return f"no score in {self.a.run_id}"
        found = differences(*self._settings([name]))
        if final := [one.text for one in found if one.is_final]:
            return "; ".join(final)
        if found and not self.any_prompt:
            if [one.field for one in found] == ["docs"]:
                self.of_other_docs[name] = found[0].text
            return f"{', '.join(one.text for one in found)}; {HINT}"
        return None

    def _settings(self, names: Sequence[str]) -> tuple[Settings, Settings]:
        first, second = ([of[name] for name in names] for of in (self.tasks_a, self.tasks_b))
        return settings(self.a, first), settings(self.b, second)

    def asked(self, name: str) -> Asked:
        """What of a task the two runs were asked."""
        first, second = self.tasks_a[name], self.tasks_b[name]
        found = differences(*self._settings([name]))
        return Asked(
            num_docs=(first.num_docs, second.num_docs),
            repeats=(first.repeats, second.repeats),
            is_same=all(one.field != "docs" for one in found),
        )

    def notes(self, name: str) -> tuple[str, ...]:
        """Remarks on a task that is compared: remaining differences, and what isn't known."""
        notes = [*task_notes(self.tasks_a[name], self.tasks_b[name]), *self._on_settings([name])]
        own = self.main_b.get(name)
        if own is not None and (own.metric, own.filter) != tuple(self.scored[name]):
            notes.append(f"{self.b.run_id} itself shows {own.metric} ({own.filter})")
        return tuple(notes)

    def _on_settings(self, names: Sequence[str]) -> Iterator[str]:
        """Remaining differences of tasks that are compared, and what isn't known of them."""
        pairs = ((self.tasks_a[name], self.tasks_b[name]) for name in names)
        yield from dict.fromkeys(note for pair in pairs for note in drawn_otherwise(*pair))
        both = self._settings(names)
        yield from (one.text for one in differences(*both) if one.field in OF_TASK)
        if doubts := unknown(*both, _OF_PAIR):
            yield f"unverified: {', '.join(doubts)}"

    def count_other_docs(self, common: Mapping[str, Common]) -> None:
        """Report how many docs the runs share in tasks that are left out only because of their docs."""
        for name, of in common.items():
            self.left_out[name] = _other_docs(self.of_other_docs[name], *of)

    def drop_damaged(self, damaged: Sequence[Path], pairs: Mapping[str, Pairs]) -> None:
        """Report which planned tasks have no pairs."""
        for name in self.scored:
            if name not in pairs:
                runs = [path.parents[1].name for path in damaged if path.stem == file_stem(name)]
                damage = f"damaged samples in {' and '.join(runs)}; `evalharness results verify {' '.join(runs)}`"
                self.left_out[name] = f"{damage} says more" if runs else "no samples"

    def groups(self) -> dict[str, list[str]]:
        """Group -> its planned tasks; a task outside groups is its own group."""
        groups: dict[str, list[str]] = {}
        for name in self.scored:
            groups.setdefault(self.tasks_a[name].group, []).append(name)
        return groups

    def task_row(self, name: str, pairs: Pairs) -> TaskComparison | None:
        """The task compared; None, with a reason, if no doc has a score in both."""
        first = self.metrics_a[(name, *self.scored[name])]
        second = self.metrics_b.get((name, *self.scored[name]))
        if second is None:
            self.left_out[name] = (
                f"no {self.scored[name].metric} ({self.scored[name].filter}) in {self.b.run_id}"
            )
            return None
        notes = self.notes(name)
        if pairs.num_other:
            if not self.any_prompt:
                self.left_out[name] = _other_docs("other docs", len(pairs.a), pairs.num_other)
                return None
            notes += (f"without {pairs.num_other} docs {_WITH_OTHER_CONTENT}",)
        bounds = None
        if _is_mean(pairs, first, second):
            if len(pairs.a) == 0:
                other = f"{pairs.num_other} {_WITH_OTHER_CONTENT}, " if pairs.num_other else ""
                self.left_out[name] = (
                    f"no docs in common ({other}{pairs.num_only_a} only in {self.a.run_id}, "
                    f"{pairs.num_only_b} only in {self.b.run_id})"
                )
                return None
            seed = _seed(name, len(pairs.a))
            result = paired_test(pairs.a, pairs.b, np.random.default_rng(seed), pairs.clusters)
            if _is_missing([pairs]) and _has_bounds(pairs, self.scored[name].metric):
                bounds = bounds_of(pairs.possible, seed)
            if pairs.clusters is not None and (few := few_sources(pairs.clusters)):
                notes += (few,)
        else:
            result, more = self._of_items(name, first, second)
            notes += more
            if math.isnan(result.difference):
                self.left_out[name] = "no score in one of the runs"
                return None
        return _row(name, 1, first, result, [pairs], bounds, notes, self.tasks_a[name].group)

    def _of_items(
        self, name: str, first: MetricRecord, second: MetricRecord
    ) -> tuple[PairedResult, tuple[str, ...]]:
        """A metric that is not a mean: paired if its items are stored, else from both standard errors; with a remark."""
        items = load_items(*self.dirs, name, self.scored[name])
        metric = None if items is None else metric_of(items, first.value, second.value)
        if items is not None and metric is not None and len(items.a.one) > 1:
            rng = np.random.default_rng(_seed(name, len(items.a.one)))
            return paired_metric_test(items, metric, rng), ()
        n = min(first.n, second.n)
        result = unpaired_test(first.value, first.stderr, second.value, second.stderr, n)
        return result, (
            "unpaired: the metric is not a mean of samples, and can't be computed from what is stored",
        )

    def group_row(
        self,
        group: str,
        names: Sequence[str],
        pairs: Mapping[str, Pairs],
        members: Sequence[TaskComparison],
    ) -> TaskComparison | None:
        """The group's tasks together; None if the group has no score of its own, or no tasks are left."""
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
        notes = tuple(self._on_settings([m.task for m in used]))
        if len(used) < size:
            notes = (f"{len(used)} of {size} tasks", *notes)
        other = self.metrics_b.get((group, *metric))
        bounds = None
        if other is not None and len(used) == size and not _is_pooled(found, record, other):
            notes += ("tasks weigh the same",)
            result = mean_of([m.result for m in used])
            sure = [m.sure for m in used]
            if _is_missing(found) and None not in sure:
                bounds = mean_bounds([one for one in sure if one is not None])
        else:
            a, b = (np.concatenate([getattr(p, side) for p in found]) for side in "ab")
            seed = _seed(group, len(a))
            clusters = pooled_clusters([p.clusters for p in found], [len(p.a) for p in found])
            result = paired_test(a, b, np.random.default_rng(seed), clusters)
            if _is_missing(found) and all(_has_bounds(p, record.metric) for p in found):
                bounds = bounds_of(pooled([p.possible for p in found]), seed)
        return _row(group, len(used), record, result, found, bounds, notes)


_OF_PAIR: tuple[Field, ...] = tuple(name for name in OF_TASK if name not in ("metric", "filter"))
"""Whether two scores share metric and filter."""


def _row(
    task: str,
    num_members: int,
    metric: MetricRecord,
    result: PairedResult,
    pairs: Sequence[Pairs],
    bounds: Bounds | None,
    notes: tuple[str, ...],
    group: str = "",
) -> TaskComparison:
    is_safer_low = metric.higher_is_better and is_hazard(task, group)
    if is_safer_low:
        notes += ("lower is safer",)
    sizes = [len(p.possible.low_a) for p in pairs]
    total = max(1, sum(sizes))
    missing_a, missing_b = (
        math.fsum(n * getattr(p, side) for n, p in zip(sizes, pairs, strict=True)) / total
        for side in ("missing_a", "missing_b")
    )
    if (missing_a or missing_b) and bounds is None:
        notes += ("no verdict: scores are missing and could be anything",)
    return TaskComparison(
        task=task,
        num_members=num_members,
        metric=metric.metric,
        filter=metric.filter,
        higher_is_better=metric.higher_is_better and not is_safer_low,
        result=result,
        p_adjusted=math.nan,
        verdict="no difference resolved",
        num_only_a=sum(p.num_only_a for p in pairs),
        num_only_b=sum(p.num_only_b for p in pairs),
        num_neither=sum(p.num_neither for p in pairs),
        missing_a=missing_a,
        missing_b=missing_b,
        bounds=bounds,
        notes=notes,
    )


def _only_in(has: Manifest, lacks: Manifest) -> str:
    """Why a task has no counterpart; for an unfinished run, that it may still get one."""
    only = f"only in {has.run_id}"
    if lacks.status == "complete" or lacks.rescored_from or "import" in lacks.config:
        return only
    if lacks.status == "running":
        return f"{only}; {lacks.run_id} is still running"
    return f"{only}; {lacks.run_id} is {lacks.status}: `evalharness resume {lacks.run_id}` continues it"


def _other_docs(text: str, num_common: int, num_other: int) -> str:
    """What differs, with the number of docs and the way out."""
    if num_other:
        text += f": {num_other} {_WITH_OTHER_CONTENT}"
    if not num_common:
        return f"{text}; none in common: repeat one on the other's docs"
    return f"{text}; --any-prompt compares the {num_common} in common"


def _is_missing(pairs: Sequence[Pairs]) -> bool:
    return any(p.missing_a or p.missing_b for p in pairs)


def _has_bounds(pairs: Pairs, metric: str) -> bool:
    """Whether the scores are known to be between 0 and 1."""
    return pairs.is_share and metric not in NO_SHARES


def _is_mean(pairs: Pairs, first: MetricRecord, second: MetricRecord) -> bool:
    """Whether the metric is the mean of the samples' scores, which pairing needs; unknown for a run without scores."""
    sides = ((pairs.mean_a, first.value), (pairs.mean_b, second.value))
    known = [(m, v) for m, v in sides if not math.isnan(m)]
    return bool(known) and all(abs(m - v) <= _AGREES * max(1.0, abs(v)) for m, v in known)


def _is_pooled(pairs: Sequence[Pairs], first: MetricRecord, second: MetricRecord) -> bool:
    """Whether both values are means over all docs of the tasks, each doc with the same weight."""
    sides = (
        (first.value, [(p.num_a, p.mean_a) for p in pairs]),
        (second.value, [(p.num_b, p.mean_b) for p in pairs]),
    )
    for value, parts in sides:
        pooled = math.fsum(num * mean for num, mean in parts) / sum(num for num, _ in parts)
        if not abs(pooled - value) <= _AGREES:
            return False
    return True


def _seed(name: str, n: int) -> list[int]:
    return [n, *name.encode()]
