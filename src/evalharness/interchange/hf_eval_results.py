"""Hugging Face `.eval_results/*.yaml`: scores for the model's page and the leaderboards of benchmark datasets.

A list of `dataset: {id, task_id}`, `value` (0 to 100), `date` and `notes`. Only datasets that are registered as
benchmarks have a leaderboard, and a task's name there is given in the dataset's own `eval.yaml`. The format has no n
and no interval, so they are in the notes; a score over some docs only, or with samples missing, isn't written.

Source: hub-docs, docs/hub/eval-results.md.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

from evalharness.errors import UserError, did_you_mean
from evalharness.interchange.metric_scales import is_share
from evalharness.interchange.run_data import (
    Row,
    Stored,
)
from evalharness.report.terminal.format import number


class Benchmark(NamedTuple):
    """A task of a registered benchmark dataset."""

    dataset: str
    task_id: str


_BENCHMARKS = {
    "openai/gsm8k/main": Benchmark("openai/gsm8k", "gsm8k"),
    "TIGER-Lab/MMLU-Pro": Benchmark("TIGER-Lab/MMLU-Pro", "mmlu_pro"),
}
"""Dataset in our runs -> its benchmark. GPQA is not listed, as its task id differs between the Hub's page and its users."""


class Exported(NamedTuple):
    """A file's text, and the tasks that aren't in it."""

    text: str
    left_out: dict[str, str]
    """Task -> why."""


def eval_results(run: Stored, named: Mapping[str, Benchmark]) -> Exported:
    """The run's scores for registered benchmarks.

    Args:
        run: the run.
        named: task or group -> its benchmark, in addition to the known ones.

    Raises:
        UserError: no score can be written, a task isn't in the run, or two tasks count for the same benchmark.
    """
    rows = {row.metric.task: row for row in run.rows()}
    for task in named:
        if task not in rows:
            raise UserError(f"export: the run has no score of {task!r}{did_you_mean(task, rows)}")
    entries: dict[Benchmark, dict[str, Any]] = {}
    tasks: dict[Benchmark, str] = {}
    left_out = run.without_score()
    for task, row in rows.items():
        benchmark = named.get(task) if named else _BENCHMARKS.get(row.dataset or "")
        if why := _why_not(row, benchmark):
            left_out[task] = why
            continue
        assert benchmark is not None
        if benchmark in entries:
            raise UserError(
                f"export: {tasks[benchmark]!r} and {task!r} both count for {'/'.join(benchmark)}; say which: "
                f"--benchmark {task}={benchmark.dataset}:{benchmark.task_id}"
            )
        entries[benchmark], tasks[benchmark] = _entry(run, row, benchmark), task
    if not entries:
        reasons = "; ".join(f"{task}: {why}" for task, why in left_out.items())
        raise UserError(f"export: no score for a benchmark of the Hub ({reasons})")
    text = yaml.safe_dump(list(entries.values()), sort_keys=False, allow_unicode=True, width=1000)
    return Exported(text, left_out)


def parse_benchmark(text: str) -> tuple[str, Benchmark]:
    """`TASK=DATASET:TASK_ID` as task and benchmark.

    Raises:
        UserError: it doesn't have that form.
    """
    task, _, rest = text.partition("=")
    dataset, _, task_id = rest.partition(":")
    if not (task and dataset.count("/") == 1 and task_id):
        raise UserError(
            f"--benchmark {text!r}: TASK=DATASET:TASK_ID is needed, e.g. gsm8k=openai/gsm8k:gsm8k; the ids are in "
            "the eval.yaml of the dataset on the Hub"
        )
    return task, Benchmark(dataset, task_id)


def _why_not(row: Row, benchmark: Benchmark | None) -> str | None:
    if row.subset:
        return f"over the {row.subset} only"
    if row.is_partial:
        return "samples are missing"
    if benchmark is None:
        return "its benchmark is unknown; --benchmark TASK=DATASET:TASK_ID names one"
    if not is_share(row.metric.metric):
        return f"{row.metric.metric} has no known scale from 0 to 100"
    return None


def _entry(run: Stored, row: Row, benchmark: Benchmark) -> dict[str, Any]:
    return {
        "dataset": {"id": benchmark.dataset, "task_id": benchmark.task_id},
        "value": _percent(row.metric.value),
        "date": run.manifest.started_at[:10],
        "notes": _notes(run, row),
    }


def _notes(run: Stored, row: Row) -> str:
    metric = row.metric
    low, high = (number(100 * end) for end in (metric.ci_low, metric.ci_high))
    name = metric.metric if metric.filter == "none" else f"{metric.metric} ({metric.filter})"
    shots = [] if row.num_fewshot is None else [f"{row.num_fewshot}-shot"]
    harness = [f"{name} {version}" for name, version in run.harness.items()]
    parts = [
        name,
        *shots,
        f"n={metric.n}",
        f"95% CI [{low}, {high}]",
        f"lm-eval task {metric.task}",
    ]
    return ", ".join(parts + harness)


def _percent(value: float) -> float:
    """The value times 100 in decimal, so that 0.412 is 41.2 without extra digits."""
    return float(Decimal(repr(value)) * 100)
