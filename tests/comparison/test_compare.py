import math
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evalharness.comparison.compare import (
    Comparison,
    compare_runs,
)
from evalharness.stats.paired import (
    mde_at,
    paired_test,
)
from evalharness.store.layout import samples_path
from evalharness.store.read import load_metrics
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)
from evalharness.store.write import RunWriter
from stores import _sample, make_run

TASKS = {"x": [1.0] * 30 + [0.0] * 70, "y": [1.0, 0.0] * 50}


def better(scores: list[float], gained: int) -> list[float]:
    """The last `gained` wrong ones right."""
    wrong = [i for i, score in enumerate(scores) if score == 0][-gained:] if gained else []
    return [1.0 if i in wrong else score for i, score in enumerate(scores)]


def compare(
    path: Path, a: dict[str, Any], b: dict[str, Any], options: dict[str, Any] | None = None
) -> Comparison:
    base = {"model": "m", "suite": "s", "tasks": TASKS}
    runs = [make_run(path, name, **{**base, **run}) for name, run in (("a", a), ("b", b))]
    return compare_runs(path, *runs, **(options or {}))


def rewrite(
    path: Path, run: Manifest, change: Callable[[MetricRecord], MetricRecord | None]
) -> None:
    """The run's metrics, each changed, or left out where the change is None."""
    found = [change(metric) for metric in load_metrics(path / run.run_id)]
    RunWriter(path / run.run_id, run).write_metrics([m for m in found if m is not None])


def of(task: str, **fields: Any) -> Callable[[MetricRecord], MetricRecord]:
    return lambda metric: replace(metric, **fields) if metric.task == task else metric


def without(task: str) -> Callable[[MetricRecord], MetricRecord | None]:
    return lambda metric: None if metric.task == task else metric


def test_a_better_model_is_called_better_and_an_equal_one_is_not(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {"tasks": {"x": better(TASKS["x"], 25), "y": TASKS["y"]}})
    x, y = found.tasks
    assert (x.verdict, x.result.wins, x.result.losses) == ("better", 25, 0)
    assert x.result.difference == pytest.approx(0.25)
    assert (y.verdict, y.result.difference) == ("no difference resolved", 0.0)
    assert x.p_adjusted == pytest.approx(2 * x.result.p_value)
    assert found.overall is not None
    assert found.overall.result.difference == pytest.approx(0.125)
    assert (found.overall.task, found.overall.num_only_a, found.overall.num_only_b) == (
        "mean",
        0,
        0,
    )
    assert found.overall.higher_is_better
    assert found.margin == 0.01  # a point of 100 where none is asked for


def test_for_a_metric_of_which_less_is_better_a_drop_is_better(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, name, "m", "s", {"x": scores})
        for name, scores in (("a", better(TASKS["x"], 25)), ("b", TASKS["x"]))
    ]
    for run in runs:
        metric = MetricRecord(
            task="x", group="x", metric="acc", filter="none", value=0.55 if run is runs[0] else 0.3,
            ci_low=0.1, ci_high=0.9, stderr=0.05, n=100, higher_is_better=False, is_main=True,
        )  # fmt: skip
        RunWriter(tmp_path / run.run_id, run).write_metrics([metric])
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.verdict, row.higher_is_better) == ("better", False)


def test_more_knowledge_of_hazards_is_worse(tmp_path: Path) -> None:
    found = compare(
        tmp_path,
        {"tasks": {"wmdp_bio": TASKS["x"]}},
        {"tasks": {"wmdp_bio": better(TASKS["x"], 25)}},
    )
    (row,) = found.tasks
    assert (row.verdict, row.higher_is_better, row.notes) == ("worse", False, ("lower is safer",))


def test_a_safety_suite_has_no_mean(tmp_path: Path) -> None:
    config = {"suite": {"domain": "safety"}}
    assert compare(tmp_path, {"config": config}, {"config": config}).overall is None


def test_a_named_member_of_a_group_is_its_own_row(tmp_path: Path) -> None:
    groups = {"g": ["x", "y"]}
    found = compare(tmp_path, {"groups": groups}, {"groups": groups}, {"tasks": ["x"]})
    assert [row.task for row in found.tasks] == ["x"]


def test_many_equal_docs_are_equivalent(tmp_path: Path) -> None:
    scores = [1.0, 0.0] * 2000
    found = compare(tmp_path, {"tasks": {"x": scores}}, {"tasks": {"x": better(scores, 3)}})
    assert found.tasks[0].verdict == "equivalent"
    tight = compare_runs(tmp_path, found.a, found.b, margin=0.0005)
    assert tight.tasks[0].verdict == "no difference resolved"


