"""Snapshots on disk."""

import json
import logging
from pathlib import Path

import pytest

from evalharness.errors import StoreError, WriteError
from evalharness.store.read import run_names
from evalharness.trend.hub.files import (
    check_results_dir,
    write_whole,
)
from evalharness.trend.hub.records import (
    Sighting,
    Snapshot,
)
from evalharness.trend.hub.snapshots_store import (
    read_all,
    write,
)

SNAPSHOT = Snapshot(
    taken_at="2026-08-01T12:30:05.123Z",
    endpoint="https://hub",
    models=(
        Sighting(model="a", hub_id="o/a", downloads=3, base_models=("o/b",), trending_score=1.5),
        Sighting(model="o/gone", hub_id="o/gone", error="o/gone: doesn't exist"),
    ),
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path, SNAPSHOT)
    assert read_all(tmp_path) == [SNAPSHOT]


def test_a_snapshot_is_a_dated_file_that_no_list_of_runs_shows(tmp_path: Path) -> None:
    path = write(tmp_path, SNAPSHOT)
    assert path == tmp_path / ".adoption" / "2026-08-01T12-30-05.123Z.json"
    assert run_names(tmp_path) == []


def test_snapshots_come_oldest_first(tmp_path: Path) -> None:
    older = Snapshot(taken_at="2026-08-01T13:00:00+02:00", endpoint="e", models=())
    write(tmp_path, SNAPSHOT)
    write(tmp_path, older)
    assert read_all(tmp_path) == [older, SNAPSHOT]


def test_there_are_none_where_nothing_is(tmp_path: Path) -> None:
    assert read_all(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 99},
        {"taken_at": "yesterday"},
        {"taken_at": "2026-08-01T12:30:05"},
        {"models": [{"model": "a", "hub_id": "o/a", "likes": "many"}]},
        {"models": [{"model": "a"}]},
        {"models": None},
    ],
)
def test_a_damaged_snapshot_is_told_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object]
) -> None:
    path = write(tmp_path, SNAPSHOT)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with caplog.at_level(logging.WARNING):
        assert read_all(tmp_path) == []
    assert f"{path}: left out, not a snapshot" in caplog.text


def test_a_field_of_a_newer_version_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, SNAPSHOT)
    content = json.loads(path.read_text())
    content["models"][0]["num_moons"] = 3
    path.write_text(json.dumps(content))
    assert read_all(tmp_path) == [SNAPSHOT]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a", "new \ud800")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_is_replaced_and_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "same").hardlink_to(tmp_path / "a")
    write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "same").read_text() == "old"


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(WriteError, match=r"'.*a/b'"):
        write_whole(tmp_path / "a" / "b", "x")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        check_results_dir(tmp_path / "a")
