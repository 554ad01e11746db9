import shutil
from pathlib import Path

import numpy as np
import pytest

from evalharness.store.pairs import Scored, load_pairs
from stores import make_run

ACC = Scored("acc", "none")
A = {"x": [1.0, 0.0, 1.0], "y": [0.0, 0.0], "z": [1.0, 1.0, 1.0, 0.0]}
B = {"x": [1.0, 1.0, 0.0], "y": [1.0, 0.0], "z": [0.0, 1.0, 1.0]}


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    for name, tasks in (("a", A), ("b", B)):
        make_run(tmp_path, name, name, "s", tasks)
    return tmp_path / "a", tmp_path / "b"


def counts(a: np.ndarray, b: np.ndarray) -> dict[tuple[float, float], int]:
    found: dict[tuple[float, float], int] = {}
    for pair in zip(a.tolist(), b.tolist(), strict=True):
        found[pair] = found.get(pair, 0) + 1
    return found


def test_tasks_that_are_read_together_stay_apart(runs: tuple[Path, Path]) -> None:
    found, damaged = load_pairs(*runs, dict.fromkeys("xyz", ACC))
    assert (list(found), damaged) == (["x", "y", "z"], [])
    assert counts(found["x"].a, found["x"].b) == {(1, 1): 1, (0, 1): 1, (1, 0): 1}
    assert counts(found["y"].a, found["y"].b) == {(0, 1): 1, (0, 0): 1}
    assert (found["z"].num_only_a, found["z"].mean_a, len(found["z"].a)) == (1, 0.75, 3)


def test_together_gives_what_each_by_itself_gives(runs: tuple[Path, Path]) -> None:
    together, _ = load_pairs(*runs, dict.fromkeys("xyz", ACC))
    for task, pairs in together.items():
        alone = load_pairs(*runs, {task: ACC})[0][task]
        assert np.array_equal(pairs.a, alone.a)
        assert np.array_equal(pairs.b, alone.b)


def test_a_damaged_file_costs_only_its_task(runs: tuple[Path, Path]) -> None:
    path = runs[1] / "samples" / "y.parquet"
    path.write_bytes(path.read_bytes()[:-60])
    found, damaged = load_pairs(*runs, dict.fromkeys("xyz", ACC))
    assert (list(found), damaged) == (["x", "z"], [path])


def test_a_task_without_samples_is_left_out_and_one_without_the_metric_is_empty(
    runs: tuple[Path, Path],
) -> None:
    (runs[0] / "samples" / "x.parquet").unlink()
    found, damaged = load_pairs(*runs, {"x": ACC, "y": ACC, "z": Scored("f1", "none")})
    assert (list(found), damaged) == (["y", "z"], [])
    assert (len(found["z"].a), found["z"].num_only_a) == (0, 0)
    assert np.isnan(found["z"].mean_a)


def test_clusters_are_per_task(tmp_path: Path) -> None:
    sources = {"x": ["p", "p", "q"]}
    for name in "ab":
        make_run(tmp_path, name, name, "s", A, clusters=sources)
    found, _ = load_pairs(tmp_path / "a", tmp_path / "b", dict.fromkeys("xy", ACC))
    clusters = found["x"].clusters
    assert clusters is not None
    assert sorted(np.unique(clusters, return_counts=True)[1]) == [1, 2]
    assert found["y"].clusters is None


def test_files_of_the_first_schema_have_no_clusters(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "data" / "schema-1"
    shutil.copytree(old, tmp_path / "schema-1")
    run = tmp_path / "schema-1"
    tasks = {"arc_easy_sample": Scored("acc_norm", "none"), "truthfulqa_mc2_sample": ACC}
    found, damaged = load_pairs(run, run, tasks)
    assert (set(found), damaged) == (set(tasks), [])
    for pairs in found.values():
        assert len(pairs.a) > 0
        assert np.array_equal(pairs.a, pairs.b)
