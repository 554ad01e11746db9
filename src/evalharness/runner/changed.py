"""What has changed for a run that has to continue: two manifests in, a short description of each change out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalharness.errors import some
from evalharness.store.records import Manifest
from evalharness.tasks.loaded_task import LoadedTask

_MODEL = (
    "variant",
    "chat",
    "chat_template",
    "chat_template_args",
    "system_instruction",
    "think_start",
    "think_end",
)
_RUN = (
    "seed",
    "truncation",
    "fewshot_as_multiturn",
    "max_error_rate",
    "rolling_as_lm_eval",
    "limit",
    "limit_seed",
    "limit_from",
)
_MOST_SHOWN = 5
_LONGEST = 60


def describe_changes(
    begun: Manifest, now: Manifest, tasks: Sequence[LoadedTask], ignored: Sequence[str]
) -> str:
    """What changed since the run began: the first few changes.

    Args:
        begun: the run's manifest; its tasks are those that were finished.
        now: the manifest that the same run would have if it began now.
        tasks: as they are now.
        ignored: engine settings that no number depends on.
    """
    found = [*_weights(begun, now), *_settings(begun, now, ignored), *_tasks(begun, tasks)]
    if not found:
        found = ["a task or its docs (which one isn't known for tasks that didn't finish)"]
    return some(found, _MOST_SHOWN)


def _weights(begun: Manifest, now: Manifest) -> Iterator[str]:
    if begun.model != now.model:
        yield f"model {begun.model} -> {now.model}"
    for name, what in (("fingerprint", "weights"), ("chat_template_hash", "chat template")):
        old, new = (run.checkpoint.get(name) for run in (begun, now))
        if old != new:
            yield f"{what} {str(old)[:12]} -> {str(new)[:12]}"
    if begun.template_date != now.template_date:
        yield f"date in the chat template {begun.template_date} -> {now.template_date} (model.template_date sets it)"


def _settings(begun: Manifest, now: Manifest, ignored: Sequence[str]) -> Iterator[str]:
    old, new = (dict(_flat("", _that_count(run.config, ignored))) for run in (begun, now))
    for name in dict.fromkeys([*old, *new]):
        before, after = (
            _shown(values[name]) if name in values else "none" for values in (old, new)
        )
        if before != after:
            yield f"{name} {before} -> {after}"


def _tasks(begun: Manifest, tasks: Sequence[LoadedTask]) -> Iterator[str]:
    before = {task.task: task for task in begun.tasks}
    for task in tasks:
        old = before.get(task.name)
        if old is None:
            continue
        if old.task_hash != task.task_hash():
            yield f"task {task.name} (version {old.version} -> {task.version}: its prompt, filters or metrics)"
        if old.dataset_fingerprint != task.docs_fingerprint():
            yield f"docs of {task.name} ({old.num_docs} -> {task.num_docs}, or different ones)"


def _that_count(config: Mapping[str, Any], ignored: Sequence[str]) -> dict[str, Any]:
    def of(section: str, names: Sequence[str]) -> dict[str, Any]:
        values = config.get(section) or {}
        return {name: values[name] for name in names if name in values}

    engine = {k: v for k, v in (config.get("engine") or {}).items() if k not in ignored}
    return {
        "model": of("model", _MODEL),
        "engine": engine,
        "sampling": config.get("sampling") or {},
        "strategy": config.get("strategy") or {},
        "run": of("run", _RUN),
        "suite": of("suite", ("name", "version", "tasks")),
    }


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
