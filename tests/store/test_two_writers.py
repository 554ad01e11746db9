"""Real processes that write to one results folder at the same time, without locks between them."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from evalharness.store.read import half_copied, list_runs, load_main_metrics, load_samples
from evalharness.store.sql import query_intact
from evalharness.store.verify import verify

NUM_RUNS = 12
WRITER = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from evalharness.errors import StoreError
from stores import make_run
results, me, other, shared = Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5] == "shared"
said = []
for number in range(int(sys.argv[6])):
    # Both arrive before either goes on.
    (results.parent / f"{me}-{number}").touch()
    while not (results.parent / f"{other}-{number}").exists():
        time.sleep(0)
    run_id = f"run-{number}" if shared else f"run-{me}-{number}"
    try:
        make_run(results, run_id, me, "s", {"t": [1.0, 0.0] * 5})
    except StoreError as e:
        said.append([run_id, str(e)])
print(json.dumps(said))
"""


def start(results_dir: Path, me: str, other: str, ids: str) -> subprocess.Popen[str]:
    arguments = [str(Path(__file__).parents[1]), str(results_dir), me, other, ids, str(NUM_RUNS)]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True
    )


def refusals(process: subprocess.Popen[str]) -> dict[str, str]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return dict(json.loads(output))


def test_runs_of_two_processes_are_whole_and_so_is_every_list_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results_dir = tmp_path / "results"
    results_dir.mkdir()
    writers = [start(results_dir, *names, "own") for names in (("a", "b"), ("b", "a"))]
    with caplog.at_level(logging.WARNING):
        num_lists = 0
        while any(writer.poll() is None for writer in writers):
            complete = [run.run_id for run in list_runs(results_dir) if run.status == "complete"]
            found = load_main_metrics(results_dir, complete)
            assert set(found.of_run) == set(complete)
            assert found.damaged == []
            assert half_copied(results_dir) == []
            (num,) = query_intact(results_dir, "SELECT count(*) FROM samples").fetchall()[0]
            assert num % 10 == 0
            assert num >= 10 * len(complete)
            num_lists += 1
    assert caplog.records == []
    assert num_lists > 2
    assert [refusals(writer) for writer in writers] == [{}, {}]
    runs = list_runs(results_dir)
    assert len(runs) == 2 * NUM_RUNS
    assert [damage for run in runs for damage in verify(results_dir / run.run_id)] == []


def test_of_two_processes_with_one_run_id_one_is_refused_and_nothing_is_overwritten(
    tmp_path: Path,
) -> None:
    results_dir = tmp_path / "results"
    results_dir.mkdir()
    writers = {me: start(results_dir, me, other, "shared") for me, other in ("ab", "ba")}
    refused = {me: refusals(writer) for me, writer in writers.items()}
    assert len(refused["a"]) + len(refused["b"]) == NUM_RUNS
    assert not set(refused["a"]) & set(refused["b"])
    for line in (*refused["a"].values(), *refused["b"].values()):
        assert "exists in" in line
        assert "\n" not in line
    for run in list_runs(results_dir):
        winner = "b" if run.run_id in refused["a"] else "a"
        samples = load_samples(results_dir / run.run_id, "t", columns=["model"])
        assert {run.model, *samples["model"].to_pylist()} == {winner}
        assert list(verify(results_dir / run.run_id)) == []
    assert not list(results_dir.glob(".*"))
