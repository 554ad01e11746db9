"""The verb `scores`."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli import scores
from evalharness.errors import UserError
from evalharness.trend.scores.storage import (
    FOLDER,
    load_scores,
)
from stores import make_run

app = typer.Typer()
app.add_typer(scores.app, name="scores")

HEADER = "model,release_date,benchmark,metric,n_shot,score,n,reported_by\n"
GOOD = "Llama X,2025-04-05,MMLU,acc,5,68.4,14042,Meta\n"
BAD = "Llama Y,2025-04-05,MMLU,acc,5,268.4,14042,Meta\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def call(*arguments: str | Path, width: int = 120) -> Result:
    words = ["scores", *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": str(width)})


def output(*arguments: str | Path, width: int = 120) -> str:
    result = call(*arguments, width=width)
    assert result.exit_code == 0, result.exception
    return result.stdout


def error(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == 2
    return str(result.exception)


def file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + "".join(lines), encoding="utf-8")
    return path


def listed(results: Path, *arguments: str) -> list[dict[str, Any]]:
    text = output("list", "--results-dir", results, "--json", *arguments)
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_an_import_is_reported_and_listed(tmp_path: Path, results: Path) -> None:
    reported = output("import", file(tmp_path, GOOD), "--results-dir", results)
    assert reported.startswith(
        f"Imported 1 scores, 1 models on 1 benchmarks, into {results / FOLDER}"
    )
    (score,) = listed(results, "--model", "llama x")
    assert (score["score"], score["origin"], score["collection"]) == (68.4, "imported", "mine.csv")


def test_bad_lines_are_reported_on_stderr_and_the_rest_is_kept(
    tmp_path: Path, results: Path
) -> None:
    result = call("import", file(tmp_path, BAD, GOOD), "--results-dir", results)
    assert result.exit_code == 0
    assert result.stderr == "line 2, column score: '268.4' is outside 0 to 100\n"
    assert [s.model for s in load_scores(results, include_seed=False)] == ["Llama X"]


def test_nothing_that_could_be_imported_is_an_error(tmp_path: Path, results: Path) -> None:
    message = error("import", file(tmp_path, BAD), "--results-dir", results)
    assert "nothing imported: none of 1 lines could be read" in message
    assert "no lines below the header" in error("import", file(tmp_path), "--results-dir", results)
    assert not results.exists()


def test_a_file_with_other_columns_is_an_error(tmp_path: Path, results: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    assert "columns missing: model, benchmark, score" in error("import", path)


def test_importing_again_changes_nothing(tmp_path: Path, results: Path) -> None:
    path = file(tmp_path, GOOD)
    output("import", path, "--results-dir", results)
    assert "Nothing new: all 1 scores" in output("import", path, "--results-dir", results)
    assert len(load_scores(results, include_seed=False)) == 1


def test_a_dry_run_keeps_nothing(tmp_path: Path, results: Path) -> None:
    reported = output("import", file(tmp_path, GOOD), "--results-dir", results, "--dry-run")
    assert reported.startswith("Would import 1 scores")
    assert not results.exists()


def test_a_contradiction_with_an_earlier_import_is_reported(tmp_path: Path, results: Path) -> None:
    output("import", file(tmp_path, GOOD), "--results-dir", results)
    other = file(tmp_path, GOOD.replace("68.4", "70.1").replace("Meta", "Epoch"))
    result = call("import", other, "--results-dir", results)
    assert result.exit_code == 0
    assert "Llama X, MMLU (acc, 5-shot) differ: 70.1 (mine.csv line 2), 68.4" in result.stderr
    shown = output("list", "--results-dir", results, "--model", "Llama X")
    assert shown.count(" * ") == 2
    assert "* differs from another score" in shown


def test_import_as_json_has_every_remark(tmp_path: Path, results: Path) -> None:
    path = file(tmp_path, GOOD, GOOD, BAD, GOOD.replace("MMLU", "MMLV"))
    reported = json.loads(output("import", path, "--results-dir", results, "--json"))
    assert reported["num_imported"] == 2
    assert reported["skipped"] == [
        {"line": 4, "column": "score", "message": "'268.4' is outside 0 to 100"}
    ]
    assert [item["line"] for item in reported["duplicates"]] == [3]
    assert [item["line"] for item in reported["unknown_benchmarks"]] == [5]


def test_what_a_file_says_cant_write_to_the_terminal(tmp_path: Path, results: Path) -> None:
    evil = GOOD.replace("Llama X", "Llama \x1b[31mX").replace("MMLU", "M\x1b[2JMLV")
    result = call("import", file(tmp_path, evil), "--results-dir", results)
    shown = output("list", "--results-dir", results, "--source", "imported")
    assert "\x1b" not in result.output + shown


def test_the_list_has_protocol_source_and_marks(results: Path) -> None:
    arguments = ("--model", "llama 3 8b instruct", "--benchmark", "humaneval")
    shown = output("list", "--results-dir", results, *arguments)
    assert re.search(r"62\.2 +\* ", shown)
    assert re.search(r"60\.4 +\* ", shown)
    assert "pass@1, 0-shot" in shown
    assert "Meta (self-reported)" in shown


def test_a_long_list_is_cut_and_says_so(results: Path) -> None:
    result = call("list", "--results-dir", results)
    assert result.exit_code == 0
    assert result.stderr.startswith("first 200 of 8065 scores;")


def test_measured_scores_stand_beside_reported_ones(results: Path) -> None:
    engine = {"kind": "vllm", "version": "1"}
    make_run(results, "my-run", "Llama 3 8B", "s", {"gsm8k": [1, 0]}, engine=engine)
    found = listed(results, "--model", "Llama 3 8B", "--benchmark", "gsm8k")
    assert {score["origin"] for score in found} == {"seed", "measured"}
    (own,) = listed(results, "--source", "measured")
    assert (own["run_id"], own["score"], own["n"]) == ("my-run", 50.0, 2)
    assert "9.453-90.55" in output("list", "--results-dir", results, "--source", "my-run")


def test_the_csv_of_a_list_can_be_imported(tmp_path: Path, results: Path) -> None:
    arguments = ("--model", "Llama 3 8B Instruct", "--source", "meta-llama")
    text = output("list", "--results-dir", results, "--csv", *arguments)
    rows = list(csv.DictReader(io.StringIO(text)))
    path = tmp_path / "again.csv"
    path.write_text(text, encoding="utf-8")
    result = call("import", path, "--results-dir", results)
    assert result.exit_code == 0
    assert all(" differ: " in line for line in result.stderr.splitlines())
    assert len(load_scores(results, include_seed=False)) == len(rows) > 10
    assert len(load_scores(results)) == 8065  # the seed has them already


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--model", "llama 9", "no scores of a model 'llama 9'"),
        ("--benchmark", "HelaSwag", "did you mean 'HellaSwag'?"),
        ("--source", "nobody", "`evalharness scores sources` lists all"),
    ],
)
def test_a_name_that_nothing_has_is_an_error(
    results: Path, option: str, value: str, says: str
) -> None:
    assert says in error("list", "--results-dir", results, option, value)


def test_sources_count_every_score_once(tmp_path: Path, results: Path) -> None:
    output("import", file(tmp_path, GOOD), "--results-dir", results)
    rows = json.loads(output("sources", "--results-dir", results, "--json"))
    assert sum(row["scores"] for row in rows) == 8066
    (epoch,) = [row for row in rows if row["collection"] == "epoch_scores.csv"]
    assert (epoch["scores"], epoch["models"], epoch["benchmarks"]) == (2583, 469, 43)
    assert (epoch["licence"], rows[-1]["licence"]) == ("MIT", "")
    assert (rows[-1]["origin"], rows[-1]["source"]) == ("imported", "Meta")
    shown = output("sources", "--results-dir", results, width=80)
    assert max(map(len, shown.splitlines())) <= 80


def test_sources_as_csv(results: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(output("sources", "--results-dir", results, "--csv"))))
    assert {row["licence"] for row in rows} == {"CC BY 4.0", "MIT", "Apache-2.0", "facts, quoted"}


EPOCH = "performance,benchmark,model,model_version,date,source\n"


def test_epochs_file_is_imported_and_joins_the_seeds_models(tmp_path: Path, results: Path) -> None:
    path = tmp_path / "eci_benchmarks.csv"
    path.write_text(
        EPOCH + "0.91,GSM8K,Kimi K3,kimi-k3_max,2026-07-16,P\n68,MMLU,Kimi K3,x,2026-07-16,P\n"
    )
    result = call("import", path, "--format", "epoch", "--results-dir", results)
    assert result.exit_code == 0
    assert (
        "line 3, column performance: '68' is above 1: a percentage among shares?" in result.stderr
    )
    (score,) = load_scores(results, include_seed=False)
    assert (score.score, score.chance_corrected, score.setting) == (91.0, True, "max")
    (shown,) = listed(results, "--source", "imported")
    assert shown["setting"] == "max"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "epok"], "--format 'epok': one of csv, epoch, eee, leaderboard; did you mean 'epoch'?"),
        (["--format", "eee", "--chance-corrected"], "--chance-corrected is for CSV"),
        (["--format", "leaderboard"], "columns missing: task, value, run_id"),
    ],
)  # fmt: skip
def test_a_wrong_format_is_refused(
    tmp_path: Path, results: Path, arguments: list[str], says: str
) -> None:
    assert says in error("import", file(tmp_path, GOOD), "--results-dir", results, *arguments)


def test_chance_corrected_holds_for_the_file(tmp_path: Path, results: Path) -> None:
    call("import", file(tmp_path, GOOD), "--chance-corrected", "--results-dir", results)
    (score,) = load_scores(results, include_seed=False)
    assert score.chance_corrected


def test_every_merge_and_every_doubt_is_listed(tmp_path: Path, results: Path) -> None:
    named = GOOD.replace("Llama X", "chutes/gpt-oss-120b_high") + GOOD.replace("Llama X", "gpt-4o")
    output("import", file(tmp_path, named), "--results-dir", results)
    merged = json.loads(output("models", "--merged", "--json", "--results-dir", results))
    by_model = {row["model"]: row for row in merged}
    rules = dict(
        zip(by_model["gpt-oss-120b"]["name"], by_model["gpt-oss-120b"]["rules"], strict=True)
    )
    assert rules["chutes/gpt-oss-120b_high"] == "provider+setting"
    assert rules["gpt-oss-120b"] == "table"
    found = json.loads(output("models", "--ambiguous", "--json", "--results-dir", results))
    doubts = {row["model"]: row["doubts"] for row in found}
    assert doubts["gpt-4o"] == [
        "any of 3 versions: GPT-4o (Aug 2024), GPT-4o (May 2024), GPT-4o (Nov 2024)"
    ]
    shown = output("models", "--ambiguous", "--results-dir", results, width=200)
    assert re.search(r"\d+ names are \d+ models", shown)
    rows = list(csv.DictReader(io.StringIO(output("models", "--csv", "--results-dir", results))))
    assert len(rows) > len(merged)


@pytest.mark.parametrize("verb", ["list", "sources", "models"])
def test_json_or_csv_not_both(verb: str) -> None:
    assert "only one of them" in error(verb, "--json", "--csv")