def test_a_run_with_itself_has_no_difference(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", "m", "s", TASKS)
    found = compare_runs(tmp_path, run, run)
    assert {row.result.difference for row in found.tasks} == {0.0}
    assert found.notes == ("the same run: there is no difference",)


def test_docs_are_joined_by_hash_and_the_others_are_counted(tmp_path: Path) -> None:
    found = compare(tmp_path, {"tasks": {"x": TASKS["x"]}},
                    {"tasks": {"x": TASKS["x"]}, "first_doc": 40})  # fmt: skip
    (row,) = found.tasks
    assert (row.result.n, row.num_only_a, row.num_only_b) == (60, 40, 40)


def with_other_content(path: Path, num: int, **on_x: Any) -> tuple[Manifest, Manifest]:
    """Two runs of which the second was asked docs of another content at the task's first places."""
    of_a = {"x": {k: v for k, v in on_x.items() if k == "num_docs"}}
    runs = [make_run(path, "a", "m", "s", {"x": TASKS["x"]}, on_task=of_a)]
    runs.append(make_run(path, "b", "m", "s", {"x": TASKS["x"]}, on_task={"x": on_x}))
    rows = [
        replace(_sample("x", doc + 1000 * (doc < num), score, None), doc_id=doc)
        for doc, score in enumerate(TASKS["x"])
    ]
    RunWriter(path / "b", runs[1]).write_samples("x", rows)
    return runs[0], runs[1]


@pytest.mark.parametrize(
    ("num", "fingerprint", "why"),
    [
        (10, "", "other docs: 10 with other content in the same place; --any-prompt compares the 90 in common"),
        (10, "other", "other docs (all 100 each): 10 with other content in the same place; --any-prompt compares the 90 in common"),
        (100, "", "other docs: 100 with other content in the same place; none in common: repeat one on the other's docs"),
        (100, "other", "other docs (all 100 each): 100 with other content in the same place; none in common: repeat one on the other's docs"),
        (0, "other", "other docs (all 100 each); --any-prompt compares the 100 in common"),
    ],
)  # fmt: skip
def test_docs_of_another_content_are_called_so_and_not_missing(
    tmp_path: Path, num: int, fingerprint: str, why: str
) -> None:
    runs = with_other_content(tmp_path, num, dataset_fingerprint=fingerprint)
    assert compare_runs(tmp_path, *runs).left_out == {"x": why}


@pytest.mark.parametrize("fingerprint", ["", "f", "other"])
def test_the_docs_in_common_are_compared_when_asked_for(tmp_path: Path, fingerprint: str) -> None:
    runs = with_other_content(tmp_path, 10, dataset_fingerprint=fingerprint)
    (row,) = compare_runs(tmp_path, *runs, any_prompt=True).tasks
    assert (row.result.n, row.is_missing) == (90, False)
    assert "without 10 docs with other content in the same place" in row.notes


def test_docs_that_neither_run_got_to_are_missing_beside_other_ones(tmp_path: Path) -> None:
    runs = with_other_content(tmp_path, 10, num_docs=105)
    (row,) = compare_runs(tmp_path, *runs, any_prompt=True).tasks
    assert (row.result.n, row.num_neither) == (90, 5)


def test_docs_of_which_none_are_common_are_no_comparison(tmp_path: Path) -> None:
    runs = with_other_content(tmp_path, 100)
    why = "no docs in common (100 with other content in the same place, 0 only in a, 0 only in b)"
    assert compare_runs(tmp_path, *runs, any_prompt=True).left_out == {"x": why}


def test_failed_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    scores: list[float | None] = [None, None, *TASKS["x"][2:]]
    (row,) = compare(tmp_path, {"tasks": {"x": TASKS["x"]}}, {"tasks": {"x": scores}}).tasks
    assert (row.result.n, row.num_only_a, row.num_only_b) == (98, 2, 0)
    assert row.num_members == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"on_task": {"x": {"version": "2.0"}}}, "task version 1.0 against 2.0"),
        ({"on_task": {"x": {"num_fewshot": 5}}}, "0 shots against 5"),
        ({"on_task": {"x": {"request_hash": "other"}}}, "another prompt"),
        (
            {"on_task": {"x": {"sampling": "temperature 0.6"}}},
            "sampling greedy, max_gen_toks 256 against temperature 0.6",
        ),
        (
            {"on_task": {"x": {"task_hash": "other"}}},
            "scored differently (filter or metric changed",
        ),
        ({"on_task": {"x": {"dataset_fingerprint": "other"}}}, "other docs (all 100 each)"),
        ({"checkpoint": {"is_chat": False}}, "prompted with a chat template against as plain text"),
        ({"packages": {"lm-eval": "0.4.9"}}, "lm-eval version 0.4.13 against 0.4.9"),
        ({"engine": {"kind": "fake"}}, "the fake engine's answers against a model's"),
        ({"on_task": {"x": {"status": "failed"}}}, "failed in b"),
        ({"tasks": {"y": TASKS["y"]}}, "only in a"),
        ({"first_doc": 1000}, "no docs in common (100 only in a, 100 only in b)"),
    ],
)
def test_what_cant_be_compared_is_left_out_and_reported(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    found = compare(tmp_path, {}, change)
    assert why in found.left_out["x"]
    assert "x" not in [row.task for row in found.tasks]


def test_other_prompts_are_compared_when_asked_for_and_reported(tmp_path: Path) -> None:
    change = {"on_task": {"x": {"num_fewshot": 5, "repeats": 4}}}
    x, y = compare(tmp_path, {}, change, {"any_prompt": True}).tasks
    assert (x.notes, y.notes) == (("1 repeat against 4", "0 shots against 5"), ())


@pytest.mark.parametrize(
    "change", [{"on_task": {"x": {"version": "2.0"}}}, {"engine": {"kind": "fake"}}]
)
def test_another_version_and_made_up_answers_are_never_compared(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    found = compare(tmp_path, {}, change, {"any_prompt": True})
    assert "x" in found.left_out
    assert "--any-prompt" not in found.left_out["x"]


def test_what_differs_in_the_whole_run_is_noted_when_compared_all_the_same(tmp_path: Path) -> None:
    days = [{"template_date": f"2026-01-0{day}"} for day in (1, 2)]
    said = "the chat template writes 2026-01-01 against 2026-01-02 as today's date"
    assert said in compare(tmp_path / "no", *days).left_out["x"]
    found = compare(tmp_path / "yes", *days, {"any_prompt": True})
    assert (len(found.tasks), found.notes[0]) == (2, said)


def test_a_score_that_may_differ_is_compared_and_said_to_be_unverified(tmp_path: Path) -> None:
    old = {"on_task": {"x": {"request_hash": "", "task_hash": ""}}}
    x, y = compare(tmp_path, {}, old).tasks
    assert x.notes == ("unverified: prompt or generation settings, scoring",)
    assert y.notes == ()


def test_another_main_metric_of_the_second_is_reported(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, name, "s", {"x": TASKS["x"]}) for name in "ab"]
    metrics = load_metrics(tmp_path / "b")
    more = [replace(metrics[0], metric="f1"), replace(metrics[0], is_main=False)]
    RunWriter(tmp_path / "b", runs[1]).write_metrics(more)
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.metric, row.notes) == ("acc", ("b itself shows f1 (none)",))


