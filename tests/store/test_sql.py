import math
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalharness.errors import UserError
from evalharness.store.columns import TABLES
from evalharness.store.read import load_metrics
from evalharness.store.records import (
    SCHEMA_VERSION,
    Manifest,
    MetricRecord,
    SampleRecord,
)
from evalharness.store.sql import connect, damaged_files, query, query_intact
from evalharness.store.write import RunWriter

METRIC = MetricRecord(
    task="t", group="t", metric="acc", filter="none", value=0.5, ci_low=0.25, ci_high=0.75,
    stderr=0.1, n=10, higher_is_better=True, is_main=True,
)  # fmt: skip
SAMPLE = SampleRecord(
    task="a/b", doc_id=3, doc_hash="h", repeat=0, filter="none", prompt="p", target="t", response="r",
    thinking=None, answer="a", scores={"acc": 1.0}, finish_reason="stop", num_prompt_tokens=1,
    num_generated_tokens=0, latency_s=0.0, error=None,
)  # fmt: skip


@pytest.fixture(params=["results", "re'sul[t]s*? ü"])
def results_dir(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / request.param
    for run_id in ("r1", "r2"):
        run = Manifest(
            run_id=run_id, status="running", model="m", suite="s", suite_version="1",
            started_at="2026-01-01T00:00:00Z", config={"run": {"seed": 7}, "nan": math.nan},
        )  # fmt: skip
        writer = RunWriter.create(path, run, "")
        writer.write_samples("a/b", [SAMPLE, replace(SAMPLE, doc_id=4)])
        writer.write_metrics([METRIC, replace(METRIC, task="u", value=math.nan, n=0)])
    return path


def rows(results_dir: Path, statement: str) -> list[tuple[object, ...]]:
    return query(connect(results_dir), statement).fetchall()


def test_views_span_all_runs(results_dir: Path) -> None:
    assert rows(results_dir, "SELECT count(*) FROM runs") == [(2,)]
    assert rows(results_dir, "SELECT run_id, n FROM metrics WHERE task = 't' ORDER BY 1") == [
        ("r1", 10),
        ("r2", 10),
    ]
    assert rows(results_dir, "SELECT sum(scores['acc']), min(task) FROM samples") == [(4.0, "a/b")]


def test_metrics_of_one_run_are_read(results_dir: Path) -> None:
    assert load_metrics(results_dir / "r1")[0] == METRIC


def test_manifest_can_be_reached_into(results_dir: Path) -> None:
    assert rows(results_dir, "SELECT DISTINCT manifest->>'$.config.run.seed' FROM runs") == [("7",)]


def test_views_have_the_documented_columns(tmp_path: Path, results_dir: Path) -> None:
    for where in (results_dir, tmp_path / "none"):
        for view, columns in TABLES.items():
            described = [row[:2] for row in rows(where, f"DESCRIBE {view}")]
            assert described == [(column.name, column.type) for column in columns]


def test_empty_store_has_empty_views(tmp_path: Path) -> None:
    for view in TABLES:
        assert rows(tmp_path / "none", f"FROM {view}") == []


def test_only_the_views_are_listed(results_dir: Path) -> None:
    assert rows(results_dir, "SHOW TABLES") == [(name,) for name in sorted(TABLES)]


def test_file_of_an_older_version_reads_with_nulls(results_dir: Path) -> None:
    old = pa.table({"run_id": ["r1"], "task": ["old"], "gone": [1]})
    pq.write_table(old, results_dir / "r1" / "metrics.parquet")
    manifest = results_dir / "r1" / "manifest.json"
    now = f'"schema_version": {SCHEMA_VERSION}'
    manifest.write_text(manifest.read_text().replace(now, '"schema_version": 1'))
    found = rows(results_dir, "SELECT task, value FROM metrics WHERE run_id = 'r1'")
    assert found == [("old", None)]


def test_pivot_works(results_dir: Path) -> None:
    found = rows(results_dir, "PIVOT metrics ON task USING first(n) GROUP BY run_id ORDER BY 1")
    assert found == [("r1", 10, 0), ("r2", 10, 0)]


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{results}/x.csv'",
        "COPY (SELECT 1) TO '{results}/r1/metrics.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{results}/x.csv'",
        "ATTACH '{results}/x.db'",
        "EXPORT DATABASE '{results}/x'",
        "DELETE FROM runs",
        "DROP VIEW metrics",
        "SET lock_configuration = false",
        "INSTALL httpfs",
        "SELECT 1; DROP VIEW metrics",
        "FROM read_text('{outside}')",
        "FROM read_csv('{outside}')",
        "FROM '{outside}'",
        "",
        "selec 1",
        "FROM nowhere",
        "SELECT nothing FROM runs",
        "SELECT 'a'::INT",
        "SELECT prompt::INT FROM samples",
    ],
)
def test_bad_or_writing_sql_is_one_line_and_changes_nothing(
    tmp_path: Path, results_dir: Path, statement: str
) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    before = sorted(tmp_path.rglob("*"))
    folder = str(results_dir).replace("'", "''")
    with pytest.raises(UserError) as error:
        query(connect(results_dir), statement.format(results=folder, outside=outside)).fetchall()
    assert str(error.value).startswith("sql: ")
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_connection_itself_reads_nothing_outside(tmp_path: Path, results_dir: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(duckdb.PermissionException):
        connect(results_dir).execute(f"FROM read_text('{tmp_path / 'secret.txt'}')")


def test_python_variables_are_no_tables(results_dir: Path) -> None:
    frame = pa.table({"a": [1]})
    with pytest.raises(UserError, match="frame does not exist"):
        query(connect(results_dir), "FROM frame")
    assert frame.num_rows == 1


def test_only_the_views_that_a_statement_names_are_made(results_dir: Path) -> None:
    def names(statement: str) -> list[str]:
        found = connect(results_dir, statement).execute("SHOW TABLES").fetchall()
        return [name for (name,) in found]

    assert names("SELECT count(*) FROM Samples") == ["samples"]
    assert names('SELECT * FROM "responses" JOIN runs USING (run_id)') == ["responses", "runs", "samples"]  # fmt: skip
    assert names("SHOW TABLES") == sorted(TABLES)


def test_a_view_that_is_named_in_any_way_is_there(results_dir: Path) -> None:
    for statement in (
        "FROM query_table('samples')",
        "SUMMARIZE samples",
        "WITH a AS (FROM samples) FROM a",
        "SELECT (SELECT count(*) FROM memory.main.SAMPLES)",
    ):
        assert query_intact(results_dir, statement).fetchall()


def test_runs_are_in_order_with_their_manifests(results_dir: Path) -> None:
    found = rows(results_dir, "SELECT run_id, manifest->>'$.run_id' FROM runs")
    assert found == [("r2", "r2"), ("r1", "r1")]


def test_a_wrong_statement_has_no_file_looked_at(
    results_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalharness.store.sql.damaged_files", lambda *_: pytest.fail("looked"))
    for statement in ("FROM nowhere", "SELECT 'a'::INT", "selec 1", "DROP VIEW metrics"):
        with pytest.raises(UserError):
            query_intact(results_dir, statement)


def test_one_damaged_file_of_a_folder_is_left_out_alone(results_dir: Path) -> None:
    run = Manifest(
        run_id="r1", status="running", model="m", suite="s", suite_version="1",
        started_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    RunWriter(results_dir / "r1", run).write_samples("c", [SAMPLE])
    damaged = results_dir.resolve() / "r1" / "samples" / "c.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert damaged_files(results_dir, "FROM samples") == [damaged]
    assert damaged_files(results_dir, "FROM metrics") == []
    assert query_intact(results_dir, "SELECT count(*) FROM samples").fetchall() == [(4,)]


@pytest.mark.parametrize("view", ["runs", "metrics"])
def test_a_run_that_cant_be_read_is_reported_once_a_query(
    results_dir: Path, caplog: pytest.LogCaptureFixture, view: str
) -> None:
    (results_dir / "r1" / "manifest.json").write_text("{")
    (results_dir / "r2" / "metrics.parquet").write_bytes(b"PAR1 no more PAR1")
    for num in (1, 2):
        query_intact(results_dir, f"FROM {view}")
        assert caplog.text.count("run skipped") == num
