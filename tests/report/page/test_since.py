import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.comparison.checkpoints import Checkpoint, checkpoints
from evalharness.report.page.since import checkpoint_fields, read_before, since_words
from evalharness.store.read import list_runs, load_main_metrics
from stores import make_run


def found(
    folder: Path, right: int, run_id: str = "20260101-080000-m", num: int = 100
) -> Checkpoint:
    engine = {"kind": "vllm"}
    make_run(folder, run_id, "m", "sums", {"sums": [1.0] * right + [0.0] * (num - right)}, engine=engine,
             config={"suite": {"tasks": ["sums"]}}, started_at=f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T08:00:00+00:00")  # fmt: skip
    runs = list_runs(folder)
    (only,) = checkpoints(runs, load_main_metrics(folder, [r.run_id for r in runs]).of_run, [])
    return only


def report(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_what_changed_is_read_from_the_last_report(tmp_path: Path) -> None:
    first = found(tmp_path / "a", 40)
    path = report(tmp_path / "report.json", {"checkpoints": checkpoint_fields([first], [])})
    before = read_before(path)
    assert since_words(first, None, before) == "nothing changed"
    assert (
        since_words(found(tmp_path / "b", 45, "20260102-080000-m"), None, before)
        == "sums: 40.0 → 45.0 %"
    )
    assert (
        since_words(found(tmp_path / "c", 40, "20260102-080000-m"), None, before)
        == "sums: run again, same mean"
    )
    other = found(tmp_path / "d", 45, num=90)
    assert since_words(other, None, before) == "sums: a run over other docs, so not compared"
    assert since_words(replace(first, model="n"), None, before) == "new"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"state": {}}, "the last one, of an older evalharness, held no checkpoints"),
        ({"checkpoints": [{"model": "m"}]}, "the last one's numbers can't be read"),
        ({"checkpoints": [{"model": "m", "index": "high", "suites": []}]}, "the last one's numbers can't be read"),
        ([1], "the last one's numbers can't be read"),
    ],
)  # fmt: skip
def test_a_last_report_without_readable_checkpoints_says_so(
    tmp_path: Path, content: object, why: str
) -> None:
    before = read_before(report(tmp_path / "report.json", content))
    assert since_words(found(tmp_path / "a", 40), None, before) == why


def test_the_first_report_of_a_folder_says_so(tmp_path: Path) -> None:
    assert read_before(tmp_path / "report.json").why == "this is the first one here"