def test_a_damaged_file_costs_its_task_only(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {})
    (tmp_path / "b" / "samples" / "x.parquet").write_bytes(b"PAR1 and nothing PAR1")
    found = compare_runs(tmp_path, found.a, found.b)
    assert found.left_out == {"x": "damaged samples in b; `evalharness results verify b` says more"}
    assert [row.task for row in found.tasks] == ["y"]
    (tmp_path / "a" / "samples" / "x.parquet").write_bytes(b"PAR1 and nothing PAR1")
    found = compare_runs(tmp_path, found.a, found.b)
    assert found.left_out == {
        "x": "damaged samples in a and b; `evalharness results verify a b` says more"
    }
    (tmp_path / "a" / "samples" / "x.parquet").unlink()
    assert compare_runs(tmp_path, found.a, found.b).left_out == {"x": "no samples"}


def test_damage_to_a_task_of_an_odd_name_is_reported(tmp_path: Path) -> None:
    found = compare(tmp_path, *({"tasks": {"my/task": TASKS["x"]}},) * 2)
    samples_path(tmp_path / "b", "my/task").write_bytes(b"PAR1 and nothing PAR1")
    found = compare_runs(tmp_path, found.a, found.b)
    assert found.left_out == {
        "my/task": "damaged samples in b; `evalharness results verify b` says more"
    }


