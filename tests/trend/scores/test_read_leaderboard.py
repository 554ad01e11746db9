"""What `evalharness leaderboard` prints is read again as scores, one a task."""

import json
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from evalharness.cli.leaderboard import leaderboard
from evalharness.errors import UserError
from evalharness.trend.scores.read_leaderboard import read_leaderboard
from stores import make_run

app = typer.Typer()
app.command()(leaderboard)
TODAY = date.max


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The leaderboard of a small store, as CSV and as JSON."""
    results = tmp_path_factory.mktemp("results")
    tasks = {"gsm8k": [1.0, 0.0, 1.0, 1.0], "own": [1.0, 0.0]}
    for run_id in ("first", "second"):
        make_run(results, run_id, run_id, "s", tasks, engine={"kind": "vllm", "version": "1"})
    return {
        form: CliRunner().invoke(app, ["--results-dir", str(results), f"--{form}"]).stdout
        for form in ("csv", "json")
    }


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "board"
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", ["csv", "json"])
def test_both_forms_give_the_tasks_scores(tmp_path: Path, exported: dict[str, str], form: str) -> None:  # fmt: skip
    reading = read_leaderboard(written(tmp_path, exported[form]), TODAY)
    found = {(s.model, s.benchmark): (s.score, s.n) for s in reading.scores}
    assert found == {
        (model, benchmark): value
        for model in ("first", "second")
        for benchmark, value in (("GSM8K", (75.0, 4)), ("own", (50.0, 2)))
    }
    assert reading.skipped == ()
    assert all(score.source_path in ("first", "second") for score in reading.scores)


def test_both_forms_are_the_same_scores_but_for_their_lines(
    tmp_path: Path, exported: dict[str, str]
) -> None:
    one, other = (
        {score.content for score in read_leaderboard(written(tmp_path, exported[form]), TODAY).scores}
        for form in ("csv", "json")
    )  # fmt: skip
    assert one == other


def test_a_score_of_json_stands_at_its_run(tmp_path: Path, exported: dict[str, str]) -> None:
    reading = read_leaderboard(written(tmp_path, exported["json"]), TODAY)
    lines = exported["json"].splitlines()
    assert all(f'"run_id": "{s.model}"' in lines[(s.line or 0) - 1] for s in reading.scores)


def test_means_are_no_benchmark(tmp_path: Path, exported: dict[str, str]) -> None:
    reading = read_leaderboard(written(tmp_path, exported["csv"]), TODAY)
    assert reading.notices == ("2 means over tasks aren't read",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",gsm8k,acc,0.75,", ",gsm8k,acc,75,", "column value: acc 75 is not a share of a maximum"),
        (",gsm8k,acc,0.75,", ",gsm8k,acc,,", "column value: '' is not a number"),
        (",gsm8k,acc,0.75,", ",gsm8k,word_perplexity,0.75,", "column value: word_perplexity 0.75 is not a share"),
        (",gsm8k,acc,0.75,", ",gsm8k,,0.75,", "column metric: empty"),
    ],
)  # fmt: skip
def test_a_bad_cell_names_line_and_column_and_the_rest_is_read(
    tmp_path: Path, exported: dict[str, str], old: str, new: str, says: str
) -> None:
    assert old in exported["csv"]
    reading = read_leaderboard(written(tmp_path, exported["csv"].replace(old, new, 1)), TODAY)
    assert len(reading.scores) == 3
    assert says in str(reading.skipped[0])


def test_a_run_of_tomorrow_is_skipped(tmp_path: Path, exported: dict[str, str]) -> None:
    reading = read_leaderboard(written(tmp_path, exported["csv"]), date(2020, 1, 1))
    assert {problem.column for problem in reading.skipped} == {"started_at"}


@pytest.mark.parametrize(
    ("text", "says"),
    [("{}", "no `boards` in it"), ("{", "not JSON"), ("model,score\na,1\n", "columns missing: task")],
)  # fmt: skip
def test_another_file_is_refused_in_a_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_leaderboard(written(tmp_path, text), TODAY)


def test_the_json_is_json(exported: dict[str, str]) -> None:
    assert len(json.loads(exported["json"])["boards"]) == 1
