"""A run in lm-eval's format: `results_<date>.json`, and `samples_<task>_<date>.jsonl` for each task.

Values without a field in lm-eval are under `evalharness`: run id, fingerprint of the weights, intervals. What the store
doesn't have is left out: the docs themselves (their hashes are included) and the text of each choice.
"""

import hashlib
import json
import logging
import math
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from evalharness import __version__
from evalharness.errors import WriteError
from evalharness.interchange.lm_eval_files import DRAWN, samples_name, sanitized
from evalharness.interchange.run_data import (
    LM_EVAL,
    Stored,
    write_text,
)
from evalharness.store.records import (
    MetricRecord,
    SampleRecord,
    TaskSummary,
)

logger = logging.getLogger(__name__)

_MEASURES = ("multiple_choice", "loglikelihood", "loglikelihood_rolling")
"""Kinds whose responses are numbers; those of all others are text."""
_ONE_CHOICE = re.compile(r"[(\[]([^,]+), (true|false)[)\]]", re.IGNORECASE)
"""The answer of a sample with one continuation: `(-1.5, True)`."""


def results_json(run: Stored) -> str:
    """The text of the results file."""
    manifest, given = run.manifest, run.full_config.get("import") or {}
    tasks = {task.task: task for task in manifest.tasks}
    derived = set((manifest.config.get("import") or {}).get("n_derived") or ())
    results = {task: _scores(run, task) for task in [*tasks, *_groups(run)]}
    for task in derived & results.keys():  # as in its original file
        results[task].pop("sample_len", None)
    children = given.get("group_subtasks") or {
        group: manifest.groups.get(group)
        or [task.task for task in manifest.tasks if task.group == group]
        for group in _groups(run)
    }
    content = {
        "results": results,
        **({"groups": {group: results[group] for group in _groups(run)}} if _groups(run) else {}),
        "group_subtasks": children,
        "configs": {
            name: (given.get("task_configs") or {}).get(name) or _config(run, task)
            for name, task in tasks.items()
        },
        "versions": {name: _version(task.version) for name, task in tasks.items()},
        "n-shot": {name: task.num_fewshot for name, task in tasks.items()},
        "higher_is_better": {
            name: {m.metric: m.higher_is_better for m in run.metrics if m.task == name}
            for name in results
        },
        "n-samples": {
            name: {"original": task.num_docs_available, "effective": task.num_docs, **_drawn(task)}
            for name, task in tasks.items()
            if name not in derived
        },
        "config": given.get("lm_eval_config") or _run_config(run),
        "date": _seconds(manifest.started_at),
        "lm_eval_version": manifest.packages.get(LM_EVAL),
        "transformers_version": manifest.packages.get("transformers"),
        "model_source": manifest.engine.get("backend") or manifest.engine.get("kind"),
        "model_name": manifest.model,
        "model_name_sanitized": sanitized(manifest.model),
        "total_evaluation_time_seconds": None if manifest.wall_s is None else str(manifest.wall_s),
        "evalharness": _provenance(run),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_lm_eval(run: Stored, folder: Path, *, with_samples: bool) -> list[Path]:
    """Write `<folder>/<model>/results_<date>.json`, and the samples beside it.

    Raises:
        WriteError: they can't be written.
    """
    folder = folder / sanitized(run.manifest.model)
    date = _date(run.manifest.started_at)
    written = [write_text(folder / f"results_{date}.json", results_json(run))]
    for task in run.manifest.tasks if with_samples else ():
        path = folder / samples_name(task.task, date)
        try:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(_lines(run, task))
        except OSError as e:
            raise WriteError.of(e, path) from e
        written.append(path)
    return written


def _lines(run: Stored, task: TaskSummary) -> Iterator[str]:
    for sample in run.samples(task.task):
        yield json.dumps(sample_line(sample, task.kind), ensure_ascii=False) + "\n"


def sample_line(sample: SampleRecord, kind: str) -> dict[str, Any]:
    """A sample as lm-eval logs it; `repeat` and `error` are ours and are included only if not empty."""
    responses = _responses(sample.response, kind)
    return {
        "doc_id": sample.doc_id,
        "doc": {},
        "target": sample.target,
        "arguments": {
            f"gen_args_{place}": {"arg_0": sample.prompt} for place in range(max(1, len(responses)))
        },
        "resps": responses,
        "filtered_resps": _filtered(sample.answer, kind),
        "filter": sample.filter,
        "metrics": list(sample.scores),
        "doc_hash": sample.doc_hash,
        "prompt_hash": _sha256(sample.prompt),
        "target_hash": _sha256(sample.target),
        **({"repeat": sample.repeat} if sample.repeat else {}),
        **({"error": sample.error} if sample.error is not None else {}),
        **{metric: _or_none(score) for metric, score in sample.scores.items()},
    }


def _responses(text: str, kind: str) -> list[Any]:
    """lm-eval's `resps`, an item per instance with its draws, all as text; empty for a sample without an answer."""
    if kind not in _MEASURES:
        return list(json.loads(text)) if _are_draws(text) else [[text]]
    entries = json.loads(text) if text else []
    is_drawn = any(isinstance(e, list) and e and isinstance(e[0], list) for e in entries)
    return [_as_text(entry if is_drawn else [entry]) for entry in entries]


def _are_draws(text: str) -> bool:
    """Several draws of one generation, as the store has them: `[["...", "..."]]`."""
    try:
        found = json.loads(text) if text.startswith("[[") else []
    except (ValueError, RecursionError):
        return False
    draws = found[0] if len(found) == 1 else []
    return len(draws) > 1 and all(isinstance(draw, str) for draw in draws)


def _filtered(answer: str, kind: str) -> list[Any]:
    if kind not in _MEASURES or not answer:
        return [answer]
    if found := _ONE_CHOICE.fullmatch(answer):
        return [[found[1], found[2].capitalize()]]
    try:
        found = json.loads(answer)
    except ValueError:
        return [answer]
    return [_as_text(item) for item in found] if isinstance(found, list) else [answer]


def _as_text(value: Any) -> Any:
    return [_as_text(item) for item in value] if isinstance(value, list) else str(value)


def _groups(run: Stored) -> list[str]:
    """Groups that have their own score, without composites, which lm-eval doesn't have."""
    tasks = {task.task for task in run.manifest.tasks}
    not_groups = tasks | {run.composite.get("name")}
    return list(dict.fromkeys(m.task for m in run.metrics if m.task not in not_groups))


def _scores(run: Stored, name: str) -> dict[str, Any]:
    scores: dict[str, Any] = {"name": name, "alias": name}
    own = {m.metric for m in run.metrics if m.task == name}
    for metric in (m for m in run.metrics if m.task == name):
        if metric.metric.removesuffix("_stderr") in own - {metric.metric}:
            logger.warning(
                "%s: metric %s is left out: lm-eval's files call %s's standard error so",
                name, metric.metric, metric.metric.removesuffix("_stderr"),
            )  # fmt: skip
            continue
        error = _or_none(metric.stderr)
        scores["sample_len"] = metric.n
        scores[f"{metric.metric},{metric.filter}"] = _or_none(metric.value)
        scores[f"{metric.metric}_stderr,{metric.filter}"] = "N/A" if error is None else error
    return scores


def _config(run: Stored, task: TaskSummary) -> dict[str, Any]:
    """The part of the task's configuration that the store has."""
    metrics = {m.metric: m for m in run.metrics if m.task == task.task}
    return {
        "task": task.task,
        "output_type": task.kind,
        "num_fewshot": task.num_fewshot,
        "dataset_path": task.dataset,
        "metric_list": [
            {"metric": name, "higher_is_better": m.higher_is_better} for name, m in metrics.items()
        ],
        "metadata": {"version": _version(task.version)},
    }


def _run_config(run: Stored) -> dict[str, Any]:
    manifest = run.manifest
    return {
        "model": manifest.engine.get("kind"),
        "model_args": {"pretrained": manifest.checkpoint.get("path")},
        "model_num_parameters": manifest.checkpoint.get("params_total"),
        "model_dtype": manifest.engine.get("dtype"),
        **{f"{name}_seed": seed for name, seed in manifest.seeds.items()},
    }


def _provenance(run: Stored) -> dict[str, Any]:
    manifest = run.manifest
    return {
        "version": __version__,
        "run_id": manifest.run_id,
        "fingerprint": manifest.checkpoint.get("fingerprint"),
        "engine": manifest.engine.get("version"),
        "intervals": {
            task: {f"{m.metric},{m.filter}": _interval(m) for m in run.metrics if m.task == task}
            for task in dict.fromkeys(metric.task for metric in run.metrics)
        },
    }


def _interval(metric: MetricRecord) -> list[float | None]:
    return [_or_none(metric.ci_low), _or_none(metric.ci_high)]


def _drawn(task: TaskSummary) -> dict[str, Any]:
    """How random docs were drawn; empty for first docs, as in lm-eval."""
    is_random = task.is_limited and task.limit_from == "random"
    return {name: getattr(task, name) for name in DRAWN} if is_random else {}


def _version(text: str) -> int | float | str:
    """lm-eval's versions are numbers."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _seconds(started_at: str) -> float:
    return datetime.fromisoformat(started_at).timestamp()


def _date(started_at: str) -> str:
    return f"{datetime.fromisoformat(started_at):%Y-%m-%dT%H-%M-%S}"


def _or_none(value: float) -> float | None:
    """Infinity stays, as in lm-eval; NaN is a missing score."""
    return None if math.isnan(value) else value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
