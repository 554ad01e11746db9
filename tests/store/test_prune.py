import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from evalharness.errors import WriteError
from evalharness.store import checksums
from evalharness.store.prune import (
    Candidate,
    Criteria,
    leftovers,
    prunable_journals,
    prunable_runs,
    remove,
)
from evalharness.store.read import list_runs, run_names
from evalharness.store.records import Manifest
from stores import make_run

HOLD = """
import sys
from pathlib import Path
from evalharness.store.lock import Claim
claim = Claim.take(Path(sys.argv[1]))
print("held" if claim else "busy", flush=True)
sys.stdin.read()
"""


def add(results_dir: Path, day: int, **changes: Any) -> Manifest:
    run = make_run(
        results_dir, f"r{day}", changes.pop("model", "m"), "s", {"t": [1.0, 0.0]},
        started_at=f"2026-01-{day:02}T00:00:00+00:00", **{"identity": f"own-{day}", **changes},
    )  # fmt: skip
    (results_dir / run.run_id / "journal" / "0000.jsonl").write_text("x" * 1000)
    checksums.write(results_dir / run.run_id)
    return run


def candidates(results_dir: Path, **criteria: Any) -> dict[str, str]:
    found = prunable_runs(results_dir, list_runs(results_dir), Criteria(**criteria))
    return {candidate.path.name: candidate.why for candidate in found}


