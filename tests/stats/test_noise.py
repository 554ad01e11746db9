"""Two runs of one task: what counts as a difference, and what the total says."""

import json
import math
from typing import Any

import pytest

from evalharness.stats.estimates import wilson
from evalharness.stats.noise import (
    TaskNoise,
    noise_floor,
    task_noise,
)
from evalharness.store.records import SampleRecord


def sample(doc_id: int = 0, **changes: Any) -> SampleRecord:
    base: dict[str, Any] = {
        "task": "t",
        "doc_id": doc_id,
        "doc_hash": "",
        "repeat": 0,
        "filter": "none",
        "prompt": "",
        "target": "",
        "response": "",
        "thinking": None,
        "answer": "",
        "scores": {"acc": 1.0},
        "finish_reason": "stop",
        "num_prompt_tokens": 1,
        "num_generated_tokens": 1,
        "latency_s": 0.0,
        "error": None,
    }
    return SampleRecord(**{**base, **changes})


def scored(doc_id: int, *logprobs: float, **changes: Any) -> SampleRecord:
    response = json.dumps([[logprob, False] for logprob in logprobs])
    return sample(doc_id, response=response, finish_reason="score", **changes)


def noise(first: list[SampleRecord], second: list[SampleRecord]) -> TaskNoise:
    return task_noise(first, second, task="t", metric="acc", filter_="none", values=(1.0, 1.0))


def test_a_run_against_itself_is_exact() -> None:
    samples = [scored(0, -1.0, -2.0), sample(1, response="x")]
    found = noise(samples, samples)
    assert (found.n, found.num_flips, found.num_text_changes, found.num_argmax_changes) == (
        *(2, 0, 0, 0),
    )
    assert (found.max_logprob_difference, found.median_logprob_difference) == (0.0, 0.0)
    assert noise_floor([found]).is_exact


def test_samples_are_paired_by_doc_and_repeat_in_any_order() -> None:
    first = [sample(0, scores={"acc": 1.0}), sample(1, scores={"acc": 0.0}), sample(1, repeat=1)]
    assert noise(first, first[::-1]).num_flips == 0


def test_another_score_is_a_flip() -> None:
    found = noise([sample(0), sample(1)], [sample(0), sample(1, scores={"acc": 0.0})])
    assert (found.n, found.num_flips) == (2, 1)


@pytest.mark.parametrize(
    ("score", "num_flips"), [(0.0009, 0), (0.001, 0), (0.0011, 1), (math.nan, 1)]
)
def test_a_score_that_moves_by_more_than_tables_show_is_a_flip(
    score: float, num_flips: int
) -> None:
    found = noise([sample(scores={"acc": 0.0})], [sample(scores={"acc": score})])
    assert found.num_flips == num_flips
    assert noise_floor([found]).is_exact == (num_flips == 0)


def test_another_text_is_counted_though_the_score_is_the_same() -> None:
    found = noise([sample(response="a")], [sample(response="b")])
    assert (found.num_texts, found.num_text_changes, found.num_flips) == (1, 1, 0)
    assert not noise_floor([found]).is_exact


def test_other_thinking_is_another_text() -> None:
    assert noise([sample(thinking="a")], [sample(thinking="b")]).num_text_changes == 1


def test_log_likelihood_differences_are_over_continuations() -> None:
    first = [scored(0, -1.0, -2.0, -3.0)]
    second = [scored(0, -1.0, -2.25, -3.125)]
    found = noise(first, second)
    assert found.num_continuations == 3
    assert found.max_logprob_difference == 0.25
    assert found.median_logprob_difference == 0.125
    assert found.num_texts == 0


def test_another_most_likely_continuation_is_counted() -> None:
    assert noise([scored(0, -1.0, -1.1)], [scored(0, -1.1, -1.0)]).num_argmax_changes == 1
    assert (
        noise([scored(0, -1.0, -2.0, -3.0)], [scored(0, -1.0, -3.0, -2.0)]).num_argmax_changes == 0
    )


def test_rolling_log_likelihoods_and_several_draws_are_read_too() -> None:
    rolling = sample(response="[-7.5]", finish_reason="score")
    draws = sample(1, response="[[[-1.0, true], [-2.0, false]]]", finish_reason="score")
    assert noise([rolling, draws], [rolling, draws]).num_continuations == 3


