import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli.compare import compare
from stores import make_run

app = typer.Typer()
app.command()(compare)

A = {"x": [1.0, 0.0] * 50, "y": [1.0, 0.0] * 50}


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    make_run(tmp_path, "1-base", "base", "s", A, started_at="2026-01-01T00:00:00+00:00")
    make_run(
        tmp_path,
        "2-tuned",
        "tuned",
        "s",
        {**A, "x": [1.0] * 100},
        started_at="2026-01-02T00:00:00+00:00",
    )
    make_run(
        tmp_path, "3-other", "other", "t", {"z": [1.0]}, started_at="2026-01-03T00:00:00+00:00"
    )
    return tmp_path  # fmt: skip


def call(results_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--results-dir", str(results_dir)])


def test_models_and_run_ids_name_runs(results_dir: Path) -> None:
    for names in (("base", "tuned"), ("1-base", "2-tuned"), ("1-", "tuned")):
        (found,) = json.loads(call(results_dir, *names, "--json").stdout)
        assert (found["a"]["run_id"], found["b"]["run_id"]) == ("1-base", "2-tuned")
        assert [row["verdict"] for row in found["tasks"]] == ["better", "no difference resolved"]


def test_a_model_of_made_up_answers_only_is_named_by_its_run(results_dir: Path) -> None:
    for name in ("one", "two"):
        make_run(results_dir, f"9-{name}", name, "s", A, engine={"kind": "fake"})
    message = str(call(results_dir, "base", "one").exception)
    assert "model 'one' has only runs of the fake engine" in message
    assert "'9-one'" in message
    assert "only runs of the fake engine" in str(call(results_dir, "one", "two").exception)
    (found,) = json.loads(call(results_dir, "9-one", "9-two", "--json").stdout)
    assert "fake engine" in found["notes"][0]


def test_a_models_made_up_run_is_never_its_best(results_dir: Path) -> None:
    fields = {"engine": {"kind": "fake"}, "started_at": "2026-02-01T00:00:00+00:00"}
    make_run(results_dir, "9-tuned", "tuned", "s", A, **fields)
    (found,) = json.loads(call(results_dir, "base", "tuned", "--json").stdout)
    assert found["b"]["run_id"] == "2-tuned"


def test_models_are_compared_on_the_suites_that_both_have(results_dir: Path) -> None:
    later = {"started_at": "2026-02-01T00:00:00+00:00"}
    make_run(results_dir, "4-base", "base", "t", {"z": [0.0, 1.0]}, **later)
    make_run(results_dir, "5-base", "base", "u", {"w": [0.0, 1.0]}, **later)
    result = call(results_dir, "base", "tuned", "--json")
    (found,) = json.loads(result.stdout)  # A's latest suite, which B has not, is u
    assert (found["a"]["run_id"], found["b"]["run_id"]) == ("1-base", "2-tuned")
    assert "left out: suite 't': only 'base' has a run of it" in result.stderr
    make_run(results_dir, "6-tuned", "tuned", "u", {"w": [1.0, 1.0]})
    pairs = [
        (found["a"]["run_id"], found["b"]["run_id"])
        for found in json.loads(call(results_dir, "base", "tuned", "--json").stdout)
    ]
    assert pairs == [("1-base", "2-tuned"), ("5-base", "6-tuned")]
    (found,) = json.loads(call(results_dir, "base", "tuned", "--suite", "u", "--json").stdout)
    assert found["b"]["run_id"] == "6-tuned"


def test_a_suite_compares_all_its_models_with_the_first(results_dir: Path) -> None:
    make_run(results_dir, "9-fake", "fake", "s", A, engine={"kind": "fake"})
    result = call(results_dir, "--suite", "s", "--md")
    assert result.stdout.startswith("**tuned** against **base**")
    assert "fake" not in result.stdout
    assert result.stderr == "left out, answered by the fake engine: 9-fake\n"


def test_flips_come_with_the_comparison(results_dir: Path) -> None:
    result = call(results_dir, "base", "tuned", "--flips", "--samples", "2", "--json")
    (found,) = json.loads(result.stdout)
    assert [flip["doc_id"] for flip in found["flips"]] == [1, 3]
    assert "doc 1" in call(results_dir, "base", "tuned", "--flips").stdout


def test_csv_has_a_row_per_task(results_dir: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call(results_dir, "base", "tuned", "--csv").stdout)))
    assert [row["task"] for row in rows] == ["x", "y", "mean"]
    assert float(rows[0]["difference"]) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base"], "'base' with what?"),
        ([], "two runs or models, or --suite"),
        (["base", "nobody"], "no run or model 'nobody'"),
        (["base", "other"], "'base' and 'other' have no suite in common (base: s; other: t)"),
        (["base", "other", "--suite", "s"], "model 'other' has no run of suite 's'"),
        (["1-base", "other"], "'1-base' and 'other' have no suite in common"),
        (["base", "3-other", "--suite", "s"], "run '3-other' is of suite 't', not 's'"),
        (["1-base", "3-other"], "nothing in common that can be compared"),
        (["base", "tuned", "--task", "xx"], "has no task 'xx'; did you mean 'x'?"),
        (["--suite", "tt"], "was run for 0 models; did you mean 't'?"),
        (["--suite", "t"], "was run for 1 models"),
        (["base", "tuned", "--json", "--md"], "--json and --md: only one of them"),
    ],
)
def test_wrong_input_is_one_line_that_helps(
    results_dir: Path, arguments: list[str], message: str
) -> None:
    result = call(results_dir, *arguments)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2


def test_two_runs_with_nothing_in_common_are_reported(results_dir: Path) -> None:
    text = " ".join(call(results_dir, "1-base", "3-other").stdout.split())
    assert "left out: x, y: only in 1-base" in text
    assert "left out: z: only in 3-other" in text


def test_a_store_without_the_engine_is_enough(results_dir: Path) -> None:
    code = (
        "import sys\nfrom evalharness.cli.app import main\n"
        f"sys.argv = ['evalharness', 'compare', 'base', 'tuned', '--results-dir', {str(results_dir)!r}]\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code\n"
        "assert not {'torch', 'vllm', 'lm_eval', 'transformers', 'datasets', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
