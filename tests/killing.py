"""Runs as users start them, killed with everything they started, and what they left on disk."""

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from journals import read_journal

COMMAND = [sys.executable, "-m", "evalharness"]
DIFFERS = ("run_id", "started_at", "latency_s")
"""Columns in which two runs of the same experiment differ."""


@dataclass
class Home:
    """A folder that runs are started in."""

    path: Path

    @property
    def results_dir(self) -> Path:
        return self.path / "results"

    @property
    def run_dirs(self) -> list[Path]:
        return sorted(p.parent for p in self.results_dir.glob("[!.]*/manifest.json"))

    @property
    def journaled(self) -> set[str]:
        """Keys of the responses on disk."""
        return {key for run in self.run_dirs for key, _ in read_journal(run / "journal")}

    @property
    def log(self) -> str:
        return "".join((run / "log.txt").read_text() for run in self.run_dirs)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A process group of its own, as a shell makes it."""
        self.path.mkdir(exist_ok=True)
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.path,
            env=os.environ | {"COLUMNS": "120"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def kill_tree(process: subprocess.Popen[str]) -> float:
    """SIGKILL for the process and all that it started, at once; `time.time()` of it."""
    children = []
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    killed = time.time()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.communicate()
    psutil.wait_procs(children, timeout=10)
    return killed


def manifest(run_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run_dir / "manifest.json").read_text())
    return content


def numbers(run_dir: Path) -> list[str]:
    """Every row of the run's metrics and samples, bit for bit, without what differs between two runs."""
    paths = [run_dir / "metrics.parquet", *sorted((run_dir / "samples").glob("*.parquet"))]
    rows = []
    for path in paths:
        for row in pq.ParquetFile(path).read().to_pylist():
            kept = {name: value for name, value in row.items() if name not in DIFFERS}
            rows.append(f"{path.name} {kept!r}")  # repr, so that NaN equals NaN
    return sorted(rows)
