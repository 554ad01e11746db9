"""Every Eval Ever: its published schema, the checks that go further, and stable ids."""

import hashlib
import json
import math
import re
import subprocess
import sys
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.interchange.every_eval_ever import aggregate, file_path
from evalharness.interchange.every_eval_ever_samples import write_every_eval_ever
from evalharness.interchange.lm_eval_import import import_path
from evalharness.interchange.run_data import Stored
from evalharness.store.records import (
    MetricRecord,
    SampleRecord,
    TaskSummary,
)


def _written(run: Stored, folder: Path, **options: Any) -> tuple[dict[str, Any], list[Any]]:
    written = write_every_eval_ever(run, folder, with_samples=True, **options)
    lines = written.paths[1].read_text().splitlines() if len(written.paths) > 1 else []
    return json.loads(written.paths[0].read_text()), [json.loads(line) for line in lines]


def test_a_result_has_its_uncertainty_and_n(store_run: Any) -> None:
    (result,) = aggregate(store_run())["evaluation_results"]
    assert result["score_details"]["score"] == 0.75
    assert result["score_details"]["uncertainty"] == {
        "num_samples": 4,
        "standard_error": {"value": 0.25},
        "confidence_interval": {"lower": 0.301, "upper": 0.954, "confidence_level": 0.95},
    }
    assert result["source_data"]["hf_repo"] == "openai/gsm8k"
    assert result["metric_config"] | {"min_score": 0, "max_score": 1} == result["metric_config"]


def test_the_same_run_gives_the_same_files(store_run: Any, tmp_path: Path) -> None:
    run = store_run()
    first = write_every_eval_ever(run, tmp_path / "a", with_samples=True)
    second = write_every_eval_ever(run, tmp_path / "b", with_samples=True)
    names = [[str(p.relative_to(d)) for p in w.paths] for w, d in ((first, tmp_path / "a"), (second, tmp_path / "b"))]  # fmt: skip
    assert names[0] == names[1]
    assert [p.read_bytes() for p in first.paths] == [p.read_bytes() for p in second.paths]


def test_id_and_times_are_of_the_run_in_utc(store_run: Any) -> None:
    content = aggregate(store_run())
    assert content["evaluation_timestamp"] == "1767323045"
    assert content["retrieved_timestamp"] == "1767323105"
    assert content["evaluation_id"] == "leaderboard/some-lab/Mine-1B/1767323045"


def test_the_file_is_where_the_datastore_has_it(store_run: Any) -> None:
    path = file_path(store_run(), "some-lab/Mine-1B")
    assert path.parent.as_posix() == "data/evalharness/some-lab/Mine-1B"
    assert uuid.UUID(path.stem).version == 4


def test_samples_are_pointed_to_and_join_their_result(store_run: Any, tmp_path: Path) -> None:
    content, lines = _written(store_run(), tmp_path)
    details = content["detailed_evaluation_results"]
    assert details["total_rows"] == len(lines) == 4
    data = (tmp_path / details["file_path"]).read_bytes()
    assert details["checksum"] == hashlib.sha256(data).hexdigest()
    (result,) = content["evaluation_results"]
    assert {line["evaluation_result_id"] for line in lines} == {result["evaluation_result_id"]}
    assert [line["evaluation"] for line in lines[2:]] == [
        {"score": 1.0, "is_correct": True},
        {"score": 0.0, "is_correct": False},
    ]
    assert lines[0]["token_usage"] == {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}  # fmt: skip
    assert lines[0]["performance"] == {"latency_ms": 500.0}


def test_a_sample_without_a_score_is_counted_and_never_zero(
    store_run: Any, tmp_path: Path, sample: SampleRecord
) -> None:
    failed = replace(sample, doc_id=1, scores={}, error="request: refused")
    run = store_run(samples=(sample, failed))
    written = write_every_eval_ever(run, tmp_path, with_samples=True)
    assert written.num_unscored == 1
    content, lines = _written(run, tmp_path)
    assert [line["sample_id"] for line in lines] == ["0"]
    details = content["detailed_evaluation_results"]["additional_details"]
    assert details == {"num_samples_without_score": "1"}


def test_a_score_that_there_is_not_is_named(store_run: Any, metric: MetricRecord) -> None:
    nothing = replace(metric, metric="f1", value=math.nan, n=0)
    content = aggregate(store_run(metrics=(metric, nothing)))
    assert len(content["evaluation_results"]) == 1
    details = content["source_metadata"]["additional_details"]
    assert details["results_without_score"] == "gsm8k:f1:strict-match"


def test_a_local_model_claims_no_place_on_the_hub(store_run: Any) -> None:
    info = aggregate(store_run(config={}))["model_info"]
    assert info["id"] == "local/mine"
    assert info["additional_details"]["model_availability"] == "unknown"
    named = aggregate(store_run(run_id="r2", config={}), model_id="lab/M-2", organization="we")
    assert (named["model_info"]["id"], named["model_info"]["developer"]) == ("lab/M-2", "lab")
    assert named["source_metadata"]["source_organization_name"] == "we"


