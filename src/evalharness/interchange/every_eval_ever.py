"""A run as Every Eval Ever 0.3: one JSON of aggregates, and a JSONL with a line per sample and metric.

The layout of its datastore: `data/<collection>/<developer>/<model>/<uuid4>.json` and `<uuid4>_samples.jsonl` beside it. The
same run gives the same files: ids and times follow from the run, not from the export. Values of `additional_details`
are strings; a score that is NaN can't be stored in the format and is named in `source_metadata`.

Source: the schemas and checks of every_eval_ever 0.3.0 (evaleval).
"""

import hashlib
import json
import math
import re
import uuid
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from evalharness import __version__
from evalharness.interchange.metric_scales import is_share, scale_of
from evalharness.interchange.run_data import (
    OWN,
    Stored,
)
from evalharness.store.records import (
    MetricRecord,
    TaskSummary,
)
from evalharness.store.subset_words import subset_words

SCHEMA_VERSION = "0.3.0"
COLLECTION = OWN
_NO_PATH = re.compile(r'[<>:"\\|?*\x00-\x1f/]+')
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SERVERS = {"openai"}
"""Engines that are an endpoint."""
_METRIC_IDS = {"acc": "accuracy", "exact_match": "exact-match", "f1": "f1", "em": "exact-match"}
"""Ids that the format's registry shares between harnesses; others are prefixed with ours."""
_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_gen_toks": "max_tokens",
}


def aggregate(
    run: Stored, *, model_id: str | None = None, organization: str | None = None
) -> dict[str, Any]:
    """The run's scores, without a pointer to samples.

    Args:
        run: the run.
        model_id: `organization/name` of the model on the Hub; None for the one in the run, or else `local/<name>`.
        organization: that evaluated; None if unknown.
    """
    manifest, model_id = run.manifest, find_model_id(run, model_id)
    scored = [metric for metric in run.metrics if math.isfinite(metric.value)]
    without = [result_id(metric) for metric in run.metrics if not math.isfinite(metric.value)]
    harness = run.harness
    name = next(iter(harness))
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": evaluation_id(run, model_id),
        "evaluation_timestamp": _seconds(manifest.started_at),
        "retrieved_timestamp": _seconds(manifest.finished_at or manifest.started_at),
        "source_metadata": {
            "source_name": name,
            "source_type": "evaluation_run",
            "source_organization_name": organization or "unknown",
            "evaluator_relationship": "other",
            "additional_details": _strings(
                run_id=manifest.run_id,
                suite=manifest.suite,
                suite_version=manifest.suite_version,
                status=manifest.status,
                reason=manifest.reason,
                results_without_score=", ".join([*without, *manifest.left_out]) or None,
            ),
        },
        "eval_library": {
            "name": name.replace("-", "_"),
            "version": harness[name],
            "additional_details": _strings(**manifest.packages, exported_by=f"{OWN} {__version__}"),
        },
        "model_info": _model_info(run, model_id),
        "evaluation_results": [_result(run, metric) for metric in scored],
    }


def find_model_id(run: Stored, given: str | None) -> str:
    """`organization/name` of the model; the organization is `local` if the Hub model is unknown."""
    manifest = run.manifest
    entry = manifest.config.get("model") or {}
    for known in (given, entry.get("hub_id"), manifest.checkpoint.get("path"), manifest.model):
        if isinstance(known, str) and is_model_id(known):
            if known == manifest.checkpoint.get("path") and not run.is_imported:
                continue  # a relative folder
            return known
    return f"local/{manifest.model.replace('/', '_')}"


def is_model_id(text: str) -> bool:
    """Whether it is a Hub id: `organization/name`."""
    return _HUB_ID.fullmatch(text) is not None and not text.startswith(".")


def evaluation_id(run: Stored, model_id: str) -> str:
    """A stable id: suite, model and start of the run."""
    return f"{run.manifest.suite}/{model_id}/{_seconds(run.manifest.started_at)}"


def result_id(metric: MetricRecord) -> str:
    """The id that joins a sample's line to its result; unique in the run."""
    return f"{metric.task}:{metric.metric}:{metric.filter}"


def file_path(run: Stored, model_id: str) -> PurePosixPath:
    """Path of the aggregate in the datastore; its UUID follows from the run."""
    developer, _, model = model_id.partition("/")
    manifest = run.manifest
    seed = f"{manifest.run_id}\n{manifest.started_at}\n{manifest.identity}"
    name = uuid.UUID(bytes=hashlib.sha256(seed.encode()).digest()[:16], version=4)
    return PurePosixPath(
        "data", COLLECTION, _component(developer), _component(model), f"{name}.json"
    )


def samples_path(path: PurePosixPath) -> PurePosixPath:
    """The samples that belong to an aggregate."""
    return path.with_name(f"{path.stem}_samples.jsonl")


