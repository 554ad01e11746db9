import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from evalharness.errors import StoreError
from evalharness.store.read import (
    find_run,
    half_copied,
    iter_samples,
    list_runs,
    load_main_metrics,
    load_manifest,
    load_metrics,
    load_samples,
    run_versions,
)
from evalharness.store.records import (
    SCHEMA_VERSION,
    Manifest,
    MetricRecord,
    SampleRecord,
)
from evalharness.store.write import RunWriter
from stores import make_run


def manifest(run_id: str, model: str = "m", started_at: str = "2026-01-01T00:00:00Z") -> Manifest:
    return Manifest(
        run_id=run_id, status="complete", model=model, suite="s", suite_version="1", started_at=started_at
    )  # fmt: skip


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    for run in (
        manifest("2026-a", "small", "2026-01-01T00:00:00Z"),
        manifest("2026-b", "small", "2026-01-03T00:00:00Z"),
        manifest("2027-c", "large", "2026-01-02T00:00:00Z"),
    ):
        writer = RunWriter.create(tmp_path, replace(run, status="running"), "")
        writer.write_metrics([])
        writer.update(run)
    return tmp_path


def test_runs_are_listed_newest_first(results_dir: Path) -> None:
    assert [run.run_id for run in list_runs(results_dir)] == ["2026-b", "2027-c", "2026-a"]


def test_missing_results_dir_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nothing") == []


def test_other_folders_and_files_are_no_runs(results_dir: Path) -> None:
    (results_dir / "README.md").write_text("")
    (results_dir / "notes").mkdir()
    assert len(list_runs(results_dir)) == 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema_version": 9}', '{"schema_version": 1, "run_id": 5}', "\xff"],
)
def test_damaged_manifest_is_a_warning(
    results_dir: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (results_dir / "2026-a" / "manifest.json").write_text(text, encoding="latin-1")
    with caplog.at_level(logging.WARNING):
        assert len(list_runs(results_dir)) == 2
    assert "2026-a" in caplog.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"num_docs": ', '"num_docs": "x", "was": '),
        ('"num_errors": ', '"num_errors": null, "was": '),
        ('"num_samples": ', '"num_samples": 1e999, "was": '),
        ('"load_s": ', '"load_s": 1e999, "was": '),
        ('"num_gpus": ', '"num_gpus": "two", "was": '),
        ('"task": ', '"task": null, "was": '),
    ],
)
def test_a_number_that_is_none_damages_its_own_manifest_only(
    tmp_path: Path, old: str, new: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("good", "odd"):
        make_run(tmp_path, name, "m", "s", {"t": [1.0, 0.0]})
    path = tmp_path / "odd" / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with caplog.at_level(logging.WARNING):
        assert [run.run_id for run in list_runs(tmp_path)] == ["good"]
    assert "odd/manifest.json" in caplog.text


def test_metrics_of_other_types_are_damaged(tmp_path: Path) -> None:
    make_run(tmp_path, "odd", "m", "s", {"t": [1.0, 0.0]})
    path = tmp_path / "odd" / "metrics.parquet"
    (tmp_path / "odd" / "checksums.sha256").unlink(missing_ok=True)
    with duckdb.connect() as connection:
        rows = f"SELECT * REPLACE ('much' AS value) FROM '{path}'"
        connection.execute(f"COPY ({rows}) TO '{path}.new' (FORMAT parquet)")
    Path(f"{path}.new").rename(path)
    with pytest.raises(StoreError, match="is damaged"):
        load_metrics(path.parent)
    assert load_main_metrics(tmp_path, ["odd"]).damaged == ["odd"]


def test_renamed_folder_is_a_warning(results_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    (results_dir / "2026-a").rename(results_dir / "backup")
    assert len(list_runs(results_dir)) == 2
    assert "renamed or copied" in caplog.text


def test_a_manifest_of_before_metering_is_read(results_dir: Path) -> None:
    path = results_dir / "2026-a" / "manifest.json"
    content = json.loads(path.read_text())
    for name in (
        "serve_s",
        "num_gpus",
        "energy_j",
        "load_energy_j",
        "peak_gpu_memory_gib",
        "cost_usd",
    ):
        del content[name]
    path.write_text(json.dumps(content))
    found = load_manifest(path.parent)
    assert (found.num_gpus, found.energy_j, found.cost_usd) == (0, None, None)


def test_fields_of_a_newer_version_are_dropped(results_dir: Path) -> None:
    path = results_dir / "2026-a" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new_field": 1}))
    assert load_manifest(results_dir / "2026-a").model == "small"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("2026-a", "2026-a"),
        ("2027", "2027-c"),
        ("latest", "2026-b"),
        ("small", "2026-b"),
        ("large", "2027-c"),
    ],
)
def test_run_is_found_by_id_prefix_latest_or_model(
    results_dir: Path, name: str, found: str
) -> None:
    assert find_run(results_dir, name).run_id == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2026", "2 runs begin with '2026': 2026-b, 2026-a"),
        ("2026-d", "did you mean '2026-"),
        ("lrge", "did you mean 'large'"),
        ("../2026-a", "no run or model"),
        ("", "no run or model"),
    ],
)
def test_run_not_found_says_what_is_near(results_dir: Path, name: str, message: str) -> None:
    with pytest.raises(StoreError) as error:
        find_run(results_dir, name)
    assert message in str(error.value)


def test_empty_store_says_what_makes_a_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="evalharness run"):
        find_run(tmp_path, "latest")


