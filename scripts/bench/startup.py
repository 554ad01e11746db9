"""Start-up: seconds of the light verbs, and of our own work around a run.

    python scripts/bench/startup.py

`own_s` is a run on the fake engine with the libraries' own imports taken out: everything but those, the engine's
loading and the tasks themselves. Medians of several starts, each a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

OWN = """
import time, sys, json, logging
import lm_eval.tasks, lm_eval.api.task, datasets, transformers, torch, numpy, hydra, omegaconf
from transformers import AutoTokenizer
from evalharness.cli import run as run_cli
from evalharness.config.compose import run_hydra
import evalharness.runner.run as running
outcomes = []
original = running.run
running.run = lambda config: outcomes.append(original(config)) or outcomes[-1]
started = time.perf_counter()
run_hydra(sys.argv[1:], run_cli.Jobs(as_json=True))
wall = time.perf_counter() - started
manifest = outcomes[0].manifest
tasks = max(task.wall_s for task in manifest.tasks)
print(json.dumps({"own_s": wall - tasks - manifest.load_s}))
"""


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def own_seconds(arguments: list[str]) -> float:
    command = [sys.executable, "-c", OWN, *arguments]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(printed.splitlines()[-1])["own_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--mirror", help="not used here")
    options = parser.parse_args()
    verb = [sys.executable, "-m", "evalharness"]
    with tempfile.TemporaryDirectory() as results:
        run = ["model=smollm2-135m", "suite=quick", "engine=fake", f"results_dir={results}"]
        own_seconds(run)  # fills the caches that a user's first run fills
        figures = {
            "help_s": [seconds([*verb, "--help"]) for _ in range(options.repeats)],
            "results_s": [
                seconds([*verb, "results", "--results-dir", results])
                for _ in range(options.repeats)
            ],
            "results_run_s": [
                seconds([*verb, "results", "latest", "--results-dir", results])
                for _ in range(options.repeats)
            ],
            "own_s": [own_seconds(run) for _ in range(3)],
        }
    medians = {name: round(statistics.median(values), 3) for name, values in figures.items()}
    print(json.dumps({"bench": "startup", **medians}))


if __name__ == "__main__":
    main()
