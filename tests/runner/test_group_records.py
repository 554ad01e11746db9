"""Records of groups from their members' scores: weights, filters, main metric, who is in."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import own_tasks
from evalharness.config.schema import TaskConfig
from evalharness.runner.group_scores import (
    inner_groups,
    members_of,
    score_groups,
)
from evalharness.runner.score import TaskScores
from evalharness.stats.estimates import (
    Estimate,
    estimate,
)
from evalharness.stats.weighted_mean import (
    Member,
    weighted_mean,
)
from evalharness.store.records import MetricRecord
from evalharness.tasks.suite import LoadedSuite

SIZES = {"ga": 4, "gb": 10, "gc": 6}
GROUPS = {
    "alike": ("[ga, gb]", "[{metric: acc}]"),
    "sized": ("[ga, gb]", "[{metric: acc, weight_by_size: true}]"),
    "three": ("[ga, gb, gc]", "[{metric: acc, weight_by_size: false}]"),
    "twice": ("[alike, three]", "[{metric: acc, weight_by_size: false}]"),
    "both": ("[gb, gc]", "[{metric: f1, weight_by_size: false}, {metric: acc, weight_by_size: false}]"),
    "other": ("[gc, ga]", "[{metric: f1, weight_by_size: false}]"),
    "plain": ("[ga, gc]", ""),
    "top": ("[twice, sized, both, other, plain]", ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedSuite]:
    folder = tmp_path_factory.mktemp("groups")
    yaml = own_tasks.CHOICE.replace(
        "metadata", "  - {{metric: f1, aggregation: mean, higher_is_better: false}}\nmetadata"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in SIZES:
            own_tasks.write(folder, name, yaml, own_tasks.PICKS)
        for name, (tasks, metrics) in GROUPS.items():
            more = f"aggregate_metric_list: {metrics}\n" if metrics else ""
            (folder / "tasks" / f"{name}.yaml").write_text(f"group: {name}\ntask: {tasks}\n{more}")
        yield own_tasks.load("top")


def values_of(name: str) -> list[float]:
    return [float(i % 3 == 0) for i in range(SIZES[name])]


def clusters_of(name: str) -> list[str]:
    return [f"s{i // 2}" for i in range(SIZES[name])]


def record(name: str, metric: str, e: Estimate, **changes: Any) -> MetricRecord:
    fields = {
        "task": name,
        "group": "top",
        "metric": metric,
        "filter": "none",
        "higher_is_better": True,
    }
    return MetricRecord(**fields | e._asdict() | {"is_main": metric == "acc"} | changes)  # fmt: skip


def scores_of(name: str) -> TaskScores:
    acc = estimate(values_of(name), clusters_of(name))
    f1 = Estimate(0.25, 0.125, 0.5, 0.0625, 3)
    return TaskScores(
        [record(name, "f1", f1), record(name, "acc", acc)],
        {("acc", "none"): array("d", values_of(name)), ("f1", "none"): [(1, 2)] * 3},
        {("acc", "none"): clusters_of(name)},
    )


SCORES = {name: scores_of(name) for name in SIZES}


def member(name: str, weight: float) -> Member:
    return Member(estimate(values_of(name), clusters_of(name)), weight, values_of(name), clusters_of(name))  # fmt: skip


def found(
    suite: LoadedSuite, name: str, scores: dict[str, TaskScores] = SCORES
) -> list[MetricRecord]:
    return [m for m in score_groups(suite.groups, suite.tasks, scores) if m.task == name]


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("alike", {"ga": 4, "gb": 10}),
        ("sized", {"ga": 4, "gb": 10}),
        ("three", {"ga": 1, "gb": 1, "gc": 1}),
        ("twice", {"ga": 2, "gb": 2, "gc": 1}),
    ],
)
def test_a_groups_record_is_the_weighted_mean_of_its_members(
    suite: LoadedSuite, name: str, weights: dict[str, float]
) -> None:
    (made,) = found(suite, name)
    expected = weighted_mean([member(task, weight) for task, weight in weights.items()])
    got = (made.value, made.ci_low, made.ci_high, made.stderr, made.n)
    assert got == pytest.approx(tuple(expected))
    assert (made.group, made.metric, made.filter) == ("top", "acc", "none")
    assert (made.higher_is_better, made.is_main) == (True, True)


def test_the_value_is_lm_evals_to_the_last_bit(suite: LoadedSuite) -> None:
    scores = {}
    for name, value in zip(SIZES, (0.1, 0.2, 0.3), strict=True):
        metrics = [record(name, "acc", Estimate(value, 0.0, 1.0, 0.5, 4))]
        scores[name] = replace(SCORES[name], metrics=metrics)
    (made,) = found(suite, "three", scores)
    assert made.value == (0.1 + 0.2 + 0.3) / 3 != 0.2


def test_the_main_metric_of_a_group_is_its_first_members_or_else_its_own_first(
    suite: LoadedSuite,
) -> None:
    assert {(m.metric, m.is_main) for m in found(suite, "both")} == {("acc", True), ("f1", False)}
    (only,) = found(suite, "other")
    assert (only.metric, only.is_main, only.higher_is_better) == ("f1", True, False)


def test_a_metric_that_is_no_mean_keeps_its_members_own_intervals(suite: LoadedSuite) -> None:
    (made,) = found(suite, "other")
    one = Member(Estimate(0.25, 0.125, 0.5, 0.0625, 3), 1.0, None, None)
    expected = weighted_mean([one, one])
    assert (made.ci_low, made.ci_high, made.n) == pytest.approx((expected.ci_low, expected.ci_high, 6))  # fmt: skip
    assert made.ci_low < made.value < made.ci_high


def test_a_group_without_one_of_its_members_has_no_record(suite: LoadedSuite) -> None:
    without = {name: scores for name, scores in SCORES.items() if name != "gc"}
    names = {m.task for m in score_groups(suite.groups, suite.tasks, without)}
    assert names == {"alike", "sized"}
    tasks = [task for task in suite.tasks if task.name != "gc"]
    assert {m.task for m in score_groups(suite.groups, tasks, SCORES)} == {"alike", "sized"}


def test_a_group_of_tasks_without_a_scored_doc_is_nan_over_none(suite: LoadedSuite) -> None:
    nothing = Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    scores = {n: TaskScores([record(n, "acc", nothing)], {}) for n in SIZES}
    for name in ("three", "sized"):
        (made,) = found(suite, name, scores)
        assert (math.isnan(made.value), made.n) == (True, 0)


def test_a_member_of_one_doc_weighs_one(suite: LoadedSuite) -> None:
    values = {("acc", "none"): array("d", [1.0])}
    one = TaskScores([record("ga", "acc", estimate([1.0]))], values)
    (made,) = found(suite, "sized", SCORES | {"ga": one})
    assert made.value == pytest.approx((1 + 4) / 11)


def test_inner_groups_are_those_with_a_score_of_their_own(suite: LoadedSuite) -> None:
    inner = inner_groups(suite.groups, suite.tasks)
    assert inner == {
        "alike": ["ga", "gb"],
        "sized": ["ga", "gb"],
        "three": ["ga", "gb", "gc"],
        "twice": ["ga", "gb", "gc"],
        "both": ["gb", "gc"],
        "other": ["gc", "ga"],
    }
    assert inner_groups(suite.groups, [replace(suite.tasks[0], group="three")]).keys() == inner.keys() - {"three"}  # fmt: skip
    assert members_of(suite.groups["top"]) == ["ga", "gb", "gc"]


def test_a_group_of_tasks_with_one_doc_each_has_a_score(suite: LoadedSuite) -> None:
    """As with run.limit=1: lm-eval's pooled standard error would divide by the docs less the tasks, which is 0."""
    scores = {}
    for name, value in zip(SIZES, (1.0, 0.0, 0.0), strict=True):
        values = {("acc", "none"): array("d", [value])}
        scores[name] = TaskScores([record(name, "acc", estimate([value]))], values)
    (made,) = found(suite, "sized", scores)
    assert (made.value, made.n) == (0.5, 2)


