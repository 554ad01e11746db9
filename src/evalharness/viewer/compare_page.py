"""The page that compares two whole runs: what the verb `compare` finds, and the samples whose score differs.

All statistics are those of `comparison.compare`; a comparison is kept as long as no file of the two runs changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from evalharness.comparison.compare import Comparison, compare_runs
from evalharness.comparison.compare_rows import TaskComparison
from evalharness.report.terminal.compare import (
    FOOT,
    NOTHING_IN_COMMON,
    about,
    labels,
    remarks,
    shown_rows,
)
from evalharness.report.terminal.paired_table import (
    counts,
    difference,
    mde,
    over_all,
    p_above,
    p_value,
    row_name,
)
from evalharness.store import layout
from evalharness.store.read import find_run
from evalharness.store.records import Manifest
from evalharness.viewer.flips import FlipList, Way, flip_list, paired_tasks
from evalharness.viewer.run_pages import run_address
from evalharness.viewer.runs import Other, Stamp, as_other, get_run, other_runs, stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the reader asks to compare, as the address holds it completely."""

    a: str = ""
    """The baseline: a run's id or the beginning of one, a model (its latest run), or `latest`."""
    b: str = ""
    task: str = ""
    """Whose flips are shown; empty for the first task with any."""
    way: Way = Way.any
    any_prompt: bool = False
    show_all: bool = False
    """The tasks of groups, too."""

    def address(self, **more: str | bool) -> str:
        """The address with some of its values changed."""
        values = {**asdict(self), **more}
        kept = {
            name: "true" if value is True else str(value)
            for name, value in values.items()
            if value and value != Way.any
        }
        return "/compare?" + urlencode(kept)


class Row(NamedTuple):
    """A task, a group or the mean."""

    name: str
    is_member: bool
    """Of the group above it."""
    row: TaskComparison
    difference: str
    over_all: str
    """Bounds of it if scores are missing; empty if none are."""
    p: str
    mde: str
    counts: str
    p_above: str
    flips: str
    """Address of its flips; empty where it isn't compared doc by doc."""


class Side(NamedTuple):
    """One of the two runs."""

    label: str
    run: Manifest
    about: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePage:
    """Two runs compared, or the form that asks which."""

    choice: Choice
    others: Sequence[Other]
    sides: Sequence[Side]
    """First and second; empty while they aren't chosen."""
    rows: Sequence[Row]
    remarks: Sequence[str]
    foot: Sequence[str]
    problem: str
    """Why nothing is compared; empty if something is."""
    has_groups: bool
    tasks: Sequence[str]
    """Those with flips to choose from."""
    flips: FlipList | None


def compare_page(results_dir: Path, choice: Choice, page: int) -> ComparePage:
    """The comparison of two runs.

    Args:
        results_dir: folder that holds the runs.
        choice: which, and how; without both runs there is only the form.
        page: of the flips, from 1.

    Raises:
        StoreError: no such run or task, or a file of theirs is damaged.
    """
    others = other_runs(results_dir, None, ())
    if not (choice.a and choice.b):
        return ComparePage(
            choice=choice, others=others, sides=(), rows=(), remarks=(), foot=(), problem="",
            has_groups=False, tasks=(), flips=None,
        )  # fmt: skip
    a, b = (
        get_run(results_dir, find_run(results_dir, name).run_id) for name in (choice.a, choice.b)
    )
    choice = replace(choice, a=a.run_id, b=b.run_id)
    found = _compared(
        results_dir, a.run_id, b.run_id, choice.any_prompt, _stamps(results_dir, a, b)
    )
    names = labels(found.a, found.b)
    return ComparePage(
        choice=choice,
        others=_with_chosen(others, found.a, found.b),
        sides=[
            Side(name, run, about(run), run_address(run.run_id))
            for name, run in zip(names, (found.a, found.b), strict=True)
        ],
        rows=list(_rows(found, choice)),
        remarks=remarks(found),
        foot=FOOT if found.tasks else (),
        problem="" if found.tasks else NOTHING_IN_COMMON,
        has_groups=bool(found.members),
        tasks=[row.task for row in paired_tasks(found)],
        flips=flip_list(results_dir, found, choice.task, choice.way, page, choice.address()),
    )


@lru_cache(maxsize=8)
def _compared(
    results_dir: Path, a: str, b: str, any_prompt: bool, _: tuple[tuple[str, Stamp], ...]
) -> Comparison:
    runs = get_run(results_dir, a), get_run(results_dir, b)
    return compare_runs(results_dir, *runs, any_prompt=any_prompt)


def _stamps(results_dir: Path, *runs: Manifest) -> tuple[tuple[str, Stamp], ...]:
    """The state of everything that a comparison of the runs depends on."""
    found: list[tuple[str, Stamp]] = []
    for run in runs:
        run_dir = results_dir / run.run_id
        samples = [layout.samples_path(run_dir, task.task) for task in run.tasks]
        files = [run_dir / layout.MANIFEST, run_dir / layout.METRICS, *samples]
        found += [(run.status, stamp(path)) for path in files if path.is_file()]
    return tuple(found)


def _rows(found: Comparison, choice: Choice) -> Iterator[Row]:
    paired = {id(row) for row in paired_tasks(found)}
    shown = [*shown_rows(found, show_all=choice.show_all)]
    if found.overall is not None:
        shown.append(("", found.overall))
    for indent, row in shown:
        yield Row(
            name=row_name(row),
            is_member=bool(indent),
            row=row,
            difference=difference(row.result),
            over_all=over_all(row) if row.is_missing else "",
            p=p_value(row.p_adjusted),
            mde=mde(row.result),
            counts=counts(row.result),
            p_above=p_above(row),
            flips=choice.address(task=row.task, way="") if id(row) in paired else "",
        )


def _with_chosen(others: Sequence[Other], *runs: Manifest) -> list[Other]:
    """The runs to choose from, the chosen ones among them."""
    known = {one.run_id for one in others}
    more = map(as_other, runs)
    return [*others, *(one for one in dict.fromkeys(more) if one.run_id not in known)]
