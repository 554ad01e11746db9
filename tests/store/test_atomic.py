"""A file is there whole, or as it was."""

from pathlib import Path

import pytest

from evalharness.errors import WriteError
from evalharness.store.atomic import write_whole


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


def test_a_file_in_the_place_of_its_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(WriteError, match=r"'.*a/b'"):
        write_whole(tmp_path / "a" / "b", "x")
