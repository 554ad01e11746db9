#!/usr/bin/env python3
"""Write the small data files that ship in tasks/<name>/data/ from Hub dataset folders.

    python scripts/make_samples.py HUB [TASKS]

HUB is a folder laid out as <org>/<name>/<config>/<split>.parquet (what `evalharness prefetch` fills), TASKS where
the task folders are (default: tasks/ of this checkout). In: parquet. Out: <task>/data/<split>.jsonl, one doc a line,
in the order of selection. The same HUB gives the same bytes.

Which rows: those with the smallest sha256 of "<seed>:<row index>". That is a uniform draw that depends on no random
generator's version. Rows with the same question as an earlier one are left out, so that no doc is scored twice and no
few-shot is a scored doc.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

SEED = "evalharness-1"

Row = dict[str, Any]


class Sample(NamedTuple):
    """One data file: `num_docs` rows of `source`, after the first `skip` that another file has."""

    target: str
    source: str
    question: str
    num_docs: int
    skip: int = 0
    keep: Callable[[Row], Row] = dict


def mc2_only(row: Row) -> Row:
    return {"question": row["question"], "mc2_targets": row["mc2_targets"]}


SAMPLES = [
    Sample("arc_easy_sample/data/test", "allenai/ai2_arc/ARC-Easy/test", "question", 200),
    Sample("arc_easy_sample/data/fewshot", "allenai/ai2_arc/ARC-Easy/train", "question", 8),
    Sample(
        "truthfulqa_mc2_sample/data/test",
        "truthfulqa/truthful_qa/multiple_choice/validation",
        "question",
        100,
        keep=mc2_only,
    ),
    Sample(
        "bbh_boolean_sample/data/test", "SaylorTwift/bbh/boolean_expressions/test", "input", 100
    ),
    Sample(
        "bbh_boolean_sample/data/fewshot",
        "SaylorTwift/bbh/boolean_expressions/test",
        "input",
        8,
        skip=100,
    ),
    Sample("gsm8k_sample/data/test", "openai/gsm8k/main/test", "question", 100),
    Sample("gsm8k_sample/data/fewshot", "openai/gsm8k/main/train", "question", 8),
]


def select(rows: list[Row], question: str) -> Iterator[tuple[int, Row]]:
    """(Index in the source split, row) in the order of the index's hash; the same question once."""
    seen: set[str] = set()
    order = sorted(
        range(len(rows)), key=lambda i: hashlib.sha256(f"{SEED}:{i}".encode()).hexdigest()
    )
    for i in order:
        if rows[i][question] not in seen:
            seen.add(rows[i][question])
            yield i, rows[i]


def write(sample: Sample, hub: Path, tasks: Path) -> Path:
    rows = pq.read_table(hub / f"{sample.source}.parquet").to_pylist()
    split = sample.source.rsplit("/", 1)[1]
    chosen = list(select(rows, sample.question))[sample.skip : sample.skip + sample.num_docs]
    docs = [{"id": f"{split}-{i:04d}"} | sample.keep(row) for i, row in chosen]
    path = tasks / f"{sample.target}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(doc, ensure_ascii=False) + "\n" for doc in docs)
    return path


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    hub = Path(sys.argv[1])
    tasks = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parents[1] / "tasks"
    for sample in SAMPLES:
        path = write(sample, hub, tasks)
        print(f"{path}: {sample.num_docs} docs, {path.stat().st_size / 1024:.1f} KiB")


if __name__ == "__main__":
    main()
