"""Which rows of a board have the same settings: settings of many runs in, the reference run and those that differ out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache

from evalharness.comparison.comparability import (
    NAMES,
    OF_RUN,
    Difference,
    Settings,
    differences,
    unknown,
)
from evalharness.errors import some
from evalharness.store.records import Manifest

Settled = Mapping[str, Settings]
"""Task -> the settings of a run's score."""

_MOST_CANDIDATES = 10
"""Most kinds of settings that are tried as the reference and compared with it, the most frequent first."""
_MOST_KINDS = 50
_MOST_NAMED = 4


def find_reference(runs: Sequence[Manifest], settled: Mapping[str, Settled]) -> Manifest:
    """The run whose settings agree with most scores; the latest of several.

    Args:
        runs: at least one.
        settled: by run id.
    """
    numbers: dict[Settings, int] = {}
    by_number: list[Settings] = []
    alike: dict[tuple[tuple[str, int], ...], list[Manifest]] = {}
    for run in runs:
        kind = []
        for task, own in settled[run.run_id].items():
            if own not in numbers:
                numbers[own] = len(by_number)
                by_number.append(own)
            kind.append((task, numbers[own]))
        alike.setdefault(tuple(kind), []).append(run)
    kinds = sorted(alike, key=lambda kind: (-len(alike[kind]), -len(kind)))[:_MOST_KINDS]

    @cache
    def agree(a: int, b: int) -> bool:
        return a == b or not differences(by_number[a], by_number[b])

    def num_agreeing(kind: tuple[tuple[str, int], ...]) -> int:
        own = dict(kind)
        return sum(
            len(alike[other])
            * sum(task in own and agree(own[task], found) for task, found in other)
            for other in kinds
        )

    def latest(kind: tuple[tuple[str, int], ...]) -> Manifest:
        return max(alike[kind], key=lambda run: (run.started_at, run.run_id))

    best = max(kinds[:_MOST_CANDIDATES], key=lambda k: (num_agreeing(k), latest(k).started_at))
    return latest(best)


def standard(
    reference: Manifest, runs: Sequence[Manifest], settled: Mapping[str, Settled]
) -> Settled:
    """Task -> the settings it is ranked with: the reference's, or most others' for a task that the reference lacks."""
    found = dict(settled[reference.run_id])
    for task in {task for own in settled.values() for task in own} - found.keys():
        having = [run for run in runs if task in settled[run.run_id]]
        alone = {run.run_id: {task: settled[run.run_id][task]} for run in having}
        found[task] = settled[find_reference(having, alone).run_id][task]
    return found


def apart_from(standard: Settled, found: Settled) -> dict[str, tuple[Difference, ...]]:
    """Task -> how its score's settings differ from the standard's, for those that do."""
    return {
        task: parts
        for task, own in found.items()
        if own != standard[task] and (parts := _differences(standard[task], own))
    }


def is_ranked(parts: Sequence[Difference], *, any_prompt: bool) -> bool:
    """Whether a score with these differences may be averaged and ranked with the others."""
    return all(any_prompt and not part.is_final for part in parts)


def apart_notes(
    rows: Mapping[str, Mapping[str, tuple[Difference, ...]]], reference: str, *, any_prompt: bool
) -> Iterator[str]:
    """A line for each difference, with its tasks and rows, after a line on what it means.

    Args:
        rows: label -> task -> its differences.
        reference: label of the run that they are relative to.
        any_prompt: they are ranked anyway.
    """
    of_text: dict[str, dict[str, list[str]]] = {}
    for label, tasks in rows.items():
        for task, parts in tasks.items():
            for part in parts:
                where = "" if part.field in OF_RUN else task
                text = (
                    f"{part.text} (never ranked together)"
                    if part.is_final and any_prompt
                    else part.text
                )
                labels = of_text.setdefault(text, {}).setdefault(where, [])
                if label not in labels:
                    labels.append(label)
    if of_text:
        what = (
            "ranked anyway (--any-prompt)"
            if any_prompt
            else "neither averaged nor ranked (--any-prompt does both)"
        )
        yield f"≠: settings or scoring differ from {reference} and most rows, {what}"
    for text, of_task in of_text.items():
        of_labels: dict[tuple[str, ...], list[str]] = {}
        for task, labels in of_task.items():
            of_labels.setdefault(tuple(labels), []).append(task)
        for who, names in of_labels.items():
            where = f"{some(names, _MOST_NAMED)}: " if names != [""] else ""
            yield f"{where}{text}: {some(who, _MOST_NAMED)}"


def doubts(rows: Mapping[str, Settled]) -> Iterator[str]:
    """A line for each set of settings that rows don't record, so that their equality is unknown."""
    found: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for label, settled in rows.items():
        for task, own in settled.items():
            if what := _unsaid(own):
                found.setdefault(what, {}).setdefault(label, []).append(task)
    for what, of_label in found.items():
        yield f"unverified: {', '.join(what)}: {some(of_label, _MOST_NAMED)}"


def repeat_notes(rows: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A line for all tasks that the same rows answered a different number of times, which estimates the same mean.

    Args:
        rows: label -> task -> its number of repeats.
    """
    of_task: dict[str, dict[str, list[str]]] = {}
    for label, repeats in rows.items():
        for task, num in repeats.items():
            of_task.setdefault(task, {}).setdefault(num, []).append(label)
    tasks: dict[str, list[str]] = {}
    for task, labels in of_task.items():
        if len(labels) > 1:
            who = "; ".join(f"{num}: {some(labels[num], _MOST_NAMED)}" for num in sorted(labels))
            tasks.setdefault(who, []).append(task)
    for who, names in tasks.items():
        yield f"{some(names, _MOST_NAMED)}: numbers of repeats differ, which all estimate the same mean: {who}"


@lru_cache(maxsize=10_000)
def _differences(a: Settings, b: Settings) -> tuple[Difference, ...]:
    return tuple(differences(a, b))


@lru_cache(maxsize=10_000)
def _unsaid(own: Settings) -> tuple[str, ...]:
    return tuple(unknown(own, own, tuple(NAMES)))
