"""A request's key: the same for the same question to the same weights, another for anything that can change the answer."""

from dataclasses import replace
from typing import Any

import pytest

from evalharness.records import GenerateRequest, SamplingParams, ScoreRequest, request_key

GENERATE = GenerateRequest(prompt_token_ids=(1, 2, 3), sampling=SamplingParams())
SCORE = ScoreRequest(context_token_ids=(1, 2), continuations=((3,), (4, 5)))


def test_the_same_request_has_the_same_key() -> None:
    again = GenerateRequest(prompt_token_ids=(1, 2, 3), sampling=SamplingParams())
    assert request_key(GENERATE, "weights") == request_key(again, "weights")


def test_other_weights_or_numerics_have_another_key() -> None:
    assert request_key(GENERATE, "weights float32") != request_key(GENERATE, "weights bfloat16")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_token_ids": (1, 2, 4)},
        {"repeat": 1},
        *(
            {"sampling": replace(GENERATE.sampling, **changed)}
            for changed in (
                {"temperature": 0.5},
                {"top_p": 0.9},
                {"top_k": 3},
                {"min_p": 0.1},
                {"repetition_penalty": 1.1},
                {"seed": 7},
                {"max_gen_toks": 3},
                {"stop": ("\n",)},
            )
        ),
    ],
)
def test_whatever_changes_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert request_key(replace(GENERATE, **change), "w") != request_key(GENERATE, "w")


@pytest.mark.parametrize(
    "other",
    [
        ScoreRequest(context_token_ids=(1,), continuations=((2, 3), (4, 5))),
        ScoreRequest(context_token_ids=(1, 2), continuations=((3, 4), (5,))),
        ScoreRequest(context_token_ids=(1, 2), continuations=((4, 5), (3,))),
    ],
)
def test_where_the_context_ends_is_part_of_the_key(other: ScoreRequest) -> None:
    assert request_key(other, "w") != request_key(SCORE, "w")
