"""What counts as a checkpoint, and what of it is new."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelInfo

from evalharness.errors import StoreError, UserError
from evalharness.trend.hub import watch
from evalharness.trend.hub.watch import (
    STATE,
    Release,
    Seen,
    counts,
    look,
    read_state,
    releases,
    sources,
    write_state,
)
from local_hub import LocalHub

META = "org:meta-llama"
NOW = "2026-08-01T00:00:00.000Z"


def repo(hub_id: str = "else/model", **changes: Any) -> ModelInfo:
    fields = {"tags": ["safetensors"], "pipeline_tag": "text-generation", **changes}
    return ModelInfo(id=hub_id, **fields)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"tags": ["pytorch"]}, True),
        ({"pipeline_tag": "image-text-to-text"}, True),
        ({"pipeline_tag": "text-classification"}, False),
        ({"pipeline_tag": None}, False),
        ({"tags": []}, False),
        ({"tags": None}, False),
        ({"tags": ["gguf"]}, False),
        ({"tags": ["gguf", "safetensors"]}, False),
        ({"tags": ["safetensors", "base_model:quantized:a/b"]}, False),
        ({"tags": ["safetensors", "base_model:finetune:a/b"]}, True),
        ({"library_name": "mlx"}, False),
        ({"library_name": "peft"}, False),
    ],
)
def test_what_counts_of_others_are_full_weights_of_a_language_model(
    changes: dict[str, Any], expected: bool
) -> None:
    assert counts(repo(**changes), {"meta-llama"}) is expected


def test_an_organisations_own_quantised_checkpoints_count() -> None:
    tags = ["safetensors", "base_model:quantized:meta-llama/Llama-5-8B"]
    assert counts(repo("Meta-Llama/Llama-5-8B-FP8", tags=tags), {"meta-llama"})


def test_the_first_look_finds_all_and_calls_nothing_new(hub: LocalHub, api: HfApi) -> None:
    for place in range(5):
        hub.add_checkpoint(f"meta-llama/L{place}", createdAt=f"2026-01-0{place + 1}T00:00:00.000Z")
    hub.add_checkpoint("other/L9")
    first = look(api, META, None, ["meta-llama"])
    assert [item.hub_id[-2:] for item in first.found] == ["L4", "L3", "L2", "L1", "L0"]
    assert (first.new, first.since) == ((), None)


def test_a_repository_that_was_not_there_is_new_however_old_it_is(
    hub: LocalHub, api: HfApi
) -> None:
    hub.add_checkpoint("meta-llama/old")
    hub.add_checkpoint("meta-llama/shown-late", createdAt="2025-01-01T00:00:00.000Z")
    again = look(api, META, Seen(NOW, frozenset({"meta-llama/old"})), ["meta-llama"])
    assert [item.hub_id for item in again.new] == ["meta-llama/shown-late"]
    assert again.since == NOW


def test_a_checkpoint_holds_what_an_entry_needs(hub: LocalHub, api: HfApi) -> None:
    base = "meta-llama/Llama-5-8B"
    tags = (f"base_model:{base}", f"base_model:finetune:{base}", "license:llama5", "conversational")
    hub.add_checkpoint("meta-llama/x", *tags, gated="manual", createdAt="2026-07-30T10:00:00.000Z")
    (found,) = look(api, META, None, []).found
    assert found.base_models == (base,)
    assert (found.license, found.is_gated, found.created_at) == (
        "llama5",
        True,
        "2026-07-30T10:00:00+00:00",
    )
    assert found.has_safetensors
    assert found.is_transformers
    assert found.has_chat_template


def test_a_family_is_found_in_anybodys_names(hub: LocalHub, api: HfApi) -> None:
    hub.add_checkpoint("a/My-Llama-5-tune")
    hub.add_checkpoint("a/Llama-4")
    hub.add("b/Llama-5-GGUF", "gguf")
    found = look(api, "family:llama-5", None, []).found
    assert [item.hub_id for item in found] == ["a/My-Llama-5-tune"]


def test_a_family_with_more_than_a_look_goes_through_is_reported(
    hub: LocalHub, api: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(4):
        hub.add_checkpoint(f"a/llama-{place}")
    assert not look(api, "family:llama", None, []).is_cut
    monkeypatch.setattr(watch, "NEWEST", 3)
    assert look(api, "family:llama", None, []).is_cut


def test_sources_are_each_there_once() -> None:
    assert sources(["a", "A"], ["Llama 5", "llama-5"]) == ["org:A", "family:llama-5"]


@pytest.mark.parametrize(
    ("org", "family"), [("a/b", "llama"), ("", "llama"), ("a", "x"), ("a", "a/b")]
)
def test_what_can_be_no_source_is_refused(org: str, family: str) -> None:
    with pytest.raises(UserError, match=r"--(org|family) .* expected"):
        sources([org], [family])


def test_a_look_adds_to_what_was_seen(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    hub.add_checkpoint("meta-llama/new")
    before = {META: Seen("t0", frozenset({"meta-llama/gone"})), "org:x": Seen("t1", frozenset())}
    write_state(tmp_path, before, [look(api, META, before[META], [])], NOW)
    state = read_state(tmp_path)
    (new,) = releases(state)
    assert new.hub_id == "meta-llama/new"
    assert state == {
        META: Seen(NOW, frozenset({"meta-llama/gone", "meta-llama/new"}), (new,)),
        "org:x": Seen("t1", frozenset()),
    }


def test_releases_are_reported_newest_first_and_once() -> None:
    old, new = Release("a/old", "2025-01-01"), Release("a/new", "2025-02-01")
    state = {
        "org:a": Seen("t", frozenset(), (new, old)),
        "family:a": Seen("t", frozenset(), (old,)),
    }
    assert releases(state) == [new, old]


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 9}', '{"schema_version": 1}'])
def test_a_damaged_state_is_reported_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE).write_text(text)
    with pytest.raises(
        StoreError, match=r"is damaged .*remove it to make the next look a first one"
    ):
        read_state(tmp_path)
