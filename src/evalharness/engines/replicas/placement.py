"""How many replicas there are, and what each gets of the machines. Pure: the machines come in as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalharness.config.schema import (
    Device,
    EngineConfig,
    EngineKind,
)
from evalharness.errors import ConfigError


class Node(NamedTuple):
    """What a machine offers."""

    num_cpus: int
    num_gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The replicas, and the resources that each asks Ray for."""

    num_replicas: int
    device: Device
    num_cpus: int
    num_gpus: int


def plan(config: EngineConfig, nodes: Sequence[Node]) -> Plan:
    """Divide the machines: a replica never spans two of them.

    Raises:
        ConfigError: more replicas than fit, or no number given on CPUs.
    """
    if config.replica_kind is EngineKind.fake:
        return Plan(
            num_replicas=config.num_replicas or 2, device=Device.cpu, num_cpus=0, num_gpus=0
        )
    has_gpus = any(node.num_gpus for node in nodes)
    if config.device is Device.gpu or (config.device is Device.auto and has_gpus):
        return _on_gpus(config, [node.num_gpus for node in nodes])
    return _on_cpus(config, [node.num_cpus for node in nodes])


def _on_gpus(config: EngineConfig, gpus: Sequence[int]) -> Plan:
    size = config.tensor_parallel_size * config.pipeline_parallel_size
    room = num_fitting(gpus, size)
    wanted = config.num_replicas or max(room, 1)
    if wanted > room:
        raise ConfigError(
            f"engine.num_replicas: {wanted} of {size} GPUs each (tensor_parallel_size x "
            f"pipeline_parallel_size) don't fit; {_per_machine(gpus, 'GPUs')}: room for {room}"
        )
    return Plan(num_replicas=wanted, device=Device.gpu, num_cpus=0, num_gpus=size)


def _on_cpus(config: EngineConfig, cpus: Sequence[int]) -> Plan:
    wanted = config.num_replicas
    if wanted is None:
        raise ConfigError(
            "engine.num_replicas: must be given on a CPU, where replicas divide the cores; "
            f"{_per_machine(cpus, 'cores')}"
        )
    share = per_replica(cpus, wanted)
    if not share:
        raise ConfigError(
            f"engine.num_replicas: {wanted} don't fit, each needs a core of its own; "
            f"{_per_machine(cpus, 'cores')}"
        )
    return Plan(num_replicas=wanted, device=Device.cpu, num_cpus=share, num_gpus=0)


def _per_machine(units: Sequence[int], name: str) -> str:
    return f"{' + '.join(map(str, units)) or 0} {name} there"


def num_fitting(nodes: Sequence[int], size: int) -> int:
    """How many replicas of `size` units fit if none may span two machines."""
    return sum(units // size for units in nodes)


def per_replica(nodes: Sequence[int], num_replicas: int) -> int:
    """The most units that each replica can have if none may span two machines; 0 if there isn't one for each."""
    for size in range(max(nodes, default=0), 0, -1):
        if num_fitting(nodes, size) >= num_replicas:
            return size
    return 0


def divide(cores: Sequence[int], size: int, place: int) -> tuple[int, ...]:
    """The cores of the `place`-th replica on a machine, `size` each; empty if the machine has none left."""
    return tuple(cores[place * size : (place + 1) * size])
