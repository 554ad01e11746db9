"""A vLLM worker extension for CPUs: what makes log-likelihoods cheap on GPUs, where vLLM's CPU worker lacks it.

Passed by name (`worker_extension_cls`) and imported by vLLM inside its worker process. For float32 on x86, and for the
vLLM that this project pins for CPUs: it replaces one private method. Two changes:

- KV blocks of 16 tokens, where vLLM declares multiples of 32. Of a cached prefix whole blocks are found again, so every
  prompt computes up to a block of it anew; with many short choices that is most of the work. The kernel for 16 is there
  ("vec16", which vLLM takes by itself for such blocks), only the declaration leaves it out.
- `prompt_logprobs=0` for all prompts of a step at once, and from `extra_args["first_wanted"]` on. vLLM runs the LM head
  prompt by prompt and over every position that is computed; a product of 20 rows costs three times as much a row as one
  of 256, and half the rows are context. Positions before `first_wanted` come back unwritten.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from vllm.v1.attention.backend import MultipleOf
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
from vllm.v1.outputs import LogprobsTensors
from vllm.v1.sample.sampler import Sampler
from vllm.v1.worker.cpu_model_runner import CPUModelRunner

BLOCK_SIZE = 16
ROWS_AT_ONCE = 256
"""Of the LM head: its output is this times the vocabulary, in float32."""

LogprobsDict = dict[str, LogprobsTensors | None]


class _Rows(NamedTuple):
    """Prompt positions of one request whose next tokens are scored in this step."""

    tensors: LogprobsTensors
    first: int
    """In the prompt."""
    hidden: torch.Tensor
    targets: list[int]


class Extension:
    """Adds no method: importing this module is what counts."""


def _block_sizes(kv_cache_spec: object = None) -> list[MultipleOf]:
    return [MultipleOf(BLOCK_SIZE)]


def _get_prompt_logprobs_dict(
    self: Any, hidden_states: torch.Tensor, num_scheduled_tokens: dict[str, int]
) -> LogprobsDict:
    """In place of vLLM's, which serves requests for more than the prompt's own tokens."""
    done: LogprobsDict = {}
    if any(self.num_prompt_logprobs.values()) or self.model_config.logprobs_mode != "raw_logprobs":
        done = _one_by_one(self, hidden_states, num_scheduled_tokens)
        return done
    rows = []
    for req_id in list(self.num_prompt_logprobs):
        if (num_tokens := num_scheduled_tokens.get(req_id)) is not None:
            rows.append(_rows(self, req_id, num_tokens, hidden_states, done))
    _score([r for r in rows if r.targets], self.model.compute_logits)
    return done


def _rows(
    runner: Any, req_id: str, num_tokens: int, hidden_states: torch.Tensor, done: LogprobsDict
) -> _Rows:
    """What of a request is scored now; when it is the last of its prompt, `done` takes its tensors."""
    request = runner.requests[req_id]
    prompt = request.prompt_token_ids
    if request.in_progress_prompt_logprobs_cpu is None:
        request.in_progress_prompt_logprobs_cpu = LogprobsTensors.empty_cpu(len(prompt) - 1, 1)
    tensors = request.in_progress_prompt_logprobs_cpu
    start = request.num_computed_tokens
    end = min(start + num_tokens, len(prompt) - 1)
    if start + num_tokens >= len(prompt):
        done[req_id] = tensors
        request.in_progress_prompt_logprobs_cpu = None
        del runner.num_prompt_logprobs[req_id]
    wanted = (request.sampling_params.extra_args or {}).get("first_wanted", 1)
    first = max(start, wanted - 1)
    offset = runner.query_start_loc.np[runner.input_batch.req_id_to_index[req_id]].item() - start
    hidden = hidden_states[offset + first : offset + max(first, end)]
    return _Rows(tensors, first, hidden, prompt[first + 1 : end + 1])


def _score(rows: list[_Rows], compute_logits: Any) -> None:
    """Fill the tensors: each token's log-probability, and its rank (1: greedy)."""
    if not rows:
        return
    hidden = torch.cat([r.hidden for r in rows])
    targets = torch.tensor([token for r in rows for token in r.targets])[:, None]
    logprobs, ranks = [], []
    for some, wanted in zip(hidden.split(ROWS_AT_ONCE), targets.split(ROWS_AT_ONCE), strict=True):
        # The sampler's own log_softmax: on CPUs it is off by 8e-6 a token, always to the same side.
        every = Sampler.compute_logprobs(compute_logits(some))
        own = every.gather(-1, wanted)
        logprobs.append(own)
        ranks.append((every >= own).sum(-1))
    parts = [len(r.targets) for r in rows]
    scored = zip(
        rows,
        targets.split(parts),
        torch.cat(logprobs).split(parts),
        torch.cat(ranks).split(parts),
        strict=True,
    )
    for r, tokens, logprob, rank in scored:
        place = slice(r.first, r.first + len(r.targets))
        r.tensors.logprob_token_ids[place] = tokens
        r.tensors.logprobs[place] = logprob
        r.tensors.selected_token_ranks[place] = rank


_one_by_one = CPUModelRunner._get_prompt_logprobs_dict
CPUModelRunner._get_prompt_logprobs_dict = _get_prompt_logprobs_dict
CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(_block_sizes)
