"""The viewer over two runs of a million samples: milliseconds per kind of page.

    python scripts/bench/view.py [--samples 1000000] [--store DIR]

The store is made first (about 1.4 GB, a minute) and removed in the end; with --store it is kept, and used again. Each page
is asked for through the app: `cold_ms` with nothing read before, the medians with indexes in memory but for another page each
time. A search reads every prompt and is bounded: `search_ms` and the rows that it got through.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi.testclient import TestClient

from evalharness.store import layout
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter
from evalharness.viewer import (
    compare_page,
    index,
    pairing,
    query,
)
from evalharness.viewer.app import create_app
from evalharness.viewer.runs import get_run

TASK, RUNS = "big", ("big-1", "big-2")
GROUP_ROWS = 8192
"""As of `store.write`, and so is how texts are encoded."""
DICTIONARY_BYTES = 128_000_000


def make_store(results_dir: Path, num_samples: int) -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(20_000)])
    corpus = " ".join(words[rng.zipf(1.3, 2_000_000) % words.size])
    for seed, run_id in enumerate(RUNS, 1):
        make_run(results_dir, run_id, seed, num_samples, corpus)


def make_run(results_dir: Path, run_id: str, seed: int, num_samples: int, corpus: str) -> None:
    task = TaskSummary(
        task=TASK, group=TASK, version="1", num_fewshot=0, repeats=1, kind="generate_until", num_docs=num_samples,
        num_docs_available=num_samples, num_samples=num_samples, num_errors=0, num_truncated=0, num_empty=0,
        num_context_overflow=0, num_prompt_tokens=0, num_cached_tokens=0, num_generated_tokens=0, wall_s=1.0,
        dataset="d", dataset_fingerprint="f", task_hash="h", status="complete",
    )  # fmt: skip
    run = Manifest(
        run_id=run_id, status="running", model=run_id, suite="big", suite_version="1",
        started_at=f"2026-01-0{seed}T00:00:00+00:00", tasks=(task,),
    )  # fmt: skip
    metric = MetricRecord(
        task=TASK, group=TASK, metric="exact_match", filter="none", value=0.6, ci_low=0.59, ci_high=0.61,
        stderr=0.001, n=num_samples, higher_is_better=True, is_main=True,
    )  # fmt: skip
    sample = SampleRecord(
        task=TASK, doc_id=0, doc_hash="", repeat=0, filter="none", prompt="", target="", response="", thinking="",
        answer="", scores={}, finish_reason="stop", num_prompt_tokens=0, num_generated_tokens=0, latency_s=0.0,
        error=None,
    )  # fmt: skip
    writer = RunWriter.create(results_dir, run, "")
    writer.write_samples(TASK, [sample])
    path = layout.samples_path(writer.run_dir, TASK)
    schema = pq.read_schema(path)
    with pq.ParquetWriter(
        path, schema, compression="zstd", dictionary_pagesize_limit=DICTIONARY_BYTES
    ) as file:
        for start in range(0, num_samples, GROUP_ROWS):
            ids = np.arange(start, min(start + GROUP_ROWS, num_samples))
            file.write_table(rows(run, schema, ids, seed, corpus))
    mean, n = duckdb.execute(_MEAN, [str(path)]).fetchall()[0]
    writer.write_metrics([replace(metric, value=mean, n=n)])
    writer.update(replace(run, status="complete"))
    writer.release()


_MEAN = "SELECT avg(scores['exact_match']), count(scores['exact_match']) FROM read_parquet(?)"


def rows(run: Manifest, schema: pa.Schema, ids: np.ndarray, seed: int, corpus: str) -> pa.Table:
    """A row group: prompts and targets of the docs, the rest of the run."""
    docs, own = (np.random.default_rng((int(ids[0]), number)) for number in (0, seed))
    n = ids.size

    def texts(rng: np.random.Generator, least: int, most: int) -> list[str]:
        starts = rng.integers(0, len(corpus) - most, n).tolist()
        sizes = rng.integers(least, most, n).tolist()
        return [corpus[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    has_failed = own.random(n) < 0.001
    is_right = own.random(n) < 0.6
    scores = [
        [] if f else [("exact_match", float(r))] for f, r in zip(has_failed, is_right, strict=True)
    ]
    columns = {
        **{name: [getattr(run, name)] * n for name in ("run_id", "model", "suite", "started_at")},
        "task": [TASK] * n,
        "doc_id": ids,
        "doc_hash": [hashlib.sha256(b"%d" % i).hexdigest() for i in ids],
        "repeat": np.zeros(n, int),
        "filter": ["none"] * n,
        "prompt": [f"Question {i}: {t}" for i, t in zip(ids, texts(docs, 800, 1200), strict=True)],
        "target": docs.integers(0, 1000, n).astype(str),
        "response": texts(own, 200, 400),
        "thinking": texts(own, 400, 800),
        "answer": own.integers(0, 1000, n).astype(str),
        "scores": scores,
        "finish_reason": np.where(
            has_failed, "error", np.where(own.random(n) < 0.02, "length", "stop")
        ),
        "num_prompt_tokens": own.integers(200, 300, n),
        "num_generated_tokens": own.integers(50, 300, n),
        "latency_s": own.random(n),
        "error": ["request: lost" if failed else None for failed in has_failed],
        "is_main": [True] * n,
        "cluster": [None] * n,
        **{name: [[]] * n for name in ("choices", "chosen", "gold")},
        "gold_answer": [None] * n,
    }
    return pa.table([pa.array(columns[f.name], type=f.type) for f in schema], schema=schema)


def pages(num_samples: int) -> dict[str, Iterator[str]]:
    """Kind of page -> addresses, another one each time."""
    base = f"/runs/{RUNS[0]}"
    listed, one, other = (
        f"{base}/samples?task={TASK}",
        f"{base}/sample?task={TASK}",
        f"&other={RUNS[1]}",
    )
    numbers = np.random.default_rng(1).integers(1, num_samples // 400 + 2, 10_000).tolist()
    docs = np.random.default_rng(2).integers(0, num_samples, 10_000).tolist()

    def over(text: str, values: list[int]) -> Iterator[str]:
        return (text.format(value) for value in itertools.cycle(values))

    return {
        "runs": itertools.repeat("/"),
        "run": itertools.repeat(base),
        "all": over(listed + "&page={}", numbers),
        "wrong": over(listed + "&show=wrong&page={}", numbers),
        "truncated": over(listed + "&show=truncated&page={}", numbers),
        "errors": over(listed + "&show=errors&page={}", [1, 2, 3]),
        "by_score": over(listed + "&order=lowest&page={}", numbers),
        "by_tokens": over(listed + "&order=longest&page={}", numbers),
        "flipped": over(listed + other + "&show=flipped&page={}", numbers),
        "empty": over(listed + "&show=empty&page={}", [1, 2, 3]),
        "compare": over(f"/compare?a={RUNS[0]}&b={RUNS[1]}&page={{}}", numbers),
        "sample": over(one + "&doc={}", docs),
        "sample_beside_another": over(one + other + "&show=flipped&order=longest&doc={}", docs),
    }


def forget() -> None:
    for cached in (
        compare_page._compared,
        index._read,
        pairing.find_counterparts,
        pairing._hashes,
        query._empty,
        query._ordered,
        query.search,
    ):
        cached.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results_dir = options.store or Path(temporary)
        if not (results_dir / RUNS[-1]).is_dir():
            make_store(results_dir, options.samples)
        client = TestClient(create_app(results_dir), base_url="http://127.0.0.1")

        def measured(address: str) -> float:
            started = time.perf_counter()
            answer = client.get(address)
            assert answer.status_code == 200, answer.text
            return (time.perf_counter() - started) * 1000

        measured("/")
        cold, warm = {}, {}
        for kind, addresses in pages(options.samples).items():
            forget()
            cold[kind] = round(measured(next(addresses)))
            warm[kind] = round(
                statistics.median(measured(a) for a in itertools.islice(addresses, options.repeats))
            )
        search_ms = measured(f"/runs/{RUNS[0]}/samples?task={TASK}&contains=no+such+text")
        found = query.search(
            index.open_index(results_dir, get_run(results_dir, RUNS[0]), TASK), "no such text", 0
        )
    figures = {"samples": options.samples, "median_ms": warm, "cold_ms": cold}
    figures |= {"search_ms": round(search_ms), "searched_rows": found.searched_to}
    print(json.dumps({"bench": "view", **figures}))


if __name__ == "__main__":
    main()
