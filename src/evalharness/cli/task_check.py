"""`evalharness task check`: one task after the other, each with its result as soon as it is there."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness.cli.task_load import config_of, load, names_model
from evalharness.errors import EvalHarnessError, one_line

if TYPE_CHECKING:
    from evalharness.config.schema import Config
    from evalharness.runner.preview import Previewer
    from evalharness.tasks.authoring.defects import Defect
    from evalharness.tasks.loaded_task import LoadedTask

EXIT_NO, EXIT_WRONG_INPUT = 1, 2


@dataclass(slots=True)
class Checked:
    """What the check of one task found."""

    name: str
    problem: str | None = None
    """Why it can't be loaded."""
    defects: list[Defect] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)
    """What `--fix` changed in its README."""
    num_docs: int = 0
    num_scored: int = 0

    @property
    def summary(self) -> str:
        """What was looked at."""
        return f"{self.num_docs} docs, {self.num_scored} scored with gold, empty and wrong answers"

    def counts(self, *, strict: bool) -> list[Defect]:
        """The defects that decide the exit code."""
        return [defect for defect in self.defects if strict or defect.level == "error"]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "task": self.name,
            "problem": self.problem,
            "num_docs": self.num_docs,
            "num_scored": self.num_scored,
            "fixed": self.fixed,
            "defects": [defect._asdict() for defect in self.defects],
        }


def exit_code(results: Sequence[Checked], *, strict: bool) -> int:
    """0 nothing that counts, 1 something, 2 a task that can't be loaded."""
    if any(result.problem for result in results):
        return EXIT_WRONG_INPUT
    return EXIT_NO if any(result.counts(strict=strict) for result in results) else 0


def check_tasks(
    names: Sequence[str], overrides: Sequence[str], *, all_docs: bool, fix: bool
) -> Iterator[Checked]:
    """Check tasks, groups and tags, each when its result is asked for.

    Args:
        names: of tasks, groups or tags.
        overrides: of a run.
        all_docs: score all docs, not some.
        fix: fill in what a README can know from its task first.

    Raises:
        UserError: the overrides are wrong.
    """
    config = config_of(overrides)
    previewer = None
    if names_model(overrides):
        from evalharness.runner.preview import Previewer

        previewer = Previewer.of(config)
    for number, name in enumerate(names, start=1):
        place = f" ({number} of {len(names)})" if len(names) > 1 else ""
        try:
            with _shown_as(f"loading {name}{place}"):
                loaded = load(config, name)
        except EvalHarnessError as e:
            yield Checked(name, problem=one_line(e))
            continue
        for task in loaded:
            with _shown_as(f"checking {task.name}{place}"):
                checked = _check(config, task, previewer, all_docs=all_docs, fix=fix)
            yield checked


@contextlib.contextmanager
def _shown_as(what: str) -> Iterator[None]:
    """What takes its time, on a terminal; gone when a result is printed."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    from evalharness.report.terminal.format import plain

    with Console(stderr=True).status(plain(what)):
        yield


def _check(
    config: Config,
    loaded: LoadedTask,
    previewer: Previewer | None,
    *,
    all_docs: bool,
    fix: bool,
) -> Checked:
    from evalharness.tasks.authoring.check import examine
    from evalharness.tasks.authoring.check_docs import check_folder
    from evalharness.tasks.authoring.defects import LEVELS
    from evalharness.tasks.authoring.file_values import changed_values
    from evalharness.tasks.authoring.fix_readme import fix_readme
    from evalharness.tasks.suite import task_manager
    from evalharness.tasks.yaml.definitions import own_folder

    found, num_scored = examine(loaded, num_scored=None, seconds=0) if all_docs else examine(loaded)
    if num_scored:
        found += _sizes(loaded, previewer, all_docs=all_docs)
    found += changed_values(loaded, most_docs=None if all_docs else 10_000)
    folder: Path | None = own_folder(loaded.name, task_manager().task_index)
    fixed = []
    if folder:
        if fix and num_scored:
            fixed = fix_readme(loaded, folder, config.run.seed)
        found += check_folder(loaded, folder)
    return Checked(
        loaded.name,
        defects=sorted(found, key=lambda defect: LEVELS.index(defect.level)),
        fixed=fixed,
        num_docs=loaded.num_docs_available,
        num_scored=num_scored,
    )


def _sizes(loaded: LoadedTask, previewer: Previewer | None, *, all_docs: bool) -> list[Defect]:
    from evalharness.tasks.authoring.prompt_lengths import (
        DEFAULT_LIMIT,
        check_sizes,
        estimated_sizes,
    )

    if previewer is None:
        return check_sizes(estimated_sizes(loaded), DEFAULT_LIMIT)
    sizes = previewer.sizes(loaded, loaded.num_docs if all_docs else 100)
    return check_sizes(sizes, previewer.lm.max_model_len)
