"""Docs that `process_docs` shuffles are the same ones wherever a run looks at them, and in the next process."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

import own_tasks as own
from evalharness.tasks.fixed_docs import once
from evalharness.tasks.loaded_task import doc_hash

SHUFFLING = """\
import random

def process_docs(docs):
    def shuffled(doc):
        choices = list(doc["choices"])
        random.shuffle(choices)
        return {"choices": choices}
    return docs.map(shuffled)
"""
LOCAL = own.CHOICE + "process_docs: !function u.process_docs\n"
CACHED = LOCAL.replace(
    "custom_dataset: !function evalharness.tasks.local_rows.load",
    "dataset_path: json\ndataset_kwargs: {{data_files: {{test: tasks/{name}/data/test.jsonl}}}}",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    yield tmp_path
    datasets.enable_caching()


def write(here: Path, name: str, yaml: str = LOCAL, code: str = SHUFFLING) -> None:
    (own.write(here, name, yaml, own.PICKS).parent / "u.py").write_text(code)


def docs(name: str, *others: str) -> list[Any]:
    (task, *_) = [task for task in own.load(*others, name).tasks if task.name == name]
    return list(task.docs)


@pytest.mark.parametrize("yaml", [LOCAL, CACHED])
def test_what_is_asked_is_what_is_hashed(here: Path, yaml: str) -> None:
    datasets.disable_caching()
    write(here, "shuffled", yaml)
    (task,) = own.load("shuffled").tasks
    assert [doc_hash(doc) for _, doc in task.scored_docs()] == [task.doc_hash(i) for i in range(8)]
    assert [doc_hash(doc) for doc in task.task.eval_docs] == [task.doc_hash(i) for i in range(8)]
    assert [doc["choices"] for doc in task.docs] != [row["choices"] for row in own.PICKS]


@pytest.mark.parametrize("yaml", [LOCAL, CACHED])
@pytest.mark.parametrize("is_cached", [True, False])
def test_docs_dont_depend_on_the_global_state_of_chance(
    here: Path, yaml: str, is_cached: bool
) -> None:
    (datasets.enable_caching if is_cached else datasets.disable_caching)()
    write(here, "shuffled", yaml)
    random.seed(1)
    first = docs("shuffled")
    random.seed(2)
    assert docs("shuffled") == first


def test_docs_dont_depend_on_what_an_earlier_program_cached(here: Path) -> None:
    write(here, "shuffled", CACHED)
    (task,) = own.load("shuffled").tasks
    first = list(task.docs)
    split = task.task.dataset["test"]
    random.seed(77)
    process = task.task.config.process_docs.__wrapped__
    assert list(process(split)) != first  # as lm-eval does, and this is cached
    assert docs("shuffled") == first


def test_docs_dont_depend_on_other_tasks_of_the_suite(here: Path) -> None:
    write(here, "shuffled")
    write(here, "before")
    assert docs("shuffled", "before") == docs("shuffled")


def test_docs_dont_depend_on_other_members_of_a_group(here: Path) -> None:
    write(here, "a")
    write(here, "b")
    (here / "tasks" / "both.yaml").write_text("group: both\ntask: [a, b]\n")
    by_name = {task.name: list(task.docs) for task in own.load("both").tasks}
    assert by_name["b"] == docs("b")


def test_the_docs_are_those_of_lm_evals_own_seed(here: Path) -> None:
    write(here, "shuffled")
    chance = random.Random(0)
    expected = []
    for row in own.PICKS:
        choices = list(row["choices"])
        chance.shuffle(choices)
        expected.append(choices)
    assert [doc["choices"] for doc in docs("shuffled")] == expected


def test_loading_leaves_the_global_state_of_chance_as_it_was(here: Path) -> None:
    write(here, "shuffled")
    random.seed(4)
    np.random.seed(4)
    before = random.getstate(), np.random.get_state()[1].tolist()
    docs("shuffled")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_function_that_draws_nothing_is_still_cached(here: Path) -> None:
    path = here / "rows.jsonl"
    path.write_text("".join(json.dumps({"a": i}) + "\n" for i in range(4)))
    split = datasets.load_dataset("json", data_files={"test": str(path)})["test"]
    made = once(lambda rows: rows.map(lambda row: {"b": row["a"]}))(split)
    assert made.cache_files
    assert not str(made.cache_files[0]["filename"]).startswith("/tmp/hf_datasets")
    assert [row["b"] for row in made] == [0, 1, 2, 3]


def test_a_split_is_processed_once(here: Path) -> None:
    given: list[Any] = []
    split = datasets.Dataset.from_list([{"a": 1}])
    process = once(lambda rows: given.append(len(rows)) or rows.map(lambda row: {"b": 2}))
    assert process(split) is process(split)
    assert given == [1, 1]  # once for real, once to see whether it draws
