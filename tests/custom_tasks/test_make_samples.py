"""The script that selects the data which ships."""

import importlib.util
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

_PATH = Path(__file__).parents[2] / "scripts" / "make_samples.py"
_SPEC = importlib.util.spec_from_file_location("make_samples", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
make_samples = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_samples)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    for sample in make_samples.SAMPLES:
        rows = [
            {sample.question: f"q{i % 290}", "question": f"q{i % 290}", "mc2_targets": "x"}
            for i in range(300)
        ]
        path = tmp_path / "hub" / f"{sample.source}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    return tmp_path / "hub"


def run(hub: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, str]]]:
    monkeypatch.setattr(sys, "argv", ["make_samples.py", str(hub), str(out)])
    make_samples.main()
    return {
        str(path.relative_to(out)): [
            json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()
        ]
        for path in sorted(out.rglob("*.jsonl"))
    }


def test_two_runs_write_the_same(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(hub, tmp_path / "a", monkeypatch) == run(hub, tmp_path / "b", monkeypatch)


def test_files_have_the_size_that_is_asked_for(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = run(hub, tmp_path / "a", monkeypatch)
    assert {name: len(docs) for name, docs in files.items()} == {
        f"{sample.target}.jsonl": sample.num_docs for sample in make_samples.SAMPLES
    }


def test_files_of_one_source_share_no_question(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = run(hub, tmp_path / "a", monkeypatch)
    test, fewshot = (files[f"bbh_boolean_sample/data/{s}.jsonl"] for s in ("test", "fewshot"))
    assert not {doc["input"] for doc in test} & {doc["input"] for doc in fewshot}


def test_a_repeated_question_is_taken_once() -> None:
    rows = [{"question": "same"}] * 5 + [{"question": "other"}]
    assert sorted(row["question"] for _, row in make_samples.select(rows, "question")) == [
        "other",
        "same",
    ]