def test_damage_within_a_file_is_blamed_on_the_run_that_has_it(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {})
    path = tmp_path / "b" / "samples" / "x.parquet"
    content = bytearray(path.read_bytes())
    for place in range(4, len(content) // 2):
        content[place] ^= 255
    path.write_bytes(content)
    found = compare_runs(tmp_path, found.a, found.b)
    assert found.left_out == {"x": "damaged samples in b; `evalharness results verify b` says more"}


def test_a_group_is_one_row_over_all_its_docs(tmp_path: Path) -> None:
    groups = {"g": ["x", "y"]}
    b = {"tasks": {"x": better(TASKS["x"], 20), "y": TASKS["y"]}, "groups": groups}
    found = compare(tmp_path, {"groups": groups}, b)
    (row,) = found.tasks
    assert (row.task, row.num_members, row.result.n, row.result.wins) == ("g", 2, 200, 20)
    assert [member.task for member in found.members] == ["x", "y"]


def test_a_group_says_in_what_its_tasks_differ_that_are_compared_all_the_same(
    tmp_path: Path,
) -> None:
    b = {
        "on_task": {
            "x": {"repeats": 3, "sampling": "temperature 1, max_gen_toks 256", "task_hash": ""}
        }
    }
    groups = {"groups": {"g": ["x", "y"]}}
    (row,) = compare(tmp_path, groups, groups | b, {"any_prompt": True}).tasks
    reported = (
        "1 repeat against 3",
        "sampling greedy against temperature 1",
        "unverified: scoring",
    )
    assert row.notes == reported


def test_a_group_whose_tasks_weigh_the_same_is_reported(tmp_path: Path) -> None:
    groups = {"g": ["x", "y"]}
    tasks = {"x": TASKS["x"], "y": TASKS["y"][:20]}
    runs = [make_run(tmp_path, name, "m", "s", tasks, groups=groups) for name in "ab"]
    for run in runs:
        path = tmp_path / run.run_id
        writer = RunWriter(path, run)
        metrics = [replace(m, value=0.4) if m.task == "g" else m for m in load_metrics(path)]
        writer.write_metrics(metrics)
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert row.notes == ("tasks weigh the same",)
    assert row.result.value_a == pytest.approx(0.4)


def test_a_metric_that_is_no_mean_is_compared_unpaired(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, "m", "s", {"x": TASKS["x"]}) for name in "ab"]
    for run, value in zip(runs, (0.2, 0.6), strict=True):
        metric = MetricRecord(
            task="x", group="x", metric="acc", filter="none", value=value, ci_low=0.1, ci_high=0.9,
            stderr=0.05, n=100, higher_is_better=True, is_main=True,
        )  # fmt: skip
        RunWriter(tmp_path / run.run_id, run).write_metrics([metric])
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert row.result.test == "z"
    assert row.result.difference == pytest.approx(0.4)
    assert row.notes == (
        "unpaired: the metric is not a mean of samples, and can't be computed from what is stored",
    )


def test_the_mde_is_that_of_the_corrected_verdict(tmp_path: Path) -> None:
    """Of two rows nothing shows: each has half of alpha."""
    rows = compare(tmp_path / "equal", {}, {"tasks": TASKS}).tasks
    for row in rows:
        assert row.result.mde == mde_at(row.result, 0.025) > mde_at(row.result, 0.05)
    tasks = {"x": better(TASKS["x"], 25), "y": TASKS["y"]}
    x, y = compare(tmp_path / "better", {}, {"tasks": tasks}).tasks
    assert x.result.mde == mde_at(x.result, 0.025)
    assert y.result.mde == mde_at(y.result, 0.05)  # x shows, whatever y does


def test_few_sources_are_noted(tmp_path: Path) -> None:
    few = {"clusters": {"x": [f"passage {i % 4}" for i in range(100)]}}
    x, y = compare(tmp_path, few, few).tasks
    assert x.notes == ("4 sources: too few to know how far others would differ",)
    assert (y.notes, x.result.ci_low < -0.6, x.result.ci_high > 0.6) == ((), True, True)


