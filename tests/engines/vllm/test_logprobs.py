"""Scoring questions and answers in the shapes of vLLM's two model runners; the newer one's as its source has them."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evalharness.engines.prefix_trie import TokenScore
from evalharness.engines.vllm.logprobs import (
    read_answer,
    scoring_params,
    scoring_settings,
)

PROMPT = (11, 12, 13, 14, 15, 16)


def flat(positions: list[tuple[int, float, int]], is_led_by_none: bool = True) -> SimpleNamespace:
    """vLLM's FlatLogprobs: (token, log-probability, rank) per position, the first of a prompt being empty."""
    starts = [0] if is_led_by_none else []
    return SimpleNamespace(
        start_indices=[*starts, *range(len(positions))],
        token_ids=[p[0] for p in positions],
        logprobs=[p[1] for p in positions],
        ranks=[p[2] for p in positions],
    )


def output(**fields: Any) -> Any:
    after = SimpleNamespace(token_ids=[7, 7, 8], logprobs=[-0.1, -0.1, -3.0], ranks=[1, 1, 2])
    completion = SimpleNamespace(token_ids=[7], logprobs=after)
    defaults = {
        "prompt_logprobs": None,
        "prompt_token_id_logprobs": None,
        "num_cached_tokens": 0,
        "outputs": [completion],
    }
    return SimpleNamespace(**defaults | fields)


def test_the_sampled_token_after_the_prompt_is_greedy() -> None:
    assert read_answer(output(), PROMPT, len(PROMPT), (7, 8)).after == {
        7: TokenScore(-0.1, True),
        8: TokenScore(-3.0, False),
    }


def test_the_older_runner_leaves_cached_positions_unwritten() -> None:
    # 4 cached: entries of positions 1 to 4 are whatever was in memory.
    found = flat([(0, 9.9, 0), (0, 9.9, 0), (0, 9.9, 0), (0, 9.9, 0), (16, -2.0, 1)])
    answer = read_answer(output(prompt_logprobs=found, num_cached_tokens=4), PROMPT, 3, ())
    assert answer.inside == {5: TokenScore(-2.0, True)}


def test_the_newer_runner_leaves_cached_positions_out() -> None:
    found = flat([(16, -2.0, 3)])
    answer = read_answer(output(prompt_logprobs=found, num_cached_tokens=4), PROMPT, 3, ())
    assert answer.inside == {5: TokenScore(-2.0, False)}


def test_positions_before_the_wanted_one_are_left_out() -> None:
    found = flat([(12, -1.0, 1), (13, -1.5, 1), (14, -2.0, 2), (15, -2.5, 1), (16, -3.0, 1)])
    assert list(read_answer(output(prompt_logprobs=found), PROMPT, 4, ()).inside) == [4, 5]


def test_rows_by_token_start_at_the_first_wanted_position() -> None:
    rows = np.array([[-2.0], [-3.0]], dtype=np.float32)
    answer = read_answer(output(prompt_token_id_logprobs=rows), PROMPT, 4, ())
    assert {p: s.logprob for p, s in answer.inside.items()} == {4: -2.0, 5: -3.0}


@pytest.mark.parametrize(
    ("probability", "is_greedy"), [(0.6, True), (0.5, None), (0.3, None), (0.01, None)]
)
def test_without_ranks_only_a_probable_token_is_known_to_be_greedy(
    probability: float, is_greedy: bool | None
) -> None:
    rows = np.array([[math.log(probability)]], dtype=np.float32)
    answer = read_answer(output(prompt_token_id_logprobs=rows), PROMPT, 5, ())
    assert answer.inside[5].is_greedy is is_greedy


@pytest.mark.parametrize(
    ("above_half", "is_greedy"), [(0.0009, None), (0.001, None), (0.0011, True)]
)
def test_the_margin_above_one_half_is_a_thousandth(
    above_half: float, is_greedy: bool | None
) -> None:
    rows = np.array([[math.log(0.5) + above_half]])
    answer = read_answer(output(prompt_token_id_logprobs=rows), PROMPT, 5, ())
    assert answer.inside[5].is_greedy is is_greedy


