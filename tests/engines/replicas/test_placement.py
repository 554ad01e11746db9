"""How many replicas the machines hold, and what each gets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.config.schema import (
    Device,
    EngineConfig,
    EngineKind,
)
from evalharness.engines import describe
from evalharness.engines.replicas.placement import (
    Node,
    divide,
    num_fitting,
    per_replica,
    plan,
)
from evalharness.errors import ConfigError

TWO_BOXES = [Node(num_cpus=64, num_gpus=8), Node(num_cpus=64, num_gpus=4)]


def test_without_a_number_the_gpus_are_filled() -> None:
    config = EngineConfig(tensor_parallel_size=4)
    wanted = plan(config, TWO_BOXES)
    assert (wanted.num_replicas, wanted.num_gpus, wanted.device) == (3, 4, Device.gpu)


def test_a_replica_never_spans_two_machines() -> None:
    config = EngineConfig(tensor_parallel_size=3, pipeline_parallel_size=2)
    assert plan(config, TWO_BOXES).num_replicas == 1


def test_more_replicas_than_gpus_are_refused() -> None:
    config = EngineConfig(num_replicas=3, tensor_parallel_size=2)
    with pytest.raises(ConfigError, match=r"num_replicas: 3 of 2 GPUs each .* 4 GPUs there.* 2$"):
        plan(config, [Node(64, 4)])


def test_a_gpu_that_isnt_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 GPUs there"):
        plan(EngineConfig(device=Device.gpu), [Node(64, 0)])


def test_on_a_cpu_the_number_must_be_given() -> None:
    with pytest.raises(ConfigError, match="must be given on a CPU"):
        plan(EngineConfig(), [Node(64, 0)])


def test_cores_are_divided() -> None:
    wanted = plan(EngineConfig(num_replicas=3), [Node(8, 0)])
    assert (wanted.num_cpus, wanted.num_gpus, wanted.device) == (2, 0, Device.cpu)


def test_more_replicas_than_cores_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"num_replicas: 3 don't fit.*2 cores there"):
        plan(EngineConfig(num_replicas=3), [Node(2, 0)])


def test_a_cpu_is_used_when_it_is_asked_for() -> None:
    config = EngineConfig(num_replicas=2, device=Device.cpu)
    assert plan(config, TWO_BOXES).num_gpus == 0


def test_fake_replicas_need_nothing() -> None:
    config = EngineConfig(num_replicas=50, replica_kind=EngineKind.fake)
    wanted = plan(config, [Node(1, 0)])
    assert (wanted.num_replicas, wanted.num_cpus, wanted.num_gpus) == (50, 0, 0)


@given(st.lists(st.integers(0, 16), max_size=5), st.integers(1, 20))
def test_a_share_fits_and_a_larger_one_doesnt(nodes: list[int], num_replicas: int) -> None:
    share = per_replica(nodes, num_replicas)
    assert share == 0 or num_fitting(nodes, share) >= num_replicas
    assert num_fitting(nodes, share + 1) < num_replicas


@given(st.integers(1, 64), st.integers(1, 8))
def test_no_core_is_given_twice(num_cores: int, num_replicas: int) -> None:
    size = per_replica([num_cores], num_replicas)
    given_out = [core for n in range(num_replicas) for core in divide(range(num_cores), size, n)]
    assert len(given_out) == len(set(given_out)) == size * num_replicas


def checked(**engine: Any) -> None:
    describe(EngineConfig(kind=EngineKind.replicas, **engine))


def test_replicas_of_replicas_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"replica_kind: got replicas; expected one of vllm"):
        checked(replica_kind=EngineKind.replicas)


def test_a_missing_number_on_a_cpu_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="num_replicas: must be given on a CPU"):
        checked(device=Device.cpu)
