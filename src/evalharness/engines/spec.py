"""Properties of a configured engine, known before loading it: the one place that branches on its kind.

A new engine is a class, its name in `EngineKind`, a line of `KINDS` and a YAML in `configs/engine`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from evalharness.config.schema import Device, EngineConfig, EngineKind
from evalharness.errors import ConfigError
from evalharness.paths import install_command


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What the rest of the package has to know about an engine.

    For replicas, it describes each of them, and that there are several.
    """

    engine: str
    """Module and class: `package.module:Class`."""
    is_remote: bool = False
    """Whether it is a running server, whose weights aren't here and may change."""
    loads_weights: bool = False
    """Whether it loads the checkpoint's weights, which are checked against their architecture first."""
    fills_memory: bool = False
    """Whether weights and the context's KV cache have to fit the devices before it starts."""
    takes_adapters: bool = False
    """Whether it loads plain LoRA adapters beside their base; if not, they are merged into it first."""
    runs_one_by_one: bool = False
    """Whether a request's answer never depends on the rest of the batch."""
    takes_one_gpu: bool = False
    """Whether it computes on one GPU, regardless of the configured parallelism."""
    min_room: int = 1
    """See `EngineInfo.min_room`."""
    is_replicated: bool = False
    """Whether several equal engines share the requests."""
    extra: str | None = None
    """The extra that installs it."""


KINDS = {
    EngineKind.vllm: EngineSpec(
        engine="evalharness.engines.vllm.engine:VllmEngine",
        loads_weights=True, fills_memory=True, takes_adapters=True,
    ),
    EngineKind.hf: EngineSpec(
        engine="evalharness.engines.hf:HfEngine", loads_weights=True, runs_one_by_one=True,
        takes_one_gpu=True, min_room=0,
    ),
    EngineKind.openai: EngineSpec(
        engine="evalharness.engines.openai.engine:OpenAIEngine", is_remote=True, min_room=2, extra="openai",
    ),
    EngineKind.fake: EngineSpec(engine="evalharness.engines.fake:FakeEngine", runs_one_by_one=True),
}  # fmt: skip
_REPLICAS = "evalharness.engines.replicas.engine:Replicas"


def describe(config: EngineConfig) -> EngineSpec:
    """The properties of the configured engine.

    Raises:
        ConfigError: settings that this kind of engine can't be started with.
    """
    if config.kind is EngineKind.replicas:
        _check_replicas(config)
        _check_data_parallel(config)
        return replace(KINDS[config.replica_kind], engine=_REPLICAS, is_replicated=True)
    spec = KINDS[config.kind]
    _check_data_parallel(config)
    if spec.is_remote:
        _check_endpoint(config)
    return spec


def engine_class(spec: EngineSpec) -> Any:
    """The engine's class, imported now.

    Raises:
        ConfigError: a library that it needs isn't installed.
    """
    module, name = spec.engine.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as e:
        if spec.extra is None:
            raise
        raise ConfigError(
            f"engine={spec.extra}: {e}; `{install_command(spec.extra)}` installs it."
        ) from e


def _check_data_parallel(config: EngineConfig) -> None:
    """Refuse engines that vLLM would start by itself: their GPUs would be in no meter and in no fit."""
    if config.computes is not EngineKind.vllm:
        return
    asked = [name for name in config.extra if name.startswith("data_parallel")]
    if asked and (asked != ["data_parallel_size"] or config.extra[asked[0]] != 1):
        num = config.extra.get("data_parallel_size")
        replicas = f" engine.num_replicas={num}" if isinstance(num, int) and num > 1 else ""
        raise ConfigError(
            f"engine.extra.{asked[0]}: not supported, since its GPUs would be neither checked nor metered; several engines "
            f"that share the requests are engine=replicas{replicas}"
        )


def speculates(config: EngineConfig) -> bool:
    """Whether vLLM is asked to draft tokens (`engine.extra.speculative_config`), so that it gives no log-likelihoods."""
    return config.computes is EngineKind.vllm and bool(config.extra.get("speculative_config"))


def _check_replicas(config: EngineConfig) -> None:
    kinds = [kind for kind, spec in KINDS.items() if not spec.is_remote]
    if config.replica_kind not in kinds:
        known = ", ".join(kind.value for kind in kinds)
        raise ConfigError(
            f"engine.replica_kind: got {config.replica_kind.value}; expected one of {known}"
        )
    if config.device is Device.cpu and config.num_replicas is None:
        raise ConfigError(
            "engine.num_replicas: must be given on a CPU, where replicas divide the cores"
        )


def _check_endpoint(engine: EngineConfig) -> None:
    """Check its URL, and that nothing secret would be written to disk; the messages repeat neither."""
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
