import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from evalharness.cli import maintain
from evalharness.cli.results import sql
from evalharness.errors import UserError
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter
from stores import make_run

app = typer.Typer()
app.add_typer(maintain.app, name="results")
app.command()(sql)

TASK = TaskSummary(
    task="gsm8k", group="gsm8k", version="3", num_fewshot=5, repeats=1, kind="generate_until", num_docs=4,
    num_docs_available=1319, num_samples=4, num_errors=0, num_truncated=0, num_empty=0,
    num_context_overflow=0, num_prompt_tokens=6000, num_cached_tokens=0, num_generated_tokens=500,
    wall_s=20.0, dataset="d", dataset_fingerprint="f", task_hash="h", status="complete",
)  # fmt: skip
METRIC = MetricRecord(
    task="gsm8k", group="gsm8k", metric="exact_match", filter="strict-match", value=0.75, ci_low=0.3,
    ci_high=0.95, stderr=0.25, n=4, higher_is_better=True, is_main=True,
)  # fmt: skip
SAMPLE = SampleRecord(
    task="gsm8k", doc_id=0, doc_hash="h", repeat=0, filter="strict-match", prompt="How many?", target="72",
    response="So 72 é.", thinking=None, answer="72", scores={"exact_match": 1.0}, finish_reason="stop",
    num_prompt_tokens=1, num_generated_tokens=5, latency_s=0.0, error=None,
)  # fmt: skip


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    for day in (1, 2):
        run = Manifest(
            run_id=f"2026-01-0{day}_smollm2_quick", status="running", model="smollm2", suite="quick",
            suite_version="1", started_at=f"2026-01-0{day}T00:00:00Z", tasks=(TASK,),
        )  # fmt: skip
        writer = RunWriter.create(tmp_path, run, "a: 1\n")
        writer.write_samples("gsm8k", [replace(SAMPLE, doc_id=i) for i in range(4)])
        writer.write_metrics([METRIC])
        writer.update(replace(run, status="complete", wall_s=60.0))
    return tmp_path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def output(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_list_shows_newest_first(results_dir: Path) -> None:
    text = output("results", "--results-dir", results_dir)
    assert text.index("2026-01-02_smollm2_quick") < text.index("2026-01-01_smollm2_quick")


def test_empty_store_says_what_to_do(tmp_path: Path) -> None:
    text = output("results", "--results-dir", tmp_path / "none")
    assert len(text.splitlines()) == 1
    assert "evalharness run model=smollm2-135m suite=quick" in text
    assert json.loads(output("results", "--json", "--results-dir", tmp_path)) == []


def test_list_as_json_and_csv(results_dir: Path) -> None:
    rows = json.loads(output("results", "--json", "--results-dir", results_dir))
    assert rows[0]["run_id"] == "2026-01-02_smollm2_quick"
    assert (rows[0]["num_tasks"], rows[0]["wall_s"], rows[0]["is_limited"]) == (1, 60.0, True)
    assert rows[0]["subset"].startswith("first ")
    text = output("results", "--csv", "--results-dir", results_dir)
    assert [row["run_id"] for row in csv.DictReader(io.StringIO(text))] == [
        row["run_id"] for row in rows
    ]


@pytest.mark.parametrize("name", ["latest", "smollm2", "2026-01-02", "2026-01-02_smollm2_quick"])
def test_one_run(results_dir: Path, name: str) -> None:
    text = output("results", name, "--results-dir", results_dir)
    assert "2026-01-02_smollm2_quick" in text
    assert "0.750 [0.300, 0.950]" in text
    assert "4/1319" in text


def test_one_run_as_json(results_dir: Path) -> None:
    content = json.loads(output("results", "latest", "--json", "--results-dir", results_dir))
    assert content["metrics"][0]["ci_high"] == 0.95
    assert content["tasks"][0]["num_docs_available"] == 1319


def test_one_run_as_csv(results_dir: Path) -> None:
    text = output("results", "latest", "--csv", "--results-dir", results_dir)
    assert next(csv.DictReader(io.StringIO(text)))["n"] == "4"


def test_samples_of_a_task(results_dir: Path) -> None:
    where = ("--results-dir", results_dir)
    text = output("results", "latest", "--task", "gsm8k", "--samples", "2", *where)
    assert text.count("How many?") == 2
    rows = json.loads(output("results", "latest", "--samples", "3", "--json", *where))
    assert [row["doc_id"] for row in rows] == [0, 1, 2]
    assert rows[0]["response"] == "So 72 é."


def test_samples_are_shown_as_the_table_scores_them(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "data" / "schema-1", tmp_path / "schema-1")
    where = ("--task", "gsm8k_sample", "--samples", "2", "--results-dir", tmp_path)
    text = output("results", "schema-1", *where)
    assert re.findall(r"doc 0  repeat \d", text) == ["doc 0  repeat 0", "doc 0  repeat 1"]
    assert set(re.findall(r"filter +(\S+)", text)) == {"flexible-extract"}
    rows = json.loads(output("results", "schema-1", "--json", *where))
    assert [(row["repeat"], row["is_main"]) for row in rows] == [
        (0, False), (0, True), (1, False), (1, True)
    ]  # fmt: skip


def test_samples_of_an_old_conversation_show_its_turns(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "data" / "schema-1"
    run_id = json.loads((old / "manifest.json").read_text("utf-8"))["run_id"]
    shutil.copytree(old, tmp_path / run_id)
    where = ("--task", "weekday_arithmetic", "--results-dir", tmp_path)
    text = output("results", run_id, "--samples", "1", *where)
    assert text.index("Response") < text.index("answer, draw 0") < text.index("target")
    (tmp_path / run_id / "turns" / "weekday_arithmetic.parquet").write_bytes(b"PAR1 no PAR1")
    failed = call("results", run_id, "--samples", "1", *where)
    assert "turns/weekday_arithmetic.parquet can't be read" in str(failed.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results", "smolm2"], "did you mean 'smollm2'"),
        (["results", "latest", "--task", "gsm8"], "did you mean 'gsm8k'"),
        (["results", "--samples", "3"], "need a run"),
        (["results", "--json", "--csv"], "only one of them"),
        (["sql"], "a query is missing"),
        (["sql", "FROM nowhere"], "nowhere does not exist"),
        (["sql", "DROP VIEW metrics"], "read-only"),
    ],
)
def test_wrong_input_is_a_user_error(results_dir: Path, arguments: list[str], message: str) -> None:
    result = call(*arguments, "--results-dir", results_dir)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert result.exception.exit_code == 2


def test_environment_sets_the_results_dir(
    results_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALHARNESS_RESULTS_DIR", str(results_dir))
    assert "smollm2" in output("results")
    assert json.loads(output("sql", "SELECT count(*) AS num FROM runs", "--json")) == [{"num": 2}]


def test_the_folder_of_a_run_is_whole_on_a_narrow_terminal(
    results_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = output("results", "latest", "--results-dir", results_dir)
    (folder,) = [line for line in shown.splitlines() if line.startswith("folder")]
    assert folder.split()[1].startswith(f"{results_dir}/")
    assert Path(folder.split()[1]).is_dir()


def test_sql_as_table_json_and_csv(results_dir: Path) -> None:
    query = "SELECT task, value, 'NaN'::DOUBLE AS nothing FROM metrics LIMIT 1"
    where = ("--results-dir", results_dir)
    assert "0.75" in output("sql", query, *where)
    expected = [{"task": "gsm8k", "value": 0.75, "nothing": None}]
    assert json.loads(output("sql", query, "--json", *where)) == expected
    assert output("sql", query, "--csv", *where) == "task,value,nothing\ngsm8k,0.75,\n"


def test_sql_says_that_answers_are_made_up(results_dir: Path) -> None:
    query = ("sql", "SELECT value FROM metrics", "--results-dir", results_dir)
    assert "fake" not in call(*query).stderr
    make_run(results_dir, "20260105-000000-f", "m", "s", {"t": [1.0]}, engine={"kind": "fake"})
    assert "1 of the runs are of the fake engine" in call(*query).stderr
    assert "fake" not in call("sql", "FROM runs WHERE engine != 'fake'", *query[2:]).stderr


def test_sql_of_a_map_is_json(results_dir: Path) -> None:
    text = output(
        "sql", "SELECT scores FROM samples LIMIT 1", "--json", "--results-dir", results_dir
    )
    assert json.loads(text) == [{"scores": {"exact_match": 1.0}}]


def test_long_sql_table_is_cut_and_says_so(results_dir: Path) -> None:
    result = call("sql", "SELECT * FROM range(1000) t(i)", "--results-dir", results_dir)
    assert "first 200 rows" in result.stderr
    assert "200" not in result.stdout.split()


def test_sql_columns_are_documented() -> None:
    rows = json.loads(output("sql", "--columns", "--json"))
    assert {"view": "metrics", "column": "n", "type": "BIGINT"}.items() <= next(
        row for row in rows if (row["view"], row["column"]) == ("metrics", "n")
    ).items()


def test_the_example_in_the_help_works(results_dir: Path) -> None:
    assert sql.__doc__ is not None
    query = sql.__doc__.split('"')[1]
    assert "gsm8k" in output("sql", query, "--results-dir", results_dir)


def test_completion_offers_runs(results_dir: Path) -> None:
    environment = {
        "_APP_COMPLETE": "complete_bash",
        "COMP_WORDS": "app results 2026-01-02",
        "COMP_CWORD": "2",
        "EVALHARNESS_RESULTS_DIR": str(results_dir),
    }
    result = CliRunner().invoke(app, [], prog_name="app", env=environment)
    assert result.stdout.split() == ["2026-01-02_smollm2_quick"]


def test_sql_leaves_damaged_files_out_and_says_which(
    results_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = results_dir / "2026-01-01_smollm2_quick" / "metrics.parquet"
    damaged.write_bytes(b"PAR1 no more PAR1")
    query = "SELECT count(*) AS num FROM metrics"
    assert json.loads(output("sql", query, "--json", "--results-dir", results_dir)) == [{"num": 1}]
    assert "damaged, left out: 2026-01-01_smollm2_quick/metrics.parquet" in caplog.text


def test_a_list_says_of_which_run_the_scores_are_lost(
    results_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sorted(path.parent for path in results_dir.glob("*/metrics.parquet"))
    (first / "metrics.parquet").write_bytes(b"PAR1 no more PAR1")
    (second / "metrics.parquet").unlink()
    rows = json.loads(output("results", "--json", "--results-dir", results_dir))
    assert [row["num_in_mean"] for row in rows] == [None, None]
    assert f"{first.name}/metrics.parquet' is damaged" in caplog.text
    assert f"{second.name}/metrics.parquet' is missing" in caplog.text
