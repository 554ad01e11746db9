import csv
import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli.trend import trend

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
        "updated, 3 of 6 watched metrics measured" in call(tmp_path, "--tracker", str(path)).stdout
    )
    once = path.read_text()
    assert once.startswith("# Ours\n")
    assert "not measured" in once
    assert "nothing changed" in call(tmp_path, "--tracker", str(path)).stdout
    assert path.read_text() == once


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fit", "magic"], "likelihood or epoch"),
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
