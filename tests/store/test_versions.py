"""Runs that older schemas wrote still read: `data/schema-1` to `schema-3` are such (engine fake, 3 docs a task)."""

import shutil
from pathlib import Path

import pytest

from evalharness.errors import StoreError, UserError
from evalharness.store import load_metrics, load_responses, load_runs, load_samples
from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.sql import connect, query, query_intact
from stores import make_run

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "schema-1", tmp_path / "schema-1")
    return tmp_path


def test_its_manifest_is_migrated(results_dir: Path) -> None:
    manifest = load_manifest(results_dir / "schema-1")
    assert (manifest.schema_version, manifest.domain, len(manifest.tasks)) == (4, "capability", 5)


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
    assert (len(samples), "prompt" in samples, samples["scores"][0]["acc_norm"]) == (3, True, 0.0)
    assert load_responses(results_dir, task="arc_easy_sample")["prompt"][0].endswith("assistant\n")
    with pytest.raises(StoreError, match="no run 'no such'"):
        load_samples(results_dir, run="no such")


def test_files_of_all_versions_are_one_table(results_dir: Path) -> None:
    for name in ("schema-2", "schema-3"):
        shutil.copytree(DATA / name, results_dir / name)
        assert load_manifest(results_dir / name).schema_version == 4
    make_run(results_dir, "now", "m", "s", {"x": [1.0]})
    (row, *_) = iter_samples(results_dir / "schema-2", "arc_easy_sample")
    assert (row.choices, row.chosen, row.gold) == ((), {}, ())
    (row, *_) = iter_samples(results_dir / "schema-3", "arc_easy_sample")
    assert (len(row.choices), len(row.gold), row.gold_answer) == (4, 1, None)
    asked = """
        SELECT run_id, count(*), count(*) FILTER (is_main), count(choices), any_value(scores['acc_norm']),
            count(gold_answer)
        FROM samples WHERE task IN ('arc_easy_sample', 'x') GROUP BY run_id ORDER BY run_id
    """
    found = query(connect(results_dir), asked).fetchall()
    assert found == [
        ("now", 1, 1, 1, None, 0),
        ("schema-1", 3, 3, 0, 0.0, 0),
        ("schema-2", 3, 3, 0, 0.0, 0),
        ("schema-3", 3, 3, 3, 0.0, 0),
    ]


def test_a_run_that_is_resumed_by_a_newer_version_is_read_meanwhile(results_dir: Path) -> None:
    run_dir = make_run(results_dir, "now", "m", "s", {"x": [1.0], "y": [1.0]}).run_id
    old = DATA / "schema-2" / "samples" / "arc_easy_sample.parquet"
    asked = "SELECT count(*), count(choices) FROM samples WHERE run_id <> 'schema-1'"
    for task in ("x", "y"):  # the first file and the last
        shutil.copy(old, results_dir / run_dir / "samples" / f"{task}.parquet")
        assert query_intact(results_dir, asked).fetchone() == ((4, 1) if task == "x" else (6, 0))
    with pytest.raises(UserError, match='Referenced column "nothing"'):
        query_intact(results_dir, "SELECT nothing FROM samples")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"task": "arc_easy_samples"},
            r"no task 'arc_easy_samples'.*did you mean 'arc_easy_sample'",
        ),
        ({"model": "smollm"}, "no model 'smollm'"),
    ],
)
def test_names_that_no_run_has_are_refused(
    results_dir: Path, asked: dict[str, str], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        load_samples(results_dir, **asked)
    with pytest.raises(StoreError, match=r"no such folder.*did you mean"):
        load_samples(results_dir.parent / f"{results_dir.name}x", **asked)
