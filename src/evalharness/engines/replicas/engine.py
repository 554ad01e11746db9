"""N engines as Ray actors (data parallel): each loads the weights once and answers a share of the requests.

`router` chooses the replica for a request. A replica that dies is lost for the rest of the run: the requests it had are
sent to the others, the log says why, the manifest counts it. When none is left, the engine is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalharness import __version__
from evalharness.config.schema import (
    EngineConfig,
    RayConfig,
)
from evalharness.engines.base import EngineInfo, Weights
from evalharness.engines.replicas.actor import (
    Answer,
    Place,
    ReplicaActor,
)
from evalharness.engines.replicas.cluster import Cluster
from evalharness.engines.replicas.placement import (
    Plan,
    divide,
    plan,
)
from evalharness.engines.replicas.router import Router
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
    Request,
    ScoreRequest,
    Scores,
)
from evalharness.errors import ConfigError, EngineError, EvalHarnessError, one_line

logger = logging.getLogger(__name__)

PLACING_S = 120.0
"""Ray's time to place and start processes; longer means that others use the resources."""
CLOSING_S = 30.0


class Replicas:
    """Behaves like one engine; `info` is that of any replica, with their number."""

    def __init__(
        self, cluster: Cluster, actors: Sequence[Any], places: Sequence[Place], info: EngineInfo
    ) -> None:
        """Wrap loaded actors; use `load`."""
        self.info = info
        self.places = tuple(places)
        """Where each replica runs."""
        self._cluster: Cluster | None = cluster
        self._actors = tuple(actors)
        self._router = Router(len(actors))
        self._last_cause = ""

    @classmethod
    async def load(cls, config: EngineConfig, weights: Weights, ray: RayConfig) -> Replicas:
        """Start Ray, and all replicas at the same time.

        Raises:
            ConfigError: Ray isn't installed, the replicas don't fit, or one of them refused the configuration.
            EngineError: Ray or a replica did not start.
        """
        cluster = Cluster.connect(ray)
        actors: list[Any] = []
        try:
            wanted = plan(config, cluster.nodes())
            environment = passed_environment(os.environ) if ray.address is not None else {}
            actors += _start(wanted, config.max_in_flight, environment)
            places = await _places(actors)
            mixed = mixture(places, is_allowed=ray.allow_mixed)
            infos = await _load(actors, places, wanted, config, weights)
            return cls(cluster, actors, places, replace(_common(infos), mixture=mixed))
        except BaseException:
            _kill(actors)
            cluster.close()
            raise

    async def generate(self, request: GenerateRequest) -> Generation:
        """See `Engine.generate`."""
        answer = await self._send(request, request.prompt_token_ids)
        assert isinstance(answer, Generation)
        return answer

    async def score(self, request: ScoreRequest) -> Scores:
        """See `Engine.score`."""
        answer = await self._send(request, request.context_token_ids)
        assert isinstance(answer, Scores)
        return answer

    async def close(self) -> None:
        """Stop the engines, then the actors, then Ray if it was started for this run."""
        cluster, self._cluster = self._cluster, None
        if cluster is None:
            return
        left = [self._actors[number].close.remote() for number in self._router.alive]
        try:
            if left:
                await asyncio.wait(
                    [asyncio.create_task(_closed(ref)) for ref in left], timeout=CLOSING_S
                )
        finally:
            _kill(self._actors)
            cluster.close()

    async def _send(self, request: Request, prefix: tuple[int, ...]) -> Generation | Scores:
        """Send a request to one replica after the other until one answers."""
        from ray.exceptions import RayError, RayTaskError

        while self._router.alive:
            number = self._router.take(prefix)
            answer: Answer
            try:
                answer = await self._actors[number].answer.remote(request)
            except (
                RayTaskError
            ):  # not one of our errors but a bug, which another replica would also have
                raise
            except RayError as e:
                answer = EngineError(_cause(e))
            finally:
                self._router.release(number)
            if isinstance(answer, EngineError):
                self._lose(number, answer)
            elif isinstance(answer, EvalHarnessError):
                raise answer
            else:
                return answer
        raise EngineError(
            f"all {len(self._actors)} replicas died; the last one: {self._last_cause}"
        )

    def _lose(self, number: int, cause: EngineError) -> None:
        num_requests = self._router.num_busy(number) + 1
        if not self._router.lose(number):
            return
        self._last_cause = one_line(cause)
        self.info = replace(self.info, num_lost=self.info.num_lost + 1)
        logger.error(
            "replica %d of %d (process %d on %s) is lost: %s; its %d requests go to the %d left",
            number + 1,
            len(self._actors),
            self.places[number].pid,
            self.places[number].host,
            self._last_cause,
            num_requests,
            len(self._router.alive),
        )
        _kill([self._actors[number]])


PASSED = ("VLLM_", "HF_", "NCCL_")
_OF_ONE_MACHINE = ("VLLM_HOST_IP", "VLLM_HOST_PORT", "VLLM_CPU_OMP_THREADS_BIND")
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|(^|_)KEY")


