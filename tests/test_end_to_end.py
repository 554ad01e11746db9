"""What the README promises, with the real engine: one command, a table, durable results."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.vllm

COMMAND = [sys.executable, "-m", "evalharness"]
QUICK = ["model=smollm2-135m", "suite=quick", "engine.max_model_len=2048"]


def evalharness(*arguments: str, results_dir: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EVALHARNESS_RESULTS_DIR": str(results_dir), "COLUMNS": "120"}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_a_multirun_evaluates_and_every_reader_sees_it(demo: Path, tmp_path: Path) -> None:
    done = evalharness(
        "run",
        "-m",
        *QUICK,
        "run.limit=2",
        "strategy=single,verify",
        "strategy.k=2",
        results_dir=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("gsm8k_sample") == 2
    assert all(re.match(r"(\d+ min )?\d+ s: ", line) for line in done.stderr.splitlines()), (
        done.stderr
    )

    listed = json.loads(evalharness("results", "--json", results_dir=tmp_path).stdout)
    assert [run["status"] for run in listed] == ["complete", "complete"]
    assert {run["model"] for run in listed} == {"smollm2-135m"}

    one = json.loads(evalharness("results", "latest", "--json", results_dir=tmp_path).stdout)
    assert one["engine"]["kind"] == "vllm"
    assert one["config"]["strategy"]["kind"] == "verify"

    shown = evalharness("results", "latest", "--curve", results_dir=tmp_path)
    assert "best by P(yes)" in shown.stdout
    turns = "SELECT purpose, count(*) AS num, bool_and(p_yes BETWEEN 0 AND 1) AS ok FROM turns GROUP BY 1 ORDER BY 1"
    rows = json.loads(evalharness("sql", turns, "--json", results_dir=tmp_path).stdout)
    assert [(row["purpose"], row["num"]) for row in rows] == [("answer", 8), ("verify", 8)]
    assert rows[1]["ok"]

    query = "SELECT task, value, n FROM metrics WHERE is_main"
    rows = json.loads(evalharness("sql", query, "--json", results_dir=tmp_path).stdout)
    assert len(rows) == 10
    assert all(row["n"] == 2 for row in rows)


def test_ctrl_c_ends_in_order_and_keeps_what_was_finished(demo: Path, tmp_path: Path) -> None:
    environment = os.environ | {"EVALHARNESS_RESULTS_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [*COMMAND, "run", *QUICK, "run.id=cut"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    journal = tmp_path / "cut" / "journal" / "0000.jsonl"
    deadline = time.monotonic() + 300
    while not (journal.is_file() and journal.stat().st_size):
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the engine's processes too
    interrupted = time.monotonic()
    process.wait(timeout=60)
    assert time.monotonic() - interrupted < 20
    assert process.returncode == 3
    manifest = json.loads((tmp_path / "cut" / "manifest.json").read_text())
    assert (manifest["status"], manifest["reason"]) == ("partial", "interrupted")
    num_kept = sum(task["num_samples"] for task in manifest["tasks"])
    assert 0 < num_kept < 312
    assert len(journal.read_text().splitlines()) >= num_kept
