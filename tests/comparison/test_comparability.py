from dataclasses import replace
from typing import Any

import pytest

from evalharness.comparison.comparability import (
    OF_RUN,
    OF_TASK,
    Settings,
    added_tasks,
    differences,
    run_notes,
    settings,
    task_notes,
    unknown,
)
from evalharness.store.records import (
    Manifest,
    TaskSummary,
)
from stores import _summary

TASK = _summary("t", "t", [1.0] * 10)
RUN = Manifest(
    run_id="r", status="complete", model="m", suite="s", suite_version="1", started_at="",
    checkpoint={"is_chat": True, "fingerprint": "f"}, engine={"kind": "vllm", "version": "1"},
    packages={"lm-eval": "0.4.13"}, seeds={"run": 1},
)  # fmt: skip


def of(run: dict[str, Any] | None = None, task: dict[str, Any] | None = None) -> Settings:
    return settings(replace(RUN, **(run or {})), [replace(TASK, **(task or {}))], "acc", "none")


def model(**values: Any) -> dict[str, Any]:
    return {"config": {"model": values}}


def kept_none(**sampling: Any) -> Settings:
    """Of a version that didn't keep how answers were drawn."""
    return of({"config": {"sampling": {"seed": 0} | sampling}}, {"sampling": ""})


def texts(a: Settings, b: Settings) -> list[str]:
    return [found.text for found in differences(a, b)]


DIFFERING: list[tuple[Settings, Settings, list[str]]] = [
    (of(), of(task={"version": "2"}), ["task version 1.0 against 2"]),
    (of(), of(task={"num_fewshot": 5, "request_hash": "x", "task_hash": "x"}), ["0 shots against 5"]),
    (of(), of(task={"request_hash": "x", "task_hash": "x"}), ["another prompt or other generation settings"]),
    (of(), of(task={"sampling": "temperature 0.6, top_p 0.95, max_gen_toks 256"}),
     ["sampling greedy against temperature 0.6, top_p 0.95"]),
    (of(), of(task={"sampling": "greedy, max_gen_toks 9"}), ["sampling max_gen_toks 256 against max_gen_toks 9"]),
    (of(task={"kind": "multiple_choice", "sampling": ""}),
     of({"config": {"sampling": {"temperature": 1.0}}}, {"kind": "multiple_choice", "sampling": ""}), []),
    (kept_none(), kept_none(temperature=0.6, seed=1), ["sampling as set: nothing against as set: temperature 0.6"]),
    (kept_none(seed=2, top_p=None), kept_none(seed=1), []),
    (of(), kept_none(temperature=0.6), []),
    (of(), of(task={"task_hash": "x"}), ["scored differently (filter or metric changed: task h against x)"]),
    (of(), of(task={"num_docs": 5, "dataset_fingerprint": "x"}), ["all 10 docs against 5 of 10"]),
    (of(), of(task={"num_docs": 5, "dataset_fingerprint": ""}), ["all 10 docs against 5 of 10"]),
    (of(), of(task={"dataset_fingerprint": "x"}), ["other docs (all 10 each)"]),
    (of(), of(task={"num_docs_available": 20}), []),
    (of(task={"num_fewshot": 5}), of({"seeds": {"run": 2}}, {"num_fewshot": 5}), ["few-shot draws 1 against 2"]),
    (of(), of({"seeds": {"run": 2}}), []),
    (of(), of({"checkpoint": {"is_chat": False}}), ["prompted with a chat template against as plain text"]),
    (of(), of(model(chat_template="x.jinja")), ['chat template unchanged against chat_template="x.jinja"']),
    (of(), of(model(system_instruction="Be brief.")), ['chat template unchanged against system_instruction="Be brief."']),
    (of(model(chat_template_args={"a": 1})), of(model(chat_template_args={"a": 2})),
     ['chat template chat_template_args={"a": 1} against chat_template_args={"a": 2}']),
    (of({"template_date": "2026-01-01"}), of({"template_date": "2026-01-02"}),
     ["the chat template writes 2026-01-01 against 2026-01-02 as today's date"]),
    (of({"template_date": "2026-01-01"}), of(), []),
    (of(), of({"packages": {"lm-eval": "0.4.9"}}), ["lm-eval version 0.4.13 against 0.4.9"]),
    (of(), of({"engine": {"kind": "fake"}}), ["the fake engine's answers against a model's"]),
    (of(), of({"engine": {"kind": "hf"}}), []),
    (of(), replace(of(), metric="f1"), ["metric acc against f1"]),
    (of(), replace(of(), filter="strict"), ["filter none against strict"]),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "found"), DIFFERING)
def test_what_differs_is_reported_in_words(a: Settings, b: Settings, found: list[str]) -> None:
    assert texts(a, b) == found
    assert len(differences(b, a)) == len(found)
    assert texts(a, a) == []


