import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli import maintain
from evalharness.cli.results import VERBS
from evalharness.errors import UserError
from evalharness.store.read import run_names
from stores import make_run

app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(maintain.app, name="results")
app.command()(lambda: None)


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    for name, status in (("r1", "complete"), ("r2", "failed"), ("r3", "complete")):
        make_run(
            tmp_path, name, "m", "s", {"t": [1.0, 0.0]}, identity="i", status=status,
            started_at=f"2026-01-0{name[1]}T00:00:00+00:00",
        )  # fmt: skip
    return tmp_path


def call(results_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["results", *arguments, "--results-dir", str(results_dir)])


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_of_the_command_and_names_the_verbs(flag: str) -> None:
    text = CliRunner().invoke(app, ["results", flag]).stdout
    assert "Choose the run by its id" in text
    assert "--curve" in text
    assert all(verb in text for verb in VERBS)
    assert "show" not in text.lower().split("commands:")[1].split()[0]


def test_arguments_that_are_no_verb_are_the_commands_own(results_dir: Path) -> None:
    assert [row["run_id"] for row in json.loads(call(results_dir, "--json").stdout)] == [
        "r3", "r2", "r1",
    ]  # fmt: skip
    assert "r3" in call(results_dir).stdout
    assert json.loads(call(results_dir, "latest", "--json").stdout)["run_id"] == "r3"
    assert json.loads(call(results_dir, "show", "r1", "--json").stdout)["run_id"] == "r1"


def test_the_completed_verbs_are_those_there_are(results_dir: Path) -> None:
    names = {c.name or c.callback.__name__ for c in maintain.app.registered_commands if c.callback}  # fmt: skip
    assert names == {"show", *VERBS}
    environment = {
        "_APP_COMPLETE": "complete_bash", "COMP_WORDS": "app results ", "COMP_CWORD": "2",
        "EVALHARNESS_RESULTS_DIR": str(results_dir),
    }  # fmt: skip
    result = CliRunner().invoke(app, [], env=environment, prog_name="app")
    assert set(result.stdout.split()) == {"latest", "r1", "r2", "r3", *VERBS}


def test_verify_says_all_is_well(results_dir: Path) -> None:
    result = call(results_dir, "verify")
    assert (result.exit_code, result.stdout) == (0, "3 runs checked: all is well\n")


def test_verify_names_run_file_and_problem_and_exits_1(results_dir: Path) -> None:
    (results_dir / "r1" / "metrics.parquet").write_bytes(b"")
    result = call(results_dir, "verify")
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if "metrics.parquet" in line)
    assert row.split()[:2] == ["r1", "metrics.parquet"]
    assert "3 runs checked: 1 damaged (1 file); all else reads" in result.stdout
    assert call(results_dir, "verify", "r2", "latest").exit_code == 0
    content = json.loads(call(results_dir, "verify", "r1", "--json").stdout)
    assert content["damages"][0]["path"] == "metrics.parquet"


def test_prune_shows_and_deletes_nothing(results_dir: Path) -> None:
    result = call(results_dir, "prune")
    assert result.exit_code == 0
    assert "superseded by r3" in result.stdout
    assert "2 of " in result.stdout
    assert "--yes deletes" in result.stdout
    assert run_names(results_dir) == ["r1", "r2", "r3"]


def test_prune_with_yes_deletes(results_dir: Path) -> None:
    assert "deleted" in call(results_dir, "prune", "--yes").stdout
    assert run_names(results_dir) == ["r3"]
    assert call(results_dir, "prune").stdout == "nothing to prune\n"


def test_a_named_criterion_is_the_only_one(results_dir: Path) -> None:
    content = json.loads(call(results_dir, "prune", "--failed", "--json").stdout)
    assert [c["run_id"] for c in content["candidates"]] == ["r2"]
    assert not content["is_deleted"]
    assert content["num_bytes"] == content["candidates"][0]["num_bytes"] > 0


def test_journals_go_and_runs_stay(results_dir: Path) -> None:
    journal = results_dir / "r1" / "journal" / "0000.jsonl"
    journal.write_text("x")
    assert "journal" in call(results_dir, "prune", "--journals", "--yes").stdout
    assert not journal.exists()
    assert run_names(results_dir) == ["r1", "r2", "r3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "--before", "soon"], "--before 'soon': a date such as"),
        (["prune", "--journals", "--failed"], "no other criterion"),
        (["verify", "nobody"], "no run or model 'nobody'"),
    ],
)
def test_wrong_input_is_one_line(results_dir: Path, arguments: list[str], message: str) -> None:
    result = call(results_dir, *arguments)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
