"""How transformers draws one answer: by the request's settings only, not the checkpoint's generation_config.json.

Penalties, biases and the least number of tokens are computed as vLLM does and in its order, because transformers has
only some of them, and counts others differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evalharness.engines.detokenizer import Detokenizer, cut_at_stop
from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
)

if TYPE_CHECKING:
    import torch

_COLDEST = 0.01
"""vLLM's lowest temperature above 0."""
_TAIL = 4
"""Most tokens that a character of a stop string may take."""
_MORE_TAIL = 16
"""Most tokens without text of their own, such as parts of characters, next to a stop string."""


def generation_config(request: GenerateRequest, ends: frozenset[int], pad: int | None) -> Any:
    """A `GenerationConfig` with the settings that transformers handles itself.

    Args:
        request: the request.
        ends: tokens that end the answer.
        pad: the padding token.
    """
    from transformers import GenerationConfig

    s = request.sampling
    drawn: dict[str, Any] = {"do_sample": False}
    if s.temperature > 0:
        drawn = {"do_sample": True, "temperature": max(s.temperature, _COLDEST)}
        drawn |= {"top_p": s.top_p, "top_k": s.top_k, "min_p": s.min_p}
    return GenerationConfig(
        max_new_tokens=s.max_gen_toks,
        eos_token_id=sorted(ends) or None,
        pad_token_id=pad,
        use_cache=True,
        **drawn,
    )


def reshapes(s: SamplingParams) -> bool:
    """Whether `Reshaping` would change anything."""
    shifts = (s.presence_penalty, s.frequency_penalty, s.logit_bias, s.min_tokens)
    return any(shifts) or s.repetition_penalty != 1


class Reshaping:
    """Logits before temperature: the least length, biases, then penalties."""

    def __init__(self, request: GenerateRequest, ends: frozenset[int]) -> None:
        """Set up for one request; `ends` are the tokens that end its answer."""
        self._sampling, self._ends = request.sampling, sorted(ends)
        self._num_prompt = len(request.prompt_token_ids)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(1, tokens so far), (1, vocabulary) -> (1, vocabulary)."""
        import torch

        s, scores = self._sampling, scores.clone().float()
        seen, generated = input_ids[0], input_ids[0, self._num_prompt :]
        if len(generated) < s.min_tokens and self._ends:
            scores[0, self._ends] = -torch.inf
        for token, bias in s.logit_bias:
            scores[0, token] += bias
        if s.repetition_penalty != 1:
            known = seen.unique()
            found = scores[0, known]
            scores[0, known] = torch.where(
                found > 0, found / s.repetition_penalty, found * s.repetition_penalty
            )
        counts = torch.bincount(generated, minlength=scores.shape[-1])
        scores[0] -= s.frequency_penalty * counts + s.presence_penalty * (counts > 0)
        return scores


class StopStrings:
    """Ends a generation when its own text, without the prompt's, contains a stop string."""

    def __init__(self, request: GenerateRequest, detokenizer: Detokenizer) -> None:
        """Set up for one request."""
        self._stop, self._prompt = request.sampling.stop, request.prompt_token_ids
        self._detokenizer = detokenizer
        self._num_tail = _TAIL * max(map(len, self._stop)) + _MORE_TAIL

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """(1, tokens so far) -> (1,) whether it is over."""
        import torch

        generated = input_ids[0, len(self._prompt) :].tolist()
        before = (*self._prompt, *generated[: -self._num_tail])[-self._num_tail :]
        text = self._detokenizer.text(before, generated[-self._num_tail :])
        is_over = cut_at_stop(text, self._stop)[1]
        return torch.full((1,), is_over, device=input_ids.device, dtype=torch.bool)
