"""The verbs `import` and `export`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from evalharness.cli.import_export import (
    export,
    import_,
)
from evalharness.errors import UserError
from evalharness.store.records import TaskSummary

app = typer.Typer()
app.command("import")(import_)
app.command()(export)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALHARNESS_RESULTS_DIR", str(tmp_path / "store"))
    return tmp_path / "store"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def output(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_import_says_what_came_in(lm_eval_output: Path, results_file: Path, store: Path) -> None:
    (samples,) = results_file.parent.glob("samples_gsm8k_*")
    samples.write_text(samples.read_text() + "torn")
    first, second = output("import", lm_eval_output, "--model", "tiny-llama").splitlines()
    assert first.endswith("-tiny-llama-imported: 3 tasks, 24 docs, complete")
    assert "gsm8k_sample: 1 lines" in second


def test_import_as_json_has_runs_and_metrics(lm_eval_output: Path, store: Path) -> None:
    (run,) = json.loads(output("import", lm_eval_output, "--suite", "quick", "--json"))
    assert (run["suite"], run["suite_version"], run["status"]) == ("quick", "unknown", "complete")
    assert len(run["metrics"]) == 6


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_bad_file_among_good_is_named_and_the_exit_code_says_so(
    store: Path, tmp_path: Path, options: list[str]
) -> None:
    scores = {"acc": 0.5, "acc_stderr": 0.5}
    content = {"results": {"a": scores}, "versions": {"a": 0}, "config": {}}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "llama_3-shot.json").write_text(json.dumps(content))
    (tmp_path / "in" / "results_torn.json").write_text("{")
    result = call("import", tmp_path / "in", *options)
    assert result.exit_code == 3
    assert "results_torn.json' is damaged" in result.stderr
    assert "n is derived from value and standard error" in result.stdout


def test_the_number_of_docs_is_given_by_task(store: Path, tmp_path: Path) -> None:
    scores = {"word_perplexity": 12.5}
    path = tmp_path / "old.json"
    path.write_text(
        json.dumps({"results": {"a=b": scores, "c": scores}, "versions": {}, "config": {}})
    )
    reported = output("import", path, "--num-docs", "a=b=62", "--num-docs", "c=5")
    assert "2 tasks, 67 docs, complete" in reported
    for odd in ("62", "c=", "c=0", "c=-1", "c=many", "=5"):
        error = call("import", path, "--num-docs", odd).exception
        assert str(error) == f"--num-docs {odd!r}: TASK=N, such as wikitext=62"


def test_import_twice_is_one_line(lm_eval_output: Path, store: Path) -> None:
    output("import", lm_eval_output)
    error = call("import", lm_eval_output).exception
    assert isinstance(error, UserError)
    assert "is in the store already" in str(error)


@pytest.mark.parametrize(("format_", "begins"), [("md", "| task |"), ("csv", "model,task"), ("hf", "- dataset:"), ("lm-eval", "{"), ("eee", "{")])  # fmt: skip
def test_one_text_goes_to_stdout(store: Path, store_run: Any, format_: str, begins: str) -> None:
    store_run()
    assert output("export", "latest", "--format", format_).startswith(begins)


def test_names_in_a_folder_are_the_formats_own(store: Path, store_run: Any, tmp_path: Path) -> None:
    store_run()
    out = tmp_path / "out"
    for format_ in ("md", "csv", "hf"):
        output("export", "latest", "--format", format_, "--out", out)
    for format_ in ("lm-eval", "eee"):
        printed = output("export", "latest", "--format", format_, "--out", out, "--samples")
        assert [Path(line).is_file() for line in printed.splitlines()] == [True, True]
    name = "20260102-030405-mine-leaderboard"
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found >= {
        f"{name}.md",
        f"{name}.csv",
        f".eval_results/{name}.yaml",
        "mine/results_2026-01-02T03-04-05.json",
        "mine/samples_gsm8k_2026-01-02T03-04-05.jsonl",
    }
    assert len(found) == 7


def test_a_file_that_is_there_is_not_written_over(
    store: Path, store_run: Any, tmp_path: Path
) -> None:
    store_run()
    readme = tmp_path / "README.md"
    readme.write_text("# My model\n")
    error = call("export", "latest", "--format", "md", "--out", readme).exception
    assert isinstance(error, UserError)
    assert readme.read_text() == "# My model\n"
    for _ in range(2):
        output("export", "latest", "--format", "md", "--out", tmp_path / "table.md")


def test_what_the_hub_gets_no_place_for_is_reported(
    store: Path, store_run: Any, task: TaskSummary
) -> None:
    store_run(tasks=(task, replace(task, task="own", group="own", dataset="json")))
    result = call("export", "latest", "--format", "hf")
    assert "left out own: no score" in result.stderr
    assert len(yaml.safe_load(result.stdout)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "md", "--samples"], "md has no samples"),
        (["--format", "eee", "--samples"], "with --out FOLDER"),
        (["--format", "lm-eval", "--samples", "--out", "x.json"], "with --out FOLDER"),
        (["--format", "eee", "--model-id", "mine"], "organization/name is needed"),
        (["--format", "hf", "--benchmark", "gsm8k"], "TASK=DATASET:TASK_ID is needed"),
    ],
)
def test_wrong_input_is_a_user_error(
    store: Path, store_run: Any, arguments: list[str], message: str
) -> None:
    store_run()
    error = call("export", "latest", *arguments).exception
    assert isinstance(error, UserError)
    assert message in str(error)


def test_a_run_that_has_not_ended_is_not_exported(store: Path, store_run: Any) -> None:
    store_run(status="running")
    error = call("export", "latest", "--format", "md").exception
    assert isinstance(error, UserError)
    assert "hasn't ended" in str(error)


def test_text_of_others_is_shown_without_control_characters(
    results_file: Path, store: Path
) -> None:
    content = results_file.read_text().replace("gsm8k_sample", "gsm8k\\u001b[31m")
    results_file.write_text(content)
    assert "\x1b" not in call("import", results_file).output
