"""Bounds of a run's values, which a type can't say. Checked before anything heavy is imported."""

from __future__ import annotations

import math
from typing import Any

from evalharness.config import Config
from evalharness.errors import ConfigError

_AT_LEAST_0 = ("engine.cpu_kv_cache_gib", "sampling.temperature", "run.seed")
_AT_LEAST_1 = (
    "engine.max_model_len",
    "engine.tensor_parallel_size",
    "engine.pipeline_parallel_size",
    "engine.block_size",
    "engine.max_num_seqs",
    "engine.max_in_flight",
    "sampling.max_gen_toks",
    "run.limit",
)
_SHARES = (
    "engine.gpu_memory_utilization",
    "sampling.top_p",
    "sampling.min_p",
    "run.max_error_rate",
)


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
    for name, task in config.suite.tasks.items():
        _check(f"suite.tasks.{name}.limit", task.limit, 1, math.inf)
        _check(f"suite.tasks.{name}.repeats", task.repeats, 1, math.inf)
        _check(f"suite.tasks.{name}.num_fewshot", task.num_fewshot, 0, math.inf)


def _value(config: Config, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _check(key: str, value: float | None, low: float, high: float) -> None:
    if value is None or (low <= value <= high and math.isfinite(value)):
        return
    bounds = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
    raise ConfigError(f"{key}: got {value}; expected {bounds}")
