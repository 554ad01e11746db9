import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.stats.repeats import (
    best_at_k,
    majority_at_k,
    majority_curve,
    pass_at_k,
)

SCORES = st.floats(0, 1)
SAMPLES = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c", "d"]), SCORES), min_size=1, max_size=8
)
POWERS = [1, 2, 4, 8, 16, 32, 64]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def subsets_of(num_samples: int, k: int) -> list[tuple[int, ...]]:
    return list(combinations(range(num_samples), k))


def brute_majority(samples: list[tuple[str | None, float]], k: int) -> float:
    by_answer: dict[str | None, list[float]] = {}
    for answer, score in samples:
        by_answer.setdefault(answer, []).append(score)
    results = []
    for subset in subsets_of(len(samples), k):
        votes = Counter(samples[i][0] for i in subset if samples[i][0] is not None)
        if votes:
            most = max(votes.values())
            winners = [answer for answer, count in votes.items() if count == most]
            results.append(mean([mean(by_answer[answer]) for answer in winners]))
        else:
            results.append(mean([samples[i][1] for i in subset]))
    return mean(results)


def brute_best(scores: list[float], confidences: list[float], k: int) -> float:
    results = []
    for subset in subsets_of(len(scores), k):
        most = max(confidences[i] for i in subset)
        results.append(mean([scores[i] for i in subset if confidences[i] == most]))
    return mean(results)


@pytest.mark.parametrize(
    ("num_samples", "num_correct", "k", "expected"),
    [(5, 2, 2, 0.7), (5, 0, 3, 0.0), (5, 3, 3, 1.0), (5, 5, 1, 1.0), (64, 1, 64, 1.0)],
)
def test_pass_at_k_of_known_cases(
    num_samples: int, num_correct: int, k: int, expected: float
) -> None:
    # 5, 2, 2: 1 - C(3, 2) / C(5, 2).
    assert pass_at_k(np.array([num_correct]), num_samples, k) == pytest.approx(
        [expected], abs=1e-15
    )


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(
    is_right: list[bool], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(is_right)))
    found = [any(is_right[i] for i in subset) for subset in subsets_of(len(is_right), k)]
    assert float(pass_at_k(sum(is_right), len(is_right), k)) == pytest.approx(mean(found))


def test_pass_at_k_takes_each_doc_alone() -> None:
    assert pass_at_k([0, 2, 5], 5, 2) == pytest.approx([0, 0.7, 1])


def test_pass_at_k_of_very_many_samples_does_not_overflow() -> None:
    # C(n - 1, k) / C(n, k) = 1 - k / n.
    assert pass_at_k([1], 10_000, 2_500) == pytest.approx([0.25])


def test_pass_at_k_of_no_docs_is_none() -> None:
    assert pass_at_k([], 5, 2).shape == (0,)


def test_pass_at_k_takes_right_or_wrong_for_a_count() -> None:
    assert pass_at_k([True, False, True], 1, 1) == pytest.approx([1, 0, 1])


@pytest.mark.parametrize("k", [0, 6])
def test_k_beyond_the_samples_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k} of 5 samples"):
        pass_at_k([1], 5, k)
    with pytest.raises(ValueError, match=f"k is {k} of 5 samples"):
        majority_at_k(["a"] * 5, [1.0] * 5, k)
    with pytest.raises(ValueError, match=f"k is {k} of 5 samples"):
        best_at_k([1.0] * 5, [0.5] * 5, k)


def test_more_correct_than_samples_are_refused() -> None:
    for counts in ([2, 6], [-1, 2]):
        with pytest.raises(ValueError, match=r"outside 0\.\.5"):
            pass_at_k(counts, 5, 1)


@given(SAMPLES, st.data())
def test_majority_is_the_mean_over_all_subsets(
    samples: list[tuple[str | None, float]], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(samples)))
    answers, scores = [answer for answer, _ in samples], [score for _, score in samples]
    expected = brute_majority(samples, k)
    assert majority_at_k(answers, scores, k) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(SAMPLES)
def test_several_k_at_once_equal_each_alone(samples: list[tuple[str | None, float]]) -> None:
    answers, scores = [answer for answer, _ in samples], [score for _, score in samples]
    ks = list(range(1, len(samples) + 1))
    alone = [majority_at_k(answers, scores, k) for k in ks]
    assert majority_curve(answers, scores, ks) == pytest.approx(alone, rel=1e-12, abs=1e-12)


def test_a_tie_is_the_mean_of_the_tied_answers() -> None:
    assert majority_at_k(["a", "b", "a", "b", "c"], [1, 0.5, 1, 0.5, 0], 5) == pytest.approx(0.75)


def test_the_first_seen_answer_does_not_win_a_tie() -> None:
    assert majority_at_k(["right", "wrong"], [1, 0], 2) == majority_at_k(
        ["wrong", "right"], [0, 1], 2
    )


def test_samples_without_an_answer_do_not_vote() -> None:
    assert majority_at_k([None, None, None, "a"], [0, 0, 0, 1], 4) == 1


def test_samples_without_any_answer_score_their_mean() -> None:
    assert majority_at_k([None, None], [1, 0], 1) == 0.5


def test_majority_of_one_is_the_mean_score() -> None:
    assert majority_at_k(["a", "a", "b", None], [1, 1, 0, 0], 1) == pytest.approx(0.5)


def test_majority_of_256_samples_is_exact() -> None:
    # Two answers: the right one wins with more than half of 64 drawn of its 140 and the other's 116, half ties.
    ways = [math.comb(140, votes) * math.comb(116, 64 - votes) for votes in range(65)]
    expected = (sum(ways[33:]) + ways[32] / 2) / math.comb(256, 64)
    found = majority_at_k(["a"] * 140 + ["b"] * 116, [1.0] * 140 + [0.0] * 116, 64)
    assert found == pytest.approx(expected, rel=1e-9)


def test_majority_refuses_more_samples_than_a_float_can_count() -> None:
    with pytest.raises(ValueError, match="at most 1000"):
        majority_at_k(["a"] * 1001, [1.0] * 1001, 2)
    assert majority_at_k(["a", "b"] * 500, [1.0, 0.0] * 500, 2) == pytest.approx(0.5)


def test_majority_for_no_k_is_nothing() -> None:
    assert majority_curve(["a", None], [1, 0], []) == []


def test_scores_of_other_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="2 answers but 1"):
        majority_at_k(["a", "b"], [1], 1)
    with pytest.raises(ValueError, match="2 scores but 1"):
        best_at_k([1, 0], [0.5], 1)


@given(
    st.lists(
        st.tuples(SCORES, st.sampled_from([-math.inf, 0.1, 0.5, 0.9])), min_size=1, max_size=8
    ),
    st.data(),
)
def test_best_is_the_mean_over_all_subsets(
    samples: list[tuple[float, float]], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(samples)))
    scores, confidences = [score for score, _ in samples], [sure for _, sure in samples]
    expected = brute_best(scores, confidences, k)
    assert best_at_k(scores, confidences, k) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_best_of_equal_confidences_is_the_mean_score() -> None:
    assert best_at_k([1, 0, 0, 0], [0.5] * 4, 3) == pytest.approx(0.25)


def test_best_of_all_is_the_most_confident() -> None:
    assert best_at_k([0, 1, 0], [0.2, 0.9, 0.3], 3) == 1


def test_a_confidence_that_is_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        best_at_k([1, 0], [math.nan, 0.5], 1)
