"""Two runs compared task by task: paired differences, one family of tests, a verdict in words.

Samples are joined by the hash of their doc (`store.pairs`). A task that differs between the two (`comparability`) is
left out and listed. Docs without a score in one of them could have had any: a verdict holds for all possibilities
(`missing`). `a` is the baseline.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalharness.comparison.comparability import (
    added_tasks,
    run_notes,
)
from evalharness.comparison.compare_rows import (
    Plan,
    TaskComparison,
    Verdict,
)
from evalharness.comparison.missing import (
    Bounds,
    mean_bounds,
    mean_of,
    p_values,
)
from evalharness.stats.multiple_tests import adjusted, alphas
from evalharness.stats.paired import (
    ALPHA,
    PairedResult,
    mde_at,
)
from evalharness.store.pairs import load_common, load_pairs
from evalharness.store.read import as_seen, load_metrics
from evalharness.store.records import Manifest

__all__ = ["Comparison", "TaskComparison", "Verdict", "compare_runs", "is_share", "verdict"]

MARGIN = 0.01
"""Differences up to this count as none: a point of 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Run b compared with run a."""

    a: Manifest
    b: Manifest
    margin: float
    tasks: tuple[TaskComparison, ...]
    """Rows, with groups as one row each."""
    members: tuple[TaskComparison, ...]
    """The tasks of the groups."""
    overall: TaskComparison | None
    """The mean over `tasks` (or the parts of the suite's composite) with equal weight; None for fewer than two."""
    left_out: Mapping[str, str]
    """Task -> why it isn't compared."""
    notes: tuple[str, ...]
    """Other differences between the two."""


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
    a, b = as_seen(results_dir, a), as_seen(results_dir, b)
    dirs = results_dir / a.run_id, results_dir / b.run_id
    plan = Plan(a, b, load_metrics(dirs[0]), load_metrics(dirs[1]), tasks, any_prompt)
    plan.dirs = dirs
    pairs, damaged = load_pairs(
        *dirs, plan.scored, {name: plan.asked(name) for name in plan.scored}
    )
    plan.drop_damaged(damaged, pairs)
    plan.count_other_docs(load_common(*dirs, plan.of_other_docs))
    rows, members = [], []
    for group, names in plan.groups().items():
        found = {name: pairs[name] for name in names if name in pairs}
        each = [row for name in found if (row := plan.task_row(name, pairs[name])) is not None]
        is_named = any(name in tasks for name in names)  # then the member is meant
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
        overall=_overall(rows, a, b, margin),
        left_out=plan.left_out,
        notes=run_notes(a, b),
    )


def verdict(
    sure: Bounds | None, p_adjusted: float, margin: float, *, higher_is_better: bool
) -> Verdict:
    """The difference in words, as far as it holds for any missing scores.

    Better or worse if the adjusted p is below 0.05; else equivalent if the 90 % interval lies within the margin (two
    one-sided tests at 5 %), on scales from 0 to 1; else unresolved.
    """
    if sure is None:
        return "no difference resolved"
    if p_adjusted < ALPHA:
        return "better" if (sure.low.difference > 0) == higher_is_better else "worse"
    if all(map(is_share, sure)) and sure.is_within(margin):
        return "equivalent"
    return "no difference resolved"


def _judged(rows: Sequence[TaskComparison], margin: float) -> list[TaskComparison]:
    """The rows with their adjusted p and verdict; rows without a p stay outside the family."""
    tested = p_values(row.sure for row in rows)
    return [
        replace(
            row,
            result=replace(row.result, mde=mde_at(row.result, alpha)),
            p_adjusted=p,
            verdict=verdict(row.sure, p, margin, higher_is_better=row.higher_is_better),
        )
        for row, p, alpha in zip(rows, adjusted(tested), alphas(tested, ALPHA), strict=True)
    ]


def _overall(
    rows: Sequence[TaskComparison], a: Manifest, b: Manifest, margin: float
) -> TaskComparison | None:
    composite = a.composite
    if a.domain == "safety" and not composite:
        return None  # its tasks measure different things
    added = added_tasks(a) | added_tasks(b)
    parts = composite.get("parts") or [row.task for row in rows if row.task not in added]
    used = [row for row in rows if row.task in parts and is_share(row.result)]
    used = [row for row in used if row.higher_is_better]
    if len(used) < 2:
        return None
    notes: tuple[str, ...] = ()
    if len(used) != len(parts):
        notes = (f"mean of {len(used)} of {len(parts)} rows",)
    if more := [row.task for row in rows if row.task in added]:
        notes += (f"without what isn't the suite's own: {', '.join(more)}",)
    result = mean_of([row.result for row in used])
    sure = [row.sure for row in used]
    is_missing = any(row.is_missing for row in used)
    bounds = None
    if is_missing and None not in sure:
        bounds = mean_bounds([one for one in sure if one is not None])
    found = TaskComparison(
        task=str(composite.get("name") or "mean"),
        num_members=len(used),
        metric="mean",
        filter="none",
        higher_is_better=True,
        result=result,
        p_adjusted=math.nan,
        verdict="no difference resolved",
        missing_a=math.fsum(row.missing_a for row in used) / len(used),
        missing_b=math.fsum(row.missing_b for row in used) / len(used),
        bounds=bounds,
        notes=notes,
    )
    (p,) = p_values([found.sure])
    said = verdict(found.sure, p, margin, higher_is_better=True)
    return replace(found, p_adjusted=p, verdict=said)


def is_share(result: PairedResult) -> bool:
    """Whether both scores are between 0 and 1."""
    return 0 <= result.value_a <= 1 and 0 <= result.value_b <= 1
