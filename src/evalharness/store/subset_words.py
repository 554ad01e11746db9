"""Which docs a score is over, in words: a run's tasks in, text out; empty for all docs."""

from __future__ import annotations

from collections.abc import Iterable

from evalharness.store.records import TaskSummary

NOT_COMPARABLE = "not comparable with published scores"
ESTIMATED = "estimates of the scores over all docs, intervals narrowed by sqrt(1 - n/N) where every doc has a score"


def limited(tasks: Iterable[TaskSummary]) -> list[TaskSummary]:
    """The tasks that ran on fewer docs than they have."""
    return [task for task in tasks if task.is_limited]


def subset_kind(tasks: Iterable[TaskSummary]) -> str:
    """`first docs` | `random docs` | `first and random docs`."""
    kinds = sorted({task.limit_from for task in limited(tasks)})
    return f"{' and '.join(kinds)} docs" if kinds else ""


def subset_words(tasks: Iterable[TaskSummary]) -> str:
    """N of N docs, how they were chosen, and in how many of the tasks: `random 50 of 313 docs (seed 0, by category)`."""
    tasks = list(tasks)
    some = limited(tasks)
    if not some:
        return ""
    num, available = (sum(getattr(t, n) for t in some) for n in ("num_docs", "num_docs_available"))
    words = f"{subset_kind(some).removesuffix(' docs')} {num} of {available} docs"
    if len(tasks) > 1:
        words += f" in {len(some)} of {len(tasks)} tasks"
    seeds = sorted({task.limit_seed for task in some if task.limit_seed is not None})
    fields = {task.stratified_by for task in some}
    by = [f"by {field}" for field in fields if len(fields) == 1 and field]
    details = [*(f"seed {seed}" for seed in seeds), *by]
    return words + (f" ({', '.join(details)})" if details else "")


def subset_note(tasks: Iterable[TaskSummary]) -> str:
    """The same, with the meaning for the score."""
    tasks = list(tasks)
    is_random = all(task.limit_from == "random" for task in limited(tasks))
    words = subset_words(tasks)
    return f"{words}: {ESTIMATED if is_random else NOT_COMPARABLE}" if words else ""
