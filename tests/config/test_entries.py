"""The name of a model entry is the same for every verb, and a bad file is one line and nobody else's trouble."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evalharness.cli import model
from evalharness.comparison.lineages import _entries as parents
from evalharness.config.compose import run_hydra
from evalharness.config.entries import (
    all_entries,
    find_entry,
    find_entry_of,
    usable_entries,
)
from evalharness.config.schema import Config
from evalharness.errors import ConfigError
from evalharness.trend.hub.entries import known_entries

FIELDS = "hub_id: org/{0}\nparent: p-{0}\npath: w\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """./configs/model, with nothing shipped."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "configs" / "model"
    made.mkdir(parents=True)
    return made


def write(folder: Path, stem: str, name: str | None, more: str = "") -> None:
    says = "" if name is None else f"name: {name}\n"
    (folder / f"{stem}.yaml").write_text(says + FIELDS.format(stem) + more)


def listed() -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(model.app, ["list", "--json"], catch_exceptions=False)
    return {row["name"]: row for row in json.loads(result.stdout)}


def composed(*overrides: str) -> str:
    found: list[Config] = []
    run_hydra([*overrides, "suite=quick"], found.append)
    return found[0].model.name


@pytest.mark.parametrize(
    ("stem", "says", "name"),
    [("a", "a", "a"), ("a", None, "a"), ("a", "b", "b"), ("a", "3.10", "3.1")],
)
def test_every_verb_calls_a_model_the_same(
    folder: Path, stem: str, says: str | None, name: str
) -> None:
    write(folder, stem, says)
    assert listed()[name]["config"].endswith(f"{stem}.yaml")
    assert name in {entry.name for entry in known_entries()}
    by_name, by_id = find_entry_of(name.upper()), find_entry_of("Org/A")
    assert by_name is not None
    assert by_id is not None
    assert (by_name.values["hub_id"], by_id.name) == ("org/a", name)
    assert parents()[name] == "p-a"
    assert composed(f"model={name}") == name
    assert composed(f"model={stem}") == name


def test_an_entry_that_takes_anothers_fields_keeps_its_own_name(folder: Path) -> None:
    write(folder, "base", "base")
    (folder / "tuned.yaml").write_text("defaults: [base, _self_]\nadapter: ./a\n")
    assert composed("model=tuned") == "tuned"
    assert composed("model=tuned", "model.name=mine") == "mine"
    assert "tuned" in listed()


def test_a_users_entry_hides_a_shipped_one_of_its_name(folder: Path) -> None:
    write(folder, "mine", "smollm2-135m")
    assert listed()["smollm2-135m"]["config"].endswith("mine.yaml")
    found: list[Config] = []
    run_hydra(["model=smollm2-135m", "suite=quick"], found.append)
    assert (found[0].model.hub_id, found[0].model.name) == ("org/mine", "smollm2-135m")


def test_a_users_file_hides_a_shipped_one_of_its_file_name(folder: Path) -> None:
    write(folder, "smollm2-135m", "own")
    entries = [entry for entry in all_entries() if entry.stem == "smollm2-135m"]
    assert [entry.name for entry in entries] == ["own"]


def test_two_files_of_one_name_are_both_wrong_and_the_others_are_right(folder: Path) -> None:
    for stem, name in (("a", "x"), ("b", "x"), ("c", "y")):
        write(folder, stem, name)
    problems = {e.stem: e.problem for e in all_entries() if e.problem}
    assert problems == {
        "a": "configs/model/a.yaml: name: 'x' is also that of b.yaml; rename one",
        "b": "configs/model/b.yaml: name: 'x' is also that of a.yaml; rename one",
    }
    assert find_entry("y") is not None
    with pytest.raises(ConfigError, match="'x' is also that of"):
        composed("model=a")


def test_several_models_of_a_multirun_are_found_by_name(folder: Path) -> None:
    for stem, name in (("a", "x"), ("b", "y")):
        write(folder, stem, name)
    found: list[str] = []
    run_hydra(["-m", "model=x,y", "suite=quick"], lambda config: found.append(config.model.name))
    assert found == ["x", "y"]


def _alias_bomb(path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    path.write_text("\n".join(rows))


ODD: dict[str, Callable[[Path], object]] = {
    "deep lists": lambda p: p.write_text("name: " + "[" * 10_000),
    "deep mappings": lambda p: p.write_text("name: " + "{a: " * 10_000 + "}" * 10_000),
    "deep blocks": lambda p: p.write_text("\n".join(" " * i + "a:" for i in range(2000))),
    "aliases": _alias_bomb,
    "an alias of itself": lambda p: p.write_text("name: x\nnotes: &a [*a]\n"),
    "a list": lambda p: p.write_text("- name\n"),
    "a text": lambda p: p.write_text("name\n"),
    "an empty name": lambda p: p.write_text("name:\n"),
    "a mapping as name": lambda p: p.write_text("name: {a: 1}\n"),
    "numbers as keys": lambda p: p.write_text("1: x\n"),
    "tabs": lambda p: p.write_text("name:\tx\n\tpath: y\n"),
    "an impossible date": lambda p: p.write_text("name: x\nrelease_date: 2024-13-45\n"),
    "not UTF-8": lambda p: p.write_bytes(b"name: \xff\n"),
    "a zero byte": lambda p: p.write_bytes(b"name: \x00\n"),
    "unknown tag": lambda p: p.write_text("name: !!python/object:os.system x\n"),
    "two documents": lambda p: p.write_text("name: x\n---\nname: y\n"),
    "a pipe": lambda p: os.mkfifo(p),
    "a folder": lambda p: p.mkdir(),
    "a loop of links": lambda p: p.symlink_to(p),
    "a link to nothing": lambda p: p.symlink_to("nowhere"),
    "a long number": lambda p: p.write_text("name: x\nnotes: " + "9" * 6000 + "\n"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_file_is_one_line_and_the_others_work(
    folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    ODD[kind](folder / "odd.yaml")
    write(folder, "good", "good")
    (odd,) = [entry for entry in all_entries() if entry.stem == "odd"]
    assert odd.problem is not None
    assert odd.problem.startswith("configs/model/odd.yaml")
    assert "\n" not in odd.problem
    assert listed()["good"]["variant"] == "base"
    assert listed()["odd"]["variant"] == "broken"
    assert "good" in {entry.name for entry in known_entries()}
    assert "good" in parents()
    assert find_entry_of("good") is not None
    assert composed("model=good") == "good"
    with pytest.raises(ConfigError, match=r"odd\.yaml"):
        composed("model=odd")
    assert [r for r in caplog.records if "odd.yaml" in r.message]


def test_every_shipped_entry_is_usable() -> None:
    assert [entry.problem for entry in all_entries() if entry.problem] == []
    assert len(usable_entries()) > 50
