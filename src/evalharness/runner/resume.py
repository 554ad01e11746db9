"""Which run is continued, and which responses are already stored.

A run's identity is everything its numbers depend on: weights, numerics, prompts, sampling, tasks and their docs. A run that
ended early is continued by the next one of the same identity, in its own folder; every other run may reuse the responses
of all runs of the same results folder, because a request's key holds the weights and numerics it was answered with.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalharness.config.schema import Resume
from evalharness.engines import EngineInfo
from evalharness.errors import StoreError
from evalharness.runner.changed import describe_changes
from evalharness.runner.prepare import Prepared
from evalharness.runner.response_cache import Responses
from evalharness.runner.response_index import open_index
from evalharness.store import layout
from evalharness.store.lock import (
    Claim,
    may_be_alive,
)
from evalharness.store.read import list_runs, load_manifest
from evalharness.store.records import Manifest
from evalharness.store.write import RunWriter

_NUMBERS_DONT_DEPEND_ON = (
    "max_in_flight",
    "gpu_memory_utilization",
    "cpu_kv_cache_gib",
    "num_replicas",
    "replica_kind",
    "api_key_env",
    "timeout_s",
    "num_retries",
)


def run_identity(prepared: Prepared, config: dict[str, Any], template_date: str | None) -> str:
    """sha256 over everything the run's numbers depend on.

    Args:
        prepared: the run.
        config: its configuration as plain containers.
        template_date: what its chat template writes as today's date; None if it writes none.
    """
    engine = {k: v for k, v in config["engine"].items() if k not in _NUMBERS_DONT_DEPEND_ON}
    engine["kind"] = (
        prepared.config.engine.computes.value
    )  # one engine or several: the same numbers
    # Left out where they don't matter, so that an older run of the same settings has the same identity.
    matters = {"template_date": template_date} if template_date else {}
    settings = {name: config["run"][name] for name in ("seed", "truncation", "max_error_rate")}
    if config["run"]["rolling_as_lm_eval"]:
        settings["rolling_as_lm_eval"] = True
    chat = ("chat_template_args", "system_instruction", "think_start", "think_end")
    content = {
        "checkpoint": prepared.info.fingerprint,
        "template": prepared.tokenizer.chat_template if prepared.prompting.is_chat else None,
        "chat": {name: config["model"][name] for name in chat},
        "multiturn": prepared.prompting.fewshot_as_multiturn,
        "engine": engine,
        "sampling": config["sampling"],
        "strategy": config["strategy"],
        "run": settings,
        "suite": [config["suite"]["name"], config["suite"]["version"]],
        "tasks": [
            [t.name, t.group, t.task_hash(), t.docs_fingerprint(), t.repeats, *t.main_metric()]
            for t in prepared.suite.tasks
        ],
        **matters,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def request_identity(prepared: Prepared, info: EngineInfo) -> str:
    """What a response depends on besides its request: weights, numerics, and arguments passed through to the engine."""
    engine = prepared.config.engine
    passed = {"extra": engine.extra, "scoring": engine.scoring.value, "seed": engine.seed}
    if engine.deterministic:
        passed["deterministic"] = True
    kept = {k: v for k, v in passed.items() if k not in _NUMBERS_DONT_DEPEND_ON}
    numerics = json.dumps(kept, sort_keys=True, default=str)
    return f"{prepared.info.fingerprint} {info.numerics} {numerics}"


def open_run(prepared: Prepared, manifest: Manifest, config_yaml: str) -> RunWriter:
    """The folder that this run writes to: that of an unfinished run of the same identity, or a new one.

    Raises:
        StoreError: `run.resume=must` and there is none; run.id is another run's; or its process is alive.
    """
    config, results_dir = prepared.config, Path(prepared.config.results_dir)
    unfinished: list[Manifest] = []
    if config.run.resume is not Resume.never:
        unfinished = _find_of_any_day(results_dir, prepared, manifest)
    for found in unfinished:
        if writer := claim_run(results_dir / found.run_id, found.identity):
            found = writer.manifest
            again = replace(
                manifest,
                run_id=found.run_id,
                identity=found.identity,
                template_date=found.template_date,
                started_at=found.started_at,
                num_starts=found.num_starts + 1,
                engine=found.engine if found.packages == manifest.packages else {},
            )
            writer.remove_leftovers()
            writer.update(again)
            return writer
    if unfinished and (config.run.resume is Resume.must or config.run.id is not None):
        busy = unfinished[0]
        raise StoreError(
            f"run {busy.run_id!r} is being written to by process {busy.hardware.get('pid')} on "
            f"{busy.hardware.get('host')}; wait for it or end it"
        )
    if config.run.resume is Resume.must:
        raise _nothing_to_continue(prepared, manifest)
    return _create(results_dir, manifest, config_yaml, is_named=config.run.id is not None)


def _nothing_to_continue(prepared: Prepared, manifest: Manifest) -> StoreError:
    """The error of a run that must continue and can't."""
    run_id, results_dir = prepared.config.run.id, Path(prepared.config.results_dir)
    for begun in list_runs(results_dir):
        if begun.run_id == run_id and begun.status != "complete":
            changes = describe_changes(
                begun, manifest, prepared.suite.tasks, _NUMBERS_DONT_DEPEND_ON
            )
            return StoreError(
                f"run {run_id!r} can't continue, because this has changed: {changes}; restore it, or start a new run, "
                "which reuses the answers that are still good"
            )
    named = f" {run_id!r}" if run_id else ""
    return StoreError(
        f"run.resume=must: no unfinished run{named} of the same weights, tasks and settings in "
        f"{str(results_dir)!r}; run.resume=auto starts a new one"
    )


