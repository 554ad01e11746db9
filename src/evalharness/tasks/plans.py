"""The requests of one sample, and how their responses become what lm-eval expects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from evalharness.engines.base import Engine
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    Generation,
    Request,
    Response,
    Scores,
)
from evalharness.engines.soundness import check_response

Resolve = Callable[[Sequence[Response]], list[Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of one sample, and how their responses become one lm-eval response per instance."""

    requests: tuple[Request | Failure, ...]
    """A `Failure` replaces a request that can't be sent (a prompt longer than the context)."""
    resolve: Resolve
    """Finished responses in the order of `requests`, none of them a Failure -> lm-eval responses, one per instance."""
    finish: Callable[[Sequence[Response]], list[Response]] = list
    """Responses as they are counted and shown: generations with the thinking separated and the answer ended."""
    num_split_tokens: int = 0
    """Choices that were encoded separately, because their first token would span context and choice."""
    is_cut: bool = False
    """Whether its oldest tokens were dropped to fit the context."""
    has_doubled_bos: bool = False
    """Whether a prompt of it has too many BOS tokens."""


def join(plans: Sequence[Plan]) -> Plan:
    """Several plans as one: requests and answers one after the other."""

    def parts(responses: Sequence[Response]) -> list[tuple[Plan, list[Response]]]:
        rest = iter(responses)
        return [(plan, list(islice(rest, len(plan.requests)))) for plan in plans]

    def resolve(responses: Sequence[Response]) -> list[Any]:
        return [answer for plan, part in parts(responses) for answer in plan.resolve(part)]

    def finish(responses: Sequence[Response]) -> list[Response]:
        return [response for plan, part in parts(responses) for response in plan.finish(part)]

    requests = tuple(request for plan in plans for request in plan.requests)
    return Plan(
        requests,
        resolve,
        finish,
        num_split_tokens=sum(plan.num_split_tokens for plan in plans),
        is_cut=any(plan.is_cut for plan in plans),
        has_doubled_bos=any(plan.has_doubled_bos for plan in plans),
    )


async def send(engine: Engine, request: Request) -> Generation | Scores:
    """Send one request to the engine; impossible answers are rejected.

    Raises:
        RequestError: this request failed, or its response is invalid.
        EngineError: the engine is dead.
    """
    response: Generation | Scores
    if isinstance(request, GenerateRequest):
        response = await engine.generate(request)
    else:
        response = await engine.score(request)
    check_response(request, response)
    return response