def test_a_groups_main_metric_is_that_of_the_first_of_its_members(suite: LoadedSuite) -> None:
    tasks = [replace(t, config=TaskConfig(metric="f1")) if t.name == "gb" else t for t in suite.tasks]  # fmt: skip
    made = [m for m in score_groups(suite.groups, tasks, SCORES) if m.task == "both"]
    assert {(m.metric, m.is_main) for m in made} == {("acc", False), ("f1", True)}


PARTIAL = {"ga": [0.0, 0.25, 0.5, 0.75], "gc": [0.25, 0.5, 0.5, 1.0, 0.75, 0.0]}


@pytest.mark.parametrize("draws", [1.0, 4.0])
def test_partial_scores_are_means_of_right_answers_only_where_docs_were_answered_again(
    suite: LoadedSuite, draws: float
) -> None:
    key, members, scores = ("acc", "none"), [], dict(SCORES)
    for name in ("ga", "gb", "gc"):
        values = PARTIAL.get(name, values_of(name))
        metrics = [record(name, "acc", estimate(values))]
        said = {key: draws} if draws > 1 else {}
        scores[name] = TaskScores(metrics, {key: array("d", values)}, draws=said)
        members.append(Member(estimate(values), 1.0, values, None, draws))
    (made,) = found(suite, "three", scores)
    expected = weighted_mean(members)
    assert (made.ci_low, made.ci_high) == pytest.approx((expected.ci_low, expected.ci_high))