def _create(
    results_dir: Path, manifest: Manifest, config_yaml: str, *, is_named: bool
) -> RunWriter:
    base = manifest.run_id
    while True:
        try:
            return RunWriter.create(results_dir, manifest, config_yaml)
        except StoreError:
            # Two runs that start in the same second would have the same name.
            if is_named or not (results_dir / manifest.run_id).exists():
                raise
        manifest = replace(manifest, run_id=layout.free_id(results_dir, base))


def _find_of_any_day(results_dir: Path, prepared: Prepared, manifest: Manifest) -> list[Manifest]:
    """Runs that this one may continue, newest first; if no date was set, also those of other days."""
    config = prepared.config
    days = {manifest.template_date}
    if manifest.template_date and config.model.template_date is None:
        days |= {
            run.template_date
            for run in list_runs(results_dir, prepared.info.fingerprint)
            if run.status != "complete"
        }
    found = [
        run
        for day in days
        for run in find_unfinished(
            results_dir, run_identity(prepared, manifest.config, day), config.run.id
        )
        if run.model == manifest.model  # one set of weights may have two names
    ]
    return sorted(found, key=lambda run: run.started_at, reverse=True)


def find_unfinished(results_dir: Path, identity: str, run_id: str | None) -> list[Manifest]:
    """Runs of this identity that aren't complete (and have the name, if one is given), newest first."""
    return [
        manifest
        for manifest in list_runs(results_dir, identity)
        if run_id in (None, manifest.run_id) and _is_unfinished(manifest, identity)
    ]


def _is_unfinished(manifest: Manifest, identity: str) -> bool:
    return manifest.identity == identity and manifest.status != "complete"


def claim_run(run_dir: Path, identity: str) -> RunWriter | None:
    """The run as it is now, locked for this process; None if another process continues or has finished it."""
    try:
        claim = Claim.take(run_dir)
    except OSError:  # a colleague's, which we may only read
        return None
    if claim is None:
        return None
    manifest = load_manifest(run_dir)
    is_alive = manifest.status == "running" and may_be_alive(
        run_dir, manifest.hardware, is_free=claim.is_certain
    )
    if _is_unfinished(manifest, identity) and not is_alive:
        return RunWriter(run_dir, manifest, claim)
    claim.release()
    return None


def stored_responses(prepared: Prepared, run_dir: Path) -> Responses:
    """The responses that this run may use: its own, and those of all runs of its results folder."""
    own = run_dir / layout.JOURNAL
    if not prepared.config.run.reuse:
        return Responses([own], own=own)
    results_dir = Path(prepared.config.results_dir)
    index, unindexed = open_index(results_dir, but=run_dir.name)
    return Responses([*unindexed, own], own=own, results_dir=results_dir, index=index)
