import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli.leaderboard import leaderboard
from evalharness.errors import UserError
from stores import make_run

app = typer.Typer()
app.command()(leaderboard)

GOOD, FAIR, POOR = [1.0] * 90 + [0.0] * 10, [1.0, 0.0] * 50, [1.0] * 10 + [0.0] * 90


def entry(family: str, released: str | None) -> dict[str, object]:
    return {"config": {"model": {"family": family, "release_date": released}}}


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    day = "2026-01-0{}T00:00:00+00:00".format
    make_run(tmp_path, "r1", "old", "s", {"t": POOR, "u": POOR}, started_at=day(1), **entry("Llama 3", "2024-04-18"))  # fmt: skip
    make_run(tmp_path, "r2", "new", "s", {"t": FAIR, "u": GOOD}, started_at=day(2), **entry("Llama 4", "2025-04-05"))  # fmt: skip
    make_run(tmp_path, "r3", "new", "s", {"t": GOOD, "u": GOOD}, started_at=day(3), **entry("Llama 4", "2025-04-05"))  # fmt: skip
    make_run(tmp_path, "r4", "mine", "other", {"v": FAIR}, started_at=day(4), **entry("Mine", None))
    return tmp_path


def call(results_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--results-dir", str(results_dir), *arguments])


def boards(results_dir: Path, *arguments: str) -> dict[str, list[str]]:
    """Suite -> run ids, in order."""
    result = call(results_dir, "--json", *arguments)
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)["boards"]
    return {board["suite"]: [row["run_id"] for row in board["rows"]] for board in found}


def test_the_best_run_of_each_model_stands_on_its_suites_board(results_dir: Path) -> None:
    assert boards(results_dir) == {"other": ["r4"], "s": ["r3", "r1"]}


def test_all_shows_every_run(results_dir: Path) -> None:
    assert boards(results_dir, "--all", "--suite", "s") == {"s": ["r3", "r2", "r1"]}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--suite", "s"], {"s": ["r3", "r1"]}),
        (["--suite", "s", "--suite", "other"], {"other": ["r4"], "s": ["r3", "r1"]}),
        (["--model", "o*"], {"s": ["r1"]}),
        (["--family", "llama*"], {"s": ["r3", "r1"]}),
        (["--since", "2026-01-03"], {"other": ["r4"], "s": ["r3"]}),
        (["--until", "2026-01-02"], {"s": ["r2", "r1"]}),
        (["--released-since", "2025-01-01"], {"s": ["r3"]}),
    ],
)
def test_filters(results_dir: Path, arguments: list[str], found: dict[str, list[str]]) -> None:
    assert boards(results_dir, *arguments) == found


def test_made_up_answers_are_left_out_and_named(results_dir: Path) -> None:
    make_run(results_dir, "r5", "fake", "s", {"t": GOOD, "u": GOOD}, engine={"kind": "fake"})
    result = call(results_dir, "--suite", "s", "--all", "--json")
    content = json.loads(result.stdout)
    assert "r5" not in [row["run_id"] for row in content["boards"][0]["rows"]]
    assert content["left_out"] == ["left out, answered by the fake engine: r5"]


def test_what_differs_is_ranked_when_asked_for(results_dir: Path) -> None:
    shots = {"t": {"num_fewshot": 5, "request_hash": "5"}}
    make_run(results_dir, "r5", "five", "s", {"t": GOOD, "u": GOOD}, on_task=shots)
    ranks = {}
    for flag in ((), ("--any-prompt",)):
        content = json.loads(call(results_dir, "--suite", "s", "--json", *flag).stdout)
        rows = {row["model"]: row for row in content["boards"][0]["rows"]}
        ranks[flag] = rows["five"]["rank_first"]
        assert rows["five"]["scores"]["t"]["differs"] == ["0 shots against 5"]
    assert ranks == {(): None, ("--any-prompt",): 1}


def test_models_without_a_release_date_are_named(results_dir: Path) -> None:
    result = call(results_dir, "--released-since", "2025-01-01")
    assert "left out, no release date: mine" in result.stderr


def test_a_column_filter_leaves_the_mean_alone(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "--json", "--suite", "s", "--task", "u*").stdout)
    (board,) = content["boards"]
    assert (board["tasks"], board["mean_over"]) == (["u"], ["t", "u"])


def test_sort_ranks_by_a_task(results_dir: Path) -> None:
    assert boards(results_dir, "--suite", "s", "--all", "--sort", "u")["s"][-1] == "r1"
    assert "ranked by u" in call(results_dir, "--suite", "s", "--sort", "u").stdout


def test_csv_and_markdown(results_dir: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call(results_dir, "--csv").stdout)))
    assert {row["task"] for row in rows if row["suite"] == "s"} == {"mean", "t", "u"}
    text = call(results_dir, "--md", "--suite", "s").stdout
    assert text.startswith("### s version 1\n\n| rank | model | run | mean | t | u |")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "S"], "no run of suite 'S'"),
        (["--sort", "tt"], "--sort 'tt': no such column"),
        (["--since", "yesterday"], "--since 'yesterday': a date such as"),
        (["--model", "nobody"], "none of 4 runs"),
        (["--json", "--csv"], "--json and --csv: only one of them"),
    ],
)
def test_wrong_input_is_one_line(results_dir: Path, arguments: list[str], message: str) -> None:
    result = call(results_dir, *arguments)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_an_empty_store_says_what_makes_a_run(tmp_path: Path) -> None:
    assert "evalharness run" in str(call(tmp_path).exception)


def test_what_is_damaged_is_reported_and_the_rest_is_shown(results_dir: Path) -> None:
    make_run(results_dir, "r5", "going-on", "s", {"t": FAIR}, status="running")
    make_run(results_dir, "r6", "broken", "s", {"t": FAIR})
    (results_dir / "r6" / "metrics.parquet").write_bytes(b"PAR1 no more PAR1")
    make_run(results_dir, "r7", "empty", "s", {"t": FAIR})
    (results_dir / "r7" / "metrics.parquet").unlink()
    shutil.copytree(results_dir / "r1", results_dir / "r8")
    (results_dir / "r8" / "manifest.json").unlink()
    result = call(results_dir)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "left out, not ended: r5",
        "left out, metrics damaged: r6; `evalharness results verify` says more",
        "left out, no metrics: r7",
        "no runs, a manifest is missing: r8",
    ]
    assert " new " in result.stdout
    content = json.loads(call(results_dir, "--json").stdout)
    assert len(content["left_out"]) == 4
