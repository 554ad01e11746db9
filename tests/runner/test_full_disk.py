"""A results folder that fills up while a run goes on: partial, one line, and the same command completes it later."""

import contextlib
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.errors import StoreError, WriteError
from evalharness.runner.run import run
from evalharness.store.read import list_runs
from journals import read_journal
from killing import Home, manifest, numbers

PAGE = 4096
SUITE = SuiteConfig(
    name="test",
    tasks={
        "arc_easy_sample": TaskConfig(limit=24),
        "gsm8k_sample": TaskConfig(limit=24, num_fewshot=2),
    },
)


def config(checkpoint: Path, results_dir: Path, latency_s: float = 0.2) -> Config:
    return Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=EngineConfig(
            kind=EngineKind.fake,
            max_in_flight=4,
            max_model_len=20_000,
            extra={"latency_s": latency_s},
        ),
        suite=SUITE,
        results_dir=str(results_dir),
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A small file system; calling it sets its size in bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        with contextlib.suppress(FileNotFoundError):
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        return False

    if not mount("size=1m"):
        pytest.skip("mounting a tmpfs isn't permitted here")

    def of_size(num_bytes: int) -> Path:
        assert mount("remount", f"size={num_bytes}")
        return folder

    yield of_size
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_run_that_fills_a_disk_of_any_size_is_completed_when_there_is_room(
    tiny_llama: Path, tmp_path: Path, disk: Callable[[int], Path]
) -> None:
    whole = run(config(tiny_llama, tmp_path / "whole"))
    files = [path for path in whole.run_dir.rglob("*") if path.is_file()]
    needed = sum(-(-path.stat().st_size // PAGE) * PAGE for path in files)
    failed_at = set()
    for size in range(2 * PAGE, needed + 6 * PAGE, 3 * PAGE):
        results_dir = disk(size) / "results"
        error = ""
        try:
            run(config(tiny_llama, results_dir))
        except (StoreError, WriteError) as e:
            error = str(e)
            failed_at.add(error.split("'")[1].rsplit("/", 1)[-1])
        assert not error or "No space left on device" in error
        assert (error == "") == ("complete" in [run.status for run in list_runs(results_dir)])
        again = run(config(tiny_llama, disk(16 << 20) / "results"))
        if again.manifest.num_starts > 1:  # else there was no room even for a folder
            assert again.manifest.status == "complete"
        assert numbers(again.run_dir) == numbers(whole.run_dir)
        shutil.rmtree(results_dir)
    # Wherever it hit.
    assert {"0000.jsonl", "manifest.json"} <= failed_at
    assert any(name.endswith(".parquet") for name in failed_at)


@contextlib.contextmanager
def full_when(condition: Callable[[], bool]) -> Iterator[None]:
    """From the moment when the condition holds no file grows, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            if condition():
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
                return
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


MOMENTS = {
    "the folder is there": "*/manifest.json",
    "the journal is there": "*/journal/0000.jsonl",
    "a task is stored": "*/samples/*.parquet",
    "the last task is stored": "*/samples/gsm8k*.parquet",
}


@pytest.mark.parametrize("latency_s", [0.0, 0.1])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_disk_that_is_full_as_soon_as(
    moment: str, latency_s: float, tiny_llama: Path, tmp_path: Path
) -> None:
    made = config(tiny_llama, tmp_path / "full", latency_s)
    pattern = MOMENTS[moment]
    with (
        full_when(lambda: any((tmp_path / "full").glob(pattern))),
        pytest.raises(WriteError, match=r"File too large: .*; fix that and give the same command"),
    ):
        run(made)
    (left,) = list_runs(tmp_path / "full")
    assert left.status == "running"  # the manifest couldn't be written either, and is whole
    again = run(made)
    assert (again.manifest.status, again.manifest.num_starts) == ("complete", 2)
    whole = run(replace(made, results_dir=str(tmp_path / "whole")))
    assert numbers(again.run_dir) == numbers(whole.run_dir)


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_a_run_at_once_with_one_line(
    tiny_llama: Path, tmp_path: Path, disk: Callable[[int], Path]
) -> None:
    folder = disk(2 << 20)
    home = Home(folder / "home")
    command = [
        "run",
        "model=smollm2-135m",
        f"model.path={tiny_llama}",
        "engine=fake",
        "engine.max_model_len=20000",
        "engine.max_in_flight=4",
        "engine.extra.latency_s=0.1",
        "suite=quick",
    ]
    process = home.start(*command)
    while not home.journaled:
        assert process.poll() is None
        time.sleep(0.05)
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(PAGE)):
            pass
    filled = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - filled < 30  # about 3 on an idle machine, most of it Python's own end
    assert process.returncode == 3
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: No space left on device: ")
    assert err.endswith("; free space and give the same command again\n")
    (run_dir,) = home.run_dirs
    assert manifest(run_dir)["status"] == "running"
    num_kept = len(home.journaled)

    ballast.unlink()
    done = home.finish(*command)
    assert done.returncode == 0, done.stderr
    assert home.run_dirs == [run_dir]
    assert sum(task["num_reused"] for task in manifest(run_dir)["tasks"]) == num_kept
    whole = Home(tmp_path / "whole")
    whole.finish(*command)
    assert numbers(run_dir) == numbers(whole.run_dirs[0])


def test_a_run_whose_journal_found_no_room_is_partial_and_says_why(
    tiny_llama: Path, tmp_path: Path
) -> None:
    made = config(tiny_llama, tmp_path, latency_s=0.1)
    made.suite = SuiteConfig(name="test", tasks={"arc_easy_sample": TaskConfig(limit=90)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Room for every file but the journal.
    resource.setrlimit(resource.RLIMIT_FSIZE, (18_000, before[1]))
    try:
        with pytest.raises(WriteError) as error:
            run(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (left,) = list_runs(tmp_path)
    assert (left.status, left.reason) == ("partial", str(error.value))
    assert "0000.jsonl" in str(error.value)
    num_kept = len(list(read_journal(tmp_path / left.run_id / "journal")))
    again = run(made)
    assert again.manifest.status == "complete"
    assert 0 < num_kept == sum(task.num_reused for task in again.manifest.tasks) < 90