def test_clusters_widen_the_interval(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    a, b = (np.repeat((draw.random((2, 20)) < 0.5).astype(float), 5, axis=1)).tolist()
    sources = {"x": [f"passage {i // 5}" for i in range(100)]}
    plain = compare(tmp_path / "plain", {"tasks": {"x": a}}, {"tasks": {"x": b}}).tasks[0]
    found = compare(
        tmp_path / "clustered",
        {"tasks": {"x": a}, "clusters": sources},
        {"tasks": {"x": b}, "clusters": sources},
    ).tasks[0]
    assert (plain.result.num_clusters, found.result.num_clusters) == (None, 20)
    assert found.result.stderr > 1.8 * plain.result.stderr


def test_what_else_differs_is_noted(tmp_path: Path) -> None:
    other = {"checkpoint": {"fingerprint": "fp-m", "is_chat": False}}
    found = compare(tmp_path, {}, other, {"any_prompt": True})
    assert len(found.tasks) == 2
    assert found.notes == (
        "prompted with a chat template against as plain text",
        "the same weights",
    )


def test_one_sample_resolves_nothing(tmp_path: Path) -> None:
    (row,) = compare(tmp_path, {"tasks": {"x": [0.0]}}, {"tasks": {"x": [1.0]}}).tasks
    assert (row.verdict, row.result.p_value) == ("no difference resolved", 1.0)
    assert row.result.ci_low < row.result.ci_high


def test_no_score_at_all_is_left_out(tmp_path: Path) -> None:
    found = compare(tmp_path, {"tasks": {"x": [None, None]}}, {"tasks": {"x": [1.0, 0.0]}})
    assert found.tasks == ()
    assert "no docs in common" in found.left_out["x"] or "no score" in found.left_out["x"]


def test_the_composites_parts_make_the_overall(tmp_path: Path) -> None:
    config = {"suite": {"composite": {"name": "whole", "parts": ["x", "y"]}}}
    tasks = {**TASKS, "z": [0.0] * 50}
    found = compare(
        tmp_path,
        {"tasks": tasks, "config": config},
        {"tasks": {**tasks, "z": [1.0] * 50}, "config": config},
    )
    assert found.overall is not None
    assert (found.overall.task, found.overall.result.difference) == ("whole", 0.0)
    assert math.isnan(found.overall.p_adjusted) or found.overall.p_adjusted == 1


def test_repeats_are_averaged_within_their_doc(tmp_path: Path) -> None:
    runs: list[Manifest] = []
    for name, scores in (("a", (0.0, 0.0, 1.0, 1.0)), ("b", (1.0, 0.0, 1.0, 1.0))):
        run = make_run(tmp_path, name, "m", "s", {"x": [sum(scores[:2]) / 2, sum(scores[2:]) / 2]})
        rows = [
            replace(_sample("x", doc, scores[2 * doc + repeat], None), repeat=repeat)
            for doc in (0, 1)
            for repeat in (0, 1)
        ]
        RunWriter(tmp_path / name, run).write_samples("x", rows)
        runs.append(run)
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.result.n, row.result.value_a, row.result.value_b) == (2, 0.5, 0.75)


def test_the_means_error_is_that_of_independent_rows(tmp_path: Path) -> None:
    found = compare(
        tmp_path, {}, {"tasks": {"x": better(TASKS["x"], 25), "y": better(TASKS["y"], 4)}}
    )
    x, y = (row.result for row in found.tasks)
    assert found.overall is not None
    mean = found.overall.result
    assert mean.stderr == pytest.approx(math.sqrt(x.stderr**2 + y.stderr**2) / 2)
    assert mean.difference == pytest.approx((0.25 + 0.04) / 2)
    assert (mean.value_a, mean.value_b) == pytest.approx((0.4, 0.545))
    assert mean.n == 200
    assert mean.p_value == pytest.approx(2 * stats.norm.sf(mean.difference / mean.stderr))
    assert found.overall.verdict == "better"


def test_a_row_on_which_nothing_changed_adds_its_intervals_width_to_the_means_error(
    tmp_path: Path,
) -> None:
    found = compare(tmp_path, {}, {"tasks": {"x": better(TASKS["x"], 25), "y": TASKS["y"]}})
    x, y = (row.result for row in found.tasks)
    assert (y.stderr, found.overall is None) == (0.0, False)
    spread = (y.ci90_high - y.ci90_low) / (2 * 1.6448536)
    assert found.overall.result.stderr == pytest.approx(math.hypot(x.stderr, spread) / 2)  # type: ignore[union-attr]