def passed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that replicas on other machines get from here.

    Ray shows them in its dashboard and logs, so nothing secret is among them; a replica's weights are on its machine.
    """
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(PASSED) and name not in _OF_ONE_MACHINE and not _SECRET.search(name)
    }


def mixture(places: Sequence[Place], *, is_allowed: bool) -> str | None:
    """GPU models and versions of vLLM of the replicas, where they differ; None where all are alike.

    Raises:
        ConfigError: they differ, and that isn't allowed.
    """
    kinds = Counter(place.kind for place in places)
    if len(kinds) == 1:
        return None
    words = "; ".join(f"{num} with {kind or 'neither'}" for kind, num in sorted(kinds.items()))
    if not is_allowed:
        hosts = ", ".join(dict.fromkeys(place.host for place in places))
        raise ConfigError(
            f"engine=replicas: the replicas differ, and so may their answers ({words}; on {hosts}); use machines that are "
            "alike, or ray.allow_mixed=true, which the manifest records"
        )
    logger.warning("the replicas differ: %s", words)
    return words


def _start(wanted: Plan, max_in_flight: int, environment: Mapping[str, str]) -> list[Any]:
    import ray

    actor = ray.remote(ReplicaActor).options(
        num_cpus=wanted.num_cpus,
        num_gpus=wanted.num_gpus,
        max_restarts=0,
        # One may have to serve all requests; besides them, only `close` is called.
        max_concurrency=wanted.num_replicas * max_in_flight + 8,
        runtime_env={"env_vars": dict(environment)} if environment else None,
    )
    return [actor.remote() for _ in range(wanted.num_replicas)]


async def _places(actors: Sequence[Any]) -> list[Place]:
    """The locations where Ray has placed them.

    Raises:
        EngineError: it found no place, or an actor can't run there.
        ConfigError: another version of evalharness is installed there.
    """
    try:
        places = await asyncio.wait_for(
            _all([actor.place.remote() for actor in actors]), timeout=PLACING_S
        )
    except TimeoutError:
        raise EngineError(
            f"Ray found no place for {len(actors)} replicas within {PLACING_S:.0f} s; `ray status` "
            "shows what uses the cluster; a smaller engine.num_replicas needs less"
        ) from None
    for place in places:
        if place.version != __version__:
            raise ConfigError(
                f"engine=replicas: {place.host} has evalharness {place.version}, here is {__version__}"
            )
    return places


async def _load(
    actors: Sequence[Any],
    places: Sequence[Place],
    wanted: Plan,
    config: EngineConfig,
    weights: Weights,
) -> list[EngineInfo]:
    """Load them all at the same time; the replicas on one machine divide its cores and its share of memory."""
    num_on, seen = Counter(place.node for place in places), Counter[str]()
    absolute = replace(
        weights,
        path=weights.path.absolute(),
        adapter=weights.adapter.absolute() if weights.adapter else None,
    )
    calls = []
    for actor, place in zip(actors, places, strict=True):
        inner = replace(
            config,
            kind=config.replica_kind,
            device=wanted.device,
            cpu_kv_cache_gib=config.cpu_kv_cache_gib / num_on[place.node],
        )
        cores = divide(place.cores, wanted.num_cpus, seen[place.node])
        seen[place.node] += 1
        calls.append(actor.load.remote(inner, absolute, cores))
    infos = []
    for number, info in enumerate(await _all(calls), start=1):
        if isinstance(info, EngineError):
            raise EngineError(f"replica {number} did not start: {info}")
        if isinstance(info, EvalHarnessError):
            raise info
        infos.append(info)
    return infos


def _common(infos: Sequence[EngineInfo]) -> EngineInfo:
    """The common info: they may have memory for contexts of different lengths, but must compute alike."""
    if len({info.numerics for info in infos}) > 1:
        raise EngineError(
            f"the replicas compute differently: {', '.join(info.numerics for info in infos)}"
        )
    return replace(
        infos[0],
        max_model_len=min(info.max_model_len for info in infos),
        num_replicas=len(infos),
    )


async def _all(refs: Sequence[Any]) -> list[Any]:
    """The actors' answers.

    Raises:
        EngineError: one of them died.
    """
    from ray.exceptions import RayError

    async def one(number: int, ref: Any) -> Any:
        try:
            return await ref
        except RayError as e:
            raise EngineError(f"replica {number} did not start: {_cause(e)}") from e

    return await asyncio.gather(*[one(number, ref) for number, ref in enumerate(refs, start=1)])


async def _closed(ref: Any) -> None:
    from ray.exceptions import RayError

    with contextlib.suppress(RayError):  # dead already
        await ref


def _kill(actors: Sequence[Any]) -> None:
    import ray

    for actor in actors:
        with contextlib.suppress(ValueError, ray.exceptions.RayError):
            ray.kill(actor)


def _cause(error: Exception) -> str:
    """The part of Ray's message that says why, without its general advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    why = [line for line in lines if "because" in line or "Error: " in line]
    return (why or lines or [type(error).__name__])[-1].split(" Some common causes include")[0]
