import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.report.page.changes import SCHEMA_VERSION, State, as_fields, changes, read_state

STATE = State(
    made_at="2026-01-01T00:00:00+00:00",
    open_leader="a",
    open_index=140.0,
    num_scores=10,
    velocities={"open weights": 18.0},
    placed={"mine": 90.0},
    runs=("r1",),
    cmr_model="a",
    cmr_value=50.0,
    cmr_definition="x",
    drift={"a → b": {"safety": "kept", "capability": "up"}},
    downloads={"a": 100.0},
)


def write(path: Path, state: object, version: int = SCHEMA_VERSION) -> Path:
    path.write_text(json.dumps({"schema_version": version, "state": state}))
    return path


def test_nothing_changed_between_equal_states() -> None:
    assert changes(STATE, STATE) == []


def test_a_state_comes_back_from_its_file(tmp_path: Path) -> None:
    assert read_state(write(tmp_path / "r.json", as_fields(STATE))) == (STATE, "")


def test_no_report_before_is_no_remark(tmp_path: Path) -> None:
    assert read_state(tmp_path / "r.json") == (None, "")


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {},
        {**as_fields(STATE), "velocities": {"x": "fast"}},
        {**as_fields(STATE), "drift": {"a": 3}},
        {**as_fields(STATE), "cmr_value": "50"},
    ],
)
def test_a_state_of_other_shape_is_remarked(tmp_path: Path, state: object) -> None:
    found, remark = read_state(write(tmp_path / "r.json", state))
    assert found is None
    assert "can't be read" in remark


@pytest.mark.parametrize("content", ["", "[1", "[]", '"text"', "[" * 100_000])
def test_a_file_that_is_no_report_is_remarked(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    assert read_state(path)[0] is None


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION + 1])  # 1: velocities with the order bias
def test_another_schema_is_not_compared(tmp_path: Path, version: int) -> None:
    assert read_state(write(tmp_path / "r.json", as_fields(STATE), version))[0] is None


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("open_leader", "b", "open frontier: b (was a)"),
        ("open_index", 141.0, "open frontier's index: 140.0 → 141.0"),
        ("velocities", {"open weights": 19.0}, "velocity of open weights: 18.0 → 19.0 points a year"),
        ("placed", {"mine": 90.0, "new": 80.0}, "index of new: new, 80.0 points"),
        ("placed", {"mine": None}, "index of mine: 90.0 → – points"),
        ("cmr_value", 55.0, "CMR: 50.0 → 55.0 % (a)"),
        ("cmr_definition", "y", "CMR: another definition, so not compared; 50.0 % (a)"),
        ("drift", {"a → b": {"safety": "down"}}, "drift, a → b: safety down (was kept)"),
        ("runs", ("r1", "r2"), "1 new run: r2"),
        ("runs", (), "1 run gone: r1"),
        ("num_scores", 12, "reported scores: 10 → 12"),
        ("downloads", {"a": 250.0}, "downloads moved for 1 model, most for a: +150"),
    ],
)  # fmt: skip
def test_each_change_is_a_line(field: str, value: object, line: str) -> None:
    assert changes(STATE, replace(STATE, **{field: value})) == [line]


def test_a_move_that_no_decimal_shows_is_none() -> None:
    assert (
        changes(STATE, replace(STATE, open_index=140.04, velocities={"open weights": 18.03})) == []
    )
