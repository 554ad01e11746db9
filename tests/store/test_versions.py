"""A run that schema 1 wrote still reads. `data/schema-1` is one, made before schema 2 (engine fake, 3 docs a task)."""

import shutil
from pathlib import Path

import pytest

from evalharness.store import load_metrics, load_responses, load_runs, load_samples
from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.sql import connect, query

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "schema-1", tmp_path / "schema-1")
    return tmp_path


def test_its_manifest_is_migrated(results_dir: Path) -> None:
    manifest = load_manifest(results_dir / "schema-1")
    assert (manifest.schema_version, manifest.domain, len(manifest.tasks)) == (2, "capability", 5)


def test_its_samples_know_their_main_filter(results_dir: Path) -> None:
    rows = list(iter_samples(results_dir / "schema-1", "gsm8k_sample"))
    assert {row.filter: row.is_main for row in rows} == {
        "strict-match": False,
        "flexible-extract": True,
    }
    assert {row.cluster for row in rows} == {None}


def test_its_tables_are_whole(results_dir: Path) -> None:
    connection = connect(results_dir)
    found = query(connection, "SELECT count(*), count(*) FILTER (is_main) FROM samples").fetchone()
    assert found == (33, 21)
    assert query(connection, "SELECT count(*) FROM responses").fetchone() == (21,)
    assert query(connection, "SELECT domain FROM runs").fetchone() == ("capability",)


def test_frames_hold_what_the_views_hold(results_dir: Path) -> None:
    assert list(load_runs(results_dir)["run_id"]) == ["schema-1"]
    assert set(load_metrics(results_dir, model="smollm2-135m")["n"]) == {3}
    samples = load_samples(results_dir, task="arc_easy_sample")
    assert (len(samples), "prompt" in samples, samples["scores"][0]["acc_norm"]) == (3, False, 0.0)
    assert load_responses(results_dir, task="arc_easy_sample")["prompt"][0].endswith("assistant\n")
    assert load_samples(results_dir, run="no such").empty
