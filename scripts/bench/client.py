"""What `evalharness run` costs besides the engine: requests a second, memory, and finding what is answered already.

    python scripts/bench/client.py [--requests 1000000] [--repeats 100]

Runs on the `fake` engine, which answers at once, through all of `run`: lm-eval's prompts, the tokenizer, request keys, the
journal, filters, metrics, Parquet. Three parts, each in a process of its own:

- choices: docs with four choices, one engine request (four of lm-eval's) a doc;
- repeats: sampled generations, several per doc, as pass@k wants them; memory is compared between 10,000 requests and all;
- reuse: the second part again, in the same results folder: every response is found on disk, copied and scored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARM_UP = 10_000
"""Requests after which memory is first looked at: imports, tokenizer and buffers are there by then."""

TASKS = {
    "bench_choices": """
output_type: multiple_choice
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
""",
    "bench_generate": """
output_type: generate_until
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 32, do_sample: true, temperature: 1.0}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
}
SHARED = """
dataset_path: json
dataset_kwargs: {{data_files: {{test: {docs}}}}}
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
metadata: {{version: 1}}
"""


def write_tasks(folder: Path, num_docs: int) -> None:
    """Sums, as a task of each kind over the same docs."""
    docs = folder / "docs.jsonl"
    with docs.open("w") as file:
        for i in range(num_docs):
            total = i + i % 17
            choices = [str(total), str(total + 1), str(total + 10), str(abs(total - 10))]
            row = {"question": f"What is {i} plus {i % 17}?", "choices": choices, "answer": 0}
            file.write(json.dumps(row) + "\n")
    for name, content in TASKS.items():
        (folder / "tasks" / name).mkdir(parents=True, exist_ok=True)
        text = f"task: {name}" + SHARED.format(docs=docs) + content
        (folder / "tasks" / name / f"{name}.yaml").write_text(text)


def rss_mb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def run_part(options: argparse.Namespace) -> dict[str, Any]:
    """One run, in this process."""
    from evalharness.config.schema import (
        Config,
        EngineConfig,
        EngineKind,
        ModelConfig,
        Resume,
        RunConfig,
        SuiteConfig,
        TaskConfig,
        TasksConfig,
        Variant,
    )
    from evalharness.runner import run as running

    marks: dict[int, float] = {}
    execute, seconds = running.execute, [0.0]

    async def timed(*args: Any, **arguments: Any) -> None:
        on_sample, num_done = arguments.pop("on_sample"), 0

        def count(task: Any, sample: Any) -> None:
            nonlocal num_done
            on_sample(task, sample)
            num_done += 1
            if num_done in (WARM_UP, options.requests):
                marks[num_done] = rss_mb()

        started = time.perf_counter()
        await execute(*args, **arguments, on_sample=count)
        seconds[0] = time.perf_counter() - started

    running.execute = timed
    name = "bench_choices" if options.part == "choices" else "bench_generate"
    started = time.perf_counter()
    outcome = running.run(
        Config(
            model=ModelConfig(name="bench", path=options.model, variant=Variant.base),
            engine=EngineConfig(kind=EngineKind.fake, max_in_flight=64),
            suite=SuiteConfig(name="bench", tasks={name: TaskConfig(repeats=options.repeats)}),
            run=RunConfig(resume=Resume.never, reuse=options.part == "reuse"),
            tasks=TasksConfig(trust=True),
            results_dir="results",
        )
    )
    wall_s = time.perf_counter() - started
    (task,) = outcome.manifest.tasks
    assert task.num_samples == options.requests
    assert task.num_reused == (options.requests if options.part == "reuse" else 0)
    return {
        "requests": options.requests,
        "requests_per_s": round(options.requests / seconds[0]),
        "wall_s": round(wall_s, 1),
        "memory_growth_mb": round(marks[options.requests] - marks.get(WARM_UP, 0.0)),
        "value": next(m.value for m in outcome.metrics if m.is_main),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All parts, one after the other."""
    parts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        num_choices = min(options.requests, 50_000)
        plan = [
            ("choices", num_choices, 1),
            ("repeats", options.requests, options.repeats),
            ("reuse", options.requests, options.repeats),
        ]
        for part, num_requests, repeats in plan:
            write_tasks(Path(name), num_requests // repeats)
            arguments = [f"--part={part}", f"--requests={num_requests}", f"--repeats={repeats}"]
            done = subprocess.run(
                [
                    sys.executable,
                    __file__,
                    *arguments,
                    "--model",
                    str(Path(options.model).resolve()),
                ],
                cwd=name,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            parts[part] = json.loads(done.stdout.splitlines()[-1])
            sys.stderr.write(f"{part}: {parts[part]}\n")
    parts["choices"]["lm_eval_requests_per_s"] = 4 * parts["choices"]["requests_per_s"]
    assert parts["reuse"]["value"] == parts["repeats"]["value"]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/smollm2-135m-instruct", help="its tokenizer")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--part", choices=["choices", "repeats", "reuse"], help="one part alone")
    parser.add_argument("--mirror", help="not used here")
    options = parser.parse_args()
    if options.part:
        sys.stdout.write(json.dumps(run_part(options)) + "\n")
    else:
        sys.stdout.write(json.dumps({"bench": "client", **measure(options)}) + "\n")


if __name__ == "__main__":
    main()