def test_only_versions_and_made_up_answers_are_kept_apart_for_good() -> None:
    final = {name for a, b, _ in DIFFERING for name in [f.field for f in differences(a, b) if f.is_final]}  # fmt: skip
    assert final == {"version", "engine"}


@pytest.mark.parametrize(
    ("a", "b", "doubts"),
    [
        (of(), of(), []),
        (of(), of(task={"request_hash": "", "task_hash": ""}), ["prompt or generation settings", "scoring"]),
        (of(task={"task_hash": ""}), of(task={"task_hash": ""}), ["scoring"]),
        (of(task={"request_hash": ""}), of(task={"num_fewshot": 5}), []),
        (of(), of(task={"dataset_fingerprint": ""}), ["docs"]),
        (of(), of(task={"sampling": ""}), ["sampling"]),
        (of(), kept_none(temperature=0.6), ["sampling"]),
        (of(task={"num_fewshot": 5}), of({"seeds": {}}, {"num_fewshot": 5}), ["few-shot draws"]),
        (of({"packages": {}}), of(), ["lm-eval version"]),
        (of(), of({"checkpoint": {}}), ["chat template on or off"]),
        (of(), of({"engine": {"kind": "lm-eval import"}}), ["chat template"]),
        (of({"engine": {}}), of(), ["engine"]),
    ],
)  # fmt: skip
def test_what_isnt_known_is_no_difference_and_never_silent(
    a: Settings, b: Settings, doubts: list[str]
) -> None:
    assert unknown(a, b, (*OF_TASK, *OF_RUN)) == doubts
    assert [f.field for f in differences(a, b) if f.field != "shots"] == []


def test_a_group_is_known_only_where_all_its_tasks_are() -> None:
    tasks = [replace(TASK, task="a"), replace(TASK, task="b", request_hash="")]
    assert settings(RUN, tasks).prompt == ""
    assert settings(RUN, tasks[:1]).prompt == "r"
    assert settings(RUN, tasks).num_docs == "all 20"


def other(**changes: Any) -> Manifest:
    return replace(RUN, run_id="other", **changes)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"engine": {"kind": "vllm", "version": "2"}}, "engine version 1 against 2"),
        ({"packages": {}}, "unverified: lm-eval version"),
        ({"config": {"suite": {"modified": ["+x"]}}}, "other: modified suite (+x)"),
        ({"suite_version": "2"}, "suite version 1 against 2"),
    ],
)
def test_what_else_differs_between_runs_is_noted(changes: dict[str, Any], note: str) -> None:
    assert note in run_notes(RUN, other(**changes))


def test_each_models_own_template_is_noted_and_keeps_nothing_apart() -> None:
    checkpoints = [{"is_chat": True, "fingerprint": n, "chat_template_hash": n} for n in "ab"]
    a, b = (other(checkpoint=checkpoint) for checkpoint in checkpoints)
    assert run_notes(replace(a, run_id="a"), b) == ("each with its own chat template",)
    assert texts(settings(a, [TASK]), settings(b, [TASK])) == []


def test_two_runs_of_made_up_answers_are_said_to_be() -> None:
    fake = other(engine={"kind": "fake"})
    (note, *_) = run_notes(fake, replace(fake, run_id="second"))
    assert "fake engine" in note


def test_the_tasks_of_an_added_group_are_added() -> None:
    tasks: list[TaskSummary] = [_summary("law", "mmlu", [1.0]), TASK]
    run = other(tasks=tuple(tasks), config={"suite": {"modified": ["+mmlu", "t.limit", "-x"]}})
    assert added_tasks(run) == {"mmlu", "law"}


def test_a_group_is_scored_otherwise_where_one_of_its_tasks_is() -> None:
    same = replace(TASK, task="a", task_hash="0" * 64)
    a, b = (settings(RUN, [same, replace(TASK, task="b", task_hash=c * 64)]) for c in "12")
    assert texts(a, b) == [
        "scored differently (filter or metric changed: task 11111111 against 22222222)"
    ]


def test_a_run_that_ended_before_its_engine_answered_is_fake_if_that_was_asked_for() -> None:
    assert other(engine={}, config={"engine": {"kind": "fake"}}).is_fake
    assert not other(engine={"kind": "hf"}, config={"engine": {"kind": "fake"}}).is_fake


def test_answers_that_were_cut_are_reported_beside_a_verdict() -> None:
    cut = replace(TASK, bound_low=0.25, bound_high=1.0)
    assert task_notes(TASK, TASK) == ()
    assert task_notes(TASK, cut) == (
        "cut or empty answers in the second run: its score is between 0.250 and 1.000",
    )
    half = replace(TASK, bound_high=1.0)
    assert task_notes(half, half) == ()


def test_few_shots_of_one_task_are_drawn_for_its_group() -> None:
    tasks = [TASK, replace(TASK, task="b", num_fewshot=5)]
    assert (settings(RUN, tasks).draw, settings(RUN, tasks[:1]).draw) == ("1", "none")
    assert settings(RUN, [replace(TASK, num_fewshot=2)] * 2).draw == "1"
