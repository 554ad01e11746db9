"""Model entries drafted for checkpoints that have none."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from evalharness.config.schema import ModelConfig
from evalharness.errors import WriteError
from evalharness.trend.hub.draft_entries import (
    Draft,
    drafts,
    write_drafts,
)
from evalharness.trend.hub.entries import known_entries
from evalharness.trend.hub.records import (
    Checkpoint,
    Entry,
)

HUB = "https://huggingface.co"
BASE = Checkpoint(
    hub_id="meta-llama/Llama-5-8B",
    created_at="2026-07-30T10:00:00+00:00",
    license="llama5",
    pipeline="text-generation",
    is_gated=True,
    has_safetensors=True,
    is_transformers=True,
)
INSTRUCT = replace(
    BASE, hub_id="meta-llama/Llama-5-8B-Instruct", base_models=("meta-llama/Llama-5-8B",)
)
NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")


def values(checkpoint: Checkpoint, known: list[Entry] | None = None) -> dict[str, object]:
    (draft,) = drafts([checkpoint], known or [], HUB)
    found: dict[str, object] = yaml.safe_load(draft.text)
    return found


def test_a_draft_is_an_entry_as_those_that_ship() -> None:
    assert values(BASE) == {
        "name": "llama-5-8b",
        "hub_id": "meta-llama/Llama-5-8B",
        "family": "Llama 5",
        "variant": "base",
        "release_date": "2026-07-30",
        "release_source": f"{HUB}/meta-llama/Llama-5-8B",
        "license": "llama5",
        "notes": "Drafted from the Hub: family and variant are guesses. The date is the day on which the "
        "repository was made. Gated: accept the licence on the Hub first.",
    }


def test_a_draft_is_laid_out_as_those_that_ship() -> None:
    (draft,) = drafts([BASE], [], HUB)
    assert draft.text.startswith("name: llama-5-8b\nhub_id: meta-llama/Llama-5-8B\n")
    assert "\nnotes: >-\n  Drafted from the Hub" in draft.text
    assert max(map(len, draft.text.splitlines())) <= 100


def test_a_draft_fits_the_schema_of_a_model() -> None:
    (draft,) = drafts([BASE], [], HUB)
    merged = OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.create(draft.text))
    entry = OmegaConf.to_object(merged)
    assert isinstance(entry, ModelConfig)
    assert (entry.name, entry.release_date) == ("llama-5-8b", "2026-07-30")


def test_the_parent_is_an_entry_or_a_draft_of_the_same_look() -> None:
    found = drafts([INSTRUCT, BASE], [], HUB)
    assert [yaml.safe_load(draft.text).get("parent") for draft in found] == [None, "llama-5-8b"]
    assert values(INSTRUCT, [Entry("mine", BASE.hub_id)])["parent"] == "mine"


def test_a_base_without_entry_and_a_merge_have_no_parent_but_are_reported() -> None:
    assert "parent" not in values(INSTRUCT)
    assert "Made from meta-llama/Llama-5-8B." in str(values(INSTRUCT)["notes"])
    merge = replace(INSTRUCT, base_models=(BASE.hub_id, "a/b"))
    assert "parent" not in values(merge, [Entry("mine", BASE.hub_id)])


def test_a_multimodal_checkpoint_is_used_for_text() -> None:
    assert values(replace(BASE, pipeline="image-text-to-text"))["is_text_only"] is True


def test_pickled_weights_and_other_formats_are_reported() -> None:
    notes = str(values(replace(BASE, has_safetensors=False, is_transformers=False))["notes"])
    assert "model.allow_pickle=true" in notes
    assert "check its files first" in notes


@pytest.mark.parametrize("created_at", [None, "2022-03-02T23:29:04+00:00"])
def test_a_date_that_the_hub_does_not_know_is_left_out(created_at: str | None) -> None:
    found = values(replace(BASE, created_at=created_at))
    assert "release_date" not in found
    assert "release_source" not in found
    assert "The Hub has no date." in str(found["notes"])


@pytest.mark.parametrize("words", ["${oc.env:HOME}", "a\nname: b", "a: b # c", "\x1b[31m"])
def test_words_that_could_be_instructions_stay_out(words: str) -> None:
    found = values(replace(INSTRUCT, license=words, base_models=(f"a/{words}",)))
    assert "license" not in found
    assert words not in str(found)


def test_a_name_that_is_taken_gets_its_organisation() -> None:
    known = [Entry("llama-5-8b", "other/Llama-5-8B")]
    assert values(BASE, known)["name"] == "meta-llama-llama-5-8b"


def test_drafts_of_one_look_never_share_a_name() -> None:
    same = [replace(BASE, hub_id=f"org/Llama{ending}") for ending in ("_5", "-5", "..5", "--5")]
    names = [draft.name for draft in drafts(same, [], HUB)]
    assert len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) for name in names)


LLAMAS = [entry for entry in known_entries() if entry.hub_id.startswith("meta-llama/")]


@pytest.mark.parametrize("entry", LLAMAS, ids=lambda entry: entry.name)
def test_metas_own_checkpoints_are_drafted_as_they_ship(entry: Entry) -> None:
    (shipped,) = Path(__file__).parents[3].glob(f"configs/model/{entry.name}.yaml")
    expected = yaml.safe_load(shipped.read_text())
    found = values(replace(BASE, hub_id=entry.hub_id))
    for name in ("name", "hub_id", "family", "variant"):
        assert found[name] == expected[name]


def test_families_are_spelt_as_they_are_known() -> None:
    known = [Entry("x", "a/x", "Code Llama")]
    assert values(replace(BASE, hub_id="a/CodeLlama-13b-hf"), known)["family"] == "Code Llama"


def test_a_chat_template_makes_it_instruct_unless_the_name_says_base() -> None:
    hermes = replace(BASE, hub_id="a/Hermes-9-8B", has_chat_template=True)
    assert values(hermes)["variant"] == "instruct"
    assert values(replace(hermes, hub_id="a/Qwen9-8B-Base"))["variant"] == "base"


def test_a_checkpoint_with_an_entry_is_not_drafted_anew(tmp_path: Path) -> None:
    (draft,) = write_drafts(drafts([BASE], [Entry("mine", BASE.hub_id.lower())], HUB), tmp_path)
    assert (draft.is_known, draft.name) == (True, "mine")
    assert list(tmp_path.iterdir()) == []


def test_an_entry_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "llama-5-8b.yaml").write_text("mine")
    found = write_drafts(drafts([BASE, INSTRUCT], [], HUB), tmp_path)
    assert (tmp_path / "llama-5-8b.yaml").read_text() == "mine"
    assert [draft.is_written for draft in found] == [False, True]
    written = tmp_path / "llama-5-8b-instruct.yaml"
    assert written.read_text() == found[1].text


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found: list[Draft] = drafts([BASE], [], HUB)
    with pytest.raises(WriteError, match=r"llama-5-8b\.yaml"):
        write_drafts(found, tmp_path / "file")