def test_a_response_without_log_likelihoods_differs_in_none() -> None:
    samples = [scored(0)]
    found = noise(samples, samples)
    assert (found.num_continuations, found.num_argmax_changes) == (0, 0)
    assert math.isnan(found.median_logprob_difference)


@pytest.mark.parametrize(("first", "second"), [(math.nan, -1.0), (-1.0, math.nan)])
def test_a_log_likelihood_that_is_nan_in_one_run_only_is_a_difference(
    first: float, second: float
) -> None:
    found = noise([scored(0, first, -2.0)], [scored(0, second, -2.0)])
    assert found.max_logprob_difference == math.inf
    assert not noise_floor([found]).is_exact


def test_two_that_are_nan_are_equal() -> None:
    samples = [scored(0, math.nan, -2.0)]
    assert noise(samples, samples).max_logprob_difference == 0.0


@pytest.mark.parametrize("difference", [0.5, 1e-9])
def test_any_difference_of_log_likelihoods_isnt_exact(difference: float) -> None:
    found = noise([scored(0, -1.0)], [scored(0, -1.0 - difference)])
    assert not noise_floor([found]).is_exact


def test_two_impossible_continuations_are_equal() -> None:
    samples = [scored(0, -math.inf, -1.0)]
    assert noise(samples, samples).max_logprob_difference == 0.0


def test_failed_and_missing_samples_are_left_out_and_counted() -> None:
    first = [sample(0), sample(1), sample(2, error="request: x", scores={})]
    second = [sample(0), sample(2), sample(3)]
    for found in (noise(first, second), noise(second, first)):
        assert (found.n, found.num_unpaired, found.num_flips) == (1, 3, 0)
        assert found.num_texts == 1


def test_rows_of_other_filters_are_left_out() -> None:
    first = [sample(0), sample(0, filter="strict")]
    second = [sample(0), sample(0, filter="strict", scores={"acc": 0.0})]
    assert noise(first, second).num_flips == 0


def test_a_metric_without_scores_per_sample_is_compared_by_its_texts_alone() -> None:
    found = noise([sample(scores={}, response="a")], [sample(scores={}, response="b")])
    assert (found.n, found.num_text_changes) == (0, 1)
    for second in ([sample(scores={})], [sample(scores={"f1": 0.5})]):
        assert noise([sample()], second).n == noise(second, [sample()]).n == 0


def test_the_total_bounds_the_share_of_flips() -> None:
    first = [sample(doc) for doc in range(10)]
    second = [sample(0, scores={"acc": 0.0}), *first[1:]]
    total = noise_floor([noise(first, second), noise(first, first)])
    assert (total.n, total.num_flips, total.flip_share) == (20, 1, 0.05)
    assert total.flip_share_high == pytest.approx(wilson(1, 20).high)
    assert math.isnan(total.max_logprob_difference)


def test_the_total_sums_the_counts_and_takes_the_largest_difference() -> None:
    texts = noise(
        [sample(0), sample(1, response="a"), sample(2)], [sample(0), sample(1, response="b")]
    )
    near = noise([scored(0, -1.0, -1.5)], [scored(0, -1.25, -1.0)])
    far = noise([scored(0, -1.0), scored(1, -1.0, -2.0)], [scored(0, -2.5), scored(1, -2.0, -1.0)])
    total = noise_floor([texts, near, far])
    assert (total.n, total.num_unpaired, total.num_texts, total.num_text_changes) == (5, 1, 2, 1)
    assert (total.num_continuations, total.num_argmax_changes) == (5, 2)
    assert total.max_logprob_difference == 1.5
    assert math.isnan(noise_floor([texts]).max_logprob_difference)


def test_the_runs_own_values_are_kept_in_their_order() -> None:
    found = task_noise([], [], task="t", metric="acc", filter_="none", values=(0.25, 0.75))
    assert (found.first_value, found.second_value) == (0.25, 0.75)


def test_nothing_compared_is_nan() -> None:
    total = noise_floor([noise([], [])])
    assert total.n == 0
    assert math.isnan(total.flip_share)
    assert math.isnan(total.flip_share_high)
