"""The store at size: seconds and memory of the verbs that read all of it, each a process of its own.

    python scripts/bench/store.py
    python scripts/bench/store.py --dir STORE    (keeps what it made, and takes it the next time)

`results`, `leaderboard` and `sql "select count(*) from samples"` over 1,000 runs of 10 to 60 tasks with 10 million samples;
`leaderboard` again over 5,000 runs; `compare` of two runs of 57 subjects and 14,042 docs with 10,000 permutations. Medians of
several starts, files warm in the page cache; the memory is the largest that a start needed.

The first run of each suite is written by RunWriter, the others copy its tables and change what differs between runs:
their files have its schema, compression and encoding.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalharness.stats.estimates import estimate
from evalharness.store import layout, write
from evalharness.store.columns import METRICS, SAMPLES
from evalharness.store.json_codec import manifest_to_json
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter

NUM_TASKS = {"sanity": 10, "reasoning": 12, "commonsense": 20, "leaderboard": 60}
"""Suite -> tasks; 57 of the largest are subjects of a group."""
MIX = (0, 1, 0, 2, 0, 3, 0, 1, 0, 0)
"""Which suites ten runs are of: small ones are run most often."""
RUNS_PER_MODEL = 5
NUM_SUBJECTS, NUM_DOCS_MMLU = 57, 14_042
COUNT = "select count(*) from samples"
WORDS = [
    "the",
    "a",
    "of",
    "which",
    "river",
    "energy",
    "cell",
    "law",
    "market",
    "number",
    "set",
    "proof",
    "acid",
    "treaty",
    "poem",
    "orbit",
]


class Suite:
    """Tasks with their docs, and how right a model of some ability gets them."""

    def __init__(self, name: str, num_tasks: int, docs_per_run: int, version: str = "1") -> None:
        self.name, self.version = name, version
        num_free = num_tasks - NUM_SUBJECTS if num_tasks > NUM_SUBJECTS else num_tasks
        self.group_of = {f"{name}_task_{i}": f"{name}_task_{i}" for i in range(num_free)}
        for i in range(num_tasks - num_free):
            self.group_of[f"mmlu_subject_{i}"] = "mmlu"
        share, rest = divmod(docs_per_run, num_tasks)
        self.num_docs = {task: share + (i < rest) for i, task in enumerate(self.group_of)}


def manifest(suite: Suite, run_id: str, model: str, day: int) -> Manifest:
    tasks = tuple(
        TaskSummary(
            task=task, group=group, version="1.0", num_fewshot=5, repeats=1, kind="multiple_choice",
            num_docs=suite.num_docs[task], num_docs_available=suite.num_docs[task], num_samples=suite.num_docs[task],
            num_errors=0, num_truncated=0, num_empty=0, num_context_overflow=0, num_prompt_tokens=202_700,
            num_cached_tokens=143_712, num_generated_tokens=0, wall_s=12.5, dataset=f"some/{group}/{task}",
            dataset_fingerprint="6" * 64, task_hash="e" * 64, status="complete", request_hash="d" * 64,
        )
        for task, group in suite.group_of.items()
    )  # fmt: skip
    config = {
        "model": {"name": model, "family": "Llama", "release_date": f"2025-{1 + day % 12:02}-01"},
        "engine": {f"setting_{i}": None for i in range(30)},
        "suite": {
            "name": suite.name, "version": suite.version, "domain": "capability", "composite": None,
            "tasks": {name: {"num_fewshot": 5, "limit": None, "repeats": None, "metric": "acc", "filter": None,
                             "gen_kwargs": {}, "cluster": None} for name in dict.fromkeys(suite.group_of.values())},
        },
    }  # fmt: skip
    return Manifest(
        run_id=run_id, status="running", model=model, suite=suite.name, suite_version=suite.version,
        started_at=f"2026-{1 + day // 28 % 12:02}-{1 + day % 28:02}T00:00:00+00:00", wall_s=600.0, load_s=30.0, serve_s=550.0,
        finished_at="2026-12-31T00:00:00+00:00", config=config, tasks=tasks,
        checkpoint={"fingerprint": model, "params_total": 8_030_261_248, "params_active": 8_030_261_248},
        engine={"kind": "vllm", "version": "0.32.0", "dtype": "bfloat16", "quantization": None},
    )  # fmt: skip


def scores_of(suite: Suite, ability: float, seed: int, levels: int = 1) -> dict[str, list[float]]:
    """Task -> a score per doc: 0 or 1, or as many `levels` above 0."""
    rng = np.random.default_rng(seed)
    return {
        task: (rng.binomial(levels, float(np.clip(ability + rng.normal(0, 0.05), 0, 1)), n) / levels).tolist()
        for task, n in suite.num_docs.items()
    }  # fmt: skip


def metrics_of(suite: Suite, scores: dict[str, list[float]]) -> list[MetricRecord]:
    groups: dict[str, list[float]] = {}
    for task, group in suite.group_of.items():
        if group != task:
            groups.setdefault(group, []).extend(scores[task])
    named = [(task, suite.group_of[task], values) for task, values in scores.items()]
    named += [(group, group, values) for group, values in groups.items()]
    return [
        MetricRecord(
            task=task, group=group, metric=metric, filter="none", **estimate(values)._asdict(),
            higher_is_better=True, is_main=metric == "acc",
        )
        for task, group, values in named
        for metric in ("acc", "acc_norm")
    ]  # fmt: skip


def samples_of(task: str, scores: Sequence[float]) -> Iterator[SampleRecord]:
    shots = " ".join(random.Random(task).choices(WORDS, k=120))
    for doc, score in enumerate(scores):
        draw = random.Random(f"{task} {doc}")
        yield SampleRecord(
            task=task, doc_id=doc, doc_hash=f"{draw.getrandbits(256):064x}", repeat=0, filter="none",
            prompt=f"{shots}\nQuestion {doc}: {' '.join(draw.choices(WORDS, k=20))}?\nAnswer:", target="1",
            response=json.dumps([[-draw.random(), False] for _ in range(4)]), thinking=None, answer="B", scores={"acc": score, "acc_norm": score},
            finish_reason="score", num_prompt_tokens=400, num_generated_tokens=0, latency_s=draw.random(), error=None,
        )  # fmt: skip


def write_run(
    results_dir: Path, suite: Suite, run: Manifest, scores: dict[str, list[float]]
) -> Path:
    """A run as the program writes it."""
    writer = RunWriter.create(results_dir, run, "a: 1\n")
    for task, values in scores.items():
        writer.write_samples(task, samples_of(task, values))
    writer.write_metrics(metrics_of(suite, scores))
    (writer.run_dir / layout.JOURNAL / "0000.jsonl").write_text("{}\n")
    writer.update(replace(run, status="complete"))
    writer.release()
    return writer.run_dir


def copy_run(job: tuple[Path, Path, Suite, int, bool]) -> None:
    """The run of `template` as another model's run: its own scores in the metrics, its own names in all files."""
    template, results_dir, suite, number, has_samples = job
    model = f"model-{number // RUNS_PER_MODEL:04}"
    run = replace(manifest(suite, f"run-{number:05}", model, number), status="complete")
    folder = results_dir / run.run_id
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("*.parquet", ".*"))
    own = {name: getattr(run, name) for name in ("run_id", "model", "suite", "started_at")}
    for path in template.rglob("*.parquet"):
        if has_samples or path.name == layout.METRICS:
            table = pq.read_table(path)
            for name, value in own.items():
                column = pa.array([value] * len(table), pa.string())
                table = table.set_column(table.schema.get_field_index(name), name, column)
            columns = SAMPLES
            if path.name == layout.METRICS:
                table, columns = shifted(table, number), METRICS
            # Read back, a map's fields have other names.
            table = table.cast(pa.schema([(c.name, write._ARROW[c.type]) for c in columns]))
            with write._parquet(
                folder / path.relative_to(template),
                table.schema,
                dictionary_pagesize_limit=write._DICTIONARY_BYTES,
            ) as writer:
                writer.write_table(table)
    (folder / layout.MANIFEST).write_text(manifest_to_json(run), encoding="utf-8")


