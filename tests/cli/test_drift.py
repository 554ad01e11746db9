import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli.drift import drift
from stores import make_run

app = typer.Typer()
app.command()(drift)

BASE = [1.0, 0.0] * 100
UP = [1.0] * 100 + [1.0, 0.0] * 50
DOWN = [0.0] * 100 + [1.0, 0.0] * 50


def config(parent: str | None, domain: str) -> dict[str, Any]:
    return {"model": {"parent": parent}, "suite": {"domain": domain}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's working directory: two entries of models, and runs."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "configs" / "model").mkdir(parents=True)
    (folder / "configs" / "model" / "lost.yaml").write_text("name: lost\nparent: base\n")
    (folder / "configs" / "model" / "damaged.yaml").write_text("a: [")
    results = folder / "results"
    for name, parent, maths, refusal in (
        ("base", "never-run", BASE, BASE),
        ("sft", "base", UP, DOWN),
        ("dpo", "sft", UP, BASE),
    ):
        for suite, domain, task, scores in (
            ("cap", "capability", "maths", maths),
            ("safe", "safety", "refusal", refusal),
        ):
            make_run(
                results,
                f"{name}-{suite}",
                name,
                suite,
                {task: scores},
                config=config(parent, domain),
            )
    make_run(results, "lone-t", "lone", "t", {"z": BASE}, config=config(None, "capability"))
    make_run(results, "late-cap", "late", "cap", {"maths": UP}, config=config("lost", "capability"))
    return folder


@pytest.fixture
def results_dir(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder / "results"


def call(results_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--results-dir", str(results_dir)])


def steps(results_dir: Path, *arguments: str) -> list[dict[str, Any]]:
    content: dict[str, Any] = json.loads(call(results_dir, *arguments, "--json").stdout)
    found: list[dict[str, Any]] = content["steps"]
    return found


def test_a_step_says_what_it_did_to_both(results_dir: Path) -> None:
    (step,) = steps(results_dir, "base", "sft")
    assert step["call"] == "capability up, safety down"
    assert step["domains"]["safety"]["mean"]["difference"] == -0.25
    assert step["notes"] == []


def test_more_models_are_steps_and_the_whole(results_dir: Path) -> None:
    found = steps(results_dir, "base", "sft", "dpo", "--margin", "0.05")
    assert [(s["parent"], s["child"], s["call"]) for s in found] == [
        ("base", "sft", "capability up, safety down"),
        ("sft", "dpo", "capability kept within ±0.050, safety up"),
        ("base", "dpo", "capability up, safety kept within ±0.050"),
    ]
    assert [s["is_whole"] for s in found] == [False, False, True]


def test_one_name_follows_its_parents_and_tells_which_have_no_run(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "dpo", "--json").stdout)
    assert content["models"] == ["base", "sft", "dpo"]
    assert content["notes"] == ["'never-run' has no run: left out of the lineage"]
    assert json.loads(call(results_dir, "sft-cap", "--json").stdout)["models"] == ["base", "sft"]


def test_a_link_without_runs_is_bridged_by_its_entry(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "late", "--json").stdout)
    assert content["models"] == ["base", "late"]
    assert "'lost' has no run: left out of the lineage" in content["notes"]
    (step,) = content["steps"]
    assert step["call"] == "capability up, safety not measured"
    assert step["notes"] == [
        "the entry of 'late' names 'lost' as its parent, not 'base'",
        "suite 'safe' (safety) was run for 'base' only",
    ]


def test_runs_are_reported_by_their_ids(results_dir: Path) -> None:
    (step,) = steps(results_dir, "base-cap", "dpo-cap")
    assert (step["parent"], step["child"]) == ("base-cap", "dpo-cap")
    assert step["notes"] == ["the entry of 'dpo' names 'sft' as its parent, not 'base'"]


def test_csv_has_tasks_and_means(results_dir: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call(results_dir, "base", "sft", "--csv").stdout)))
    assert [(r["domain"], r["task"], r["verdict"]) for r in rows] == [
        ("capability", "maths", "better"),
        ("capability", "mean", "up"),
        ("safety", "refusal", "worse"),
        ("safety", "mean", "down"),
    ]


def test_the_call_stands_in_text_and_markdown(results_dir: Path) -> None:
    assert "capability up, safety down" in call(results_dir, "base", "sft").stdout
    assert "**capability up, safety down**" in call(results_dir, "base", "sft", "--md").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base", "nobody"], "no run or model 'nobody'"),
        (["base", "lone"], "'base' and 'lone' have no suite in common (base: cap, safe; lone: t)"),
        (["lone"], "no model that 'lone' was made from has a run (no parent is known); name two"),
        (["base"], "no model that 'base' was made from has a run ('never-run')"),
        (["base", "sft", "--csv", "--md"], "--csv and --md: only one of them"),
    ],
)
def test_wrong_input_is_one_line_that_helps(
    results_dir: Path, arguments: list[str], message: str
) -> None:
    result = call(results_dir, *arguments)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2
