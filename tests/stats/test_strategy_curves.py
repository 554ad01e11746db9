import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.stats.estimates import estimate, mean_interval
from evalharness.stats.flips import flips
from evalharness.stats.paired import paired_binary_interval
from evalharness.stats.sources import effective_pairs
from evalharness.stats.strategy_curves import (
    curve,
    verification_gap,
)
from evalharness.store.records import (
    Attempt,
    CurvePoint,
)

CORRECTION_ARMS = {"self-correct", "re-answer", "majority, equal tokens", "random change"}


def attempt(
    doc_id: int,
    arm: str,
    step: int,
    score: float = 0.0,
    *,
    repeat: int = 0,
    answer: str | None = None,
    num_tokens: int = 10,
    p_yes: float | None = None,
) -> Attempt:
    return Attempt(
        doc_id=doc_id,
        repeat=repeat,
        arm=arm,
        step=step,
        answer=str(score) if answer is None else answer or None,
        score=score,
        num_tokens=num_tokens,
        p_yes=p_yes,
    )


def samples(doc_id: int, scores: Sequence[float]) -> list[Attempt]:
    return [attempt(doc_id, "sample", i, score, repeat=i) for i, score in enumerate(scores)]


def judged(doc_id: int, drawn: Sequence[tuple[float, float | None]]) -> list[Attempt]:
    return [
        attempt(doc_id, "sample", i, score, p_yes=p_yes) for i, (score, p_yes) in enumerate(drawn)
    ]


def correction(
    doc_id: int,
    correct: Sequence[float],
    reanswer: Sequence[float],
    votes: Sequence[float],
    vote_tokens: int = 10,
) -> list[Attempt]:
    """Round r of `correct` has cost 10 + 20 r tokens, of `reanswer` 10 + 10 r."""
    return [
        *(attempt(doc_id, "correct", r, s, num_tokens=10 + 20 * r) for r, s in enumerate(correct)),
        *(
            attempt(doc_id, "reanswer", r, s, num_tokens=10 + 10 * r)
            for r, s in enumerate(reanswer)
        ),
        *(attempt(doc_id, "vote", i, s, num_tokens=vote_tokens) for i, s in enumerate(votes, 1)),
    ]


def arm(points: Iterable[CurvePoint], name: str) -> list[CurvePoint]:
    return [point for point in points if point.arm == name]


def values(points: Iterable[CurvePoint], name: str) -> list[float]:
    return [point.value for point in arm(points, name)]


# sources


