"""One process at a time writes to a run."""

import os
from pathlib import Path

import pytest

from evalharness.store.claim import Claim


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path


def is_free_for_another_process(run_dir: Path) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if Claim.take(run_dir) else 1)
    return os.waitpid(child, 0)[1] == 0


def test_a_claim_keeps_other_processes_away(run_dir: Path) -> None:
    claim = Claim.take(run_dir)
    assert claim is not None
    assert claim.is_certain
    assert not is_free_for_another_process(run_dir)
    claim.release()


def test_a_released_claim_is_free(run_dir: Path) -> None:
    claim = Claim.take(run_dir)
    assert claim is not None
    claim.release()
    claim.release()
    assert is_free_for_another_process(run_dir)


def test_a_claim_ends_with_its_process(run_dir: Path) -> None:
    assert is_free_for_another_process(run_dir)
    assert is_free_for_another_process(run_dir)


def test_a_child_that_outlives_its_parent_doesnt_keep_the_claim(run_dir: Path) -> None:
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        Claim.take(run_dir)
        if os.fork() == 0:
            os.close(write_end)
            os.read(read_end, 1)
        os._exit(0)
    os.waitpid(parent, 0)
    assert is_free_for_another_process(run_dir)
    os.close(write_end)
    os.close(read_end)


def test_a_folder_that_cant_be_written_cant_be_claimed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Claim.take(tmp_path / "nothing")