def test_metrics_of_an_unfinished_run_are_empty(tmp_path: Path) -> None:
    RunWriter.create(tmp_path, replace(manifest("r1"), status="running"), "")
    assert load_metrics(tmp_path / "r1") == []


def test_a_damaged_manifest_and_one_of_a_newer_version_say_the_way_out(results_dir: Path) -> None:
    for text, way in (
        ("{", "restore it from a copy"),
        ('{"schema_version": 9}', "update evalharness"),
    ):
        (results_dir / "2026-a" / "manifest.json").write_text(text)
        with pytest.raises(StoreError, match=way):
            load_manifest(results_dir / "2026-a")


def test_damaged_metrics_are_one_line(results_dir: Path) -> None:
    (results_dir / "2026-a" / "metrics.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError, match="is damaged") as error:
        load_metrics(results_dir / "2026-a")
    assert "\n" not in str(error.value)
    assert "restore it from a copy, or repeat the run" in str(error.value)
    assert "`evalharness results verify 2026-a`" in str(error.value)


def test_unknown_task_has_no_samples(results_dir: Path) -> None:
    with pytest.raises(StoreError, match="no samples of task 'nope'"):
        list(iter_samples(results_dir / "2026-a", "nope"))


def test_samples_as_a_table_with_chosen_columns(results_dir: Path) -> None:
    sample = SampleRecord(
        task="a/b", doc_id=3, doc_hash="h", repeat=0, filter="none", prompt="p", target="t", response="r",
        thinking=None, answer="a", scores={}, finish_reason="error", num_prompt_tokens=1,
        num_generated_tokens=0, latency_s=0.0, error="engine: died",
    )  # fmt: skip
    run = manifest("2026-a", "small")
    RunWriter(results_dir / "2026-a", run).write_samples("a/b", [sample])
    table = load_samples(results_dir / "2026-a", "a/b", columns=["doc_id", "model"])
    assert table.to_pylist() == [{"model": "small", "doc_id": 3}]
    assert list(iter_samples(results_dir / "2026-a", "a/b")) == [sample]


def test_metrics_round_trip_in_order(results_dir: Path) -> None:
    metrics = [
        MetricRecord(
            task=task,
            group="g",
            metric="acc",
            filter="none",
            value=0.5,
            ci_low=0.1,
            ci_high=0.9,
            stderr=0.2,
            n=4,
            higher_is_better=False,
            is_main=True,
        )
        for task in ("b", "a", "c")
    ]
    RunWriter(results_dir / "2026-a", manifest("2026-a")).write_metrics(metrics)
    assert load_metrics(results_dir / "2026-a") == metrics


def test_main_metrics_of_many_runs_are_read_together(tmp_path: Path) -> None:
    for number in range(5):
        make_run(tmp_path, f"r{number}", "m", "s", {"t": [1.0, 0.0], "u": [1.0, 1.0]})
    names = [f"r{number}" for number in range(5)]
    found = load_main_metrics(tmp_path, names)
    assert found.of_run == {name: load_metrics(tmp_path / name) for name in names}
    assert found.damaged == []


def test_damaged_metrics_cost_only_their_own_run(tmp_path: Path) -> None:
    for number in range(7):
        make_run(tmp_path, f"r{number}", "m", "s", {"t": [1.0, 0.0]})
    (tmp_path / "r1" / "metrics.parquet").write_bytes(b"PAR1 no more PAR1")
    (tmp_path / "r5" / "metrics.parquet").write_bytes(b"")
    (tmp_path / "r6" / "metrics.parquet").unlink()
    found = load_main_metrics(tmp_path, [f"r{number}" for number in range(7)])
    assert sorted(found.of_run) == ["r0", "r2", "r3", "r4"]
    assert found.damaged == ["r1", "r5"]


def test_a_prefix_means_the_run_and_not_what_scored_it_again(results_dir: Path) -> None:
    folder = results_dir / "2026-a-rescored"
    shutil.copytree(results_dir / "2026-a", folder)
    content = json.loads((folder / "manifest.json").read_text())
    content |= {"run_id": folder.name, "rescored_from": "2026-a"}
    (folder / "manifest.json").write_text(json.dumps(content))
    (results_dir / "2026-b").rename(
        results_dir / "other"
    )  # no run any more: its manifest says 2026-b
    assert find_run(results_dir, "2026").run_id == "2026-a"
    assert find_run(results_dir, "2026-a-").run_id == folder.name


def test_versions_are_of_the_runs_that_are_listed(
    results_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(Path(__file__).parents[1] / "data" / "schema-1", results_dir / "schema-1")
    shutil.copytree(results_dir / "2026-a", results_dir / "copy")
    (results_dir / "2026-b" / "manifest.json").write_text("{")
    path = results_dir / "2027-c" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert run_versions(results_dir) == {
        "2026-a": SCHEMA_VERSION,
        "2027-c": SCHEMA_VERSION,
        "schema-1": 1,
    }
    assert {run.run_id for run in list_runs(results_dir)} == set(run_versions(results_dir))
    assert "renamed or copied" in caplog.text


def test_half_copied_folders_are_those_with_a_runs_files(results_dir: Path) -> None:
    (results_dir / "notes").mkdir()
    (results_dir / ".r9.17.tmp" / "samples").mkdir(parents=True)
    (results_dir / "2026-a" / "manifest.json").unlink()
    assert half_copied(results_dir) == ["2026-a"]
    assert half_copied(results_dir / "none") == []
