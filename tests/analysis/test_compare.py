import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evalharness.analysis.compare import Comparison, compare_runs
from evalharness.analysis.paired import mde_at, paired_test
from evalharness.records import Manifest, MetricRecord
from evalharness.store.read import load_metrics
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


def test_a_better_model_is_called_better_and_an_equal_one_is_not(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {"tasks": {"x": better(TASKS["x"], 25), "y": TASKS["y"]}})
    x, y = found.tasks
    assert (x.verdict, x.result.wins, x.result.losses) == ("better", 25, 0)
    assert x.result.difference == pytest.approx(0.25)
    assert (y.verdict, y.result.difference) == ("no difference resolved", 0.0)
    assert x.p_adjusted == pytest.approx(2 * x.result.p_value)
    assert found.overall is not None
    assert found.overall.result.difference == pytest.approx(0.125)


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


def test_failed_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    scores: list[float | None] = [None, None, *TASKS["x"][2:]]
    (row,) = compare(tmp_path, {"tasks": {"x": TASKS["x"]}}, {"tasks": {"x": scores}}).tasks
    assert (row.result.n, row.num_only_a, row.num_only_b) == (98, 2, 0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"on_task": {"x": {"version": "2.0"}}}, "task version 1.0 against 2.0"),
        ({"on_task": {"x": {"num_fewshot": 5}}}, "0 shots against 5"),
        ({"on_task": {"x": {"request_hash": "other"}}}, "another prompt"),
        ({"on_task": {"x": {"status": "failed"}}}, "failed in b"),
        ({"tasks": {"y": TASKS["y"]}}, "only in a"),
        ({"first_doc": 1000}, "no docs in common (100 only in a, 100 only in b)"),
    ],
)
def test_what_cant_be_compared_is_left_out_and_told(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    found = compare(tmp_path, {}, change)
    assert why in found.left_out["x"]
    assert "x" not in [row.task for row in found.tasks]


def test_other_prompts_are_compared_when_asked_for(tmp_path: Path) -> None:
    change = {"on_task": {"x": {"num_fewshot": 5}}}
    assert len(compare(tmp_path, {}, change, {"any_prompt": True}).tasks) == 2


def test_a_damaged_file_costs_its_task_only(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {})
    (tmp_path / "b" / "samples" / "x.parquet").write_bytes(b"PAR1 and nothing PAR1")
    found = compare_runs(tmp_path, found.a, found.b)
    assert found.left_out == {"x": "damaged samples in b"}
    assert [row.task for row in found.tasks] == ["y"]


def test_damage_within_a_file_is_blamed_on_the_run_that_has_it(tmp_path: Path) -> None:
    found = compare(tmp_path, {}, {})
    path = tmp_path / "b" / "samples" / "x.parquet"
    content = bytearray(path.read_bytes())
    for place in range(4, len(content) // 2):
        content[place] ^= 255
    path.write_bytes(content)
    found = compare_runs(tmp_path, found.a, found.b)
    assert found.left_out == {"x": "damaged samples in b"}


def test_a_group_is_one_row_over_all_its_docs(tmp_path: Path) -> None:
    groups = {"g": ["x", "y"]}
    b = {"tasks": {"x": better(TASKS["x"], 20), "y": TASKS["y"]}, "groups": groups}
    found = compare(tmp_path, {"groups": groups}, b)
    (row,) = found.tasks
    assert (row.task, row.num_members, row.result.n, row.result.wins) == ("g", 2, 200, 20)
    assert [member.task for member in found.members] == ["x", "y"]


def test_a_group_whose_tasks_weigh_the_same_is_told_so(tmp_path: Path) -> None:
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
        "unpaired: the metric is no mean of samples, and can't be computed from what is stored",
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
    found = compare(tmp_path, {}, {"checkpoint": {"fingerprint": "fp-m", "is_chat": False}})
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
