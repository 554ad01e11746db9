"""The way to the Hub: its address, its absence, its patience."""

import time

import pytest
from huggingface_hub import HfApi

from evalharness.errors import ConfigError
from evalharness.trend.hub import client
from evalharness.trend.hub.client import (
    HubError,
    connect,
    endpoint,
    is_offline,
    patiently,
)
from local_hub import LocalHub


def test_the_endpoint_is_read_when_it_is_used(hub: LocalHub) -> None:
    assert connect("watch").endpoint == hub.address


def test_without_an_endpoint_it_is_the_public_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "")
    assert endpoint() == "https://huggingface.co"


@pytest.mark.parametrize("address", ["hub", "ftp://hub", "http://", "http://hub:port", "http://["])
def test_an_endpoint_that_is_no_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ConfigError, match="expected an address like https://"):
        endpoint()


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_offline_is_what_the_client_takes_for_it(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert is_offline() is expected


def test_offline_is_reported_before_anything_is_asked() -> None:
    with pytest.raises(HubError, match=r"watch: https?://.*: offline .HF_HUB_OFFLINE is set"):
        connect("watch")


def test_a_hub_that_is_not_there_is_reported_at_once(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(HubError, match=r"couldn't be reached .*check network, proxy"):
        connect("watch")
    assert time.monotonic() - start < 3


def test_an_address_that_answers_as_no_hub_does_is_reported(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.address}/somewhere")
    with pytest.raises(HubError, match="the Hub answered 404"):
        connect("watch")


def test_an_answer_that_no_hub_gives_is_reported(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.page = {"login": "please"}
    with pytest.raises(HubError, match=r"isn't that of a Hub \(ValueError: not a list of models"):
        connect("watch")


def test_a_busy_hub_is_asked_again_after_the_time_it_names(hub: LocalHub, api: HfApi) -> None:
    hub.add("a/b")
    hub.busy = [{"Retry-After": "2"}]
    start = time.monotonic()
    assert patiently(lambda: api.model_info("a/b", expand=["likes"])).id == "a/b"
    assert 2 <= time.monotonic() - start < 4
    assert len(hub.asked) == 2


def test_the_hubs_own_rate_limit_header_counts_too(hub: LocalHub, api: HfApi) -> None:
    hub.add("a/b")
    hub.busy = [{"RateLimit": '"api";r=0;t=2'}]
    start = time.monotonic()
    patiently(lambda: api.model_info("a/b", expand=["likes"]))
    assert time.monotonic() - start >= 2


def test_a_wait_of_hours_is_not_waited_for(hub: LocalHub, api: HfApi) -> None:
    hub.add("a/b")
    hub.busy = [{"Retry-After": "7200"}]
    with pytest.raises(HubError, match="the Hub answered 429"), client.as_hub_error("a/b"):
        patiently(lambda: api.model_info("a/b", expand=["likes"]))
