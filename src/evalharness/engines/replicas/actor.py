"""One replica: an engine inside a Ray actor. Requests come in unchanged; answers and our errors are returned as values.

Errors are returned, not raised, because Ray wraps what is raised in a class and a traceback of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from dataclasses import replace
from importlib import metadata
from typing import NamedTuple

from evalharness import __version__
from evalharness.config.schema import (
    Device,
    EngineConfig,
)
from evalharness.engines import Engine, EngineInfo, Weights, open_engine
from evalharness.engines.child_processes import end_group_with_me
from evalharness.engines.gpus import gpus
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
    Request,
    Scores,
)
from evalharness.errors import ConfigError, EvalHarnessError

Answer = Generation | Scores | EvalHarnessError


class Place(NamedTuple):
    """Where an actor runs."""

    node: str
    host: str
    pid: int
    cores: tuple[int, ...]
    """Cores that it may use."""
    version: str
    """Version of evalharness there."""
    vllm: str = ""
    """Version of vLLM there; empty if it isn't installed."""
    gpus: tuple[str, ...] = ()
    """Models of the GPUs that it may use."""

    @property
    def kind(self) -> str:
        """What its answers may depend on besides weights and settings."""
        models = " + ".join(dict.fromkeys(self.gpus))
        return ", ".join(filter(None, (models, f"vLLM {self.vllm}" if self.vllm else "")))


class ReplicaActor:
    """Made into a Ray actor by `engine`; its methods are coroutines, so that Ray runs many at once."""

    def __init__(self) -> None:
        """Start with nothing loaded."""
        self._engine: Engine | None = None
        # vLLM's engine is a child process that goes on when the actor is killed, and keeps its memory.
        end_group_with_me()

    async def place(self) -> Place:
        """Its location; answers as soon as Ray has placed it."""
        import ray

        return Place(
            node=ray.get_runtime_context().get_node_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            cores=tuple(sorted(os.sched_getaffinity(0))),
            version=__version__,
            vllm=_vllm_version(),
            gpus=tuple(name for name, _ in gpus()),
        )

    async def load(
        self, config: EngineConfig, weights: Weights, cores: tuple[int, ...]
    ) -> EngineInfo | EvalHarnessError:
        """Open the engine.

        Args:
            config: the inner engine's configuration.
            weights: a path that also exists on this machine.
            cores: the only ones to compute on; empty leaves the choice to the engine.
        """
        if not weights.path.exists():
            return ConfigError(
                f"engine=replicas: {socket.gethostname()} has no {weights.path}; the checkpoint must "
                "lie where all machines of the Ray cluster see it"
            )
        # Blocked in all that Ray starts (`cluster`); vLLM ends its processes by it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if cores:
            os.sched_setaffinity(0, cores)
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
        try:
            self._engine = await open_engine(_inside_ray(config), weights)
        except EvalHarnessError as e:
            return e
        return self._engine.info

    async def answer(self, request: Request) -> Answer:
        """The engine's answer, or its failure."""
        assert self._engine is not None
        try:
            if isinstance(request, GenerateRequest):
                return await self._engine.generate(request)
            return await self._engine.score(request)
        except EvalHarnessError as e:
            return e

    async def close(self) -> None:
        """Stop the engine and wait for its memory."""
        if self._engine is not None:
            await self._engine.close()


def _vllm_version() -> str:
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return ""


def _inside_ray(config: EngineConfig) -> EngineConfig:
    """Use processes of the replica for several GPUs; by default vLLM would ask Ray for more actors."""
    is_parallel = config.tensor_parallel_size * config.pipeline_parallel_size > 1
    if config.device is not Device.gpu or not is_parallel:
        return config
    return replace(config, extra={"distributed_executor_backend": "mp"} | config.extra)
