import dataclasses
import json
import math
import resource
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalharness.errors import StoreError, WriteError
from evalharness.store import atomic, layout, write
from evalharness.store.columns import METRICS, RUNS, SAMPLES, run_row
from evalharness.store.json_codec import clean_text
from evalharness.store.read import iter_samples, load_manifest, load_metrics
from evalharness.store.records import (
    Manifest,
    MetricRecord,
    SampleRecord,
    TaskSummary,
)
from evalharness.store.write import RunWriter


def make_manifest(**changes: object) -> Manifest:
    values: dict[str, object] = {
        "run_id": "r1",
        "status": "running",
        "model": "m",
        "suite": "quick",
        "suite_version": "1",
        "started_at": "2026-01-02T03:04:05Z",
    }
    return Manifest(**(values | changes))


def make_sample(**changes: object) -> SampleRecord:
    values: dict[str, object] = {
        "task": "t",
        "doc_id": 0,
        "doc_hash": "h",
        "repeat": 0,
        "filter": "none",
        "prompt": "p",
        "target": "4",
        "response": "r",
        "thinking": None,
        "answer": "4",
        "scores": {"acc": 1.0},
        "finish_reason": "stop",
        "num_prompt_tokens": 1,
        "num_generated_tokens": 1,
        "latency_s": 0.5,
        "error": None,
    }
    return SampleRecord(**(values | changes))


def make_metric(**changes: object) -> MetricRecord:
    values: dict[str, object] = {
        "task": "t",
        "group": "t",
        "metric": "acc",
        "filter": "none",
        "value": 0.5,
        "ci_low": 0.25,
        "ci_high": 0.75,
        "stderr": 0.1,
        "n": 10,
        "higher_is_better": True,
        "is_main": True,
    }
    return MetricRecord(**(values | changes))


def test_a_new_run_has_config_manifest_and_folders(tmp_path: Path) -> None:
    RunWriter.create(tmp_path / "deep" / "results", make_manifest(), "a: 1\n")
    run_dir = tmp_path / "deep" / "results" / "r1"
    assert sorted(path.name for path in run_dir.iterdir()) == [
        "config.yaml",
        "journal",
        "manifest.json",
        "samples",
    ]
    assert load_manifest(run_dir) == make_manifest()


def test_an_existing_run_is_never_overwritten(tmp_path: Path) -> None:
    RunWriter.create(tmp_path, make_manifest(), "a: 1\n")
    with pytest.raises(StoreError, match=r"another run\.id starts a new one"):
        RunWriter.create(tmp_path, make_manifest(), "a: 2\n")
    assert (tmp_path / "r1" / "config.yaml").read_text() == "a: 1\n"


def test_a_run_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(StoreError, match="can't write: File too large"):
            RunWriter.create(tmp_path, make_manifest(), "a: 1\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    RunWriter.create(tmp_path, make_manifest(), "a: 1\n")


@pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", "../a", ".a", "a\n", "/a", "x" * 300])
def test_run_id_that_is_no_folder_name_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(StoreError, match=r"run\.id"):
        RunWriter.create(tmp_path, make_manifest(run_id=run_id), "")


def test_results_dir_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match="is a file") as error:
        RunWriter.create(tmp_path / "results", make_manifest(), "")
    assert "\n" not in str(error.value)


def test_unwritable_results_dir_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't write"):
        RunWriter.create(tmp_path / "file" / "results", make_manifest(), "")


def test_a_run_without_metrics_cannot_be_called_complete(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, make_manifest(), "")
    with pytest.raises(AssertionError):
        writer.update(make_manifest(status="complete"))
    writer.write_metrics([])
    writer.update(make_manifest(status="complete"))
    assert load_manifest(tmp_path / "r1").status == "complete"


def test_samples_that_fail_half_way_leave_the_old_file(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, make_manifest(), "")
    writer.write_samples("t", [make_sample()])

    def broken() -> Iterator[SampleRecord]:
        yield make_sample(doc_id=7)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        writer.write_samples("t", broken())
    assert [sample.doc_id for sample in iter_samples(tmp_path / "r1", "t")] == [0]
    assert [path.name for path in (tmp_path / "r1" / "samples").iterdir()] == ["t.parquet"]


def test_results_go_to_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        layout.check_results_dir(tmp_path / "a")


def test_an_old_manifest_survives_a_failed_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RunWriter.create(tmp_path, make_manifest(), "")

    def full_disk(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "sync", full_disk)
    with pytest.raises(WriteError, match="No space left"):
        writer.update(make_manifest(status="failed"))
    assert load_manifest(tmp_path / "r1").status == "running"