def test_an_imported_run_is_lm_evals(lm_eval_output: Path, tmp_path: Path) -> None:
    content = aggregate(_imported(lm_eval_output, tmp_path))
    assert content["eval_library"]["name"] == "lm_eval"
    assert content["eval_library"]["version"] == "0.4.13"
    generated = next(
        r for r in content["evaluation_results"] if r["evaluation_name"] == "gsm8k_sample"
    )
    arguments = generated["generation_config"]["generation_args"]
    assert arguments == {"temperature": 0.0, "max_tokens": 8}


def _imported(lm_eval_output: Path, tmp_path: Path) -> Stored:
    (imported,) = import_path(lm_eval_output, tmp_path / "imported").runs
    run_dir = tmp_path / "imported" / imported.manifest.run_id
    return Stored.load(run_dir, imported.manifest)


def _odd_run(store_run: Any, task: TaskSummary, metric: MetricRecord) -> Stored:
    """What runs can hold: NaN, no interval, unbounded metrics, groups, odd names, first docs only."""
    odd = "odd/name |\x00 é"
    tasks = (
        replace(task, num_docs_available=1319, status="partial"),
        replace(task, task="member", group="group", dataset="json", num_fewshot=0),
        replace(task, task="other", group="group", dataset="a/b", dataset_fingerprint=""),
        replace(task, task=odd, group=odd, kind="loglikelihood_rolling"),
    )
    metrics = (
        metric,
        replace(metric, metric="f1", value=math.nan, n=0, is_main=False),
        replace(metric, task="group", group="group", n=8),
        replace(metric, task="member", group="group", stderr=math.nan),
        replace(metric, task="other", group="group", metric="own", value=-3.0, ci_low=math.nan),
        replace(
            metric,
            task=odd,
            group=odd,
            metric="word_perplexity",
            value=23.5,
            higher_is_better=False,
        ),
    )
    return store_run(
        run_id="odd", tasks=tasks, metrics=metrics, model="odd/model:x", config={}, finished_at=None, reason="disk full"
    )  # fmt: skip


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The published schemas, out of the package on PyPI (it needs a newer Python than ours to be installed)."""
    folder = tmp_path_factory.mktemp("wheel")
    options = (
        "--no-deps",
        "--python-version",
        "3.12",
        "--only-binary=:all:",
        "--dest",
        str(folder),
    )
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "every_eval_ever==0.3.0"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: json.loads(archive.read(f"every_eval_ever/schemas/{name}.schema.json"))
            for name in ("eval", "instance_level_eval")
        }


@pytest.mark.network
@pytest.mark.parametrize("which", ["own", "imported", "odd"])
def test_the_published_schema_and_its_stricter_checks_hold(
    schemas: dict[str, Any],
    which: str,
    store_run: Any,
    task: TaskSummary,
    metric: MetricRecord,
    lm_eval_output: Path,
    tmp_path: Path,
) -> None:
    from jsonschema import Draft7Validator

    runs = {
        "own": lambda: store_run(),
        "imported": lambda: _imported(lm_eval_output, tmp_path),
        "odd": lambda: _odd_run(store_run, task, metric),
    }
    content, lines = _written(runs[which](), tmp_path / "out")
    assert list(Draft7Validator(schemas["eval"]).iter_errors(content)) == []
    instance = Draft7Validator(schemas["instance_level_eval"])
    assert [error for line in lines for error in instance.iter_errors(line)] == []
    _check_further(content, lines)


def _check_further(content: dict[str, Any], lines: list[Any]) -> None:
    """What the package's `validate` wants beyond the schema."""
    for result in content["evaluation_results"]:
        score, config = result["score_details"]["score"], result["metric_config"]
        assert math.isfinite(score)
        if config.get("score_type") == "continuous":
            least, largest = (float(config[name]) for name in ("min_score", "max_score"))
            assert least <= score <= largest
    path = content["detailed_evaluation_results"]["file_path"]
    assert all(re.fullmatch(r'[^<>:"\\|?*\x00-\x1f]*[^. ]', part) for part in path.split("/"))
    assert content["detailed_evaluation_results"]["total_rows"] == len(lines)
    assert {line["evaluation_id"] for line in lines} == {content["evaluation_id"]}
    assert {line["model_id"] for line in lines} == {content["model_info"]["id"]}
    ids = [result["evaluation_result_id"] for result in content["evaluation_results"]]
    assert len(set(ids)) == len(ids)


def test_the_stricter_checks_hold_without_the_schema(
    store_run: Any, task: TaskSummary, metric: MetricRecord, tmp_path: Path
) -> None:
    _check_further(*_written(_odd_run(store_run, task, metric), tmp_path))
