"""Bounds of a run's values, which a type can't say. Checked before anything heavy is imported."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from evalharness.config.schema import (
    CompositeConfig,
    Config,
    StrategyKind,
    SuiteConfig,
)
from evalharness.errors import ConfigError, did_you_mean, then

_AT_LEAST_0 = (
    "engine.cpu_kv_cache_gib",
    "engine.num_retries",
    "run.seed",
    "run.limit_seed",
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
    "strategy.k",
    "strategy.rounds",
    "strategy.max_critique_toks",
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
    _check("run.scorer_timeout_s", config.run.scorer_timeout_s, 0.1, math.inf)
    for key in _SHARES:
        _check(key, _value(config, key), 0, 1)
    for key in ("sampling.temperature", "strategy.temperature"):
        _check(key, _value(config, key), 0, 2)  # vLLM's and OpenAI's bounds
    for key in ("sampling.top_p", "sampling.repetition_penalty"):
        if _value(config, key) is not None and _value(config, key) <= 0:
            raise ConfigError(f"{key}: got {_value(config, key)}; expected a number above 0")
    _check("sampling.repetition_penalty", config.sampling.repetition_penalty, 0, math.inf)
    _check("sampling.top_k", config.sampling.top_k, -1, math.inf)
    _check_day("model.template_date", config.model.template_date)
    _check_strategy(config)
    for name, task in config.suite.tasks.items():
        _check(f"suite.tasks.{name}.limit", task.limit, 1, math.inf)
        _check(f"suite.tasks.{name}.repeats", task.repeats, 1, math.inf)
        _check(f"suite.tasks.{name}.num_fewshot", task.num_fewshot, 0, math.inf)
    if config.suite.composite is not None:
        _check_composite(config.suite, config.suite.composite)


def _check_day(key: str, value: str | None) -> None:
    try:
        if value is not None:
            date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{key}: got {value!r}; expected a date such as 2026-05-31") from None


def _check_composite(suite: SuiteConfig, composite: CompositeConfig) -> None:
    way_out = "suite.composite=null runs without the composite"
    if not composite.name.strip() or composite.name in suite.tasks:
        raise ConfigError(
            f"suite.composite.name: got {composite.name!r}; expected a name that no task of the suite has"
        )
    _check("suite.composite.target", composite.target, 0, 1)
    if not composite.parts or len(set(composite.parts)) < len(composite.parts):
        raise ConfigError(
            f"suite.composite.parts: got {list(composite.parts)}; expected different tasks; {way_out}"
        )
    for part in composite.parts:
        if part not in suite.tasks:
            near = did_you_mean(part, suite.tasks)
            raise ConfigError(
                f"suite.composite.parts: {part!r} is not a task of suite {suite.name!r}{then(near, way_out)}"
            )


_SAYS = {
    StrategyKind.self_correct: ("critique", "correct", "reanswer"),
    StrategyKind.verify: ("verify",),
}
"""Messages that a strategy can't do without."""


def _check_strategy(config: Config) -> None:
    strategy = config.strategy
    for name in _SAYS.get(strategy.kind, ()):
        if not getattr(strategy, name).strip():
            raise ConfigError(
                f"strategy.{name}: strategy {strategy.kind.value} needs it; "
                f"strategy={strategy.kind.value} brings one"
            )
    if strategy.kind is StrategyKind.budget:
        _check_budgets(config)
    if strategy.kind not in (StrategyKind.single, StrategyKind.budget) and (
        config.sampling.temperature == 0 or strategy.temperature == 0
    ):
        raise ConfigError(
            f"strategy={strategy.kind.value} draws several answers, which are all the same at temperature 0; "
            "leave out sampling.temperature or set it above 0 (0.7, say)"
        )


def _check_budgets(config: Config) -> None:
    budgets = config.strategy.budgets
    if not budgets or min(budgets) < 0 or len(set(budgets)) < len(budgets):
        raise ConfigError(
            f"strategy.budgets: got {list(budgets)}; expected different numbers of tokens, 0 or more, "
            "e.g. [0,256,1024]"
        )
    if not (config.model.think_start and config.model.think_end):
        raise ConfigError(
            f"strategy=budget: model {config.model.name!r} has no thinking tags; for a thinking model set "
            """'model.think_start="<think>"' 'model.think_end="</think>"'"""
        )


def _value(config: Config, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _check(key: str, value: float | None, low: float, high: float) -> None:
    if value is None or (low <= value <= high and math.isfinite(value)):
        return
    bounds = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
    raise ConfigError(f"{key}: got {value}; expected {bounds}")