def test_samples_are_streamed_in_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_ROW_GROUP_ROWS", 10)
    writer = RunWriter.create(tmp_path, make_manifest(), "")
    writer.write_samples("t", (make_sample(doc_id=i) for i in range(25)))
    path = layout.samples_path(tmp_path / "r1", "t")
    assert pq.ParquetFile(path).metadata.num_row_groups == 3
    assert [sample.doc_id for sample in iter_samples(tmp_path / "r1", "t")] == list(range(25))


def test_long_prompts_end_a_row_group_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_ROW_GROUP_CHARS", 1000)
    writer = RunWriter.create(tmp_path, make_manifest(), "")
    writer.write_samples("t", (make_sample(prompt="x" * 600) for _ in range(4)))
    path = layout.samples_path(tmp_path / "r1", "t")
    assert pq.ParquetFile(path).metadata.num_row_groups == 2


def test_nan_metric_comes_back_as_nan(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, make_manifest(), "")
    writer.write_metrics([make_metric(value=math.nan, n=0), make_metric(task="a/ü")])
    empty, other = load_metrics(tmp_path / "r1")
    assert math.isnan(empty.value)
    assert other == make_metric(task="a/ü")


def test_manifest_json_is_strict_json(tmp_path: Path) -> None:
    RunWriter.create(tmp_path, make_manifest(config={"x": math.nan, "é": "\ud800"}), "")
    text = (tmp_path / "r1" / "manifest.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert content["config"] == {"x": None, "é": "\ufffd"}


def test_columns_cover_the_records() -> None:
    def names(record: type) -> list[str]:
        return [item.name for item in dataclasses.fields(record)]

    assert [column.name for column in METRICS[4:]] == names(MetricRecord)
    assert [column.name for column in SAMPLES[4:]] == names(SampleRecord)
    assert [column.name for column in RUNS] == [*run_row(make_manifest()), "manifest"]


def test_split_surrogate_pair_is_joined_and_lone_one_replaced() -> None:
    assert clean_text("a\ud83d\ude00b") == "a\U0001f600b"
    assert clean_text("a\ud83d") == "a\ufffd"


@pytest.mark.parametrize("task", ["a/b", "a_b", "ü", "..", "", "x" * 400, "a\x00", "a--b", "A b"])
def test_task_file_name_is_plain_and_unshared(task: str) -> None:
    stem = layout.file_stem(task)
    others = [other for other in ("a/b", "a_b", "a--b", "a:b", "b/a") if other != task]
    assert stem.isascii()
    assert "/" not in stem
    assert not stem.startswith(".")
    assert 0 < len(stem) < 120
    assert stem not in [layout.file_stem(other) for other in others]


any_text = st.text(st.characters(exclude_categories=()))
any_sample = st.builds(
    SampleRecord,
    task=any_text,
    doc_id=st.integers(0, 2**62),
    doc_hash=any_text,
    repeat=st.integers(0, 99),
    filter=any_text,
    prompt=any_text,
    target=any_text,
    response=any_text,
    thinking=st.none() | any_text,
    answer=any_text,
    scores=st.dictionaries(any_text.map(clean_text), st.floats(), max_size=3),
    finish_reason=any_text,
    num_prompt_tokens=st.integers(0, 2**40),
    num_generated_tokens=st.integers(0, 2**40),
    latency_s=st.floats(),
    error=st.none() | any_text,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(samples=st.lists(any_sample, max_size=4), task=any_text)
def test_any_samples_round_trip(
    tmp_path_factory: pytest.TempPathFactory, samples: list[SampleRecord], task: str
) -> None:
    results_dir = tmp_path_factory.mktemp("results")
    RunWriter.create(results_dir, make_manifest(), "").write_samples(task, samples)
    found = list(iter_samples(results_dir / "r1", task))
    ordered = sorted(samples, key=lambda sample: (sample.doc_id, sample.repeat))
    assert repr(found) == repr([_cleaned(sample) for sample in ordered])


def _cleaned(sample: SampleRecord) -> SampleRecord:
    values = dataclasses.asdict(sample)
    return SampleRecord(
        **{k: clean_text(v) if isinstance(v, str) else v for k, v in values.items()}
    )


def test_task_summaries_round_trip(tmp_path: Path) -> None:
    task = TaskSummary(
        task="t", group="g", version="1.0", num_fewshot=5, repeats=1, kind="multiple_choice",
        num_docs=1, num_docs_available=2, num_samples=1, num_errors=0, num_truncated=0, num_empty=0,
        num_context_overflow=0, num_prompt_tokens=1, num_cached_tokens=0, num_generated_tokens=0,
        wall_s=1.5, dataset="d", dataset_fingerprint="f", task_hash="h", status="complete",
    )  # fmt: skip
    RunWriter.create(tmp_path, make_manifest(tasks=(task,)), "")
    assert load_manifest(tmp_path / "r1").tasks == (task,)