def shifted(metrics: pa.Table, number: int) -> pa.Table:
    """Other scores: a model's ability, and its luck in each task."""
    rng = np.random.default_rng(number)
    shift = rng.uniform(-0.25, 0.25) + rng.normal(0, 0.02, len(metrics))
    for name in ("value", "ci_low", "ci_high"):
        values = np.clip(metrics[name].to_numpy() + shift, 0, 1)
        metrics = metrics.set_column(metrics.schema.get_field_index(name), name, pa.array(values))
    return metrics


def make_store(folder: Path, num_runs: int, num_samples: int) -> None:
    """`num_runs` runs with samples in `folder`/runs, five times as many without in `folder`/many, two in `folder`/mmlu."""
    templates = folder / "templates"
    suites = [Suite(name, num, num_samples // num_runs) for name, num in NUM_TASKS.items()]
    first = {
        s.name: write_run(templates, s, manifest(s, s.name, "first", 0), scores_of(s, 0.5, 0))
        for s in suites
    }
    jobs = []
    for name, count, has_samples in (("runs", num_runs, True), ("many", 5 * num_runs, False)):
        (folder / name).mkdir()
        for number in range(count):
            suite = suites[MIX[number % len(MIX)]]
            jobs.append((first[suite.name], folder / name, suite, number, has_samples))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(copy_run, jobs, chunksize=8))
    mmlu = Suite("mmlu", NUM_SUBJECTS, NUM_DOCS_MMLU)
    mmlu.group_of = dict.fromkeys([f"mmlu_subject_{i}" for i in range(NUM_SUBJECTS)], "mmlu")
    mmlu.num_docs = dict(zip(mmlu.group_of, mmlu.num_docs.values(), strict=True))
    for number, ability in enumerate((0.60, 0.61)):
        run = manifest(mmlu, f"mmlu-{number}", f"model-{number}", number)
        # Scores between 0 and 1 need the permutation test: those of 0 and 1 have an exact one.
        write_run(folder / "mmlu", mmlu, run, scores_of(mmlu, ability, number, levels=4))
    (folder / "made").touch()


class Measured(NamedTuple):
    """Of several starts of one command."""

    s: float
    cpu_s: float
    """Of all cores: what a busy machine changes least."""
    mib: float


def measure(arguments: Sequence[str], repeats: int) -> Measured:
    """Median seconds and largest memory of `evalharness` with these arguments, after one start that isn't counted."""
    seconds, cpu, memory = [], [], []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "evalharness", *arguments], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds.append(time.perf_counter() - started)
        if process.returncode:
            raise SystemExit(f"evalharness {' '.join(arguments)}: exit code {process.returncode}")
        cpu.append(usage.ru_utime + usage.ru_stime)
        memory.append(usage.ru_maxrss / 1024)
    return Measured(statistics.median(seconds[1:]), statistics.median(cpu[1:]), max(memory))


def figures(folder: Path, num_runs: int, repeats: int) -> dict[str, float]:
    runs, many, mmlu = ((f"--results-dir={folder / name}") for name in ("runs", "many", "mmlu"))
    commands = {
        "results": ["results", runs],
        "leaderboard": ["leaderboard", runs],
        "leaderboard_5x": ["leaderboard", many],
        "count": ["sql", COUNT, runs],
        "compare": ["compare", "model-0", "model-1", mmlu],
    }
    found: dict[str, float] = {"runs": num_runs}
    found["files"] = sum(1 for _ in (folder / "runs").rglob("samples/*.parquet"))
    for name, arguments in commands.items():
        for what, value in measure(arguments, repeats)._asdict().items():
            found[f"{name}_{what}"] = round(value, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dir", type=Path, help="keep the store here, and use the one that is")
    parser.add_argument("--mirror", help="not used here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.dir or Path(temporary)
        started = time.perf_counter()
        if not (folder / "made").is_file():
            make_store(folder, options.runs, options.samples)
        made_s = round(time.perf_counter() - started, 1)
        measured = figures(folder, options.runs, options.repeats)
    print(json.dumps({"bench": "store", "samples": options.samples, "made_s": made_s, **measured}))


if __name__ == "__main__":
    main()
