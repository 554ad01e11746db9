"""The manifest of a run that lm-eval made: its input as far as the results file has it.

What lm-eval doesn't record stays unknown: the weights have no fingerprint, generations no finish reason, tasks no
tokens and no times.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evalharness.config.entries import find_entry_of
from evalharness.interchange import model_names
from evalharness.interchange.lm_eval_files import Results, TaskResult, as_number, file_date, part
from evalharness.interchange.lm_eval_samples import SamplesRead
from evalharness.store import layout
from evalharness.store.records import (
    Manifest,
    TaskSummary,
)

ENGINE = "lm-eval import"
"""The engine of a run that another program made."""
SUITE = "imported"
_CACHED = re.compile(r"(?:^|/)models--([^/]+?)--([^/]+)/snapshots/")


def begin_manifest(results: Results, results_dir: Path, model: str | None, suite: str) -> Manifest:
    """The manifest before its tasks are read.

    Args:
        results: the file.
        results_dir: where the run goes; its id is free there.
        model: name to give the model; None for the file's, or the model entry's with that Hub id.
        suite: name to give the suite.
    """
    entry, name = _model(results.content, model)
    started, wall_s = started_at(results), _wall_s(results.content)
    ended = started + timedelta(seconds=wall_s) if wall_s else None
    own_suite = model_names.find_suite(suite) or {}
    return Manifest(
        run_id=_free_id(results_dir, started, name, suite),
        status="running",
        model=name,
        suite=suite,
        suite_version="unknown",
        started_at=started.isoformat(timespec="seconds"),
        finished_at=ended.isoformat(timespec="seconds") if ended else None,
        wall_s=wall_s,
        config={
            "model": entry | {"name": name},
            "suite": {"name": suite, "domain": own_suite.get("domain", "capability")},
            "import": {"format": "lm-eval", "file": str(results.path)},
        },
        checkpoint=_checkpoint(results.content),
        engine=_engine(results.content),
        packages=_packages(results.content),
        seeds={
            name.removesuffix("_seed"): seed
            for name, seed in part(results.content, "config").items()
            if name.endswith("_seed") and isinstance(seed, int)
        },
        identity=results.sha256,
    )


def task_summary(task: TaskResult, read: SamplesRead, n: int) -> TaskSummary:
    """The outcome of a task over its `n` docs, as far as results and samples give it."""
    data = [task.config.get(name) for name in ("dataset_path", "dataset_name")]
    return TaskSummary(
        task=task.name,
        group=task.group,
        version=task.version,
        num_fewshot=task.num_fewshot,
        repeats=read.repeats,
        kind=task.kind,
        num_docs=n,
        num_docs_available=max(n, task.num_docs_available or 0),
        **task.drawn,
        num_samples=n * read.repeats,
        num_errors=read.num_errors,
        num_truncated=0,
        num_empty=read.num_empty,
        num_context_overflow=0,
        num_prompt_tokens=0,
        num_cached_tokens=0,
        num_generated_tokens=0,
        wall_s=float("nan"),
        dataset="/".join(str(part) for part in data if part) or "unknown",
        dataset_fingerprint=read.docs_fingerprint() if len(read.hashes) == n else "",
        task_hash="",
        status="complete",
    )


def in_full(results: Results) -> dict[str, Any]:
    """Data that is only stored in `config.yaml`, because every listing reads manifests."""
    return {
        "lm_eval_config": results.content.get("config"),
        "group_subtasks": results.children,
        "task_configs": {task.name: task.config for task in results.tasks},
    }


def started_at(results: Results) -> datetime:
    """Time from the file's `date`, else from its name (local time taken as UTC), else from its modification."""
    seconds = as_number(results.content.get("date"))
    try:
        if 0 < seconds < 1e11:
            return datetime.fromtimestamp(seconds, UTC)
        day, _, time = (file_date(results.path) or "").partition("T")
        return datetime.fromisoformat(f"{day}T{time.replace('-', ':')}").replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(results.path.stat().st_mtime, UTC)


def _checkpoint(content: dict[str, Any]) -> dict[str, Any]:
    num_params = part(content, "config").get("model_num_parameters")
    return {
        "path": _reported_name(content),
        "fingerprint": None,
        "weights_fingerprint": "unverified",
        "params_total": num_params if isinstance(num_params, int) and num_params > 0 else None,
        "is_chat": bool(content.get("chat_template")),
    }


def _engine(content: dict[str, Any]) -> dict[str, Any]:
    config = part(content, "config")
    return {
        "kind": ENGINE,
        "version": str(content.get("lm_eval_version") or ""),
        "backend": str(content.get("model_source") or config.get("model") or ""),
        "dtype": str(config.get("model_dtype") or "").removeprefix("torch."),
        "quantization": None,
    }


def _packages(content: dict[str, Any]) -> dict[str, str]:
    names = {"lm-eval": "lm_eval_version", "transformers": "transformers_version"}
    return {name: str(content[key]) for name, key in names.items() if content.get(key)}


def _model(content: dict[str, Any], given: str | None) -> tuple[dict[str, Any], str]:
    """The model's entry (empty if there is none) and its name, which is the entry's if there is one."""
    name = given or _without_path(_reported_name(content)) or "unknown"
    entry = find_entry_of(name)
    return ({**entry.values}, entry.name) if entry else ({}, name)


def _without_path(name: str) -> str:
    """A folder's own name; for a folder in the Hub's cache, the Hub id."""
    cached = _CACHED.search(name)
    if cached:
        return f"{cached[1]}/{cached[2]}"
    is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    return Path(name).name if is_path else name


def _reported_name(content: dict[str, Any]) -> str:
    arguments = part(content, "config").get("model_args")
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        arguments = {key.strip(): value for key, _, value in pairs}
    found = content.get("model_name")
    if not found and isinstance(arguments, dict):
        found = arguments.get("pretrained") or arguments.get("model")
    if not found and isinstance(content.get("model"), str):
        found = content["model"]
    return str(found or "unknown")


def _wall_s(content: dict[str, Any]) -> float | None:
    try:
        seconds = float(content.get("total_evaluation_time_seconds") or 0)
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < 1e9 else None


def _free_id(results_dir: Path, started: datetime, model: str, suite: str) -> str:
    parts = [re.sub(r"[^\w.+=@-]+", "-", name).strip("-.")[:60] for name in (model, suite)]
    base = "-".join([f"{started:%Y%m%d-%H%M%S}", *filter(None, parts)])
    run_id = layout.free_id(results_dir, base)
    assert layout.is_run_id(run_id)
    return run_id
