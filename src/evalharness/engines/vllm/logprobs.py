"""One scoring question as vLLM's sampling parameters, and vLLM's output as its answer (`prefix_trie.Ask`).

vLLM 0.32 has two model runners, and says in `VllmConfig.use_v2_model_runner` which one it takes (the newer one where
Triton works and the configuration is supported; the environment's VLLM_USE_V2_MODEL_RUNNER decides otherwise):

- tokens after the prompt: `logprob_token_ids` and `max_tokens=1`, the same in both. The sampled token is the greedy
  one, because nothing but the temperature changes the logits.
- the prompt's own tokens, older runner: `prompt_logprobs=0` gives each token's log-probability and rank, for every
  position that is computed (on CPUs, from the first wanted: `cpu_blocks`). Positions inside the cached prefix are
  unwritten memory.
- the same, newer runner: `prompt_logprob_token_ids` from `prompt_logprob_start` on, one row per position, runs the LM
  head on these rows only. It gives no ranks, so a token of probability above one half is greedy and of another it
  isn't known. A prompt whose cached prefix goes past the first row gets nothing at all (its
  `prompt_token_id_logprobs` is None).

Both read the prefix cache only if asked to (`skip_reading_prefix_cache`). Tested: the older runner on CPUs. The newer
one needs Triton; its path was tested on CPUs with Triton's interpreter, on a few contexts.

Sources, in vLLM: v1/worker/gpu_model_runner.py (`_get_prompt_logprobs_dict`), v1/worker/gpu/sample/prompt_logprob.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalharness.engines.prefix_trie import (
    Answer,
    Tokens,
    TokenScore,
)

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

SURELY_GREEDY = math.log(0.5) + 1e-3
"""Above it no other token can be as likely; the margin is for rounding."""


def scoring_params(
    prompt: Tokens, start: int, token_ids: Sequence[int], *, may_read_cache: bool, by_token: bool
) -> SamplingParams:
    """The SamplingParams for vLLM, from `scoring_settings`."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    settings = scoring_settings(
        prompt, start, token_ids, may_read_cache=may_read_cache, by_token=by_token
    )
    return SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **settings)


def scoring_settings(
    prompt: Tokens, start: int, token_ids: Sequence[int], *, may_read_cache: bool, by_token: bool
) -> dict[str, Any]:
    """Fields of vLLM's SamplingParams for one question.

    Args:
        prompt: tokens.
        start: first position wanted inside the prompt; its length if none is.
        token_ids: wanted after the prompt; at most vLLM's MAX_LOGPROB_TOKEN_IDS.
        may_read_cache: whether a cached prefix may be used.
        by_token: whether to use the newer runner's way.
    """
    inside: dict[str, Any] = {}
    if start < len(prompt) and by_token:
        inside["prompt_logprob_token_ids"] = [[token] for token in prompt[start:]]
        inside["prompt_logprob_start"] = start - 1
    elif start < len(prompt):
        # 0: each prompt token's own log-probability and rank, nothing of the others.
        inside["prompt_logprobs"] = 0
    return {
        "temperature": 0.0,
        "max_tokens": 1,
        "logprob_token_ids": list(token_ids) or None,
        "flat_logprobs": True,
        "detokenize": False,
        "skip_reading_prefix_cache": not may_read_cache,
        "skip_clone": True,
        **inside,
    }


def read_answer(
    output: RequestOutput, prompt: Tokens, start: int, token_ids: Sequence[int]
) -> Answer:
    """The answer of vLLM, from either runner."""
    if output.prompt_token_id_logprobs is not None:
        inside = _rows(output.prompt_token_id_logprobs, start)
    elif output.prompt_logprobs:
        inside = _ranked(output, prompt, start)
    else:
        inside = {}
    return Answer(inside, _after(output, token_ids))


def _ranked(output: Any, prompt: Tokens, start: int) -> dict[int, TokenScore]:
    flat, known = output.prompt_logprobs, {}
    # The token after the cached ones is the first with a hidden state before it. Counted from the end, because
    # one model runner leaves the cached positions out and the other leaves them unwritten.
    for position in range(max(start, (output.num_cached_tokens or 0) + 1), len(prompt)):
        entry = flat.start_indices[position - len(prompt)]
        assert flat.token_ids[entry] == prompt[position]
        known[position] = TokenScore(flat.logprobs[entry], flat.ranks[entry] == 1)
    return known


def _rows(rows: Any, start: int) -> dict[int, TokenScore]:
    return {
        start + i: TokenScore(logprob, True if logprob > SURELY_GREEDY else None)
        for i, logprob in enumerate(rows[:, 0].tolist())
    }


def _after(output: Any, token_ids: Sequence[int]) -> dict[int, TokenScore]:
    if not token_ids:
        return {}
    completion = output.outputs[0]
    (greedy,) = completion.token_ids
    flat = completion.logprobs
    logprobs = dict(zip(flat.token_ids, flat.logprobs, strict=True))
    return {t: TokenScore(logprobs[t], t == greedy) for t in token_ids}
