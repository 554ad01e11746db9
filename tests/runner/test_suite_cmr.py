"""The suite as a user runs it, without weights: it ends, and its composite is on screen, in SQL and in JSON."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PARTS = ["cmr_cross_domain", "cmr_judge", "cmr_know", "cmr_self_correct"]
STATEMENT = "evalharness definition v1; no public benchmark of this name"


def evalharness(results_dir: Path, *arguments: str) -> str:
    environment = os.environ | {"EVALHARNESS_RESULTS_DIR": str(results_dir), "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", "evalharness", *arguments],
        capture_output=True, text=True, env=environment, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ran(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    results_dir = tmp_path_factory.mktemp("cmr")
    return results_dir, evalharness(
        results_dir, "run", "model=smollm2-135m", "suite=cmr", "engine=fake", "run.limit=12"
    )


def found(results_dir: Path) -> dict[str, Any]:
    content = json.loads(evalharness(results_dir, "results", "latest", "--json"))
    assert isinstance(content, dict)
    return content


def test_the_run_ends_with_parts_bar_and_definition(ran: tuple[Path, str]) -> None:
    text = " ".join(ran[1].split())
    assert STATEMENT in text
    assert "target 95%" in text
    assert "mean of 4" in text


def test_the_composite_is_the_mean_of_its_parts_with_an_interval(ran: tuple[Path, str]) -> None:
    content = found(ran[0])
    composite = content["composite"]
    assert list(composite["parts"]) == PARTS
    assert composite["value"] == pytest.approx(math.fsum(composite["parts"].values()) / 4)
    assert composite["ci_low"] <= composite["value"] <= composite["ci_high"]
    assert composite["n"] == 48
    assert composite["statement"] == STATEMENT


def test_the_composite_is_a_metric_for_sql(ran: tuple[Path, str]) -> None:
    query = "SELECT task, n, value FROM metrics WHERE metric = 'composite' AND is_main"
    (row,) = json.loads(evalharness(ran[0], "sql", query, "--json"))
    assert (row["task"], row["n"]) == ("cmr", 48)


def test_every_sample_of_the_conversation_is_scored(ran: tuple[Path, str]) -> None:
    tasks = {task["task"]: task for task in found(ran[0])["tasks"]}
    assert list(tasks) == PARTS
    assert all(task["num_errors"] == 0 and task["num_samples"] == 12 for task in tasks.values())
