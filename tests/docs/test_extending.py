"""docs/extending.md: its files and changes, put into a copy of the checkout, work together."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from blocks_of_docs import ROOT, Block, blocks
from evalharness.store.read import iter_samples, load_manifest

PAGE = ROOT / "docs" / "extending.md"
PROGRAM = """
import sys
from evalharness.cli.app import main
for arguments in (line.split() for line in sys.argv[1:]):
    sys.argv = ["evalharness", *arguments]
    try:
        main()
    except SystemExit as e:
        if e.code:
            raise
"""
COMMANDS = (
    "task check plurals",
    "run model=mine suite=example engine=uniform strategy=second_look run.id=uniform results_dir=results",
    "export uniform --format lines --out lines.jsonl --results-dir results",
)


def applied(text: str, change: Block) -> str:
    """A file's text after a change, whose lines without `+` must stand in it once."""
    lines = change.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] != "+")
    new = "".join(line[1:] for line in lines if line[0] != "-")
    assert text.count(old) == 1, f"{change.place}: stands {text.count(old)} times:\n{old}"
    return text.replace(old, new)


@pytest.fixture(scope="module")
def here(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with all that the page adds, in which its commands have run."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("src", "configs", "tasks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for block in blocks(PAGE):
        if block.rest:
            file = copy / block.rest
            file.parent.mkdir(parents=True, exist_ok=True)
            is_change = block.language == "diff"
            file.write_text(applied(file.read_text(), block) if is_change else block.text)
    (copy / "configs" / "model" / "mine.yaml").write_text(f"name: mine\npath: {tiny_llama}\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *COMMANDS],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


def rows(here: Path, task: str) -> list[Any]:
    return list(iter_samples(here / "results" / "uniform", task))


def test_the_run_is_complete_and_says_engine_and_strategy(here: Path) -> None:
    manifest = load_manifest(here / "results" / "uniform")
    assert manifest.status == "complete"
    assert manifest.engine["kind"] == "uniform"
    assert {task.task: task.strategy for task in manifest.tasks} == {
        "plurals": "second_look",
        "doubling": "single",
        "arc_easy_sample": "single",
    }


def test_the_engine_gives_every_token_the_same_log_probability(
    here: Path, byte_tokenizer: Any
) -> None:
    sizes = set()
    for row in rows(here, "arc_easy_sample"):
        for logprob, _ in json.loads(row.response):
            sizes.add(round(logprob / -math.log(len(byte_tokenizer)), 6) % 1)
    assert sizes == {0.0}


def test_a_strategys_answer_is_the_second(here: Path) -> None:
    turns = pq.read_table(here / "results" / "uniform" / "turns" / "plurals.parquet").to_pylist()
    second = {turn["doc_id"]: turn["text"] for turn in turns if turn["step"] == 1}
    assert {row.doc_id: row.response for row in rows(here, "plurals")} == second
    assert len(second) == 4


def test_a_task_of_two_turns_has_both_metrics(here: Path) -> None:
    assert {key for row in rows(here, "doubling") for key in row.scores} == {"acc", "stands"}


def test_the_export_has_a_line_a_task(here: Path) -> None:
    lines = [json.loads(line) for line in (here / "lines.jsonl").read_text().splitlines()]
    assert [(line["task"], line["n"]) for line in lines] == [
        ("plurals", 4),
        ("doubling", 5),
        ("arc_easy_sample", 3),
    ]


def test_a_change_that_no_longer_fits_is_noticed() -> None:
    change = Block(PAGE, 1, "diff x", " old\n+new\n")
    assert applied("old\n", change) == "old\nnew\n"
    with pytest.raises(AssertionError, match="stands 0 times"):
        applied("other\n", change)
