"""Which run goes on, and which responses are there already.

A run's identity is all that its numbers depend on: weights, numerics, prompts, sampling, tasks and their docs. A run that
ended early is continued by the next one of the same identity, in its own folder; every other run may reuse the responses
of all runs of the same results folder, because a request's key holds the weights and numerics it was answered with.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalharness.config import Resume
from evalharness.engines import EngineInfo
from evalharness.errors import StoreError
from evalharness.records import Manifest
from evalharness.running.preparing import Prepared
from evalharness.store import layout
from evalharness.store.read import list_runs
from evalharness.store.write import RunWriter

SILENT_S = 120.0
"""A run on another machine whose folder has been quiet for so long isn't running any more."""

_NUMBERS_DONT_DEPEND_ON = ("max_in_flight", "gpu_memory_utilization", "cpu_kv_cache_gib")


def run_identity(prepared: Prepared, config: dict[str, Any]) -> str:
    """sha256 over everything that the run's numbers depend on.

    Args:
        prepared: the run.
        config: its configuration as plain containers.
    """
    engine = {k: v for k, v in config["engine"].items() if k not in _NUMBERS_DONT_DEPEND_ON}
    chat = ("chat_template_args", "system_instruction", "think_start", "think_end")
    content = {
        "checkpoint": prepared.info.fingerprint,
        "template": prepared.tokenizer.chat_template if prepared.prompting.is_chat else None,
        "chat": {name: config["model"][name] for name in chat},
        "multiturn": prepared.prompting.fewshot_as_multiturn,
        "engine": engine,
        "sampling": config["sampling"],
        "run": {name: config["run"][name] for name in ("seed", "truncation", "max_error_rate")},
        "suite": [config["suite"]["name"], config["suite"]["version"]],
        "tasks": [
            [t.name, t.group, t.task_hash(), t.docs_fingerprint(), t.repeats, *t.main_metric()]
            for t in prepared.suite.tasks
        ],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def request_identity(prepared: Prepared, info: EngineInfo) -> str:
    """What changes a response besides its request: weights, numerics, and arguments that went to the engine as they are."""
    engine = prepared.config.engine
    passed = {"extra": engine.extra, "scoring": engine.scoring.value, "seed": engine.seed}
    kept = {k: v for k, v in passed.items() if k not in _NUMBERS_DONT_DEPEND_ON}
    numerics = json.dumps(kept, sort_keys=True, default=str)
    return f"{prepared.info.fingerprint} {info.numerics} {numerics}"


def open_run(prepared: Prepared, manifest: Manifest, config_yaml: str) -> RunWriter:
    """The folder this run writes to: that of an unfinished run of the same identity, or a new one.

    Raises:
        StoreError: `run.resume=must` and there is none; or run.id is another run's.
    """
    config, results_dir = prepared.config, Path(prepared.config.results_dir)
    found = None
    if config.run.resume is not Resume.never:
        found = find_unfinished(results_dir, manifest.identity, config.run.id)
    if found is not None:
        writer = RunWriter(results_dir / found.run_id, found)
        again = replace(
            manifest,
            run_id=found.run_id,
            started_at=found.started_at,
            num_starts=found.num_starts + 1,
        )
        writer.update(again)
        return writer
    if config.run.resume is Resume.must:
        raise StoreError(
            "run.resume=must: no unfinished run of the same weights, tasks and settings in "
            f"{str(results_dir)!r}; run.resume=auto starts a new one"
        )
    if config.run.id is not None:
        layout.check_free(results_dir, config.run.id)
    return RunWriter.create(results_dir, manifest, config_yaml)


def find_unfinished(results_dir: Path, identity: str, run_id: str | None) -> Manifest | None:
    """The newest run of this identity that ended early (and is named so, when a name is given)."""
    for manifest in list_runs(results_dir):
        if manifest.identity != identity or manifest.status == "complete":
            continue
        if run_id in (None, manifest.run_id) and not is_alive(manifest, results_dir):
            return manifest
    return None


def is_alive(manifest: Manifest, results_dir: Path) -> bool:
    """Whether the process of a run with status `running` still is."""
    if manifest.status != "running":
        return False
    host, pid = manifest.hardware.get("host"), manifest.hardware.get("pid")
    if host == socket.gethostname() and isinstance(pid, int):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return pid != os.getpid()
    folder = results_dir / manifest.run_id
    changed = [p.stat().st_mtime for p in (*folder.iterdir(), *(folder / layout.JOURNAL).glob("*"))]
    return time.time() - max(changed) < SILENT_S


def journals(prepared: Prepared, run_dir: Path) -> list[Path]:
    """Journals with responses this run may use: its own last, so that it wins."""
    own = run_dir / layout.JOURNAL
    if not prepared.config.run.reuse:
        return [own]
    results_dir = Path(prepared.config.results_dir)
    others = [
        results_dir / manifest.run_id / layout.JOURNAL
        for manifest in list_runs(results_dir)
        if manifest.checkpoint.get("fingerprint") == prepared.info.fingerprint
    ]
    return [*(folder for folder in others if folder != own), own]