def test_a_prompt_cached_past_the_first_row_has_no_answer_inside() -> None:
    answer = read_answer(output(num_cached_tokens=5), PROMPT, 3, (7,))
    assert answer.inside == {}
    assert answer.after[7].is_greedy


def test_the_next_tokens_are_asked_for_greedily_and_by_id() -> None:
    for by_token in (False, True):
        assert scoring_settings(PROMPT, 6, (7, 8), may_read_cache=True, by_token=by_token) == {
            "temperature": 0.0,
            "max_tokens": 1,
            "logprob_token_ids": [7, 8],
            "flat_logprobs": True,
            "detokenize": False,
            "skip_reading_prefix_cache": False,
            "skip_clone": True,
        }


def test_the_older_runner_is_asked_for_each_prompt_tokens_own_rank() -> None:
    asked = scoring_settings(PROMPT, 5, (), may_read_cache=False, by_token=False)
    assert asked["prompt_logprobs"] == 0
    assert "prompt_logprob_token_ids" not in asked
    assert asked["logprob_token_ids"] is None
    assert asked["skip_reading_prefix_cache"] is True


def test_the_newer_runner_is_asked_by_token_from_the_position_before() -> None:
    asked = scoring_settings(PROMPT, 4, (7,), may_read_cache=True, by_token=True)
    assert (asked["prompt_logprob_token_ids"], asked["prompt_logprob_start"]) == ([[15], [16]], 3)
    assert "prompt_logprobs" not in asked


def test_all_positions_are_known_without_a_cached_prefix() -> None:
    found = flat([(12, -1.0, 1), (13, -1.5, 1), (14, -2.0, 2), (15, -2.5, 1), (16, -3.0, 1)])
    for cached in (0, None):
        answer = read_answer(output(prompt_logprobs=found, num_cached_tokens=cached), PROMPT, 0, ())
        assert answer.inside == {
            1: TokenScore(-1.0, True),
            2: TokenScore(-1.5, True),
            3: TokenScore(-2.0, False),
            4: TokenScore(-2.5, True),
            5: TokenScore(-3.0, True),
        }
        assert answer.after == {}


@pytest.mark.parametrize(("cached", "first"), [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)])
def test_the_first_known_position_is_the_one_after_the_cached_ones(cached: int, first: int) -> None:
    # What a runner writes for a position before it is unwritten memory: here, impossible values.
    written = [(PROMPT[i], -float(i), 1) if i >= first else (0, 9.9, 0) for i in range(1, 6)]
    answer = read_answer(
        output(prompt_logprobs=flat(written), num_cached_tokens=cached), PROMPT, 1, ()
    )
    assert {p: s.logprob for p, s in answer.inside.items()} == {
        i: -float(i) for i in range(first, 6)
    }


@pytest.mark.parametrize("by_token", [False, True])
@pytest.mark.parametrize(
    ("start", "token_ids", "may_read_cache"), [(4, (7,), True), (4, (), False), (6, (7, 8), True)]
)
def test_vllm_takes_every_setting_of_a_question(
    start: int, token_ids: tuple[int, ...], may_read_cache: bool, by_token: bool
) -> None:
    sampling = pytest.importorskip("vllm.sampling_params")
    how = {"may_read_cache": may_read_cache, "by_token": by_token}
    params = scoring_params(PROMPT, start, token_ids, **how)
    asked = scoring_settings(PROMPT, start, token_ids, **how)
    assert {name: getattr(params, name) for name in asked} == asked
    assert params.output_kind is sampling.RequestOutputKind.FINAL_ONLY
    if "prompt_logprobs" not in asked:
        assert params.prompt_logprobs is None
    if rows := params.prompt_logprob_token_ids:
        # vLLM's check: one row per position after the start, but for the last.
        assert len(rows) == len(PROMPT) - 1 - params.prompt_logprob_start
