"""Snapshots of a local Hub through the real client."""

import pytest
from huggingface_hub import HfApi

from evalharness.trend.hub.client import HubError
from evalharness.trend.hub.records import (
    Entry,
    Sighting,
)
from evalharness.trend.hub.snapshot import (
    see,
    take,
)
from local_hub import LocalHub
from trend.hub.conftest import LLAMA

ENTRY = Entry("llama-3.1-8b", LLAMA)


def _add_llama(hub: LocalHub) -> None:
    hub.add_checkpoint(
        LLAMA,
        downloads=1_200_000,
        downloadsAllTime=34_000_000,
        likes=1500,
        trendingScore=7,
        createdAt="2024-07-14T22:20:15.000Z",
        gated="manual",
        safetensors={"parameters": {"BF16": 8_030_261_248}, "total": 8_030_261_248},
        spaces=[f"a/{place}" for place in range(5)],
        baseModels={"relation": "finetune", "models": [{"_id": "1", "id": "some/base"}]},
        childrenModelCount={"adapter": 3, "finetune": 2, "merge": 1, "quantized": 4},
    )


def test_a_sighting_holds_all_that_the_hub_says(hub: LocalHub, api: HfApi) -> None:
    _add_llama(hub)
    for relation, num in (("adapter", 3), ("finetune", 2), ("merge", 1), ("quantized", 4)):
        hub.add_derivatives(LLAMA, relation, num)
    hub.add_checkpoint("someone/undeclared", f"base_model:{LLAMA}")
    assert see(api, ENTRY) == Sighting(
        model="llama-3.1-8b",
        hub_id=LLAMA,
        downloads=1_200_000,
        downloads_all_time=34_000_000,
        likes=1500,
        trending_score=7,
        created_at="2024-07-14T22:20:15+00:00",
        base_models=("some/base",),
        gated="manual",
        params_total=8_030_261_248,
        num_spaces=5,
        children_model_count=10,
        num_adapters=3,
        num_finetunes=2,
        num_merges=1,
        num_quantized=4,
        num_derivatives=11,
    )


def test_derivatives_on_several_pages_are_all_counted(hub: LocalHub, api: HfApi) -> None:
    hub.add(LLAMA)
    hub.add_derivatives(LLAMA, "quantized", 7)
    assert see(api, ENTRY).num_quantized == 7
    assert sum("cursor=" in path for path in hub.asked) >= 3


def test_what_the_hub_does_not_say_is_unknown_and_not_zero(hub: LocalHub, api: HfApi) -> None:
    hub.add(LLAMA)
    seen = see(api, ENTRY)
    assert seen.downloads_all_time is None
    assert seen.params_total is None
    assert seen.num_spaces is None
    assert (seen.gated, seen.num_derivatives) == ("no", 0)


def test_a_model_that_cannot_be_seen_says_why_and_stops_no_other(hub: LocalHub, api: HfApi) -> None:
    hub.add(LLAMA, likes=1)
    hub.hidden.add("a/gated")
    entries = [Entry("gone", "a/gone"), Entry("gated", "a/gated"), ENTRY]
    gone, gated, seen = take(api, entries).models
    assert gone.error is not None
    assert gone.error.startswith("a/gone: doesn't exist, is private or was renamed")
    assert gated.error is not None
    assert gated.error.startswith("a/gated: gated; accept its licence")
    assert gone.likes is None
    assert (seen.likes, seen.error) == (1, None)


def test_a_renamed_model_is_counted_under_its_new_name(hub: LocalHub, api: HfApi) -> None:
    hub.moved["old/name"] = LLAMA
    hub.add(LLAMA, likes=3)
    hub.add_derivatives(LLAMA, "adapter", 2)
    seen = see(api, Entry("x", "old/name"))
    assert (seen.hub_id, seen.renamed_to, seen.likes) == ("old/name", LLAMA, 3)
    assert seen.num_adapters == 2


def test_counts_are_kept_when_the_derivatives_cannot_be_listed(hub: LocalHub, api: HfApi) -> None:
    hub.add(LLAMA, likes=3)
    hub.add_derivatives(LLAMA, "adapter", 2)
    hub.broken.add(f"base_model:merge:{LLAMA}")
    seen = see(api, ENTRY)
    assert (seen.likes, seen.num_adapters, seen.num_merges) == (3, 2, None)
    assert seen.error is not None
    assert seen.error.startswith(f"{LLAMA}: the Hub answered 400")


def test_a_snapshot_waits_for_a_busy_hub(hub: LocalHub, api: HfApi) -> None:
    hub.add(LLAMA, likes=3)
    hub.busy = [{"Retry-After": "0"}]
    (seen,) = take(api, [ENTRY]).models
    assert (seen.likes, seen.error) == (3, None)


def test_network_that_goes_away_before_anything_was_seen_is_no_snapshot(hub: LocalHub) -> None:
    nowhere = HfApi(endpoint="http://127.0.0.1:9", token=False)
    with pytest.raises(HubError, match="couldn't be reached"):
        take(nowhere, [])