def test_rows_of_which_less_is_better_stay_out_of_the_mean(tmp_path: Path) -> None:
    three = {**TASKS, "z": [1.0, 0.0] * 30}
    found = compare(
        tmp_path,
        {"tasks": three, "lower_is_better": ["z"]},
        {"tasks": {**three, "z": [0.0] * 60}, "lower_is_better": ["z"]},
    )
    assert found.overall is not None
    assert found.overall.result.difference == 0.0
    assert found.overall.notes == ("mean of 2 of 3 rows",)
    two = compare(
        tmp_path / "two",
        {"tasks": TASKS, "lower_is_better": ["y"]},
        {"tasks": TASKS, "lower_is_better": ["y"]},
    )
    assert two.overall is None


def test_a_groups_sources_are_its_tasks_own(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    a, b = (np.repeat((draw.random((2, 20)) < 0.5).astype(float), 5, axis=1)).tolist()
    groups = {"g": ["x", "y"]}
    # The same words in both tasks: still other sources.
    sources = {task: [f"passage {i // 5}" for i in range(100)] for task in "xy"}
    (row,) = compare(
        tmp_path,
        {"tasks": {"x": a, "y": b}, "groups": groups, "clusters": sources},
        {"tasks": {"x": b, "y": a}, "groups": groups, "clusters": sources},
    ).tasks
    assert row.result.num_clusters == 40
    each = paired_test(a, b, np.random.default_rng(0), np.repeat(np.arange(20), 5))
    assert row.result.difference == pytest.approx(0.0)
    d = (np.array(b) - np.array(a))[::5]
    # 40 sources of 5 docs: sums of 5 d and -5 d, C / (C - 1)
    assert row.result.stderr == pytest.approx(math.sqrt(2 * 25 * (d @ d) * 40 / 39) / 200)
    assert each.num_clusters == 20


def test_a_group_of_which_one_task_has_sources_counts_the_others_docs(tmp_path: Path) -> None:
    groups = {"g": ["x", "y"]}
    sources = {"x": [f"passage {i // 5}" for i in range(100)]}
    runs = {"tasks": TASKS, "groups": groups, "clusters": sources}
    (row,) = compare(tmp_path, runs, runs).tasks
    assert row.result.num_clusters == 20 + 100


def test_docs_that_only_one_has_count_in_the_groups_score(tmp_path: Path) -> None:
    groups = {"g": ["x", "y"]}
    full = {"x": [1.0] * 30 + [0.0] * 70, "y": [1.0] * 80 + [0.0] * 20}
    part = {"x": [None] * 10 + full["x"][10:], "y": full["y"]}  # type: ignore[list-item]
    (row,) = compare(
        tmp_path, {"tasks": full, "groups": groups}, {"tasks": part, "groups": groups}
    ).tasks
    assert (row.result.n, row.num_only_a, row.num_only_b) == (190, 10, 0)
    assert row.notes == ()
    assert (row.result.value_a, row.result.value_b) == pytest.approx((100 / 190, 100 / 190))


def test_a_groups_own_metric_decides_for_its_tasks(tmp_path: Path) -> None:
    runs = []
    for name, shift in (("a", 0.0), ("b", 1.0)):
        groups = {"g": ["x", "y"]}
        run = make_run(tmp_path, name, "m", "s", TASKS, groups=groups)
        path = tmp_path / name
        metrics = load_metrics(path)
        extra = [replace(m, metric="f1", is_main=m.task == "g", value=shift) for m in metrics]
        RunWriter(path, run).write_metrics(
            [replace(m, is_main=m.task != "g") for m in metrics] + extra
        )
        for task, scores in TASKS.items():
            rows = [
                replace(_sample(task, i, s, None), scores={"acc": s, "f1": shift})
                for i, s in enumerate(scores)
            ]
            RunWriter(path, run).write_samples(task, rows)
        runs.append(run)
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.task, row.metric, row.result.difference) == ("g", "f1", 1.0)
    assert {m.metric for m in compare_runs(tmp_path, *runs).members} == {"f1"}


