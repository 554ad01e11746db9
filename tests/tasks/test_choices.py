"""Choices of a doc, and which one each metric takes: held against lm-eval's own scoring."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lm_eval.api.task import Task

import own_tasks
from evalharness.tasks.choices import NO_CHOICES, Choices, asked_choices, chosen_by, gold_places

METRICS = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
ALL_METRICS = own_tasks.CHOICE.replace(
    "  - {{metric: acc, aggregation: mean, higher_is_better: true}}",
    "\n".join(
        f"  - {{{{metric: {m}, aggregation: mean, higher_is_better: true}}}}" for m in METRICS
    ),
)
ROWS: own_tasks.Rows = [
    {"q": "one", "choices": ["no", "yes"], "a": 1},
    {"q": "a name", "choices": ["no", "yes"], "a": "yes"},
    {"q": "none", "choices": ["no", "yes"], "a": 7},
]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Task]]:
    here = tmp_path_factory.mktemp("choices")
    own_tasks.write(here, "picks", ALL_METRICS, ROWS)
    several = own_tasks.CHOICE.replace("doc_to_target: a", 'doc_to_target: "{{{{a}}}}"')
    own_tasks.write(
        here, "several", several, [{"q": "two", "choices": ["x", "y", "z"], "a": [0, 2]}]
    )
    own_tasks.write(here, "sums")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        loaded = own_tasks.load("picks", "several", "sums")
        yield {one.name: one.task for one in loaded.tasks}


def docs(task: Task) -> list[Any]:
    return list(task.eval_docs)


def test_the_right_choices_are_places(tasks: dict[str, Task]) -> None:
    one, name, none = docs(tasks["picks"])
    assert asked_choices(tasks["picks"], one) == Choices(("no", "yes"), (1,))
    assert asked_choices(tasks["picks"], name) == Choices(("no", "yes"), (1,))
    assert asked_choices(tasks["picks"], none) == Choices(("no", "yes"), (), is_without_gold=True)
    assert asked_choices(tasks["several"], docs(tasks["several"])[0]).gold == (0, 2)
    assert gold_places(tasks["picks"], one) == [1]
    with pytest.raises(ValueError, match="none of the 2 choices"):
        gold_places(tasks["picks"], none)


def test_a_task_that_generates_has_none(tasks: dict[str, Task]) -> None:
    assert asked_choices(tasks["sums"], docs(tasks["sums"])[0]) == NO_CHOICES


def test_what_is_right_is_left_to_a_task_that_scores_by_itself(
    tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks["picks"]
    monkeypatch.setattr(task.config, "process_results", lambda doc, results: {"acc": 1.0})
    asked = asked_choices(task, docs(task)[2])
    assert asked == Choices(("no", "yes"))
    assert chosen_by(asked, [-1.0, -2.0], ["acc"]) == {}


_LOGPROB = st.floats(-50, -0.01).map(lambda value: round(value, 3))


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")
@given(st.data())
def test_each_metric_takes_what_lm_eval_scores(tasks: dict[str, Task], data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(), min_size=2, max_size=6, unique=True))
    num = len(texts)
    logprobs = data.draw(st.lists(_LOGPROB, min_size=2 * num, max_size=2 * num))
    gold = data.draw(st.integers(0, num - 1))
    doc = {"q": "?", "choices": texts, "a": gold}
    scores = tasks["picks"].process_results(doc, [(logprob, False) for logprob in logprobs])
    chosen = chosen_by(Choices(tuple(texts), (gold,)), logprobs, METRICS)
    assume(set(scores) == set(METRICS))
    assert scores == {metric: float(taken == gold) for metric, taken in chosen.items()}


def test_a_length_is_of_characters_or_of_bytes_as_the_metric_says() -> None:
    choices = Choices(("ééé", "abcd"), (0,))
    found = chosen_by(
        choices, [-4.0, -5.0], METRICS
    )  # per character 1.33 and 1.25, per byte 0.67 and 1.25
    assert found == {"acc": 0, "acc_norm": 1, "acc_bytes": 0}


def test_what_chooses_in_another_way_has_no_choice() -> None:
    two = Choices(("a", "b"), (0,))
    assert chosen_by(two, [-1.0, -2.0], ["acc", "mcc", "brier_score"]) == {"acc": 0}
    assert chosen_by(two, [-1.0, -2.0], ["acc_mutual_info"]) == {}
    assert chosen_by(NO_CHOICES, [], ["acc"]) == {}
    assert chosen_by(two, [-1.0], ["acc"]) == {}