def test_points_of_docs_that_share_a_source_are_as_wide_as_their_sources() -> None:
    attempts = [a for doc in range(40) for a in samples(doc, [float(doc // 10 % 2)] * 2)]
    alone, shared = (
        curve("t", "repeats", attempts, sources)
        for sources in (None, {doc: str(doc // 10) for doc in range(40)})
    )
    assert len(alone) == len(shared)
    for one, other in zip(alone, shared, strict=True):
        assert one.value == other.value
        assert other.ci_high - other.ci_low > 2 * (one.ci_high - one.ci_low)


def test_flips_of_a_source_are_one_change() -> None:
    attempts = [attempt(doc, "budget", b, float(b > 8)) for doc in range(30) for b in (8, 16)]
    sources = {doc: str(doc // 10) for doc in range(30)}
    assert curve("t", "budget", attempts)[1].p_value == pytest.approx(2**-29)
    assert curve("t", "budget", attempts, sources)[1].p_value == 2 / 8


def test_a_doc_without_a_source_is_its_own() -> None:
    attempts = [attempt(doc, "budget", b, float(b > 8)) for doc in range(10) for b in (8, 16)]
    assert curve("t", "budget", attempts, {0: "a", 1: "a"})[1].p_value == 2 / 2**9


def test_the_verification_gap_counts_sources() -> None:
    drawn = [
        a for doc in range(40) for a in judged(doc, [(1, 0.9), (0, 0.1 + 0.85 * (doc // 10 % 2))])
    ]
    alone = verification_gap(drawn)
    shared = verification_gap(drawn, {doc: str(doc // 10) for doc in range(40)})
    assert shared.value == alone.value
    assert shared.ci_high - shared.ci_low > 2 * (alone.ci_high - alone.ci_low)


# repeats


def test_answers_that_differ_within_docs_count_as_far_as_they_do() -> None:
    attempts = [a for doc in range(40) for a in samples(doc, [1, 0, 1, 0])]
    (point,) = arm(curve("t", "repeats", attempts), "mean")[:1]
    expected = estimate([0.5] * 40, draws=4)
    assert (point.ci_low, point.ci_high) == (expected.ci_low, expected.ci_high)
    assert point.ci_high - point.ci_low < 0.8 * (
        estimate([1.0, 0.0] * 20).ci_high - estimate([1.0, 0.0] * 20).ci_low
    )


def test_repeats_have_powers_of_two_and_all_samples() -> None:
    points = curve("t", "repeats", samples(0, [1, 0, 0, 0, 0, 0]))
    assert [point.x for point in arm(points, "pass")] == [1, 2, 4, 6]
    assert {point.x_name for point in points} == {"samples"}


def test_pass_majority_and_mean_of_one_set_of_samples() -> None:
    points = curve("t", "repeats", samples(0, [1, 1, 0, 0, 0]) + samples(1, [1, 1, 1, 1, 0]))
    assert values(points, "mean") == pytest.approx([0.6] * 4)
    assert values(points, "pass") == pytest.approx([0.6, (0.7 + 1) / 2, 1, 1])
    assert values(points, "majority") == pytest.approx([0.6, 0.6, (0.3 + 1) / 2, 0.5])


def test_the_curve_ends_at_the_smallest_number_of_samples() -> None:
    points = curve("t", "repeats", samples(0, [1, 0, 0, 0]) + samples(1, [1, 1]))
    assert [point.x for point in arm(points, "pass")] == [1, 2]
    # The longer doc still counts with all of its samples.
    assert values(points, "mean")[0] == pytest.approx((0.25 + 1) / 2)


def test_k_samples_cost_k_times_the_tokens_of_one() -> None:
    drawn = [
        attempt(0, "sample", i, repeat=i, num_tokens=tokens) for i, tokens in enumerate([10, 30])
    ]
    assert [point.num_tokens for point in arm(curve("t", "repeats", drawn), "mean")] == [20, 40]


def test_a_half_right_sample_does_not_pass() -> None:
    assert values(curve("t", "repeats", samples(0, [0.5, 0.5])), "pass") == [0, 0]


def test_docs_are_the_unit_of_the_interval() -> None:
    drawn = [a for doc_id, score in enumerate([1, 1, 0]) for a in samples(doc_id, [score] * 8)]
    point = arm(curve("t", "repeats", drawn), "majority")[-1]
    assert (point.value, point.ci_low, point.ci_high) == estimate([1, 1, 0])[:3]
    assert point.n == 3


def test_a_sure_majority_keeps_the_interval_of_right_and_wrong() -> None:
    # 58 of 64 win whatever 32 are drawn: 1, and not 1 + 2e-16 as the counts of subsets divide.
    drawn = [a for doc_id in range(5) for a in samples(doc_id, [1] * 58 + [0] * 6)]
    point = arm(curve("t", "repeats", drawn), "majority")[-2]
    assert (point.x, point.value, point.ci_low) == (32, 1.0, estimate([1] * 5).ci_low)


def test_repeats_have_no_flips() -> None:
    assert {point.gained for point in curve("t", "repeats", samples(0, [1, 1, 1]))} == {None}


# verify


def test_verify_takes_the_sample_the_model_believes() -> None:
    points = curve("t", "verify", judged(0, [(0, 0.2), (1, 0.9), (0, 0.4), (0, 0.1)]))
    assert values(points, "best by P(yes)") == pytest.approx([0.25, 0.5, 1])
    assert values(points, "mean") == pytest.approx([0.25] * 3)
    assert values(points, "pass") == pytest.approx([0.25, 0.5, 1])
    assert values(points, "majority")[-1] == 0


def test_a_sample_without_p_yes_is_taken_last() -> None:
    points = curve("t", "verify", judged(0, [(1, None), (0, 0.01)]))
    assert values(points, "best by P(yes)") == [0.5, 0]


def test_samples_of_another_repeat_are_not_chosen_from() -> None:
    again = [
        attempt(0, "sample", i, score, repeat=1, p_yes=0.9) for i, score in enumerate([0.0, 0.0])
    ]
    points = curve("t", "verify", judged(0, [(1, 0.5), (1, 0.5)]) + again)
    assert values(points, "best by P(yes)") == [0.5, 0.5]
    assert {point.n for point in points} == {1}


def test_verification_gap_is_best_minus_mean_over_what_is_left_to_gain() -> None:
    drawn = judged(0, [(1, 0.9), (0, 0.2)]) + judged(1, [(0, 0.9), (0, 0.2)])
    drawn += judged(2, [(0, 0.9), (1, 0.2)]) + judged(3, [(1, 0.9), (0, 0.2)])
    gap = verification_gap(drawn)
    docs = effective_pairs(np.array([0.5, 0, -0.5, 0.5]), draws=2).at(0.95)
    assert gap.value == 0.125
    assert gap[1:3] == paired_binary_interval(docs / 4, docs / 8, docs, 0.95)
    assert gap.relative == pytest.approx(0.125 / (1 - 0.375))
    assert (gap.n, gap.num_samples) == (4, 2)


def test_the_gap_of_scores_between_0_and_1_has_students_interval() -> None:
    gap = verification_gap(
        judged(0, [(0.9, 0.9), (0.1, 0.2)]) + judged(1, [(0.2, 0.9), (0.2, 0.2)])
    )
    assert gap[:3] == pytest.approx(mean_interval_of([0.4, 0]))


def mean_interval_of(differences: list[float]) -> tuple[float, ...]:
    return float(np.mean(differences)), *mean_interval(differences)


def test_one_docs_gap_has_no_interval() -> None:
    assert all(math.isnan(end) for end in verification_gap(judged(0, [(1, 0.9), (0, 0.1)]))[1:3])
    shared = judged(0, [(1, 0.9), (0, 0.1)]) + judged(1, [(1, 0.9), (0, 0.1)])
    assert math.isnan(verification_gap(shared, {0: "a", 1: "a"}).ci_low)


def test_sources_of_one_doc_each_are_none() -> None:
    tried = [attempt(doc, "budget", b, float(b > 8)) for doc in range(30) for b in (8, 16)]
    tried += [a for doc in range(30, 40) for a in (attempt(doc, "budget", b, 1.0) for b in (8, 16))]
    own = {doc: str(doc) for doc in range(40)}
    assert curve("t", "budget", tried, own) == curve("t", "budget", tried)
    drawn = [a for doc in range(9) for a in judged(doc, [(doc % 2, 0.9), (0, 0.1)])]
    assert verification_gap(drawn, own) == verification_gap(drawn)


def test_verification_that_changes_nothing_has_no_gap_on_either_side() -> None:
    gap = verification_gap([a for doc in range(20) for a in judged(doc, [(1, 0.5), (0, 0.5)])])
    assert (gap.value, gap.relative) == (0, 0)
    assert gap.ci_low == pytest.approx(-gap.ci_high)
    assert gap.ci_high > 0


def test_a_model_that_is_always_right_has_no_relative_gap() -> None:
    assert math.isnan(verification_gap(judged(0, [(1, 0.5), (1, 0.6)])).relative)


def test_a_gap_of_nothing_is_nan() -> None:
    assert all(math.isnan(value) for value in verification_gap([])[:4])
    assert verification_gap([])[4:] == (0, 0)


def test_the_gap_of_a_doc_judged_twice_is_its_mean_at_the_smallest_number_of_samples() -> None:
    twice = judged(0, [(1, 0.5), (0, 0.1)])
    twice += [
        attempt(0, "sample", i, 0, repeat=1, p_yes=p_yes) for i, p_yes in enumerate((0.9, 0.8, 0.7))
    ]
    gap = verification_gap(twice)
    # Best of 2: 1 in the first, 0 in the second; means 0.5 and 0.
    assert (gap.value, gap.n, gap.num_samples) == (0.25, 1, 2)
    assert gap.relative == pytest.approx(0.25 / 0.75)


def test_verify_has_no_flips() -> None:
    points = curve("t", "verify", judged(0, [(1, 0.5), (1, 0.6)]))
    assert {point.gained for point in points} == {None}


# budget


def test_budget_has_a_point_each_with_flips() -> None:
    tried = [
        attempt(doc_id, "budget", budget, score, num_tokens=budget + 5)
        for doc_id, scores in enumerate([(0, 1, 1), (1, 1, 0), (0, 0, 1)])
        for budget, score in zip((0, 64, 256), scores, strict=True)
    ]
    points = curve("t", "budget", reversed(tried))
    assert [point.x for point in points] == [0, 64, 256]
    assert [point.num_tokens for point in points] == [5, 69, 261]
    assert [(point.gained, point.lost) for point in points] == [(None, None), (1, 0), (2, 1)]
    assert [(point.gained_step, point.lost_step) for point in points[1:]] == [(1, 0), (1, 1)]
    assert {point.x_name for point in points} == {"thinking tokens"}


def test_a_doc_without_one_of_the_budgets_is_left_out() -> None:
    tried = [attempt(0, "budget", 0, 1), attempt(0, "budget", 64, 1), attempt(1, "budget", 64, 0)]
    assert [(point.value, point.n) for point in curve("t", "budget", tried)] == [(1, 1), (1, 1)]


# self_correct


def test_rounds_are_scored_and_counted_against_the_first_and_the_last() -> None:
    tried = correction(0, [0, 1, 1], [0, 0, 0], [0]) + correction(1, [1, 1, 0], [1, 1, 1], [1])
    points = curve("t", "self_correct", tried)
    assert {point.arm for point in points} == CORRECTION_ARMS
    corrected = arm(points, "self-correct")
    assert [(point.x, point.value) for point in corrected] == [(0, 0.5), (1, 1), (2, 0.5)]
    assert [(p.gained, p.lost, p.p_value) for p in corrected[1:]] == [(1, 0, 1.0), (1, 1, 1.0)]
    steps = [(p.gained_step, p.lost_step, p.p_value_step) for p in corrected[1:]]
    assert steps == [(1, 0, 1.0), (0, 1, 1.0)]
    assert corrected[0].p_value is corrected[0].p_value_step is None
    assert [point.num_tokens for point in corrected] == [10, 30, 50]
    assert [point.num_tokens for point in arm(points, "re-answer")] == [10, 20, 30]


def test_fractional_scores_have_no_flips() -> None:
    points = curve("t", "self_correct", correction(0, [0.5, 1], [0.5, 1], [1]))
    assert {point.gained for point in points} == {None}


@pytest.mark.parametrize(
    ("vote_tokens", "votes"),
    [(10, (0, 1, 1)), (20, (0, 0.5, 1)), (40, (0, 0.25, 0.5)), (80, (0, 0.125, 0.25))],
)
def test_votes_cost_what_the_rounds_so_far_did(
    vote_tokens: int, votes: tuple[float, float, float]
) -> None:
    # Right draws against a wrong first answer; of two the majority is a tie. A draw that is only paid for in part
    # votes with that probability.
    tried = correction(0, [0, 0, 0], [0, 0, 0], [1] * 10, vote_tokens)
    points = arm(curve("t", "self_correct", tried), "majority, equal tokens")
    assert [point.num_tokens for point in points] == [10, 30, 50]
    assert [point.value for point in points] == pytest.approx(votes)


def test_a_draw_paid_for_in_part_moves_its_own_doc_only() -> None:
    tried = correction(0, [1, 1], [1, 1], [1] * 3, 40) + correction(1, [0, 0], [0, 0], [1] * 3, 40)
    point = arm(curve("t", "self_correct", tried), "majority, equal tokens")[1]
    assert (point.value, point.ci_low, point.ci_high) == estimate([1, 0.25], draws=2)[:3]


def test_the_tokens_of_a_draw_paid_for_in_part_are_its_own_docs() -> None:
    # Doc 0 is answered twice, doc 1 once, with a draw that 30 tokens pay for in part: all have spent 30.
    twice = correction(0, [1, 1], [1, 1], [1] * 3)
    tried = [
        *twice,
        *(replace(a, repeat=1) for a in twice),
        *correction(1, [0, 0], [0, 0], [1], 40),
    ]
    points = arm(curve("t", "self_correct", tried), "majority, equal tokens")
    assert [point.num_tokens for point in points] == [10, 30]


def test_the_first_answer_votes_even_beyond_the_budget() -> None:
    tried = [attempt(0, "correct", 0, 1, num_tokens=10), attempt(0, "correct", 1, 1, num_tokens=5)]
    tried += [attempt(0, "vote", 1, 0, num_tokens=50)]
    points = arm(curve("t", "self_correct", tried), "majority, equal tokens")
    assert [(point.value, point.num_tokens) for point in points] == [(1, 10), (1, 10)]


def test_a_draw_that_cost_nothing_doesnt_vote_before_it_is_paid_for() -> None:
    tried = [attempt(0, "correct", r, 1, num_tokens=tokens) for r, tokens in enumerate((10, 5))]
    tried += [attempt(0, "vote", 1, 0, num_tokens=0)]
    points = arm(curve("t", "self_correct", tried), "majority, equal tokens")
    # At 10 tokens both are paid for, and tie; 5 pay for neither, and the first stands.
    assert [(point.value, point.num_tokens) for point in points] == [(0.5, 10), (1, 10)]


def test_random_change_replaces_as_many_answers_by_draws() -> None:
    # One of two docs changes its answer: half of each first answer gives way to its doc's draws.
    tried = correction(0, [0, 1], [0, 0], [1, 0, 0, 0]) + correction(1, [1, 1], [1, 1], [1, 0])
    [point] = arm(curve("t", "self_correct", tried), "random change")
    assert point.value == pytest.approx(((0.5 * 0 + 0.5 * 0.25) + (0.5 * 1 + 0.5 * 0.5)) / 2)
    assert (point.x, point.num_tokens, point.gained) == (1, 15, None)
    # Five answers of the first doc, three of the second, all right or wrong.
    assert (point.ci_low, point.ci_high) == estimate([0.125, 0.75], draws=4)[1:3]


def test_random_change_of_scores_between_0_and_1_has_the_interval_of_such() -> None:
    tried = correction(0, [0, 1], [0, 0], [0.5, 0]) + correction(1, [1, 1], [1, 1], [1, 0])
    [point] = arm(curve("t", "self_correct", tried), "random change")
    assert (point.value, point.ci_low, point.ci_high) == estimate([0.125, 0.75])[:3]


def test_losing_the_answer_is_a_change() -> None:
    tried = correction(0, [1], [1], [0])
    tried += [attempt(0, "correct", 1, 0, answer="", num_tokens=30), attempt(0, "reanswer", 1, 1)]
    assert values(curve("t", "self_correct", tried), "random change") == [0]


@pytest.mark.parametrize(("arm_name", "step"), [("correct", 1), ("reanswer", 1), ("vote", 1)])
def test_a_doc_that_lacks_a_step_is_left_out_of_all_arms(arm_name: str, step: int) -> None:
    whole = correction(0, [1, 1], [1, 1], [1, 1])
    other = correction(1, [0, 0], [0, 0], [0, 0])
    torn = [tried for tried in other if (tried.arm, tried.step) != (arm_name, step)]
    points = curve("t", "self_correct", whole + torn)
    assert {point.arm for point in points} == CORRECTION_ARMS
    assert {(point.n, point.value) for point in points} == {(1, 1)}


def test_docs_may_have_other_numbers_of_votes() -> None:
    tried = correction(0, [1, 1], [1, 1], [1]) + correction(1, [1, 1], [1, 1], [1, 1, 1])
    tried += correction(2, [1, 1], [1, 1], [])
    points = curve("t", "self_correct", tried)
    assert {point.n for point in points} == {3}
    assert {point.arm for point in points} == CORRECTION_ARMS


def test_without_controls_there_is_the_corrected_arm_alone() -> None:
    tried = [attempt(0, "correct", r, 1) for r in range(2)]
    assert {point.arm for point in curve("t", "self_correct", tried)} == {"self-correct"}


def test_a_doc_answered_twice_counts_once_with_its_mean() -> None:
    again = [
        attempt(0, arm_name, r, 0, repeat=1) for arm_name in ("correct", "reanswer") for r in (0, 1)
    ]
    tried = correction(0, [1, 1], [1, 1], [1]) + again
    point = curve("t", "self_correct", tried)[0]
    assert (point.value, point.n) == (0.5, 1)


# all


@pytest.mark.parametrize("strategy", ["repeats", "verify", "self_correct", "budget", "single"])
def test_no_attempts_are_no_points(strategy: str) -> None:
    assert curve("t", strategy, []) == []


def test_a_strategy_without_a_curve_has_no_points() -> None:
    assert curve("t", "single", samples(0, [1])) == []


SCORES = st.integers(0, 20).map(lambda twentieths: twentieths / 20)
DRAWS = st.lists(
    st.lists(st.tuples(SCORES, st.none() | st.floats(0, 1)), min_size=1, max_size=9),
    min_size=2,
    max_size=5,
)
ROUNDS = st.integers(1, 3).flatmap(
    lambda rounds: st.lists(
        st.tuples(
            st.lists(SCORES, min_size=rounds, max_size=rounds),
            st.lists(SCORES, min_size=rounds, max_size=rounds),
            st.lists(SCORES, max_size=5),
            st.integers(0, 40),
        ),
        min_size=2,
        max_size=5,
    )
)


def assert_scores(points: list[CurvePoint], num_docs: int) -> None:
    assert points
    for point in points:
        assert 0 <= point.value <= 1
        assert point.ci_low <= point.value <= point.ci_high
        assert point.num_tokens >= 0
        assert point.n == num_docs


@settings(max_examples=50)
@given(DRAWS)
def test_points_over_samples_are_scores(docs: list[list[tuple[float, float | None]]]) -> None:
    tried = [a for doc_id, drawn in enumerate(docs) for a in judged(doc_id, drawn)]
    assert_scores(curve("t", "repeats", tried), len(docs))
    assert_scores(curve("t", "verify", tried), len(docs))
    gap = verification_gap(tried)
    assert gap.ci_low <= gap.value <= gap.ci_high


@settings(max_examples=50)
@given(ROUNDS, st.randoms())
def test_points_over_rounds_are_scores_in_any_order(
    docs: list[tuple[list[float], list[float], list[float], int]], order: random.Random
) -> None:
    tried = [a for doc_id, arms in enumerate(docs) for a in correction(doc_id, *arms)]
    points = curve("t", "self_correct", tried)
    assert_scores(points, len(docs))
    order.shuffle(tried)
    assert curve("t", "self_correct", tried) == points


@settings(max_examples=50)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=5))
def test_pass_is_at_least_the_majority_and_rises(docs: list[list[bool]]) -> None:
    tried = [a for doc_id, right in enumerate(docs) for a in samples(doc_id, right)]
    points = curve("t", "repeats", tried)
    passed = values(points, "pass")
    assert passed == sorted(passed)
    for at_k, majority in zip(passed, values(points, "majority"), strict=True):
        assert at_k >= majority - 1e-9


# A corrector without skill


class Corrected(NamedTuple):
    first: np.ndarray
    second: np.ndarray
    is_changed: np.ndarray
    draws: np.ndarray


def simulate(rng: np.random.Generator, num_docs: int, skill: float = 1.0) -> Corrected:
    """Change a random 30 % of answers; a new one is right with the doc's own probability times the skill."""
    p_right = rng.beta(1, 1, num_docs)
    first = rng.random(num_docs) < p_right
    is_changed = rng.random(num_docs) < 0.3
    again = rng.random(num_docs) < p_right * skill
    draws = rng.random((num_docs, 4)) < p_right[:, None]
    return Corrected(first, np.where(is_changed, again, first), is_changed, draws)


def trajectories(run: Corrected) -> list[Attempt]:
    """A changed answer has another text, right or wrong."""
    tried = []
    for doc_id, (first, second, is_changed) in enumerate(
        zip(run.first, run.second, run.is_changed, strict=True)
    ):
        arms = correction(doc_id, [float(first)], [float(first)] * 2, run.draws[doc_id].tolist())
        answer = f"again {second}" if is_changed else str(float(first))
        tried += [*arms, attempt(doc_id, "correct", 1, float(second), answer=answer, num_tokens=30)]
    return tried


def test_a_corrector_without_skill_is_significant_as_rarely_as_chance() -> None:
    rng = np.random.default_rng(4)
    runs = [simulate(rng, 200) for _ in range(400)]
    found = [flips(run.first, run.second) for run in runs]
    assert np.mean([change.p_value < 0.05 for change in found]) <= 0.07
    gain = np.mean([(change.gained - change.lost) / 200 for change in found])
    blind = np.mean([r.is_changed.mean() * (r.draws.mean() - r.first.mean()) for r in runs])
    assert abs(gain - blind) < 0.01


def test_a_corrector_without_skill_gains_what_random_change_does() -> None:
    points = curve("t", "self_correct", trajectories(simulate(np.random.default_rng(5), 2000)))
    first, second = arm(points, "self-correct")
    [blind] = arm(points, "random change")
    # Three standard errors: of 2000 docs 3 in 10 change, and each of those by 1/3 on average of squares.
    assert abs(second.value - first.value) < 0.021
    assert abs(second.value - blind.value) < 0.021
    assert second.p_value is not None
    assert second.p_value > 0.05


def test_a_corrector_that_degrades_comes_out_negative() -> None:
    run = simulate(np.random.default_rng(6), 200, skill=0.3)
    first, second = arm(curve("t", "self_correct", trajectories(run)), "self-correct")
    assert second.value < first.value
    assert second.gained is not None
    assert second.lost is not None
    assert second.gained < second.lost
    assert second.p_value is not None
    assert second.p_value < 0.05