@contextmanager
def held(run_dir: Path) -> Iterator[None]:
    """Another process has the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"held\n"
        yield
        process.stdin.close()


def test_a_run_is_superseded_by_a_newer_complete_one_of_its_identity(tmp_path: Path) -> None:
    add(tmp_path, 1, identity="i")
    add(tmp_path, 2, identity="i", status="partial")
    add(tmp_path, 3, identity="i")
    add(tmp_path, 4, identity="i", status="failed")
    add(tmp_path, 5)
    assert candidates(tmp_path, superseded=True) == {
        "r1": "superseded by r3", "r2": "superseded by r3",
    }  # fmt: skip


def test_another_models_run_of_the_same_weights_supersedes_nothing(tmp_path: Path) -> None:
    add(tmp_path, 1, identity="i", model="a")
    add(tmp_path, 2, identity="i", model="b")
    add(tmp_path, 3, identity="i", model="a")
    assert candidates(tmp_path, superseded=True) == {"r1": "superseded by r3"}


def test_a_run_without_identity_supersedes_nothing(tmp_path: Path) -> None:
    add(tmp_path, 1, identity="")
    add(tmp_path, 2, identity="")
    assert candidates(tmp_path, superseded=True) == {}


def test_failed_runs_and_those_before_a_day(tmp_path: Path) -> None:
    add(tmp_path, 1)
    add(tmp_path, 2, status="failed")
    add(tmp_path, 3)
    assert candidates(tmp_path, failed=True) == {"r2": "failed"}
    assert set(candidates(tmp_path, before=date(2026, 1, 3))) == {"r1", "r2"}
    assert candidates(tmp_path, failed=True, before=date(2026, 1, 3))["r2"] == "failed, before 2026-01-03"  # fmt: skip


def test_keep_counts_by_model_and_suite(tmp_path: Path) -> None:
    for day, model in ((1, "a"), (2, "a"), (3, "b"), (4, "a")):
        add(tmp_path, day, model=model)
    assert set(candidates(tmp_path, keep=1)) == {"r1", "r2"}
    assert set(candidates(tmp_path, keep=2)) == {"r1"}


def test_the_run_that_speaks_for_a_model_is_never_one_too_many(tmp_path: Path) -> None:
    whole = make_run(
        tmp_path, "whole", "m", "s", {"t": [1.0] * 9}, started_at="2026-01-01T00:00:00"
    )
    make_run(tmp_path, "smoke", "m", "s", {"t": [1.0]}, started_at="2026-01-02T00:00:00")
    make_run(
        tmp_path,
        "failed",
        "m",
        "s",
        {"t": [1.0] * 9},
        started_at="2026-01-03T00:00:00",
        status="failed",
    )
    found = {c.path.name for c in prunable_runs(tmp_path, list_runs(tmp_path), Criteria(keep=1))}
    assert whole.run_id not in found
    assert "smoke" not in found


def test_without_a_criterion_nothing_may_go(tmp_path: Path) -> None:
    add(tmp_path, 1, status="failed")
    assert candidates(tmp_path) == {}


def test_a_run_goes_whole(tmp_path: Path) -> None:
    add(tmp_path, 1)
    add(tmp_path, 2)
    found = prunable_runs(tmp_path, list_runs(tmp_path), Criteria(keep=1))
    assert found[0].num_bytes > 1000
    assert remove(found[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r2"]


def test_a_run_that_a_process_writes_to_stays(tmp_path: Path) -> None:
    run = add(tmp_path, 1, status="running")
    with held(tmp_path / "r1"):
        assert candidates(tmp_path, before=date(2027, 1, 1)) == {}
        # It was taken up between the list and the deletion.
        assert not remove(Candidate(path=tmp_path / "r1", run=run, why="", num_bytes=0))
    assert run_names(tmp_path) == ["r1"]
    assert set(candidates(tmp_path, before=date(2027, 1, 1))) == {"r1"}


def test_looking_changes_nothing(tmp_path: Path) -> None:
    add(tmp_path, 1)
    (tmp_path / "r1" / "journal" / ".lock").unlink()
    before = sorted(tmp_path.rglob("*"))
    assert candidates(tmp_path, before=date(2027, 1, 1))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_crash_leaves_no_half_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = add(tmp_path, 1)

    def die(path: Path) -> None:
        raise OSError("killed")

    monkeypatch.setattr("evalharness.store.prune.shutil.rmtree", die)
    with pytest.raises(WriteError, match="killed"):
        remove(Candidate(path=tmp_path / "r1", run=run, why="", num_bytes=0))
    monkeypatch.undo()
    assert run_names(tmp_path) == []
    (found,) = leftovers(tmp_path)
    assert found.path.name == ".r1.pruned"
    assert remove(found)
    assert list(tmp_path.iterdir()) == []


def test_what_is_just_being_made_is_no_leftover(tmp_path: Path) -> None:
    hidden = tmp_path / ".r9.4242.tmp"
    hidden.mkdir()
    (tmp_path / ".snapshots").mkdir()
    assert leftovers(tmp_path) == []
    os.utime(hidden, (0, 0))
    assert [found.path for found in leftovers(tmp_path)] == [hidden]


def test_a_journal_goes_and_the_list_of_checksums_stays_true(tmp_path: Path) -> None:
    add(tmp_path, 1)
    add(tmp_path, 2, status="partial")
    (found,) = prunable_journals(tmp_path, list_runs(tmp_path))
    assert found.num_bytes == 1000
    before = (tmp_path / "r1" / "checksums.sha256").read_text().splitlines()
    assert remove(found)
    after = (tmp_path / "r1" / "checksums.sha256").read_text().splitlines()
    assert set(before) - set(after) == {line for line in before if "journal/" in line} != set()
    assert list(checksums.check(tmp_path / "r1")) == []
    assert not (tmp_path / "r1" / "journal" / "0000.jsonl").exists()
    assert (tmp_path / "r2" / "journal" / "0000.jsonl").exists()
    assert prunable_journals(tmp_path, list_runs(tmp_path)) == []


def test_a_journal_that_goes_hides_no_damage(tmp_path: Path) -> None:
    add(tmp_path, 1)
    (tmp_path / "r1" / "metrics.parquet").write_bytes(b"damaged")
    (found,) = prunable_journals(tmp_path, list_runs(tmp_path))
    assert remove(found)
    assert [damage.path for damage in checksums.check(tmp_path / "r1")] == ["metrics.parquet"]


def test_a_run_without_checksums_loses_its_journal_too(tmp_path: Path) -> None:
    add(tmp_path, 1)
    (tmp_path / "r1" / "checksums.sha256").unlink()
    (found,) = prunable_journals(tmp_path, list_runs(tmp_path))
    assert remove(found)
    assert not (tmp_path / "r1" / "checksums.sha256").exists()
