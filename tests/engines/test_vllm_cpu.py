"""The CPU worker's prompt log-probabilities against vLLM's own method, on a stand-in for the model runner."""

from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.vllm

PROMPTS = {"a": [5, 6, 7, 8, 9], "b": [1, 2, 3, 4, 5, 6, 7], "c": [9, 9]}
STEPS: list[dict[str, int]] = [{"a": 5, "b": 3}, {"b": 3, "c": 1}, {"b": 1, "c": 1}]
"""Tokens of each prompt in each step: one at once, two in chunks."""


def run(method: Any, extra_args: dict[str, int] | None = None) -> dict[str, Any]:
    """What a method of the model runner gives over the steps."""
    import torch
    from vllm.v1.sample.sampler import Sampler

    random = torch.Generator().manual_seed(1)
    head = torch.randn(100, 16, generator=random)
    hidden = {k: torch.randn(len(p), 16, generator=random) for k, p in PROMPTS.items()}
    runner: Any = SimpleNamespace(
        model_config=SimpleNamespace(logprobs_mode="raw_logprobs"),
        model=SimpleNamespace(compute_logits=lambda states: states @ head.T),
        sampler=Sampler(),
        device="cpu",
        _sync_device=lambda: None,
        num_prompt_logprobs=dict.fromkeys(PROMPTS, 0),
        requests={
            k: SimpleNamespace(
                prompt_token_ids=prompt,
                in_progress_prompt_logprobs_cpu=None,
                num_computed_tokens=0,
                sampling_params=SimpleNamespace(extra_args=extra_args),
            )
            for k, prompt in PROMPTS.items()
        },
    )
    found: dict[str, Any] = {}
    for step in STEPS:
        at = {k: runner.requests[k].num_computed_tokens for k in step}
        states = torch.cat([hidden[k][at[k] : at[k] + n] for k, n in step.items()])
        starts = torch.tensor([0, *step.values()]).cumsum(0).numpy()
        runner.query_start_loc = SimpleNamespace(np=starts)
        runner.input_batch = SimpleNamespace(req_id_to_index={k: i for i, k in enumerate(step)})
        found |= method(runner, states, step)
        for k, n in step.items():
            runner.requests[k].num_computed_tokens += n
    assert not runner.num_prompt_logprobs
    return found


def test_values_and_ranks_are_those_of_vllm() -> None:
    import torch

    from evalharness.engines import vllm_cpu

    ours, theirs = run(vllm_cpu._get_prompt_logprobs_dict), run(vllm_cpu._one_by_one)
    assert ours.keys() == theirs.keys() == PROMPTS.keys()
    for k in PROMPTS:
        assert torch.equal(ours[k].logprob_token_ids, theirs[k].logprob_token_ids)
        assert torch.equal(ours[k].selected_token_ranks, theirs[k].selected_token_ranks)
        assert torch.allclose(ours[k].logprobs, theirs[k].logprobs, atol=1e-5)


def test_positions_from_the_first_wanted_are_those_of_vllm() -> None:
    import torch

    from evalharness.engines import vllm_cpu

    ours = run(vllm_cpu._get_prompt_logprobs_dict, {"first_wanted": 4})
    theirs = run(vllm_cpu._one_by_one)
    for k, prompt in PROMPTS.items():
        wanted = slice(3, len(prompt) - 1)
        assert torch.allclose(ours[k].logprobs[wanted], theirs[k].logprobs[wanted], atol=1e-5)
        assert torch.equal(
            ours[k].selected_token_ranks[wanted], theirs[k].selected_token_ranks[wanted]
        )


def test_only_wanted_positions_go_through_the_head() -> None:
    import torch

    from evalharness.engines import vllm_cpu

    rows: list[int] = []

    def counting(states: torch.Tensor) -> torch.Tensor:
        rows.append(len(states))
        return torch.zeros(len(states), 100)

    part = vllm_cpu._Rows(vllm_cpu.LogprobsTensors.empty_cpu(4, 1), 2, torch.zeros(2, 16), [8, 9])
    vllm_cpu._score([part], counting)
    assert rows == [2]
