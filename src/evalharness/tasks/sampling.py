"""How an answer is drawn: lm-eval's generation_kwargs with the run's sampling over them, and the seed of each sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from evalharness.config import SamplingConfig
from evalharness.records import SamplingParams

DEFAULT_MAX_GEN_TOKS = 256
"""lm-eval's own default for tasks that name none."""


def sampling_params(gen_kwargs: Mapping[str, Any], own: SamplingConfig) -> SamplingParams:
    """lm-eval's generation_kwargs, with the run's sampling over them."""
    until = gen_kwargs.get("until") or []
    is_greedy = not gen_kwargs.get("do_sample", gen_kwargs.get("temperature", 0.0) > 0)

    def pick(name: str, mine: Any, default: Any) -> Any:
        return mine if mine is not None else gen_kwargs.get(name, default)

    temperature = own.temperature
    if temperature is None:
        temperature = 0.0 if is_greedy else float(gen_kwargs.get("temperature", 1.0))
    limit = own.max_gen_toks
    if limit is None:
        names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
        limit = next((gen_kwargs[n] for n in names if n in gen_kwargs), DEFAULT_MAX_GEN_TOKS)
    return SamplingParams(
        temperature=float(temperature),
        top_p=float(pick("top_p", own.top_p, 1.0)),
        top_k=int(pick("top_k", own.top_k, 0)),
        min_p=float(pick("min_p", own.min_p, 0.0)),
        repetition_penalty=float(pick("repetition_penalty", own.repetition_penalty, 1.0)),
        max_gen_toks=int(limit),
        stop=tuple([until] if isinstance(until, str) else until),
    )


def sampling_seed(*parts: object) -> int:
    """A sampling seed (31 bits) from what identifies a sample."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1
