"""Bounds of a run's values, which a type can't say. Checked before anything heavy is imported."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

from evalharness.config import Config, Device, EngineConfig, EngineKind
from evalharness.errors import ConfigError

_AT_LEAST_0 = (
    "engine.cpu_kv_cache_gib",
    "engine.num_retries",
    "sampling.temperature",
    "run.seed",
    "cost.usd_per_gpu_hour",
)
_AT_LEAST_1 = (
    "engine.max_model_len",
    "engine.tensor_parallel_size",
    "engine.pipeline_parallel_size",
    "engine.block_size",
    "engine.num_replicas",
    "engine.max_num_seqs",
    "engine.max_in_flight",
    "engine.timeout_s",
    "sampling.max_gen_toks",
    "run.limit",
)
_SHARES = (
    "engine.gpu_memory_utilization",
    "sampling.top_p",
    "sampling.min_p",
    "run.max_error_rate",
)
_REPLICA_KINDS = (EngineKind.vllm, EngineKind.hf, EngineKind.fake)


def check_values(config: Config) -> None:
    """Refuse a value out of its bounds.

    Raises:
        ConfigError: the first one, with what would do.
    """
    for key in ("model.name", "suite.name"):
        name = _value(config, key)
        if not name.strip() or "/" in name:
            raise ConfigError(f"{key}: got {name!r}; expected a name without slash")
    for key in _AT_LEAST_0:
        _check(key, _value(config, key), 0, math.inf)
    for key in _AT_LEAST_1:
        _check(key, _value(config, key), 1, math.inf)
    for key in _SHARES:
        _check(key, _value(config, key), 0, 1)
    _check_replicas(config.engine)
    _check_endpoint(config.engine)
    for name, task in config.suite.tasks.items():
        _check(f"suite.tasks.{name}.limit", task.limit, 1, math.inf)
        _check(f"suite.tasks.{name}.repeats", task.repeats, 1, math.inf)
        _check(f"suite.tasks.{name}.num_fewshot", task.num_fewshot, 0, math.inf)


def _check_replicas(engine: EngineConfig) -> None:
    if engine.kind is not EngineKind.replicas:
        return
    if engine.replica_kind not in _REPLICA_KINDS:
        kinds = ", ".join(kind.value for kind in _REPLICA_KINDS)
        raise ConfigError(
            f"engine.replica_kind: got {engine.replica_kind.value}; expected one of {kinds}"
        )
    if engine.device is Device.cpu and engine.num_replicas is None:
        raise ConfigError(
            "engine.num_replicas: must be given on a CPU, where replicas divide the cores"
        )


def _check_endpoint(engine: EngineConfig) -> None:
    """Its URL, and that no secret stands in what is written to disk; the messages repeat neither."""
    if engine.kind is not EngineKind.openai:
        return
    if engine.base_url is None:
        raise ConfigError(
            "engine.base_url: needed for engine=openai, e.g. http://localhost:8000/v1"
        )
    try:
        url = urlsplit(engine.base_url)
    except ValueError:
        url = urlsplit("")
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError("engine.base_url: expected http[s]://host[:port]/v1")
    if url.username or url.password or url.query or url.fragment:
        raise ConfigError(
            "engine.base_url: takes no user, password or query, as it is written to disk; "
            "engine.api_key_env names the environment variable that holds the key"
        )
    if engine.api_key_env is not None and not engine.api_key_env.isidentifier():
        raise ConfigError(
            "engine.api_key_env: takes the name of an environment variable, not the key itself"
        )


def _value(config: Config, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _check(key: str, value: float | None, low: float, high: float) -> None:
    if value is None or (low <= value <= high and math.isfinite(value)):
        return
    bounds = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
    raise ConfigError(f"{key}: got {value}; expected {bounds}")