def as_text(content: dict[str, Any]) -> str:
    """The text of the aggregate's file."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _component(name: str) -> str:
    """The text as a part of a path, valid on any system."""
    return _NO_PATH.sub("_", name).rstrip(". ") or "unknown"


def _model_info(run: Stored, model_id: str) -> dict[str, Any]:
    manifest, engine = run.manifest, run.manifest.engine
    checkpoint = manifest.checkpoint
    is_local = model_id.startswith("local/")
    kind = str(engine.get("backend") or engine.get("kind") or "unknown")
    is_served = kind in _SERVERS or "completions" in kind
    return {
        "name": manifest.model,
        "id": model_id,
        **({} if is_local else {"developer": model_id.partition("/")[0]}),
        "inference_engine": _strings(
            name=kind, version=None if run.is_imported else engine.get("version")
        ),
        "additional_details": {
            "deployment_type": "unknown" if is_served else "self_deployed",
            "model_availability": "unknown" if is_local or is_served else "open_weights",
            **_strings(
                fingerprint=checkpoint.get("fingerprint"),
                weights_fingerprint=checkpoint.get("weights_fingerprint"),
                chat_template_hash=checkpoint.get("chat_template_hash"),
                params_total=checkpoint.get("params_total"),
                params_active=checkpoint.get("params_active"),
                dtype=engine.get("dtype"),
                quantization=engine.get("quantization"),
                revision=(manifest.config.get("model") or {}).get("revision"),
            ),
        },
    }


def _result(run: Stored, metric: MetricRecord) -> dict[str, Any]:
    tasks = [t for t in run.manifest.tasks if metric.task in (t.task, t.group)]
    return {
        "evaluation_result_id": result_id(metric),
        "evaluation_name": metric.task,
        "source_data": _source_data(metric.task, tasks),
        "metric_config": _metric_config(metric),
        "score_details": {
            "score": metric.value,
            "details": _strings(
                num_docs_available=sum(t.num_docs_available for t in tasks) or None,
                subset=subset_words(tasks) or None,
                status=", ".join(sorted({t.status for t in tasks})) or None,
                num_errors=sum(t.num_errors for t in tasks),
                num_truncated=None if run.is_imported else sum(t.num_truncated for t in tasks),
            ),
            "uncertainty": _uncertainty(metric),
        },
        "generation_config": _generation_config(run, tasks),
    }


def _source_data(name: str, tasks: list[TaskSummary]) -> dict[str, Any]:
    """The Hub dataset, if all tasks come from one."""
    details = {"additional_details": _strings(tasks=" ".join(t.task for t in tasks) or None)}
    repositories = {"/".join(t.dataset.split("/")[:2]) for t in tasks}
    repository = repositories.pop() if len(repositories) == 1 else ""
    if not _HUB_ID.fullmatch(repository):
        return {"dataset_name": name, "source_type": "other", **details}
    return {
        "dataset_name": name,
        "source_type": "hf_dataset",
        "hf_repo": repository,
        "samples_number": sum(t.num_docs_available for t in tasks),
        "additional_details": details["additional_details"]
        | _strings(fingerprint=tasks[0].dataset_fingerprint if len(tasks) == 1 else None),
    }


def _metric_config(metric: MetricRecord) -> dict[str, Any]:
    scale = scale_of(metric.metric)
    config: dict[str, Any] = {
        "metric_id": _METRIC_IDS.get(metric.metric, f"{OWN}.{metric.metric}"),
        "metric_name": metric.metric,
        "metric_parameters": {"filter": metric.filter},
        "lower_is_better": not metric.higher_is_better,
        "additional_details": _strings(is_main=metric.is_main),
    }
    if is_share(metric.metric):
        config["metric_unit"] = "proportion"
    if scale is not None and scale.least <= metric.value <= scale.largest:
        ends = [end if math.isfinite(end) else "Infinity" for end in scale]
        config |= {"score_type": "continuous", "min_score": ends[0], "max_score": ends[1]}
    return config


def _uncertainty(metric: MetricRecord) -> dict[str, Any]:
    found: dict[str, Any] = {"num_samples": metric.n}
    if math.isfinite(metric.stderr):
        found["standard_error"] = {"value": metric.stderr}
    if math.isfinite(metric.ci_low) and math.isfinite(metric.ci_high):
        ends = {"lower": metric.ci_low, "upper": metric.ci_high}
        found["confidence_interval"] = {**ends, "confidence_level": 0.95}
    return found


def _generation_config(run: Stored, tasks: list[TaskSummary]) -> dict[str, Any]:
    """What is known about how answers were drawn; the shots if all tasks have the same."""
    shots = {task.num_fewshot for task in tasks}
    used = _gen_kwargs(run, tasks[0]) if len(tasks) == 1 else {}
    arguments = {
        theirs: used[ours]
        for ours, theirs in _PARAMETERS.items()
        if isinstance(used.get(ours), int | float) and not isinstance(used[ours], bool)
    }
    if arguments.get("max_tokens", 1) < 1 or not isinstance(arguments.get("max_tokens", 1), int):
        del arguments["max_tokens"]
    rest = {name: json.dumps(v) for name, v in used.items() if name not in _PARAMETERS}
    return {
        "generation_args": arguments,
        "additional_details": _strings(
            num_fewshot=shots.pop() if len(shots) == 1 else None,
            chat_template=bool(run.manifest.checkpoint.get("is_chat")),
            strategy=run.manifest.strategy,
        )
        | rest,
    }


def _gen_kwargs(run: Stored, task: TaskSummary) -> dict[str, Any]:
    """The settings recorded in the run: an imported task's own, or our configuration's changes."""
    if task.kind != "generate_until":
        return {}
    config = run.full_config
    if run.is_imported:
        stored = (config.get("import") or {}).get("task_configs") or {}
        return dict((stored.get(task.task) or {}).get("generation_kwargs") or {})
    tasks = (config.get("suite") or {}).get("tasks") or {}
    changed = (tasks.get(task.task) or tasks.get(task.group) or {}).get("gen_kwargs") or {}
    sampling = config.get("sampling") or {}
    return {**changed, **{name: value for name, value in sampling.items() if value is not None}}


def _strings(**values: Any) -> dict[str, str]:
    """The values that aren't missing, as the strings that the format requires."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None and value != ""
    }


def _seconds(iso: str) -> str:
    """Seconds since 1970, as text."""
    return str(int(datetime.fromisoformat(iso).timestamp()))
