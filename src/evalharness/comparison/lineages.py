"""Lineages in the store: models and what they were made from, with the comparisons of each step.

A model's parent is the `parent` in its newest run, or in its entry in configs/model.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from evalharness.comparison.compare import (
    MARGIN,
    compare_runs,
)
from evalharness.comparison.drift import (
    Lineage,
    Link,
    ancestors,
    lineage,
    parent_note,
)
from evalharness.config.entries import all_entries
from evalharness.errors import StoreError
from evalharness.store.match_runs import (
    Side,
    find_side,
    match,
    nothing_in_common,
)
from evalharness.store.read import list_runs
from evalharness.store.records import Manifest


def find_lineage(
    results_dir: Path,
    names: Sequence[str],
    margin: float = MARGIN,
    *,
    any_prompt: bool = False,
    runs: Sequence[Manifest] | None = None,
) -> Lineage:
    """Compare each named model with the one before it, and the last with the first.

    Args:
        results_dir: folder that holds the runs.
        names: models or run ids, oldest first; one alone stands for itself and its ancestors.
        margin: largest difference of a domain's mean that counts as none.
        any_prompt: compare tasks whose prompts differ, too.
        runs: all of the store, if they have been read already.

    Raises:
        StoreError: no such model, or no suite that both were run on.
    """
    runs = list_runs(results_dir) if runs is None else runs
    notes: list[str] = []
    if len(names) == 1:
        names, notes = _line(results_dir, runs, names[0])
    sides = [find_side(results_dir, runs, name) for name in names]
    steps = list(pairwise(sides))
    links = [_link(results_dir, a, b, margin, any_prompt=any_prompt) for a, b in steps]
    if not any(link.comparisons for link in links):
        raise nothing_in_common(*steps[0])
    if len(links) > 1:
        whole = _link(results_dir, sides[0], sides[-1], margin, any_prompt=any_prompt)
        links.append(Link(whole.parent, whole.child, whole.comparisons, (), is_whole=True))
    return lineage([side.label for side in sides], links, margin, notes)


def measured_lineages(results_dir: Path, runs: Sequence[Manifest]) -> list[Lineage]:
    """The lineages of all models without children, if at least two of their models were run on one suite."""
    found = []
    for line in _lines(runs):
        try:
            found.append(find_lineage(results_dir, line, runs=runs))
        except StoreError:
            continue  # nothing in common
    return found


def _lines(runs: Sequence[Manifest]) -> Iterator[list[str]]:
    parents = parents_of(runs)
    has_runs = list(dict.fromkeys(run.model for run in reversed(runs) if _counts(run)))
    lines = {name: [m for m in ancestors(name, parents) if m in has_runs] for name in has_runs}
    inner = {model for line in lines.values() for model in line[:-1]}
    yield from (line for name, line in lines.items() if name not in inner and len(line) > 1)


def _counts(run: Manifest) -> bool:
    """Whether it has ended and isn't of the fake engine."""
    return run.status != "running" and not run.is_fake


def _link(results_dir: Path, parent: Side, child: Side, margin: float, *, any_prompt: bool) -> Link:

    matched = match(parent, child)
    comparisons, notes = [], []
    for a, b in matched.pairs:
        try:
            comparisons.append(
                compare_runs(results_dir, a, b, margin=margin, any_prompt=any_prompt)
            )
        except StoreError as e:
            notes.append(f"suite {a.suite!r} is left out: {e}")
    if note := parent_note(parent.any_run, child.any_run):
        notes.append(note)
    if not comparisons:
        notes.append("no suite was run for both")
    notes += [
        f"suite {run.suite!r} ({run.domain}) was run for {side.name!r} only"
        for side, alone in ((parent, matched.only_a), (child, matched.only_b))
        for run in alone
    ]
    return Link(parent.label, child.label, comparisons, notes)


def _line(results_dir: Path, runs: Sequence[Manifest], name: str) -> tuple[list[str], list[str]]:
    """A model and its ancestors that have runs, oldest first, and which links have none."""
    model = find_side(results_dir, runs, name).model
    line = ancestors(model, parents_of(runs))
    has_runs = {run.model for run in runs if _counts(run)}
    found = [link for link in line if link in has_runs]
    missing = [link for link in line if link not in has_runs]
    if len(found) < 2:
        above = ", ".join(repr(link) for link in reversed(missing)) or "no parent is known"
        raise StoreError(
            f"drift: no model that {model!r} was made from has a run ({above}); "
            f"name two: `evalharness drift PARENT {model}`"
        )
    return found, [f"{link!r} has no run: left out of the lineage" for link in missing]


def parents_of(runs: Sequence[Manifest]) -> dict[str, str | None]:
    """Model -> its parent, from its newest run or its entry in configs/model."""
    parents = _entries()
    for run in reversed(runs):
        if "model" in run.config:
            parents[run.model] = run.config["model"].get("parent")
    return parents


def _entries() -> dict[str, str | None]:
    """From readable entries only, because existing runs don't need them."""
    return {
        entry.name: str(parent) if (parent := entry.values.get("parent")) else None
        for entry in all_entries()
        if not entry.problem
    }
