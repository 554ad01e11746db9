import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalharness.errors import StoreError
from evalharness.store import seal
from evalharness.store.pairs import Scored, load_changes, load_pairs
from evalharness.store.records import (
    Manifest,
    SampleRecord,
)
from evalharness.store.write import RunWriter
from stores import _sample, make_run

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


def rewrite(run: Path, manifest: Manifest, samples: list[SampleRecord]) -> None:
    RunWriter(run, manifest).write_samples("x", samples)


def test_only_the_wanted_filters_scores_are_read(tmp_path: Path) -> None:
    for name, by_filter in (
        ("a", {"strict": (1.0, 0.0), "flexible": (0.0, 0.5)}),
        ("b", {"strict": (0.0, 0.0), "flexible": (1.0, 0.25)}),
    ):
        run = make_run(tmp_path, name, name, "s", {"x": [0.0, 0.0]})
        rows = [
            replace(_sample("x", doc, scores[doc], None), filter=filter_, is_main=False)
            for doc in (0, 1)
            for filter_, scores in by_filter.items()
        ]
        rewrite(tmp_path / name, run, rows)
    dirs = tmp_path / "a", tmp_path / "b"
    strict = load_pairs(*dirs, {"x": Scored("acc", "strict")})[0]["x"]
    assert counts(strict.a, strict.b) == {(1, 0): 1, (0, 0): 1}
    flexible = load_pairs(*dirs, {"x": Scored("acc", "flexible")})[0]["x"]
    assert counts(flexible.a, flexible.b) == {(0, 1): 1, (0.5, 0.25): 1}
    assert (flexible.mean_a, flexible.mean_b) == (0.25, 0.625)
    changes = load_changes(*dirs, "x", Scored("acc", "flexible"), 10)
    assert [(c.score_a, c.score_b) for c in changes] == [(0.0, 1.0), (0.5, 0.25)]


def test_docs_of_one_content_are_paired_one_by_one(tmp_path: Path) -> None:
    for name, scores in (("a", (1.0, 0.0, 1.0)), ("b", (0.0, 0.0, 0.5))):
        run = make_run(tmp_path, name, name, "s", {"x": list(scores)})
        same = [replace(_sample("x", i, s, None), doc_hash="same") for i, s in enumerate(scores)]
        rewrite(tmp_path / name, run, same)
    found = load_pairs(tmp_path / "a", tmp_path / "b", {"x": ACC})[0]["x"]
    assert counts(found.a, found.b) == {(1, 0): 1, (0, 0): 1, (1, 0.5): 1}


def test_a_doc_only_one_run_has_is_counted_on_its_side(tmp_path: Path) -> None:
    make_run(tmp_path, "a", "a", "s", {"x": [1.0, 1.0, 0.0, 1.0]})
    make_run(tmp_path, "b", "b", "s", {"x": [0.0, 1.0]}, first_doc=2)
    found = load_pairs(tmp_path / "a", tmp_path / "b", {"x": ACC})[0]["x"]
    assert counts(found.a, found.b) == {(0, 0): 1, (1, 1): 1}
    assert (found.num_only_a, found.num_only_b) == (2, 0)
    assert (found.mean_a, found.mean_b) == (0.75, 0.5)
    back = load_pairs(tmp_path / "b", tmp_path / "a", {"x": ACC})[0]["x"]
    assert (back.num_only_a, back.num_only_b) == (0, 2)
    assert (back.mean_a, back.mean_b) == (0.5, 0.75)


def test_a_folder_may_have_a_quote_in_its_name(tmp_path: Path) -> None:
    for name in "ab":
        make_run(tmp_path / "it's", name, name, "s", A)
    found, damaged = load_pairs(tmp_path / "it's" / "a", tmp_path / "it's" / "b", {"x": ACC})
    assert (len(found["x"].a), damaged) == (3, [])


def test_a_doc_without_a_source_is_its_own(tmp_path: Path) -> None:
    for name in "ab":
        run = make_run(tmp_path, name, name, "s", {"x": [1.0] * 5})
        sources = ["p", "p", None, None, None]
        rewrite(
            tmp_path / name, run, [_sample("x", i, 1.0, source) for i, source in enumerate(sources)]
        )
    found = load_pairs(tmp_path / "a", tmp_path / "b", {"x": ACC})[0]["x"]
    assert found.clusters is not None
    assert sorted(np.unique(found.clusters, return_counts=True)[1]) == [1, 1, 1, 2]


def test_changes_are_the_largest_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    make_run(tmp_path, "a", "a", "s", {"x": [0.5, 1.0, 0.0, 0.0, 0.3]})
    make_run(tmp_path, "b", "b", "s", {"x": [0.5005, 0.9, 1.0, 0.002, 0.0]})
    dirs = tmp_path / "a", tmp_path / "b"
    found = load_changes(*dirs, "x", ACC, 10)
    assert [(c.doc_id, c.score_a, c.score_b) for c in found] == [
        (2, 0.0, 1.0),
        (4, 0.3, 0.0),
        (1, 1.0, 0.9),
        (3, 0.0, 0.002),
    ]
    assert [c.doc_id for c in load_changes(*dirs, "x", ACC, 2)] == [2, 4]
    assert (found[0].target, found[0].prompt, found[0].answer_a, found[0].answer_b) == (
        "yes",
        "Question 2?",
        "no",
        "yes",
    )
    assert (found[0].response_a, found[0].response_b) == ("I say 0.0.", "I say 1.0.")


def test_changes_of_a_task_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    make_run(tmp_path, "a", "a", "s", {"x": [1.0]})
    with pytest.raises(StoreError, match="samples of task 'y': can't be read"):
        load_changes(tmp_path / "a", tmp_path / "a", "y", ACC, 1)


def test_a_file_without_a_checksum_that_cannot_be_read_costs_only_its_task(
    runs: tuple[Path, Path],
) -> None:
    path = runs[1] / "samples" / "y.parquet"
    content = path.read_bytes().replace(seal.KEY.encode(), b"x" * len(seal.KEY))
    size = int.from_bytes(content[-8:-4], "little")  # of the footer, which stays
    path.write_bytes(content[:4] + b"\xff" * (len(content) - size - 12) + content[-size - 8 :])
    (runs[1] / "checksums.sha256").unlink()
    assert seal.problem(path) is None
    found, damaged = load_pairs(*runs, dict.fromkeys("xyz", ACC))
    assert (list(found), damaged) == (["x", "z"], [path])
