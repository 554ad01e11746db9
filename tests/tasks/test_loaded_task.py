"""A loaded task: which docs are looked at, what they are called, and what makes it another task."""

import copy
import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lm_eval.api.task import ConfigurableTask

import own_tasks as own
from evalharness.config.schema import TaskConfig
from evalharness.errors import TaskError
from evalharness.tasks.loaded_task import (
    LoadedTask,
    doc_hash,
)
from evalharness.tasks.random_state import seeded
from evalharness.tasks.subsets import Subset

ROWS = [{"q": f"{i}?", "a": str(i), "kind": "xy"[i % 2], "source": f"s{i // 2}"} for i in range(8)]
YAML = own.GENERATE.replace(
    "metric_list:", "  - {{name: text, filter: [{{function: take_first}}]}}\nmetric_list:"
).replace("metadata", "  - {{metric: f1, aggregation: mean, higher_is_better: true}}\nmetadata")
CODE = """
from evalharness.tasks.rows import Rows

def rows(**kwargs):
    return {"test": Rows([{"q": "1?", "a": "1"}])}

def same(docs):
    return docs
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LoadedTask]]:
    folder = tmp_path_factory.mktemp("loaded")
    made = "custom_dataset: !function evalharness.tasks.local_rows.load"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        own.write(folder, "mine", YAML, ROWS)
        own.write(folder, "changing", own.GENERATE + "process_docs: !function u.same\nrepeats: 3\n")
        own.write(folder, "making", own.GENERATE.replace(made, "custom_dataset: !function u.rows"))
        own.write(folder, "choosing", own.CHOICE, own.PICKS)
        for name in ("changing", "making"):
            (folder / "tasks" / name / "u.py").write_text(CODE)
        yield {task.name: task for task in own.load("mine", "changing", "making", "choosing").tasks}


@pytest.fixture
def mine(tasks: dict[str, LoadedTask]) -> LoadedTask:
    return fresh(tasks["mine"])


def fresh(task: LoadedTask, docs: list[Any] | None = None, **changes: Any) -> LoadedTask:
    """As it is before anything was asked of it."""
    return replace(task, _docs=docs, _hashes=None, _subset=None, **changes)


def configured(task: LoadedTask, docs: list[Any] | None = None, **config: Any) -> LoadedTask:
    """With other values in its configuration."""
    other = copy.copy(task.task)
    other._config = copy.copy(other.config)
    for name, value in config.items():
        setattr(other._config, name, value)
    return replace(fresh(task, docs), task=other)


# docs


def test_first_docs_are_looked_at_up_to_the_last(mine: LoadedTask) -> None:
    mine = fresh(mine, limit=3, limit_seed=None)
    assert list(mine.scored_docs()) == list(mine.docs_to_the_last()) == list(enumerate(ROWS[:3]))
    assert (mine.num_docs, mine.num_docs_available) == (3, 8)


def test_of_random_docs_the_ones_between_are_looked_at_too(mine: LoadedTask) -> None:
    mine = replace(mine, _subset=Subset((1, 4), 8, is_random=True))
    assert list(mine.scored_docs()) == [(1, ROWS[1]), (4, ROWS[4])]
    assert list(mine.docs_to_the_last()) == list(enumerate(ROWS[:5]))
    assert (mine.num_docs, mine.num_docs_available) == (2, 8)


def test_of_no_docs_none_are_looked_at(mine: LoadedTask) -> None:
    mine = replace(mine, _subset=Subset((), 8))
    assert list(mine.scored_docs()) == list(mine.docs_to_the_last()) == []


@pytest.mark.parametrize(("limit", "num"), [(None, 8), (3, 3), (8, 8), (9, 8)])
@pytest.mark.parametrize("seed", [None, 0])
def test_the_number_of_docs_is_known_before_they_are_chosen(
    mine: LoadedTask, limit: int | None, num: int, seed: int | None
) -> None:
    mine = fresh(mine, limit=limit, limit_seed=seed)
    before = mine.num_docs, mine.num_docs_available
    assert len(mine.subset.doc_ids) == num
    assert (mine.num_docs, mine.num_docs_available) == before == (num, 8)
    assert mine.subset.is_random == (num < 8 and seed is not None)


def test_docs_are_made_once(mine: LoadedTask) -> None:
    class Making:
        @property
        def eval_docs(self) -> list[Any]:
            return list(ROWS)

    made = replace(fresh(mine), task=Making())
    assert made.docs == ROWS
    assert made.docs is made.docs


def test_docs_are_hashed_once(mine: LoadedTask) -> None:
    class Counted(list[Any]):
        looks = 0

        def __iter__(self) -> Iterator[Any]:
            self.looks += 1
            return super().__iter__()

    docs = Counted(ROWS)
    mine = fresh(mine, docs)
    assert [mine.doc_hash(i) for i in range(8)] == [doc_hash(row) for row in ROWS]
    assert docs.looks == 1
    drawn = replace(fresh(mine, docs), _subset=Subset((1, 4), 8))
    assert [drawn.doc_hash(i) for i in (1, 4)] == [doc_hash(ROWS[i]) for i in (1, 4)]
    assert docs.looks == 2


@pytest.mark.parametrize(
    ("name", "makes"), [("mine", False), ("choosing", False), ("changing", True), ("making", True)]
)
def test_which_tasks_make_their_docs(tasks: dict[str, LoadedTask], name: str, makes: bool) -> None:
    assert tasks[name].makes_docs is makes


def test_a_class_of_its_own_may_make_docs_and_a_hub_dataset_is_read(mine: LoadedTask) -> None:
    class Own(ConfigurableTask):  # type: ignore[misc]
        pass

    for kind, makes in ((Own, True), (ConfigurableTask, False)):
        task = configured(mine, custom_dataset=None)
        task.task.__class__ = kind
        assert task.makes_docs is makes


def test_a_docs_own_category_field_is_that_of_the_first_doc(mine: LoadedTask) -> None:
    docs = [{"subject": 1}, {"group": 1}, {"category": 1}]
    assert fresh(mine, docs).stratified_by == "subject"
    assert fresh(mine, []).stratified_by == ""
    assert configured(mine, docs, metadata=None).stratified_by == "subject"


def test_a_category_is_the_suites_or_else_the_tasks(mine: LoadedTask) -> None:
    said = configured(mine, [{"subject": 1}], metadata={"stratify": "kind"})
    assert said.stratified_by == "kind"
    for of_suite in ("q", ""):
        assert replace(said, config=TaskConfig(stratify=of_suite)).stratified_by == of_suite


def test_a_category_that_the_first_doc_has_may_be_missing_elsewhere(mine: LoadedTask) -> None:
    for by in ("kind", "{{kind}}"):
        asked = {"limit": 1, "limit_seed": 0, "config": TaskConfig(stratify=by)}
        docs = [{"kind": "x"}, {"q": "?"}]
        if by == "kind":
            fresh(mine, docs, **asked).check_categories()
        with pytest.raises(
            TaskError, match=r"'mine': stratify .* for the first doc; its fields are: q$"
        ):
            fresh(mine, docs[::-1], **asked).check_categories()
        for less in ({"limit": None}, {"limit_seed": None}, {"config": TaskConfig(stratify="")}):
            fresh(mine, docs[::-1], **asked | less).check_categories()
        fresh(mine, [], **asked).check_categories()


# what is said of it


def test_a_task_draws_one_answer_unless_it_wants_more(tasks: dict[str, LoadedTask]) -> None:
    assert [tasks[name].num_draws for name in ("mine", "changing")] == [1, 3]


def test_who_scores_in_a_thread_or_solves_by_itself_says_so(mine: LoadedTask) -> None:
    assert not mine.scores_in_thread
    assert not configured(mine, metadata=None).scores_in_thread
    assert configured(mine, metadata={"scores_in_thread": True}).scores_in_thread
    assert mine.solve is None
    talking = configured(mine)
    talking.task.solve = len
    assert talking.solve is len


def test_a_dataset_is_its_id_and_configuration(mine: LoadedTask) -> None:
    assert mine.dataset == "the task's own folder"
    for path, name, said in (("json", None, "json"), ("hub/set", "main", "hub/set/main")):
        task = configured(mine)
        task.task.DATASET_PATH, task.task.DATASET_NAME = path, name
        assert task.dataset == said


def test_the_main_metric_is_the_first_or_the_suites(mine: LoadedTask) -> None:
    assert mine.main_metric() == ("exact_match", "number")
    assert fresh(mine, config=TaskConfig(metric="f1")).main_metric() == ("f1", "number")
    assert fresh(mine, config=TaskConfig(filter="text")).main_metric() == ("exact_match", "text")
    for wrong, says in (
        ({"metric": "f2"}, r"task 'mine' has no metric 'f2'; did you mean 'f1'\? It has: exact_m.*, f1"),
        ({"filter": "txt"}, r"no filter 'txt'; did you mean 'text'\? It has: number, text"),
    ):  # fmt: skip
        with pytest.raises(TaskError, match=says):
            fresh(mine, config=TaskConfig(**wrong)).main_metric()


def test_filters_of_a_task_without_any_are_lm_evals_none(
    tasks: dict[str, LoadedTask], mine: LoadedTask
) -> None:
    assert mine.filters() == ["number", "text"]
    assert tasks["choosing"].filters() == ["none"]
    without = configured(mine)
    without.task._filters = []
    assert without.filters() == ["none"]


def test_a_target_that_draws_is_the_same_for_a_doc(mine: LoadedTask) -> None:
    drawing = configured(mine)
    drawing.task.doc_to_target = lambda doc: random.random()
    with seeded("mine", 3, "target"):
        expected = str(random.random())
    assert drawing.target(3, {}) == drawing.target(3, {}) == expected != drawing.target(4, {})


# sources


@pytest.mark.parametrize(
    ("config", "metadata"),
    [
        (TaskConfig(cluster="{{source}}"), {"cluster": "{{q}}"}),
        (TaskConfig(cluster="{{source}}"), None),
        (TaskConfig(), {"cluster": "{{source}}"}),
    ],
)
def test_a_source_is_a_short_hash_of_what_the_suite_or_else_the_task_names(
    mine: LoadedTask, config: TaskConfig, metadata: dict[str, str] | None
) -> None:
    mine = replace(configured(mine, list(ROWS), metadata=metadata), config=config)
    expected = [hashlib.sha256(f"s{i // 2}".encode()).hexdigest()[:16] for i in range(8)]
    assert [mine.cluster(i) for i in range(8)] == expected
    mine.check_cluster()


def test_without_a_source_a_doc_has_none(mine: LoadedTask) -> None:
    assert configured(mine, metadata=None).cluster(0) is None
    docs = [{"source": ""}, {"q": "?"}, {"source": "s"}]
    found = fresh(mine, docs, config=TaskConfig(cluster="{{source}}"))
    assert [found.cluster(i) is None for i in range(3)] == [True, True, False]


def test_a_source_that_the_first_doc_lacks_is_refused(mine: LoadedTask) -> None:
    docs = [{"source": "s"}, {"q": "?", "a": "!"}]
    for metadata, config in (
        ({"cluster": "{{source}}"}, TaskConfig()),
        ({}, TaskConfig(cluster="{{source}}")),
        (None, TaskConfig(cluster="{{source}}")),
    ):
        mine = replace(configured(mine, docs, metadata=metadata), config=config)
        mine.check_cluster()
        with pytest.raises(TaskError, match=r"'mine': cluster '\{\{source\}\}' gives .*: q, a$"):
            fresh(mine, docs[::-1]).check_cluster()
        fresh(mine, []).check_cluster()
    configured(mine, docs, metadata=None).check_cluster()
    fresh(mine, docs, config=TaskConfig()).check_cluster()


# identities


def test_where_a_task_lies_and_how_a_limit_draws_is_no_part_of_it(mine: LoadedTask) -> None:
    before = configured(mine, metadata={"version": 1}).task_hash()
    moved = {"version": 1, "config_source": "/somewhere", "stratify": "kind"}
    assert configured(mine, metadata=moved).task_hash() == before
    assert configured(mine, metadata={"version": 2}).task_hash() != before
    assert configured(mine, metadata=None).task_hash() == configured(mine, metadata={}).task_hash()


def test_only_what_is_asked_is_part_of_the_requests(mine: LoadedTask) -> None:
    before = fresh(mine).request_hash()
    for change in ({"metric_list": []}, {"filter_list": []}, {"metadata": {"version": 9}}):
        assert configured(mine, **change).request_hash() == before
        assert configured(mine, **change).task_hash() != mine.task_hash()
    assert configured(mine, doc_to_text="{{a}}").request_hash() != before


def test_targets_are_asked_in_fewshots_only(mine: LoadedTask) -> None:
    for num, is_asked in ((0, False), (2, True)):
        one, other = (
            configured(mine, num_fewshot=num, doc_to_target=t).request_hash() for t in "ab"
        )
        assert (one != other) is is_asked
        assert configured(mine, num_fewshot=num, doc_to_target="a").task_hash() != mine.task_hash()
    without = configured(mine, num_fewshot=0)
    without.task.dump_config = lambda: {"doc_to_text": "x"}
    assert len(without.request_hash()) == 64


def test_functions_count_by_name_other_things_by_kind_keys_in_any_order(mine: LoadedTask) -> None:
    def hashed(**metadata: Any) -> str:
        return configured(mine, metadata=metadata).task_hash()

    assert hashed(x=len) != hashed(x=max)
    assert hashed(x=np.zeros(1)) == hashed(x=np.zeros(2)) != hashed(x={1})
    assert hashed(a=1, b=2) == hashed(b=2, a=1) != hashed(a=2, b=1)


def test_a_doc_of_odd_values_is_hashed_as_lm_eval_does() -> None:
    text = '{\n  "n": 5,\n  "s": "{1}"\n}'
    assert doc_hash({"n": np.int64(5), "s": {1}}) != doc_hash({"n": 5, "s": [2]})
    assert doc_hash({"n": np.int64(5), "s": "{1}"}) == hashlib.sha256(text.encode()).hexdigest()
