import csv
import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli.trend import trend
from stores import make_run

app = typer.Typer()
app.command()(trend)


def call(results_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app,
        [*arguments, "--draws", "10", "--results-dir", str(results_dir)],
        env={"COLUMNS": "100"},
    )


def test_the_shipped_scores_give_a_trend_without_any_run(tmp_path: Path) -> None:
    text = call(tmp_path / "none").stdout
    for part in (
        "open frontier", "open weights", "Kaplan-Meier", "forecast skill", "change of pace, all models",
        "order bias", "newest score 2026-07-31", "one model once", "CC BY 4.0", "stale: the newest score is of",
    ):  # fmt: skip
        assert part in text


def test_the_published_procedure_is_a_cross_check(tmp_path: Path) -> None:
    """Its frontier gains 13 to 17 points a year (Epoch's own settings give 13.3), as the likelihood's does."""
    likelihood, epoch = (
        json.loads(call(tmp_path, "--json", "--fit", fit).stdout)["velocities"]["all models"]
        for fit in ("likelihood", "epoch")
    )
    assert 12 < epoch["slope"]["per_year"] < 17
    assert 12 < likelihood["slope"]["per_year"] < 17


def test_json_and_csv_hold_the_index(tmp_path: Path) -> None:
    content = json.loads(call(tmp_path, "--json").stdout)
    assert content["velocities"]["open weights"]["slope"]["num_frontier"] > 5
    assert len(content["models"]) > 100
    rows = list(csv.DictReader(io.StringIO(call(tmp_path, "--csv").stdout)))
    assert {"DeepSeek-R1", "Llama 3.1 405B"} <= {row["model"] for row in rows}


def test_the_tracker_is_kept_current_and_left_alone_when_nothing_changed(tmp_path: Path) -> None:
    path = tmp_path / "TRACKER.md"
    path.write_text("# Ours\n")
    assert (
        "updated, 4 of 7 watched metrics measured" in call(tmp_path, "--tracker", str(path)).stdout
    )
    once = path.read_text()
    assert once.startswith("# Ours\n")
    assert "not measured" in once
    assert "nothing changed" in call(tmp_path, "--tracker", str(path)).stdout
    assert path.read_text() == once


def test_another_effort_is_named(tmp_path: Path) -> None:
    """The shipped scores have one effort a cell, so that the index is the same."""
    content = json.loads(call(tmp_path, "--json", "--effort", "lowest").stdout)
    assert content["left_out"]["effort_policy"] == "lowest reported effort"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fit", "magic"], "likelihood or epoch"),
        (["--effort", "most"], "highest, lowest, median, default"),
        (["--since", "soon"], "a date such as"),
        (["--anchors", "one"], "two models"),
        (["--anchors", "nobody,gpt-5-2025-08-07_medium"], "nobody"),
        (["--reference", "none.csv"], "no reported scores of 'none.csv'"),
        (["--json", "--csv"], "only one of them"),
        (["--tracker", "/nowhere/at/all.md"], "can't be written"),
    ],
)
def test_wrong_input_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = call(tmp_path, *arguments)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2


def test_a_family_shows_its_own_line_in_every_form(tmp_path: Path) -> None:
    for day, right in ((1, 20), (2, 80)):
        make_run(
            tmp_path, f"2026010{day}-080000-ours-sums", f"ours-{day}", "sums",
            {"sums": [1.0] * right + [0.0] * (100 - right)}, started_at=f"2026-01-0{day}T08:00:00+00:00",
            config={"model": {"family": "mine"}, "suite": {"tasks": ["sums"]}},
        )  # fmt: skip
    text = call(tmp_path, "--family", "mine").stdout
    row = next(line.split() for line in text.splitlines() if "ours-2" in line)
    assert row[:5] == ["~2026-01-02", "ours-2", "80.0", "[71.1,", "86.7]"]
    assert row[5] == "+60.0"
    assert row[-2:] == ["up", "100"]
    assert "not tested (means of 2 days, at least 6 needed)" in text
    content = json.loads(call(tmp_path, "--family", "mine", "--json").stdout)
    assert [c["model"] for c in content["checkpoints"]] == ["ours-1", "ours-2"]
    assert content["checkpoints"][1]["difference"] == pytest.approx(0.6)
    assert content["change_of_pace"]["refusal"]
    rows = list(csv.DictReader(io.StringIO(call(tmp_path, "--family", "mine", "--csv").stdout)))
    assert [row["call"] for row in rows] == ["", "up"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--suite", "quick"), "--suite is for --family"),
        (("--family", "mine", "--tracker", "T.md"), "leave out --tracker"),
    ],
)
def test_options_of_the_index_and_of_a_family_do_not_mix(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in str(call(tmp_path, *arguments).exception)
