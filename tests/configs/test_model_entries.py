"""The files of configs/model: each fits the schema and points at things that can exist."""

import re
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from evalharness.config.schema import (
    ModelConfig,
    Variant,
)

MODEL_DIR = Path(__file__).parents[2] / "configs" / "model"
PATHS = sorted(MODEL_DIR.glob("*.yaml"))
FIELDS = {field.name for field in fields(ModelConfig)}
NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def merged(path: Path) -> ModelConfig:
    config = OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.load(path))
    return OmegaConf.to_object(config)


ENTRIES = {path.stem: load(path) for path in PATHS}
each_entry = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def test_there_are_entries():
    assert PATHS


@each_entry
def test_keys_are_fields_of_model_config(path):
    assert set(load(path)) <= FIELDS


@each_entry
def test_entry_merges_onto_model_config(path):
    assert isinstance(merged(path).variant, Variant)


@each_entry
def test_name_is_file_stem(path):
    assert load(path)["name"] == path.stem


@each_entry
def test_name_is_lower_case_with_hyphens_and_dots(path):
    assert NAME.fullmatch(path.stem)


@each_entry
def test_variant_is_written_out(path):
    assert load(path)["variant"] in Variant.__members__


@each_entry
def test_family_and_license_are_given(path):
    entry = merged(path)
    assert entry.family
    assert entry.license


@each_entry
def test_weights_come_from_hub_id_or_path(path):
    entry = merged(path)
    if entry.path is None:
        assert entry.hub_id is not None
        assert HUB_ID.fullmatch(entry.hub_id)
    else:
        assert entry.hub_id is None


@each_entry
def test_release_date_is_plausible(path):
    entry = merged(path)
    if entry.release_date is None:
        assert entry.notes, "an unknown date is explained in the notes"
    else:
        released = date.fromisoformat(entry.release_date)
        assert date(2022, 1, 1) <= released <= datetime.now(UTC).date()


@each_entry
def test_release_date_has_https_source(path):
    entry = merged(path)
    assert (entry.release_date is None) == (entry.release_source is None)
    assert entry.release_source is None or entry.release_source.startswith("https://")


@each_entry
def test_thinking_tags_come_in_pairs(path):
    entry = merged(path)
    assert bool(entry.think_start) == bool(entry.think_end)


@each_entry
def test_entry_asks_for_no_code_execution(path):
    entry = merged(path)
    assert not entry.allow_pickle
    assert not entry.trust_remote_code


@each_entry
def test_parents_exist_and_end(path):
    seen = [path.stem]
    while (parent := ENTRIES[seen[-1]].get("parent")) is not None:
        assert parent in ENTRIES, f"{seen[-1]}: unknown parent {parent!r}"
        assert parent not in seen, f"cycle: {' -> '.join([*seen, parent])}"
        seen.append(parent)


@each_entry
def test_parent_is_not_younger(path):
    entry = ENTRIES[path.stem]
    parent = ENTRIES.get(entry.get("parent"), {})
    if entry.get("release_date") and parent.get("release_date"):
        assert parent["release_date"] <= entry["release_date"]


def test_hub_ids_are_unique():
    hub_ids = [entry["hub_id"].lower() for entry in ENTRIES.values() if "hub_id" in entry]
    assert len(hub_ids) == len(set(hub_ids))


def test_natively_multimodal_llama_4_is_text_only():
    family = [entry for entry in ENTRIES.values() if entry["family"] == "Llama 4"]
    assert family
    assert all(entry["is_text_only"] for entry in family)
