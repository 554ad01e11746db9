"""What a run costs in a store of many others before its first request: seconds, memory, open files.

    python scripts/bench/reuse.py [--runs 10,1000,5000] [--responses 200]

The runs are copies of a real one on the `fake` engine, with as many stored responses of the same weights. Each size is
measured by a run in a process of its own, `second` after `first`, which indexes what the store holds.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TASK = """
task: bench_reuse
dataset_path: json
dataset_kwargs: {{data_files: {{test: {docs}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["yes", "no"]
doc_to_target: 0
metadata: {{version: 1}}
"""


def one_run(model: str, seed: int) -> dict[str, Any]:
    """A run in this process, on the store in the working folder."""
    from evalharness.config.schema import (
        Config,
        EngineConfig,
        EngineKind,
        ModelConfig,
        RunConfig,
        SuiteConfig,
        TaskConfig,
        TasksConfig,
        Variant,
    )
    from evalharness.runner import run as running

    execute, started, first = running.execute, time.perf_counter(), {}

    async def timed(*args: Any, **arguments: Any) -> None:
        first["s"] = time.perf_counter() - started
        first["files"] = len(list(Path("/proc/self/fd").iterdir()))
        await execute(*args, **arguments)

    running.execute = timed
    outcome = running.run(
        Config(
            model=ModelConfig(name="bench", path=model, variant=Variant.base),
            engine=EngineConfig(kind=EngineKind.fake),
            suite=SuiteConfig(name="bench", tasks={"bench_reuse": TaskConfig()}),
            run=RunConfig(seed=seed),
            tasks=TasksConfig(trust=True),
            results_dir="results",
        )
    )
    return {
        "first_request_s": round(first["s"], 2),
        "open_files": first["files"],
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "reused": sum(task.num_reused for task in outcome.manifest.tasks),
        "run": str(outcome.run_dir),
    }


def measure(options: argparse.Namespace, num_runs: int) -> dict[str, Any]:
    """Both runs in a store of this size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tasks").mkdir()
        docs = folder / "docs.jsonl"
        with docs.open("w") as lines:
            for number in range(options.responses):
                lines.write(json.dumps({"question": f"Is {number} even?"}) + "\n")
        (folder / "tasks/bench_reuse.yaml").write_text(TASK.format(docs=docs))
        made = _run_once(options, folder, 0)
        original = Path(made.pop("run"))
        shutil.rmtree(folder / "results/.responses", ignore_errors=True)
        text = (folder / original / "manifest.json").read_text()
        for number in range(num_runs - 1):
            copy = folder / "results" / f"copy-{number}"
            shutil.copytree(folder / original, copy)
            (copy / "manifest.json").write_text(text.replace(original.name, copy.name))
        found = {
            which: _run_once(options, folder, seed)
            for seed, which in enumerate(("first", "second"), 1)
        }
        for which in found.values():
            assert which.pop("reused") == options.responses
            del which["run"]
        return found


def _run_once(options: argparse.Namespace, folder: Path, seed: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--model", options.model, "--seed", str(seed)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/smollm2-135m-instruct", help="its tokenizer")
    parser.add_argument("--runs", default="10,1000,5000")
    parser.add_argument("--responses", type=int, default=200, help="of each run")
    parser.add_argument("--seed", type=int, help="one run in the working folder")
    options = parser.parse_args()
    if options.seed is not None:
        sys.stdout.write(json.dumps(one_run(options.model, options.seed)) + "\n")
        return
    options.model = str(Path(options.model).resolve())
    sizes = {size: measure(options, int(size)) for size in options.runs.split(",")}
    sys.stdout.write(json.dumps({"bench": "reuse", "runs": sizes}) + "\n")


if __name__ == "__main__":
    main()
