"""Names and Hub ids -> entries."""

from pathlib import Path

import pytest

from evalharness.errors import UserError
from evalharness.trend.hub.entries import (
    known_entries,
    makers,
    wanted,
)
from evalharness.trend.hub.records import Entry

KNOWN = [Entry("mine", "me/mine"), Entry("llama", "meta-llama/Llama", "Llama 9")]


def test_an_entry_is_found_by_name_and_by_hub_id_in_any_case() -> None:
    assert wanted(["mine", "Meta-Llama/llama"], KNOWN) == KNOWN


def test_a_hub_id_without_entry_is_named_by_itself() -> None:
    assert wanted(["a/b"], KNOWN) == [Entry("a/b", "a/b")]


def test_a_model_given_twice_is_asked_once() -> None:
    assert wanted(["mine", "me/mine", "ME/mine"], KNOWN) == [KNOWN[0]]


@pytest.mark.parametrize("model", ["a/b/c", "/b", "a/", "../b", "a/..b", "a b/c", ""])
def test_what_is_no_hub_id_is_refused(model: str) -> None:
    with pytest.raises(UserError, match="neither a name in configs/model nor a Hub id"):
        wanted([model], KNOWN)


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'mine'"):
        wanted(["mien"], KNOWN)


def test_an_entry_that_is_on_no_hub_is_reported(home: Path) -> None:
    with pytest.raises(UserError, match="'local' has no hub_id"):
        wanted(["local"], known_entries())


def test_the_users_entries_stand_beside_the_shipped_ones(home: Path) -> None:
    names = {entry.name for entry in known_entries()}
    assert {"mine", "llama-3.1-8b-instruct"} <= names
    assert "local" not in names


def test_an_entry_that_is_no_yaml_is_reported_and_the_others_are_known(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "configs" / "model" / "bad.yaml").write_text("a: [")
    assert "mine" in {entry.name for entry in known_entries()}
    assert [r.message for r in caplog.records if "bad.yaml, line 2: not YAML" in r.message]


def test_the_makers_of_the_shipped_llamas_are_metas() -> None:
    assert makers(known_entries()) == ["meta-llama"]
