"""Verdicts under scores that are missing, and not at random."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.comparison.compare import (
    Comparison,
    _judged,
    compare_runs,
    verdict,
)
from evalharness.comparison.compare_rows import (
    Plan,
    TaskComparison,
)
from evalharness.comparison.drift import (
    Link,
    lineage,
)
from evalharness.comparison.gate import judge
from evalharness.comparison.gate_policy import parse_policy
from evalharness.comparison.leaderboard import build_boards
from evalharness.comparison.missing import (
    Bounds,
    bounds_of,
    exactly,
)
from evalharness.stats.estimates import estimate
from evalharness.stats.paired import paired_test
from evalharness.store.pairs import Possible, _pairs
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)
from evalharness.store.write import RunWriter
from stores import _sample, _summary, make_run

Floats = npt.NDArray[np.float64]

WHOLE = [1.0] * 60 + [0.0] * 40
HARDEST_LOST: list[float | None] = [1.0] * 60 + [None] * 40


def compared(
    path: Path, a: list[Any], b: list[Any], *, margin: float = 0.01, **options: Any
) -> TaskComparison:
    runs = [make_run(path, n, n, "s", {"x": s}, **options) for n, s in (("a", a), ("b", b))]
    (row,) = compare_runs(path, *runs, margin=margin).tasks
    return row


def test_missing_scores_count_at_their_worst_and_at_their_best(tmp_path: Path) -> None:
    row = compared(tmp_path, WHOLE, HARDEST_LOST)
    assert row.bounds is not None
    assert [end.difference for end in row.bounds] == pytest.approx([0.0, 0.4])
    assert [end.n for end in row.bounds] == [100, 100]
    assert (row.missing_a, row.missing_b) == (0.0, pytest.approx(0.4))
    assert (row.result.n, row.result.difference, row.p_adjusted) == (60, 0.0, 1.0)


def test_what_would_be_equivalent_without_the_missing_docs_isnt(tmp_path: Path) -> None:
    right: list[float | None] = [1.0] * 1000
    assert compared(tmp_path / "whole", right, right).verdict == "equivalent"
    part = [*right[:900], *[None] * 100]
    assert compared(tmp_path / "part", right, part).verdict == "no difference resolved"
    assert compared(tmp_path / "wide", right, part, margin=0.2).verdict == "equivalent"


def test_a_difference_that_no_missing_score_could_undo_is_resolved(tmp_path: Path) -> None:
    part: list[float | None] = [*[1.0] * 90, *[None] * 10]
    row = compared(tmp_path, WHOLE, part)
    assert row.bounds is not None
    assert row.verdict == "better"
    assert row.bounds.low.difference == pytest.approx(0.3)
    assert row.p_adjusted == row.bounds.low.p_value >= row.result.p_value


def test_docs_without_a_score_in_both_count_too(tmp_path: Path) -> None:
    a: list[float | None] = [*[1.0] * 80, *[None] * 20]
    row = compared(tmp_path, a, a)
    assert row.bounds is not None
    assert (row.result.n, row.num_neither) == (80, 20)
    assert [end.difference for end in row.bounds] == pytest.approx([-0.2, 0.2])


def test_docs_that_a_run_never_got_to_are_missing(tmp_path: Path) -> None:
    cut = {"x": {"num_docs": 100, "num_docs_available": 100, "num_samples": 70, "status": "partial"}}  # fmt: skip
    a = make_run(tmp_path, "a", "a", "s", {"x": WHOLE})
    b = make_run(tmp_path, "b", "b", "s", {"x": WHOLE[:70]}, on_task=cut)
    (row,) = compare_runs(tmp_path, a, b).tasks
    assert (row.result.n, row.num_only_a, row.missing_b) == (70, 30, pytest.approx(0.3))
    both = make_run(tmp_path, "c", "c", "s", {"x": WHOLE[:70]}, on_task=cut)
    (row,) = compare_runs(tmp_path, b, both).tasks
    assert (row.result.n, row.num_neither, row.missing_a) == (70, 30, pytest.approx(0.3))


def test_docs_that_a_run_wasnt_asked_are_no_missing_ones(tmp_path: Path) -> None:
    first = {"x": {"num_docs_available": 100, "dataset_fingerprint": "first 70"}}
    a = make_run(tmp_path, "a", "a", "s", {"x": WHOLE})
    b = make_run(tmp_path, "b", "b", "s", {"x": [*WHOLE[:65], *[None] * 5]}, on_task=first)
    found = compare_runs(tmp_path, a, b)
    assert found.left_out["x"].startswith("all 100 docs against 70 of 100; --any-prompt")
    (row,) = compare_runs(tmp_path, a, b, any_prompt=True).tasks
    assert (row.result.n, row.num_only_a, row.missing_b) == (65, 5, pytest.approx(5 / 70))
    assert "all 100 docs against 70 of 100" in row.notes


def test_a_repeat_that_is_missing_leaves_its_share_of_the_doc_open(tmp_path: Path) -> None:
    runs = []
    for name, lost in (("a", False), ("b", True)):
        run = make_run(tmp_path, name, name, "s", {"x": [1.0] * 20}, on_task={"x": {"repeats": 4}})
        rows = [
            replace(_sample("x", doc, None if lost and repeat == 3 else 1.0, None), repeat=repeat)
            for doc in range(20)
            for repeat in range(4)
        ]
        RunWriter(tmp_path / name, run).write_samples("x", rows)
        runs.append(run)
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert row.bounds is not None
    assert (row.result.n, row.missing_b) == (20, pytest.approx(0.25))
    assert [end.difference for end in row.bounds] == pytest.approx([-0.25, 0.0])


def test_on_an_open_scale_missing_scores_leave_no_verdict(tmp_path: Path) -> None:
    a = [10.0 + i % 3 for i in range(100)]
    b = [score + 5 + i % 2 for i, score in enumerate(a)]
    assert compared(tmp_path / "whole", a, b).verdict == "better"
    row = compared(tmp_path / "part", a, [*b[:99], None])
    assert (row.verdict, row.sure) == ("no difference resolved", None)
    assert "no verdict: scores are missing and could be anything" in row.notes


def test_a_metric_that_only_some_docs_have_isnt_missing_in_the_others(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, name, "s", {"x": WHOLE}) for name in "ab"]
    for run in runs:
        rows = [_sample("x", doc, score, None) for doc, score in enumerate(WHOLE)]
        rows = [replace(r, scores={"other": 1.0}) if r.doc_id % 2 else r for r in rows]
        RunWriter(tmp_path / run.run_id, run).write_samples("x", rows)
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.result.n, row.is_missing) == (50, False)
    # In one run only: then it depends on the answer, and is missing.
    rows = [_sample("x", doc, score, None) for doc, score in enumerate(WHOLE)]
    RunWriter(tmp_path / "a", runs[0]).write_samples("x", rows)
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert (row.result.n, row.missing_b) == (50, pytest.approx(0.5))


def test_a_groups_bounds_are_over_all_its_docs(tmp_path: Path) -> None:
    tasks = {"x": [1.0] * 60, "y": [1.0] * 40}
    lost = {"x": [1.0] * 60, "y": [None] * 20 + [1.0] * 20}
    groups = {"g": ["x", "y"]}
    runs = [make_run(tmp_path, n, n, "s", t, groups=groups) for n, t in (("a", tasks), ("b", lost))]  # fmt: skip
    (row,) = compare_runs(tmp_path, *runs).tasks
    assert row.bounds is not None
    assert row.missing_b == pytest.approx(0.2)
    assert [end.difference for end in row.bounds] == pytest.approx([-0.2, 0.0])


def test_the_mean_has_the_bounds_of_its_rows(tmp_path: Path) -> None:
    tasks: dict[str, Any] = {"x": [1.0] * 100, "y": WHOLE}
    runs = [make_run(tmp_path, n, n, "s", t) for n, t in (("a", tasks), ("b", {**tasks, "y": HARDEST_LOST}))]  # fmt: skip
    whole = compare_runs(tmp_path, *runs).overall
    assert whole is not None
    assert whole.bounds is not None
    assert [end.difference for end in whole.bounds] == pytest.approx([0.0, 0.2])
    assert whole.verdict == "no difference resolved"
    (step,) = lineage(["a", "b"], [Link("a", "b", [compare_runs(tmp_path, *runs)])]).steps
    domain = step.domain("capability")
    assert (domain.bounds, domain.call) == (whole.bounds, "not resolved")
    assert domain.missing_second == pytest.approx(0.2)


def test_where_lower_is_better_the_worst_of_a_domain_is_the_highest_score(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, n, n, "s", {"x": s}, lower_is_better=["x"])
        for n, s in (("a", [0.0] * 100), ("b", [0.0] * 60 + [None] * 40))
    ]
    (step,) = lineage(["a", "b"], [Link("a", "b", [compare_runs(tmp_path, *runs)])]).steps
    domain = step.domain("capability")
    assert domain.bounds is not None
    assert [end.difference for end in domain.bounds] == pytest.approx([-0.4, 0.0])
    assert (domain.call, domain.is_within) == ("not resolved", False)


def test_tasks_that_the_suite_doesnt_have_are_in_no_mean(tmp_path: Path) -> None:
    config = {"suite": {"modified": ["+z"]}}
    tasks = {"x": WHOLE, "y": WHOLE, "z": [0.0] * 100}
    a = make_run(tmp_path, "a", "a", "s", tasks, config=config)
    b = make_run(tmp_path, "b", "b", "s", {**tasks, "z": [1.0] * 100}, config=config)
    found = compare_runs(tmp_path, a, b)
    assert found.overall is not None
    assert (found.overall.num_members, found.overall.result.difference) == (2, 0.0)
    assert found.overall.notes == ("without what isn't the suite's own: z",)
    (step,) = lineage(["a", "b"], [Link("a", "b", [found])]).steps
    assert step.domain("capability").num_in_mean == 2


def mirrored(one: Bounds, other: Bounds) -> bool:
    pairs = ((one.low, other.high), (one.high, other.low))
    return all(
        (x.difference, x.ci_low, x.ci_high, x.ci90_low, x.ci90_high, x.p_value, x.wins)
        == (-y.difference, -y.ci_high, -y.ci_low, -y.ci90_high, -y.ci90_low, y.p_value, y.losses)
        for x, y in pairs
    )


@pytest.mark.parametrize("kind", ["right or wrong", "shares"])
def test_swapping_the_two_mirrors_everything_exactly(tmp_path: Path, kind: str) -> None:
    draw = np.random.default_rng(5)
    scores = draw.random((2, 60))
    if kind == "right or wrong":
        scores = np.round(scores)
    lost = draw.random((2, 60)) < 0.1
    a, b = ([None if gone else float(s) for s, gone in zip(*side, strict=True)] for side in zip(scores, lost, strict=True))  # fmt: skip
    runs = [make_run(tmp_path, n, n, "s", {"x": s}) for n, s in (("a", a), ("b", b))]
    (there,), (back,) = (compare_runs(tmp_path, *pair).tasks for pair in (runs, runs[::-1]))
    assert there.bounds is not None
    assert back.bounds is not None
    assert mirrored(there.bounds, back.bounds)
    assert there.p_adjusted == back.p_adjusted
    assert (there.missing_a, there.num_only_a) == (back.missing_b, back.num_only_b)


_CELL = st.sampled_from([0.0, 1.0, None])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(_CELL, _CELL), min_size=4, max_size=8))
def test_the_verdict_holds_for_all_that_the_missing_scores_may_be(
    docs: list[tuple[float | None, float | None]],
) -> None:
    columns = list(zip(*docs, strict=True))
    ends = [[fill if s is None else s for s in column] for column in columns for fill in (0.0, 1.0)]
    found = bounds_of(Possible(*map(np.array, ends), None), [1])
    gone = [(doc, side) for doc, pair in enumerate(docs) for side in (0, 1) if pair[side] is None]
    for fill in itertools.islice(itertools.product((0.0, 1.0), repeat=len(gone)), 64):
        whole = [list(pair) for pair in docs]
        for (doc, side), value in zip(gone, fill, strict=True):
            whole[doc][side] = value
        a, b = np.array(whole, dtype=float).T
        result = paired_test(a, b, np.random.default_rng(1))
        assert found.low.difference - 1e-9 <= result.difference <= found.high.difference + 1e-9
        assert result.p_value <= found.p_value + 1e-9
        said = verdict(found, found.p_value, 0.3, higher_is_better=True)
        if said in ("better", "worse"):
            assert verdict(exactly(result), result.p_value, 0.3, higher_is_better=True) == said


# Simulation: a whole comparison, gate, drift and board without a disk.

MARGIN = 0.03
POLICY = parse_policy(
    b"tiers: {critical: {margin: 0.03}, supporting: {margin: 0.03}, advisory: {margin: 0.03}}\ndefault: critical\n",
    "policy.yaml",
)


class Claims(NamedTuple):
    compare: str
    gate: str
    drift: str
    is_first: bool
    """The board gives the candidate rank 1, and only that."""


def one_run(name: str, scores: Floats) -> tuple[Manifest, MetricRecord]:
    known = scores[np.isfinite(scores)]
    summary = replace(_summary("x", "x", [1.0] * len(scores)), num_errors=len(scores) - len(known))
    run = Manifest(
        run_id=name, status="complete", model=name, suite="s", suite_version="1", started_at="",
        engine={"kind": "vllm"}, tasks=(summary,),
    )  # fmt: skip
    e = estimate(list(known))
    metric = MetricRecord(task="x", group="x", metric="acc", filter="none", **e._asdict(), higher_is_better=True, is_main=True)  # fmt: skip
    return run, metric


def claims(a: Floats, b: Floats) -> tuple[Claims, str]:
    """What the verbs say of b against a (NaN: missing), and what compare would if missing docs were just dropped."""
    (run_a, main_a), (run_b, main_b) = one_run("a", a), one_run("b", b)
    columns = {
        "a": a, "b": b, "num_a": np.isfinite(a) * 1.0, "num_b": np.isfinite(b) * 1.0,
        "failed": (~np.isfinite(a)) * 1.0 + ~np.isfinite(b), "least": np.fmin(a, b), "most": np.fmax(a, b),
        "id_a": np.arange(len(a)) * 1.0, "id_b": np.arange(len(a)) * 1.0, "cluster": np.full(len(a), np.nan),
    }  # fmt: skip
    plan = Plan(run_a, run_b, [main_a], [main_b], (), any_prompt=False)
    row = plan.task_row("x", _pairs(columns, plan.asked("x")))
    assert row is not None
    (row,) = _judged([row], MARGIN)
    found = Comparison(a=run_a, b=run_b, margin=MARGIN, tasks=(row,), members=(), overall=None, left_out={}, notes=())  # fmt: skip
    (step,) = lineage(["a", "b"], [Link("a", "b", [found])], MARGIN).steps
    (board,) = build_boards([run_a, run_b], {"a": [main_a], "b": [main_b]})
    ranks = {r.label: r.ranks for r in board.rows}["b"]
    dropped = verdict(exactly(row.result), row.result.p_value, MARGIN, higher_is_better=True)
    said = Claims(
        row.verdict,
        judge(POLICY, [found]).word,
        step.domain("capability").call,
        ranks is not None and ranks == (1, 1),
    )
    return said, dropped


def drawn(draw: np.random.Generator, worse_by: float) -> tuple[Floats, Floats]:
    """Base and candidate, which scores less by `worse_by` and lacks its hardest docs, or most of what it gets wrong."""
    n, share = int(draw.choice([400, 1500])), float(draw.choice([0.1, 0.2, 0.4, 0.6]))
    hardness = draw.random(n)
    chance = 0.95 - 0.6 * hardness
    a = (draw.random(n) < chance).astype(float)
    b = (draw.random(n) < np.clip(chance - worse_by, 0, 1)).astype(float)
    is_base = bool(draw.random() < 0.3)
    if draw.random() < 0.5:
        gone = hardness > 1 - share
        (a if is_base else b)[gone] = np.nan
    else:  # the candidate's errors, or what the base gets right
        side, bad = (a, 1.0) if is_base else (b, 0.0)
        side[(side == bad) & (draw.random(n) < 0.2 + share)] = np.nan
    return a, b


def simulated(num: int, worse_by: float) -> tuple[Counter[str], int]:
    """False claims by verb in `num` draws, and how often dropping the missing docs would have made one."""
    draw, false = np.random.default_rng(14), Counter[str]()
    num_dropped = 0
    good = {"better", "equivalent"} if worse_by else {"better", "worse"}
    up = {"up", "kept", "not worse"} if worse_by else {"up", "down"}
    for _ in range(num):
        said, dropped = claims(*drawn(draw, worse_by))
        false["compare"] += said.compare in good
        false["gate"] += said.gate == ("PASS" if worse_by else "BLOCK")
        false["drift"] += said.drift in up
        false["leaderboard"] += said.is_first
        num_dropped += dropped in good
    return false, num_dropped


NONE = {"compare": 0, "gate": 0, "drift": 0, "leaderboard": 0}


def test_no_verb_takes_a_worse_model_that_lacks_its_hard_docs_for_a_good_one() -> None:
    false, num_dropped = simulated(30, 0.1)
    assert dict(false) == NONE
    assert num_dropped > 3


@pytest.mark.slow
@pytest.mark.parametrize("worse_by", [0.1, 0.07])
def test_of_a_thousand_worse_models_with_docs_missing_not_at_random_none_is_called_good(
    worse_by: float,
) -> None:
    false, num_dropped = simulated(1000, worse_by)
    assert dict(false) == NONE
    assert num_dropped > 100


@pytest.mark.slow
def test_of_a_thousand_equal_models_no_more_are_distinguished_than_without_missing_docs() -> None:
    # Where all that is missing is at its worst the bound is the truth: an error in 20 is what the level allows.
    false, num_dropped = simulated(1000, 0.0)
    assert max(false.values()) <= 50
    assert num_dropped > 300
