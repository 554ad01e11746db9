"""A request's key: the same for the same question to the same weights, another for anything that can change the answer."""

from dataclasses import replace
from typing import Any

import pytest

from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
    request_key,
)

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
                {"presence_penalty": 0.1},
                {"frequency_penalty": 0.1},
                {"min_tokens": 1},
                {"stop_token_ids": (5,)},
                {"logit_bias": ((5, 1.0),)},
                {"ignore_eos": True},
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


def test_every_setting_changes_the_key() -> None:
    assert set(SamplingParams.__slots__) == {
        *("temperature", "top_p", "top_k", "min_p", "seed", "max_gen_toks", "min_tokens", "stop"),
        *("repetition_penalty", "presence_penalty", "frequency_penalty", "stop_token_ids"),
        *("logit_bias", "ignore_eos"),
    }


def test_keys_are_the_same_in_every_version() -> None:
    """Responses of earlier runs are found by them; texts that were made otherwise are not."""
    assert (
        request_key(SCORE, "w")
        == "a0b297bf981cad1173e1de23ee1625ea6860eae8a99a916bba8f5f395b6fd7d3"
    )
    assert (
        request_key(GENERATE, "w")
        == "476a00062f8310ef421c639aa8573fe732357bb1ea546bc3d920cc8f18e1d29b"
    )
