"""`task check` says where `dataset_path: json` and `csv` give another value than the file has."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

import own_tasks as own
from evalharness.tasks.authoring.file_values import changed_values

YAML = own.GENERATE.replace(
    "custom_dataset: !function evalharness.tasks.local_rows.load",
    "dataset_path: KIND\ndataset_kwargs: {{data_files: {{test: FILE}}}}",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


def said(here: Path, content: str, kind: str = "json") -> list[str]:
    file = here / f"docs.{'jsonl' if kind == 'json' else 'csv'}"
    file.write_text(content)
    yaml = YAML.replace("KIND", kind).replace("FILE", str(file))
    own.write(here, "read", yaml)
    (loaded,) = own.load("read").tasks
    defects = changed_values(loaded)
    assert all(d.level == "warning" and "local_rows.load" in d.what for d in defects)
    return [
        d.what.split(", and lm-eval")[0] + d.what.split("lm-eval")[1].split(";")[0] for d in defects
    ]


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps({"q": "q", "a": "1", **row}) + "\n" for row in rows)


def test_a_whole_number_beside_a_fraction(here: Path) -> None:
    (one,) = said(here, lines({"n": 5}, {"n": 0.5}))
    assert one == "'n' of doc 0 of 'test' is 5 in the file reads 5.0"


def test_a_field_that_some_rows_lack(here: Path) -> None:
    (one,) = said(here, lines({}, {"passage": "P"}, {}))
    assert (
        one == "'passage' of doc 0 of 'test' is absent in the file reads None (and in 1 more docs)"
    )


def test_rows_that_are_read_as_they_are_say_nothing(here: Path) -> None:
    assert said(here, lines({"n": 1, "t": ["x"]}, {"n": 2, "t": []})) == []


def test_text_of_csv_that_reads_otherwise(here: Path) -> None:
    found = said(here, "q,a,zip,n\nq,1,007,NA\nr,2,008,x\n", "csv")
    assert found == [
        "'zip' of doc 0 of 'test' is '007' in the file reads 7 (and in 1 more docs)",
        "'n' of doc 0 of 'test' is 'NA' in the file reads None",
    ]


def test_a_task_with_rows_of_its_own_is_left_alone(here: Path) -> None:
    own.write(here, "own", own.GENERATE, [{"q": "a", "a": 5}, {"q": "b", "a": 0.5}])
    (loaded,) = own.load("own").tasks
    assert changed_values(loaded) == []
