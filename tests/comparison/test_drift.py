import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from evalharness.comparison.compare import (
    Comparison,
    compare_runs,
)
from evalharness.comparison.drift import (
    DomainDrift,
    Link,
    Step,
    ancestors,
    call,
    lineage,
    parent_note,
)
from evalharness.comparison.missing import (
    exactly,
    flipped,
)
from evalharness.stats.paired import (
    from_normal,
    mde_at,
    paired_test,
)
from evalharness.store.records import Manifest
from stores import Scores, make_run

RNG = np.random.default_rng(0)
BASE = [1.0, 0.0] * 200
UP = [1.0, 1.0] * 100 + [1.0, 0.0] * 100
DOWN = [0.0, 0.0] * 100 + [1.0, 0.0] * 100


def comparison(
    path: Path,
    suite: str,
    domain: str,
    a: Mapping[str, Scores],
    b: Mapping[str, Scores],
    lower: tuple[str, ...] = (),
    margin: float = 0.01,
) -> Comparison:
    config = {"suite": {"domain": domain}}
    runs = [
        make_run(path, f"{suite}-{name}", name, suite, tasks, lower_is_better=lower, config=config)
        for name, tasks in (("parent", a), ("child", b))
    ]
    return compare_runs(path, *runs, margin=margin)


def step(*comparisons: Comparison, margin: float = 0.01) -> Step:
    (found,) = lineage(["parent", "child"], [Link("parent", "child", comparisons)], margin).steps
    return found


def one(
    path: Path, scores: Scores, margin: float = 0.01, **options: tuple[str, ...]
) -> DomainDrift:
    found = comparison(path, "s", "safety", {"x": BASE}, {"x": scores}, margin=margin, **options)
    return step(found, margin=margin).domain("safety")


def test_the_mde_of_a_domain_is_that_of_the_corrected_test(tmp_path: Path) -> None:
    found = step(
        comparison(tmp_path, "cap", "capability", {"x": BASE}, {"x": BASE}),
        comparison(tmp_path, "safe", "safety", {"x": BASE}, {"x": BASE}),
    )
    for name in ("capability", "safety"):
        mean = found.domain(name).mean
        assert mean is not None
        assert mean.mde == mde_at(mean, 0.025) > mde_at(mean, 0.05)


def test_capability_and_safety_are_distinguished_by_the_domain_of_the_suite(tmp_path: Path) -> None:
    found = step(
        comparison(tmp_path, "cap", "capability", {"x": BASE}, {"x": UP}),
        comparison(tmp_path, "safe", "safety", {"y": BASE}, {"y": DOWN}),
    )
    assert [(d.domain, d.call) for d in found.domains] == [("capability", "up"), ("safety", "down")]
    assert [(r.suite, r.row.task) for r in found.domain("safety").rows] == [("safe", "y")]


def test_a_domain_without_a_suite_isnt_measured(tmp_path: Path) -> None:
    found = step(comparison(tmp_path, "cap", "capability", {"x": BASE}, {"x": UP}))
    assert found.domain("safety").call == "not measured"
    assert found.domain("safety").mean is None


def test_few_docs_resolve_nothing(tmp_path: Path) -> None:
    few = comparison(tmp_path, "s", "safety", {"x": BASE[:40]}, {"x": [0.0] * 4 + BASE[4:40]})
    found = step(few).domain("safety")
    assert found.mean is not None
    assert (found.call, found.mean.difference) == ("not resolved", -0.05)


def test_kept_is_shown_and_not_assumed(tmp_path: Path) -> None:
    assert one(tmp_path / "a", BASE, margin=0.02).call == "kept"
    assert one(tmp_path / "b", BASE, margin=0.001).call == "not resolved"


def test_not_worse_needs_the_lower_end_only(tmp_path: Path) -> None:
    gained = [1.0] * 8 + BASE[8:]
    found = one(tmp_path, gained, margin=0.012)
    assert found.call == "not worse"
    assert not found.is_within


def test_a_significant_loss_within_the_margin_is_down_and_within(tmp_path: Path) -> None:
    lost = [0.0] * 40 + BASE[40:]
    found = one(tmp_path, lost, margin=0.2)
    assert (found.call, found.is_within) == ("down", True)


def test_where_lower_is_better_a_drop_is_up(tmp_path: Path) -> None:
    found = one(tmp_path, DOWN, lower=("x",))
    assert found.call == "up"
    assert found.mean is not None
    assert (found.mean.value_a, found.mean.value_b) == (0.5, 0.75)
    assert found.rows[0].row.result.difference == -0.25


def test_more_hazardous_knowledge_is_less_safe(tmp_path: Path) -> None:
    found = step(comparison(tmp_path, "s", "safety", {"wmdp_bio": BASE}, {"wmdp_bio": UP}))
    domain = found.domain("safety")
    assert domain.call == "down"
    assert (domain.rows[0].row.verdict, domain.rows[0].row.notes) == ("worse", ("lower is safer",))


