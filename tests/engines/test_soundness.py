"""What of an engine's responses is none."""

import math
from dataclasses import replace
from typing import Any

import pytest

from evalharness.engines.requests import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from evalharness.engines.soundness import (
    MAX_ROUNDING,
    UnsoundResponseError,
    check_response,
    find_problem,
)

ASKED = ScoreRequest(context_token_ids=(1, 2), continuations=((3,), (4, 5)))
GOOD = ContinuationScore(logprob=-1.5, is_greedy=False, num_tokens=1)
PROMPT = GenerateRequest(prompt_token_ids=(1, 2), sampling=SamplingParams())
TEXT = Generation(text="so", token_ids=(7, 8), cumulative_logprob=-0.5, num_prompt_tokens=2)


def scored(**changes: Any) -> str | None:
    """The problem of a response whose second continuation is changed."""
    return find_problem(ASKED, Scores(continuations=(GOOD, replace(GOOD, **changes))))


def generated(**changes: Any) -> str | None:
    return find_problem(PROMPT, replace(TEXT, **changes))


def test_a_sound_response_has_no_problem() -> None:
    assert scored() is None
    assert generated() is None
    assert generated(cumulative_logprob=None) is None


@pytest.mark.parametrize("logprob", [math.nan, math.inf, -math.inf, 0.5, 1e-3, None, "-1", True])
def test_a_log_likelihood_no_model_can_give_is_none(logprob: Any) -> None:
    assert "log-likelihood" in str(scored(logprob=logprob))


@pytest.mark.parametrize("logprob", [math.nan, math.inf, -math.inf, 0.5])
def test_neither_is_that_of_a_generation(logprob: float) -> None:
    assert "log-likelihood" in str(generated(cumulative_logprob=logprob))


@pytest.mark.parametrize("logprob", [0, 0.0, -0.0, -1e30, MAX_ROUNDING])
def test_the_ends_of_what_a_model_can_give_are_taken(logprob: float) -> None:
    assert scored(logprob=logprob) is None


def test_rounding_is_a_ten_thousandth_for_each_token() -> None:
    for num_tokens in (0, 1):
        assert scored(logprob=1e-4, num_tokens=num_tokens) is None
        assert scored(logprob=1.01e-4, num_tokens=num_tokens) is not None
    assert scored(logprob=1.5 * MAX_ROUNDING, num_tokens=2) is None
    assert scored(logprob=2.5 * MAX_ROUNDING, num_tokens=2) is not None


@pytest.mark.parametrize("is_greedy", [None, 1, "true"])
def test_is_greedy_is_yes_or_no(is_greedy: Any) -> None:
    assert "is_greedy" in str(scored(is_greedy=is_greedy))


@pytest.mark.parametrize("num_tokens", [None, -1, 1.0, True])
def test_a_number_of_tokens_is_a_count(num_tokens: Any) -> None:
    assert "num_tokens" in str(scored(num_tokens=num_tokens))


def test_a_response_has_a_score_for_every_continuation() -> None:
    assert find_problem(ASKED, Scores(continuations=(GOOD,))) == (
        "the engine gives 1 log-likelihoods for 2 continuations"
    )


def test_a_response_is_of_its_requests_kind() -> None:
    assert find_problem(ASKED, TEXT) is not None
    assert find_problem(PROMPT, Scores(continuations=(GOOD, GOOD))) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"text": None},
        {"finish_reason": "abort"},
        {"token_ids": (7, "8")},
        {"num_prompt_tokens": -1},
        {"num_cached_tokens": 1.5},
    ],
)
def test_fields_of_other_types_make_a_generation_none(changes: dict[str, Any]) -> None:
    assert generated(**changes) is not None


def test_a_response_that_is_none_is_refused_with_the_reason() -> None:
    check_response(PROMPT, TEXT)
    check_response(ASKED, Scores(continuations=(GOOD, GOOD)))
    with pytest.raises(
        UnsoundResponseError, match=r"^the engine answered Generation to continuations$"
    ):
        check_response(ASKED, TEXT)
    with pytest.raises(UnsoundResponseError, match=r"^the engine answered Scores to a prompt$"):
        check_response(PROMPT, Scores(continuations=(GOOD, GOOD)))


def test_a_response_without_tokens_is_one() -> None:
    assert scored(num_tokens=0) is None
    nothing = {"token_ids": (), "cumulative_logprob": None, "num_prompt_tokens": 0}
    assert generated(text="", **nothing) is None
    assert "counts 3 prompt and -1 cached" in str(
        generated(num_prompt_tokens=3, num_cached_tokens=-1)
    )
    assert "not whole numbers" in str(generated(token_ids=(True,)))
    assert "the log-likelihood is positive" in str(generated(cumulative_logprob=2.5e-4))
    assert generated(cumulative_logprob=1.5e-4) is None
