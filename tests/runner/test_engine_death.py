"""The real vLLM killed in the middle of a run, in part or with all of the run: nothing is scored that has no answer."""

import contextlib
import random
import re
import subprocess
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from journals import read_journal
from killing import Home, kill_tree, manifest

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

SEED = 20260103
NUM_KILLS = 3


def command(demo: Path) -> list[str]:
    return [
        "run",
        "model=smollm2-135m",
        f"model.path={demo}",
        "engine.max_model_len=2048",
        "engine.cpu_kv_cache_gib=1",
        "suite=quick",
        "run.limit=12",
    ]


def metrics(run_dir: Path) -> dict[tuple[str, str, str], float]:
    rows = pq.ParquetFile(run_dir / "metrics.parquet").read().to_pylist()
    return {(row["task"], row["metric"], row["filter"]): row["value"] for row in rows}


def start_and_wait(home: Home, arguments: list[str], num_responses: int) -> subprocess.Popen[str]:
    process = home.start(*arguments)
    while len(home.journaled) < num_responses:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


@pytest.fixture(scope="module")
def whole(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Home(tmp_path_factory.mktemp("whole"))
    done = home.finish(*command(demo))
    assert done.returncode == 0, done.stderr
    return home.run_dirs[0]


def assert_completed(home: Home, whole: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    (run_dir,) = home.run_dirs
    assert manifest(run_dir)["status"] == "complete"
    # Log-likelihoods depend on the batch in the last digits: 1e-4 is the promise.
    assert metrics(run_dir) == pytest.approx(metrics(whole), abs=1e-4)
    keys = [key for key, _ in read_journal(run_dir / "journal")]
    assert len(keys) == len(set(keys))


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def assert_gone(processes: list[psutil.Process]) -> None:
    """None stays behind; one that nobody has reaped yet is gone."""
    deadline = time.monotonic() + 30
    while left := [p for p in processes if is_alive(p)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("victim", "cause"),
    [
        ("VLLM::EngineCore", r"it was killed by SIGKILL"),
        ("VLLM::Worker", r"died unexpectedly|Error: "),
    ],
)
def test_a_killed_engine_leaves_a_partial_run_that_resume_completes(
    victim: str, cause: str, demo: Path, tmp_path: Path, whole: Path
) -> None:
    home = Home(tmp_path / "home")
    process = start_and_wait(home, command(demo), 15)
    children = psutil.Process(process.pid).children(recursive=True)
    killed = [child for child in children if child.name() == victim]
    killed[0].kill()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "partial" in out
    assert "vLLM's engine process died" in out
    (run_dir,) = home.run_dirs
    left = manifest(run_dir)
    assert left["status"] == "partial"
    assert re.search(cause, left["reason"]), left["reason"]
    assert {task["status"] for task in left["tasks"]} == {"complete", "partial"}
    num_samples = sum(task["num_samples"] for task in left["tasks"])
    assert 15 <= num_samples <= len(home.journaled) < 60
    for task in left["tasks"]:
        path = run_dir / "samples" / f"{task['task']}.parquet"
        rows = pq.ParquetFile(path).read().to_pylist() if path.is_file() else []
        assert len({(row["doc_id"], row["repeat"]) for row in rows}) == task["num_samples"]
        assert all(row["scores"] and not row["error"] for row in rows)
    assert_gone(children)
    assert_completed(home, whole, home.finish("resume", "latest"))


def test_a_run_killed_with_its_engine_at_random_moments_gives_the_same_numbers(
    demo: Path, tmp_path: Path, whole: Path
) -> None:
    home, rng = Home(tmp_path / "home"), random.Random(SEED)
    for _ in range(NUM_KILLS):
        process = start_and_wait(home, command(demo), len(home.journaled) + 5)
        time.sleep(rng.uniform(0, 2))
        kill_tree(process)
    assert_completed(home, whole, home.finish(*command(demo)))
    assert manifest(home.run_dirs[0])["num_starts"] == NUM_KILLS + 1
