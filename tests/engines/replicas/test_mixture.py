"""Replicas on machines that differ, and what they get of this one's environment."""

import pytest

from evalharness.engines.replicas.actor import Place
from evalharness.engines.replicas.engine import mixture, passed_environment
from evalharness.errors import ConfigError


def place(gpu: str = "H100", vllm: str = "0.32.0", host: str = "a") -> Place:
    return Place(
        node="", host=host, pid=1, cores=(), version="0.1", vllm=vllm, gpus=(gpu,) if gpu else ()
    )


def test_replicas_that_are_alike_are_no_mixture() -> None:
    assert mixture([place(host="a"), place(host="b")], is_allowed=False) is None


@pytest.mark.parametrize("other", [place("A100", host="b"), place(vllm="0.33.0", host="b")])
def test_a_mixture_is_refused_unless_it_is_allowed(other: Place) -> None:
    with pytest.raises(ConfigError, match=r"the replicas differ.*on a, b\).*ray.allow_mixed=true"):
        mixture([place(), other], is_allowed=False)
    words = mixture([place(), other, place()], is_allowed=True)
    assert words is not None
    assert sorted(words.split("; ")) == sorted([f"2 with {place().kind}", f"1 with {other.kind}"])


def test_two_gpus_of_one_model_are_one_kind() -> None:
    two = place()._replace(gpus=("H100", "H100"))
    assert two.kind == place().kind == "H100, vLLM 0.32.0"


def test_secrets_and_a_machines_own_address_stay_here() -> None:
    passed = {"VLLM_USE_V2": "1", "HF_HOME": "/data", "NCCL_SOCKET_IFNAME": "ib0"}
    kept = dict.fromkeys(
        ("HF_TOKEN", "VLLM_API_KEY", "HF_SECRET_X", "VLLM_HOST_IP", "HOME", "PATH"), "x"
    )
    assert passed_environment(passed | kept) == passed