def test_members_of_which_random_docs_were_taken_weigh_by_the_docs_they_have(
    suite: LoadedSuite,
) -> None:
    drawn = {name: replace(SCORES[name], docs_per_draw=times) for name, times in (("ga", 5.0), ("gb", 1.5))}  # fmt: skip
    (made,) = found(suite, "sized", SCORES | drawn)
    expected = weighted_mean([member("ga", 4 * 5), member("gb", 10 * 1.5)])
    assert (made.value, made.stderr, made.n) == pytest.approx((expected.value, expected.stderr, 14))


def corrected(name: str, factor: float) -> TaskScores:
    """As a draw gives it: records of narrowed intervals, and by how much."""
    scores = SCORES[name]
    metrics = [
        replace(m, ci_low=m.value - factor * (m.value - m.ci_low), ci_high=m.value + factor * (m.ci_high - m.value))
        for m in scores.metrics
    ]  # fmt: skip
    return replace(scores, metrics=metrics, corrections=dict.fromkeys(scores.values, factor))


@pytest.mark.parametrize("name", ["three", "other"])
def test_a_group_of_members_drawn_alike_narrows_as_they_do(suite: LoadedSuite, name: str) -> None:
    (wide,) = found(suite, name)
    (made,) = found(suite, name, {task: corrected(task, 0.5) for task in SIZES})
    assert (made.value, made.stderr, made.n) == (wide.value, wide.stderr, wide.n)
    assert made.value - made.ci_low == pytest.approx(0.5 * (wide.value - wide.ci_low))
    assert made.ci_high - made.value == pytest.approx(0.5 * (wide.ci_high - wide.value))


def test_a_group_narrows_by_the_part_of_its_variance_that_is_of_drawn_members(
    suite: LoadedSuite,
) -> None:
    """Weights 4 and 10 of 14; nearly all of gb's docs are known."""
    (wide,) = found(suite, "sized")
    (made,) = found(suite, "sized", SCORES | {"gb": corrected("gb", 0.0625)})
    ga, gb = ((SIZES[n] * member(n, 1).estimate.stderr) ** 2 for n in ("ga", "gb"))
    factor = math.sqrt((ga + gb * 0.0625**2) / (ga + gb))
    assert made.ci_high - made.value == pytest.approx(factor * (wide.ci_high - wide.value))
    assert made.value - made.ci_low == pytest.approx(factor * (wide.value - wide.ci_low))