def test_the_mean_gives_each_row_the_same_weight_over_suites(tmp_path: Path) -> None:
    found = step(
        comparison(
            tmp_path, "s", "capability", {"x": BASE, "y": BASE[:40]}, {"x": UP, "y": BASE[:40]}
        ),
        comparison(tmp_path, "t", "capability", {"z": BASE}, {"z": BASE}),
    ).domain("capability")
    assert found.num_in_mean == 3
    assert found.mean is not None
    assert found.mean.difference == pytest.approx(0.25 / 3)
    assert found.mean.n == 840


def test_the_mean_of_one_suite_is_compares_own(tmp_path: Path) -> None:
    b = {"x": UP, "y": [0.0, 0.0, *BASE[2:]]}
    found = comparison(tmp_path, "s", "capability", {"x": BASE, "y": BASE}, b)
    assert found.overall is not None
    assert step(found).domain("capability").mean == found.overall.result


def test_rows_on_which_nothing_changed_make_no_mean_certain(tmp_path: Path) -> None:
    same = {"x": BASE[:20], "y": BASE[:20]}
    mean = step(comparison(tmp_path, "s", "safety", same, same)).domain("safety").mean
    assert mean is not None
    assert mean.stderr > 0.03
    assert mean.ci_low < -0.05


def test_docs_of_a_task_in_two_suites_count_once(tmp_path: Path) -> None:
    once = step(comparison(tmp_path, "s1", "capability", {"x": BASE}, {"x": UP}))
    small = comparison(tmp_path, "s2", "capability", {"x": BASE[:100]}, {"x": UP[:100]})
    twice = step(*once.comparisons, small)
    assert twice.domain("capability").mean == once.domain("capability").mean
    assert twice.domain("capability").num_in_mean == 1
    assert len(twice.domain("capability").rows) == 2


def test_the_parts_of_a_composite_make_its_mean(tmp_path: Path) -> None:
    config = {"suite": {"domain": "capability", "composite": {"name": "whole", "parts": ["x"]}}}
    runs = [
        make_run(tmp_path, name, name, "s", {"x": BASE, "y": y}, config=config)
        for name, y in (("a", BASE), ("b", UP))
    ]
    domain = step(compare_runs(tmp_path, *runs)).domain("capability")
    assert (domain.num_in_mean, len(domain.rows)) == (1, 2)
    assert domain.mean is not None
    assert domain.mean.difference == 0


def test_p_is_adjusted_over_steps_and_domains(tmp_path: Path) -> None:
    cap = comparison(tmp_path, "cap", "capability", {"x": BASE}, {"x": UP})
    safe = comparison(tmp_path, "safe", "safety", {"x": BASE}, {"x": BASE})
    links = [Link("a", "b", [cap, safe]), Link("b", "c", [cap, safe])]
    found = lineage(["a", "b", "c"], links)
    p = cap.tasks[0].result.p_value
    assert [s.domain("capability").p_adjusted for s in found.steps] == pytest.approx([2 * p, 2 * p])
    assert [s.domain("safety").p_adjusted for s in found.steps] == [1, 1]


def test_a_call_needs_significance() -> None:
    mean = exactly(from_normal(0.5, 0.6, 0.05, 100))
    assert call(mean, 0.051, 0.01) == "not worse"
    assert call(mean, 0.049, 0.01) == "up"
    assert call(exactly(from_normal(0.6, 0.5, 0.05, 100)), 0.049, 0.01) == "down"
    assert call(exactly(from_normal(0.5, 0.5, 0.0, 100)), math.nan, 0.5) == "not resolved"


def test_flipped_is_the_result_of_the_other_answers() -> None:
    a, b = (RNG.random((2, 50)) < 0.5).astype(float)
    found, wanted = flipped(paired_test(a, b, RNG)), paired_test(1 - a, 1 - b, RNG)
    for name in (
        "value_a",
        "difference",
        "ci_low",
        "ci90_high",
        "wins",
        "losses",
        "p_b_above_a",
        "mde",
    ):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name)), name


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("c", ["a", "b", "c"]),
        ("a", ["a"]),
        ("lone", ["unknown", "lone"]),
        ("x", ["y", "x"]),
    ],
)
def test_parents_are_followed_as_far_as_they_are_known(model: str, line: list[str]) -> None:
    parents = {"c": "b", "b": "a", "a": None, "lone": "unknown", "x": "y", "y": "x"}
    assert ancestors(model, parents) == line


def entry(model: str, parent: str | None) -> Manifest:
    return Manifest(
        run_id=model, status="complete", model=model, suite="s", suite_version="1", started_at="",
        config={"model": {"parent": parent}},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parent", "note"),
    [
        ("a", None),
        ("z", "the entry of 'b' names 'z' as its parent, not 'a'"),
        (None, "the entry of 'b' names no parent, not 'a'"),
    ],
)
def test_a_child_that_names_another_parent_is_reported(
    parent: str | None, note: str | None
) -> None:
    assert parent_note(entry("a", None), entry("b", parent)) == note
