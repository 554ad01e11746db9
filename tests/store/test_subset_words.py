"""Every verb says which of how many docs a score is over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evalharness.cli.compare import compare
from evalharness.cli.drift import drift
from evalharness.cli.gate import gate
from evalharness.cli.leaderboard import leaderboard
from evalharness.cli.report import report
from evalharness.cli.results import results
from evalharness.store.read import load_manifest
from evalharness.store.subset_words import (
    subset_kind,
    subset_note,
    subset_words,
)
from stores import make_run

WORDS = "random 60 of 600 docs in 1 of 2 tasks (seed 0)"
RANDOM = {"x": {"num_docs_available": 600, "limit_from": "random", "limit_seed": 0}}
POLICY = """
tiers: {critical: {margin: 0.3}, supporting: {margin: 0.3}, advisory: {margin: 0.3}}
domains: {safety: critical, capability: critical}
"""


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    (folder / "policy.yaml").write_text(POLICY)
    for name in ("base", "tuned"):
        make_run(
            folder, f"r-{name}", name, "s", {"x": [1.0, 0.0] * 30, "y": [1.0, 0.0] * 5}, on_task=RANDOM,
            engine={"kind": "vllm", "version": "1", "dtype": "none", "quantization": None},
        )  # fmt: skip
    return folder


def said(verb: Callable[..., Any], results_dir: Path, *arguments: str) -> str:
    app = typer.Typer()
    app.command()(verb)
    command = [*arguments, "--results-dir", str(results_dir)]
    found = CliRunner().invoke(app, command, env={"COLUMNS": "400"})
    assert found.stdout, (found.output, found.exception)
    return " ".join(found.stdout.split())


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        (results, [], "70 of 610*"),
        (results, [], "* random docs only (n of N)"),
        (results, ["--json"], f'"subset": "{WORDS}"'),
        (results, ["r-base"], f"{WORDS}: estimates of the scores over all docs, intervals"),
        (results, ["r-base"], "60/600"),
        (results, ["r-base", "--json"], f'"subset": "{WORDS}"'),
        (results, ["r-base", "--json"], '"subset": "random 60, seed 0"'),
        (results, ["r-base", "--csv"], '"random 60, seed 0"'),
        (compare, ["base", "tuned"], WORDS),
        (compare, ["base", "tuned", "--json"], f'"subset": "{WORDS}"'),
        (
            gate,
            ["base", "tuned", "--policy", "policy.yaml"],
            f"first r-base s, capability, {WORDS}",
        ),
        (gate, ["base", "tuned", "--policy", "policy.yaml", "--md"], f"- second r-tuned {WORDS}"),
        (
            gate,
            ["base", "tuned", "--policy", "policy.yaml", "--json"],
            f'"candidate_subset": "{WORDS}"',
        ),
        (drift, ["r-base", "r-tuned"], f"r-base {WORDS}"),
        (
            drift,
            ["r-base", "r-tuned", "--md"],
            f"- s (capability): first r-base {WORDS}, second r-tuned {WORDS}",
        ),
        (drift, ["r-base", "r-tuned", "--json"], f'"parent_subset": "{WORDS}"'),
        (leaderboard, [], "random docs"),
        (leaderboard, [], "n: x 60 of 600, y 10"),
        (leaderboard, ["--json"], f'"subset": "{WORDS}"'),
    ],
)
def test_it_is_said(
    results_dir: Path, verb: Callable[..., Any], arguments: list[str], words: str
) -> None:
    given = [str(results_dir / a) if a == "policy.yaml" else a for a in arguments]
    assert words in said(verb, results_dir, *given)


def test_the_report_says_it(results_dir: Path, tmp_path: Path) -> None:
    said(report, results_dir, "--out", str(tmp_path), "--draws", "10")
    text = (tmp_path / "index.html").read_text()
    assert "70 of 610" in text
    assert "only some of the docs (n of N)" in text


def test_words(results_dir: Path) -> None:
    one, whole = load_manifest(results_dir / "r-base").tasks
    assert subset_words([whole]) == subset_note([whole]) == subset_kind([whole]) == ""
    assert subset_words([one]) == "random 60 of 600 docs (seed 0)"
    by = replace(one, stratified_by="category")
    assert subset_words([by]) == "random 60 of 600 docs (seed 0, by category)"
    assert subset_note([by]).endswith("narrowed by sqrt(1 - n/N) where every doc has a score")
    first = replace(one, limit_from="first", limit_seed=None)
    assert subset_note([first]) == "first 60 of 600 docs: not comparable with published scores"
    both = "first and random 120 of 1200 docs in 2 of 3 tasks (seed 0)"
    assert subset_words(task for task in (first, one, whole)) == both