def test_comparing_again_gives_the_same_p(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    a = draw.random(50)
    b = (a + 0.1 * draw.standard_normal(50) + 0.02).clip(0, 1)
    found = compare(tmp_path, {"tasks": {"x": a.tolist()}}, {"tasks": {"x": b.tolist()}})
    again = compare_runs(tmp_path, found.a, found.b)
    assert 0 < found.tasks[0].result.p_value < 1
    assert found.tasks[0].result.p_value == again.tasks[0].result.p_value
    seeded = np.random.default_rng([50, *b"x"])
    # In the order of the docs' hashes, as the store reads them.
    order = np.argsort([_sample("x", i, 0.0, None).doc_hash for i in range(50)])
    expected = paired_test(a[order], b[order], seeded).p_value
    assert found.tasks[0].result.p_value == expected


def test_a_part_of_a_group_is_said_to_be_one(tmp_path: Path) -> None:
    groups = {"g": ["x", "y"]}
    (row,) = compare(
        tmp_path,
        {"groups": groups},
        {"groups": groups, "on_task": {"y": {"version": "2.0"}}},
    ).tasks
    assert (row.task, row.num_members, row.notes) == ("g", 1, ("1 of 2 tasks",))


@pytest.mark.parametrize(
    ("scale", "off", "test"),
    [(1, 8e-7, "mcnemar"), (1, 1.5e-6, "z"), (100, 2e-5, "permutation"), (100, 5e-5, "z")],
)
def test_a_metric_within_a_millionth_of_its_samples_mean_is_that_mean(
    tmp_path: Path, scale: int, off: float, test: str
) -> None:
    found = compare(tmp_path, *({"tasks": {"x": [scale * s for s in TASKS["x"]]}},) * 2)
    rewrite(tmp_path, found.b, of("x", value=0.3 * scale + off))
    assert compare_runs(tmp_path, found.a, found.b).tasks[0].result.test == test


def test_an_unpaired_row_counts_the_smaller_run_and_both_errors(tmp_path: Path) -> None:
    found = compare(tmp_path, {"tasks": {"x": TASKS["x"]}}, {"tasks": {"x": TASKS["x"]}})
    rewrite(tmp_path, found.a, of("x", value=0.6, stderr=0.03, n=80))
    rewrite(tmp_path, found.b, of("x", value=0.2, stderr=0.04, n=100))
    (row,) = compare_runs(tmp_path, found.a, found.b).tasks
    assert (row.result.difference, row.result.stderr) == pytest.approx((-0.4, 0.05))
    assert (row.result.n, row.num_members, row.verdict) == (80, 1, "worse")


def test_a_row_without_a_p_stays_outside_the_family(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {"tasks": {"x": TASKS["x"], "y": better(TASKS["y"], 6)}})
    rewrite(tmp_path, found.b, of("x", value=0.9, stderr=math.nan))
    x, y = compare_runs(tmp_path, found.a, found.b).tasks
    assert (math.isnan(x.p_adjusted), x.verdict) == (True, "no difference resolved")
    assert (y.p_adjusted, y.verdict) == (y.result.p_value, "better")


@pytest.mark.parametrize(("run", "why"), [("a", "no score in a"), ("b", "no acc (none) in b")])
def test_a_task_without_its_score_is_left_out(tmp_path: Path, run: str, why: str) -> None:
    found = compare(tmp_path, {}, {})
    rewrite(tmp_path, found.a if run == "a" else found.b, without("x"))
    found = compare_runs(tmp_path, found.a, found.b)
    assert found.left_out == {"x": why}
    assert [row.task for row in found.tasks] == ["y"]


def test_a_score_that_is_nan_is_left_out(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {})
    rewrite(tmp_path, found.b, of("x", value=math.nan))
    assert compare_runs(tmp_path, found.a, found.b).left_out == {"x": "no score in one of the runs"}


def test_what_only_b_has_is_reported_unless_tasks_are_named(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {"tasks": {**TASKS, "z": [1.0, 0.0]}})
    assert found.left_out == {"z": "only in b"}
    named = compare_runs(tmp_path, found.a, found.b, tasks=["y"])
    assert ([row.task for row in named.tasks], named.left_out) == (["y"], {})


@pytest.mark.parametrize(
    ("status", "host", "reported"),
    [
        ("running", "elsewhere", "only in b; a is still running"),
        ("running", "", "only in b; a is interrupted: `evalharness resume a` continues it"),
        ("partial", "", "only in b; a is partial: `evalharness resume a` continues it"),
    ],
)
def test_what_a_run_that_hasnt_finished_lacks_is_reported_with_the_way_on(
    tmp_path: Path, status: str, host: str, reported: str
) -> None:
    hardware = {"host": host or socket.gethostname()}
    a = {"tasks": {"x": TASKS["x"]}, "status": status, "hardware": hardware}
    found = compare(tmp_path, a, {})
    assert found.left_out == {"y": reported}
    assert compare_runs(tmp_path, found.b, found.a).left_out == {"y": reported}


@pytest.mark.parametrize(("names", "rows"), [(["g"], ["g"]), (["g", "x"], ["x", "y"])])
def test_a_group_named_is_its_row_unless_a_task_of_it_is_meant(
    tmp_path: Path, names: list[str], rows: list[str]
) -> None:
    runs = {"tasks": {**TASKS, "z": [1.0, 0.0]}, "groups": {"g": ["x", "y"]}}
    found = compare(tmp_path, runs, runs, {"tasks": names})
    assert [row.task for row in found.tasks] == rows


def test_a_group_without_a_score_of_its_own_is_its_tasks(tmp_path: Path) -> None:
    found = compare(tmp_path, *({"groups": {"g": ["x", "y"]}},) * 2)
    rewrite(tmp_path, found.a, without("g"))
    found = compare_runs(tmp_path, found.a, found.b)
    assert ([row.task for row in found.tasks], found.members) == (["x", "y"], ())


def test_a_group_is_its_tasks_where_one_of_them_cant_be_paired(tmp_path: Path) -> None:
    found = compare(tmp_path, *({"groups": {"g": ["x", "y"]}},) * 2)
    rewrite(tmp_path, found.b, of("x", value=0.9))
    found = compare_runs(tmp_path, found.a, found.b)
    assert [(row.task, row.result.test) for row in found.tasks] == [("x", "z"), ("y", "mcnemar")]
    assert found.members == ()


def test_a_task_without_its_groups_metric_is_compared_by_its_own(tmp_path: Path) -> None:
    found = compare(tmp_path, *({"groups": {"g": ["x", "y"]}},) * 2)
    for run in (found.a, found.b):
        rewrite(tmp_path, run, of("g", metric="f1"))
    again = compare_runs(tmp_path, found.a, found.b)
    assert [(row.task, row.metric) for row in again.tasks] == [("x", "acc"), ("y", "acc")]
    metrics = load_metrics(tmp_path / "a")
    own = [replace(m, metric="f1", is_main=False) for m in metrics if m.task == "x"]
    RunWriter(tmp_path / "a", found.a).write_metrics(metrics + own)
    again = compare_runs(tmp_path, found.a, found.b)
    assert again.left_out == {"x": "no f1 (none) in b"}


@pytest.mark.parametrize(("change", "notes"), [(of("g", value=0.6), ("tasks weigh the same",)), (without("g"), ())])  # fmt: skip
def test_a_groups_tasks_weigh_the_same_where_its_score_in_b_says_so(
    tmp_path: Path, change: Any, notes: tuple[str, ...]
) -> None:
    tasks = {"x": TASKS["x"][:20], "y": TASKS["y"]}
    found = compare(tmp_path, *({"tasks": tasks, "groups": {"g": ["x", "y"]}},) * 2)
    rewrite(tmp_path, found.b, change)
    (row,) = compare_runs(tmp_path, found.a, found.b).tasks
    assert (row.task, row.notes) == ("g", notes)
    assert row.result.value_a == pytest.approx(0.75 if notes else 70 / 120)


def test_sources_of_a_few_docs_arent_those_of_many_others(tmp_path: Path) -> None:
    tasks = {"x": TASKS["x"][20:40], "y": TASKS["y"]}
    runs = {
        "tasks": tasks,
        "groups": {"g": ["x", "y"]},
        "clusters": {"x": [f"passage {i // 5}" for i in range(20)]},
    }
    (row,) = compare(tmp_path, runs, runs).tasks
    assert row.result.num_clusters == 4 + 100


def test_a_score_off_the_scale_of_shares_stays_out_of_the_mean(tmp_path: Path) -> None:
    a = {**TASKS, "z": [30.0, 50.0, 40.0]}
    found = compare(tmp_path, {"tasks": a}, {"tasks": {**a, "z": [35.0, 52.0, 49.0]}})
    assert found.overall is not None
    assert (found.overall.num_members, found.overall.notes) == (2, ("mean of 2 of 3 rows",))


def test_a_safety_suites_composite_is_its_mean(tmp_path: Path) -> None:
    suite = {"domain": "safety", "composite": {"name": "safe", "parts": ["x", "y"]}}
    found = compare(tmp_path, *({"config": {"suite": suite}},) * 2)
    assert found.overall is not None
    assert (found.overall.task, found.overall.num_members) == ("safe", 2)
