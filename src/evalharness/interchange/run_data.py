"""A run for exporters: manifest, metrics, configuration, and its rows in a table."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evalharness.config.yaml_files import LOADER
from evalharness.errors import StoreError, UserError, WriteError, one_line
from evalharness.store import layout
from evalharness.store.read import iter_samples, load_metrics
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.subset_words import subset_words

OWN = "evalharness"
LM_EVAL = "lm-eval"


class Row(NamedTuple):
    """A task, or a group with its own score, with its main metric."""

    metric: MetricRecord
    tasks: tuple[TaskSummary, ...]
    """The task itself, or the group's."""

    @property
    def num_docs_available(self) -> int:
        """Docs that the score could cover."""
        return sum(task.num_docs_available for task in self.tasks)

    @property
    def subset(self) -> str:
        """Which docs, if a task ran on fewer than it has; empty for all."""
        return subset_words(self.tasks)

    @property
    def is_partial(self) -> bool:
        """Whether samples are missing."""
        return any(task.status != "complete" for task in self.tasks)

    @property
    def num_fewshot(self) -> int | None:
        """None if the group's tasks differ."""
        found = self._shared("num_fewshot")
        return None if found is None else int(found)

    @property
    def version(self) -> str | None:
        """Of the task; None if the group's tasks differ."""
        found = self._shared("version")
        return None if found is None else str(found)

    @property
    def dataset(self) -> str | None:
        """Of the task; None if the group's tasks differ."""
        found = self._shared("dataset")
        return None if found is None else str(found)

    def _shared(self, name: str) -> Any:
        values = {getattr(task, name) for task in self.tasks}
        return values.pop() if len(values) == 1 else None


@dataclass(slots=True, kw_only=True)
class Stored:
    """One run of the store."""

    run_dir: Path
    manifest: Manifest
    metrics: list[MetricRecord] = field(default_factory=list)
    _config: dict[str, Any] | None = None

    @classmethod
    def load(cls, run_dir: Path, manifest: Manifest) -> "Stored":
        """The run with its metrics.

        Raises:
            UserError: it has none yet, or they are damaged.
        """
        metrics = load_metrics(run_dir)
        if not metrics:
            raise UserError(
                f"run {manifest.run_id!r} has no score yet; `evalharness resume {manifest.run_id}` continues it"
            )
        return cls(run_dir=run_dir, manifest=manifest, metrics=metrics)

    @property
    def is_imported(self) -> bool:
        """Another program made it."""
        return self.manifest.is_imported

    @property
    def harness(self) -> dict[str, str]:
        """Name -> version of the programs that made the numbers, the outermost first."""
        packages = self.manifest.packages
        names = (LM_EVAL,) if self.is_imported else (OWN, LM_EVAL)
        return {name: packages.get(name, "unknown") for name in names}

    @property
    def full_config(self) -> dict[str, Any]:
        """The whole of `config.yaml`; for an imported run more than its manifest has.

        Raises:
            StoreError: it can't be read.
        """
        if self._config is None:
            self._config = _read_yaml(self.run_dir / layout.CONFIG)
        return self._config

    def rows(self) -> list[Row]:
        """The rows of a table of the run: groups that have a score instead of their tasks, the composite last."""
        main = {metric.task: metric for metric in self.metrics if metric.is_main}
        rows = []
        for group, tasks in self._groups().items():
            if group in main:
                rows.append(Row(main[group], tuple(tasks)))
            else:
                rows += [Row(main[task.task], (task,)) for task in tasks if task.task in main]
        if self.composite.get("name") in main:
            parts = [task for task in self.manifest.tasks if task.task in self.composite["parts"]]
            rows.append(Row(main[self.composite["name"]], tuple(parts)))
        return [row for row in rows if _has_score(row)]

    def without_score(self) -> dict[str, str]:
        """What is missing from `rows` -> why."""
        shown = {task.task for row in self.rows() for task in row.tasks}
        failed = {
            task.task: "failed" if task.status == "failed" else "no score"
            for task in self.manifest.tasks
            if task.task not in shown
        }
        return self.manifest.left_out | failed

    @property
    def composite(self) -> dict[str, Any]:
        """The suite's composite as configured; empty if it has none."""
        return dict((self.manifest.config.get("suite") or {}).get("composite") or {})

    def samples(self, task: str) -> Iterator[SampleRecord]:
        """A task's samples; none if the run has no file of them."""
        if layout.samples_path(self.run_dir, task).is_file():
            yield from iter_samples(self.run_dir, task)

    def _groups(self) -> Mapping[str, list[TaskSummary]]:
        groups: dict[str, list[TaskSummary]] = {}
        for task in self.manifest.tasks:
            groups.setdefault(task.group, []).append(task)
        return groups


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise StoreError(f"{str(path)!r} is damaged: {one_line(e)}") from e
    return content if isinstance(content, dict) else {}


def _has_score(row: Row) -> bool:
    is_failed = any(task.status == "failed" for task in row.tasks)
    return bool(row.tasks) and not is_failed and not math.isnan(row.metric.value)


def write_text(path: Path, text: str) -> Path:
    """Write a file, and make the folders above it.

    Raises:
        WriteError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise WriteError.of(e, path) from e
    return path
