"""Requests and responses between processes: plain tuples, token ids as bytes, several times faster than records."""

from __future__ import annotations

import pickle
import struct
from array import array
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from evalharness.engines.requests import (
    ContinuationScore,
    Failure,
    GenerateRequest,
    Generation,
    Request,
    Response,
    SamplingParams,
    ScoreRequest,
    Scores,
)

_LENGTH = struct.Struct("!Q")
_settings = attrgetter(*SamplingParams.__slots__)
_GENERATION = tuple(Generation.__slots__)
_generation = attrgetter(*_GENERATION)


def pack_request(request: Request) -> tuple[Any, ...]:
    """A request as a tuple that pickles fast."""
    if isinstance(request, ScoreRequest):
        return (_pack(request.context_token_ids), [_pack(c) for c in request.continuations])
    return (_pack(request.prompt_token_ids), _settings(request.sampling), request.repeat)


def unpack_request(packed: tuple[Any, ...]) -> Request:
    """The request that was packed."""
    if len(packed) == 2:
        context, continuations = packed
        return ScoreRequest(
            context_token_ids=_unpack(context), continuations=tuple(map(_unpack, continuations))
        )
    prompt, settings, repeat = packed
    sampling = SamplingParams(**dict(zip(SamplingParams.__slots__, settings, strict=True)))
    return GenerateRequest(prompt_token_ids=_unpack(prompt), sampling=sampling, repeat=repeat)


def pack_response(response: Response) -> tuple[Any, ...]:
    """A response as a tuple that pickles fast."""
    if isinstance(response, Scores):
        found = [(c.logprob, c.is_greedy, c.num_tokens) for c in response.continuations]
        return (
            found,
            response.num_prompt_tokens,
            response.num_cached_tokens,
            response.latency_s,
            response.is_reused,
        )
    if isinstance(response, Failure):
        return (response.kind, response.message)
    fields: tuple[Any, ...] = _generation(response)
    return fields


def unpack_response(packed: tuple[Any, ...]) -> Response:
    """The response that was packed."""
    if len(packed) == 2:
        return Failure(kind=packed[0], message=packed[1])
    if len(packed) == 5:
        found, num_prompt, num_cached, latency_s, is_reused = packed
        return Scores(
            continuations=tuple(
                ContinuationScore(logprob=p, is_greedy=g, num_tokens=n) for p, g, n in found
            ),
            num_prompt_tokens=num_prompt,
            num_cached_tokens=num_cached,
            latency_s=latency_s,
            is_reused=is_reused,
        )
    return Generation(**dict(zip(_GENERATION, packed, strict=True)))


def framed(messages: list[tuple[Any, ...]]) -> bytes:
    """Messages with their length before them."""
    packed = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(packed)) + packed


def unframed(data: bytearray) -> list[tuple[Any, ...]] | None:
    """The messages at the beginning of what was received, which are taken out; None if they aren't whole yet."""
    if len(data) < _LENGTH.size:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    if len(data) < end:
        return None
    messages: list[tuple[Any, ...]] = pickle.loads(data[_LENGTH.size : end])
    del data[:end]
    return messages


def _pack(token_ids: Iterable[int]) -> bytes:
    return array("I", token_ids).tobytes()


def _unpack(packed: bytes) -> tuple[int, ...]:
    return tuple(array("I", packed))
