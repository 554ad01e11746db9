"""One process at a time writes to a run."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evalharness.cli.app import app as cli
from evalharness.store.lock import (
    SILENT_S,
    Claim,
)
from evalharness.store.read import as_seen, load_manifest
from evalharness.store.records import Manifest
from evalharness.viewer.runs import list_runs as viewed
from stores import make_run


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


def make_dead(results_dir: Path, name: str = "r", **hardware: Any) -> Manifest:
    """A run that says `running`; its process has ended, like every process that a fork leaves behind."""
    child = os.fork()
    if child == 0:
        own = {"host": socket.gethostname(), "pid": os.getpid()} | hardware
        make_run(results_dir, name, "m", "s", {"t": [1.0]}, status="running", hardware=own)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return load_manifest(results_dir / name)


def test_a_running_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    seen = as_seen(tmp_path, make_dead(tmp_path))
    assert seen.status == "interrupted"
    assert seen.reason == "its process is gone; `evalharness resume r` continues it"


def test_a_running_run_is_running_for_its_own_process_and_for_others(tmp_path: Path) -> None:
    run = make_dead(tmp_path)
    claim = Claim.take(tmp_path / "r")
    assert claim is not None
    assert as_seen(tmp_path, run).status == "running"
    child = os.fork()
    if child == 0:
        Claim._own.clear()
        os._exit(as_seen(tmp_path, run).status != "running")
    assert os.waitpid(child, 0)[1] == 0
    assert not is_free_for_another_process(tmp_path / "r")  # to look has cost nobody the claim
    claim.release()
    assert as_seen(tmp_path, run).status == "interrupted"


def test_to_look_keeps_nobody_from_claiming(tmp_path: Path) -> None:
    run = make_dead(tmp_path)
    assert as_seen(tmp_path, run).status == "interrupted"
    assert is_free_for_another_process(tmp_path / "r")


def test_a_run_of_another_machine_is_interrupted_when_its_folder_has_been_quiet(
    tmp_path: Path,
) -> None:
    run = make_dead(tmp_path, host="elsewhere")
    assert as_seen(tmp_path, run).status == "running"
    for path in (tmp_path / "r").rglob("*"):
        os.utime(path, (0, time.time() - SILENT_S - 1))
    assert as_seen(tmp_path, run).status == "interrupted"


def test_a_copied_folder_without_its_lock_is_interrupted(tmp_path: Path) -> None:
    run = make_dead(tmp_path)
    (tmp_path / "r" / "journal" / ".lock").unlink()
    assert as_seen(tmp_path, run).status == "interrupted"


@pytest.mark.parametrize("status", ["complete", "partial", "failed"])
def test_a_run_that_ended_is_what_it_says(tmp_path: Path, status: str) -> None:
    run = make_run(tmp_path, "r", "m", "s", {"t": [1.0]}, status=status)
    assert as_seen(tmp_path, run) is run


def test_every_list_says_interrupted(tmp_path: Path) -> None:
    make_dead(tmp_path)
    runner = CliRunner()

    def shown(*arguments: str) -> str:
        options = [*arguments, "--results-dir", str(tmp_path)]
        return runner.invoke(cli, options, catch_exceptions=False, env={"COLUMNS": "200"}).stdout

    assert "interrupted" in shown("results")
    assert json.loads(shown("results", "--json"))[0]["status"] == "interrupted"
    assert "r  interrupted: its process is gone" in shown("results", "r")
    assert json.loads(shown("results", "r", "--json"))["status"] == "interrupted"
    assert json.loads(shown("sql", "SELECT status FROM runs", "--json")) == [
        {"status": "interrupted"}
    ]
    assert viewed(tmp_path).runs[0].status == "interrupted"
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["status"] == "running"
