"""The fields of a server's answers that are read, and their valid values: bytes in, checked values out.

A server is never trusted: JSON may be too deep, repeat a key or hold half a character; numbers may have the wrong type
or range; there may be more than was asked for. Such an answer raises a ValueError that names the field and its value in
one line; other fields are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypeVar

import jiter
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from evalharness.engines.soundness import MAX_ROUNDING

T = TypeVar("T")

MOST_TOKENS = 2**31


def _name(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a name is printable")
    return value


Logprob = Annotated[float, Field(le=MAX_ROUNDING, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=MOST_TOKENS)]
Label = Annotated[str, Field(max_length=1000), AfterValidator(_name)]
Name = Annotated[Label, Field(min_length=1)]


class RankedToken(TypedDict):
    """One token of vLLM's `prompt_logprobs`."""

    logprob: Logprob
    rank: NotRequired[Annotated[int, Field(ge=1, lt=MOST_TOKENS)] | None]


class TokenLogprobs(TypedDict):
    """OpenAI's `logprobs`; null for the first token of an echoed prompt."""

    token_logprobs: NotRequired[list[Logprob | None] | None]
    top_logprobs: NotRequired[list[dict[str, Logprob] | None] | None]


class Choice(TypedDict):
    """One answer to the prompt."""

    index: NotRequired[Annotated[int, Field(ge=0, le=0)] | None]
    text: NotRequired[str | None]
    finish_reason: NotRequired[str | None]
    stop_reason: NotRequired[Count | str | None]
    """vLLM's field: the end token or stop string that ended it."""
    logprobs: NotRequired[TokenLogprobs | None]
    prompt_logprobs: NotRequired[list[dict[str, RankedToken] | None] | None]
    token_ids: NotRequired[list[Count] | None]
    prompt_token_ids: NotRequired[list[Count] | None]


class PromptDetails(TypedDict):
    """Tokens of the prompt that were cached."""

    cached_tokens: NotRequired[Count | None]


class Usage(TypedDict):
    """Tokens, as the server counted them."""

    prompt_tokens: NotRequired[Count | None]
    completion_tokens: NotRequired[Count | None]
    prompt_tokens_details: NotRequired[PromptDetails | None]


class Completion(TypedDict):
    """The body of an answer; only one choice was requested."""

    model: NotRequired[Label | None]
    choices: Annotated[list[Choice], Field(min_length=1, max_length=1)]
    usage: NotRequired[Usage | None]


class Card(TypedDict):
    """One entry of `/v1/models`."""

    id: Name
    owned_by: NotRequired[Label | None]
    root: NotRequired[Label | None]
    max_model_len: NotRequired[Annotated[int, Field(gt=0, lt=MOST_TOKENS)] | None]


_COMPLETION = TypeAdapter(Completion)
_CARD = TypeAdapter(Card)
_NAME = TypeAdapter(Name)


def completion(body: bytes, *, max_tokens: int) -> Completion:
    """The completion in a body.

    Args:
        body: as the server sent it, uncompressed.
        max_tokens: how many were asked for.

    Raises:
        ValueError: it isn't a completion, or has too many tokens.
    """
    content = json_object(body)
    if "choices" not in content and content.get("error"):
        raise ValueError(f"the server's answer is an error: {quoted(content['error'])}")
    found = _valid(_COMPLETION, content)
    choice, usage = found["choices"][0], found.get("usage") or {}
    num_tokens = max(len(choice.get("token_ids") or ()), usage.get("completion_tokens") or 0)
    if num_tokens > max_tokens:
        raise ValueError(
            f"the server wrote {num_tokens} tokens where at most {max_tokens} were asked for"
        )
    details = usage.get("prompt_tokens_details") or {}
    num_cached, num_read = details.get("cached_tokens") or 0, usage.get("prompt_tokens")
    if num_read is not None and num_cached > num_read:
        raise ValueError(f"the server had {num_cached} tokens cached of a prompt of {num_read}")
    return found


def card(content: object) -> Card:
    """One model of a list. Raises a ValueError that says what is wrong with it."""
    return _valid(_CARD, content)


def name_or_none(content: object) -> str | None:
    """The value itself, if it can be a name."""
    try:
        return _NAME.validate_python(content, strict=True)
    except ValidationError:
        return None


def json_object(body: bytes) -> dict[str, Any]:
    """The body's object. Raises a ValueError if it isn't one."""
    try:
        content = jiter.from_json(
            body, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys"
        )
    except ValueError as e:
        begin = quoted(body[:200].decode(errors="replace"), 60)
        raise ValueError(f"the server's answer is not JSON ({quoted(str(e))}): {begin!r}") from e
    if not isinstance(content, dict):
        raise ValueError(f"the server's answer is {quoted(content, 60)} and not a JSON object")
    return content


def quoted(value: object, most: int = 300) -> str:
    """A server's text, made safe to show in one line: short, without control characters or halves of characters."""
    if isinstance(value, Mapping):
        value = value.get("message") or value.get("detail") or value
    if isinstance(value, str):
        text = value
    else:
        try:
            text = repr(value)
        except (RecursionError, ValueError):  # too deep; an integer of too many digits
            text = f"a {type(value).__name__}"
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    return " ".join(printable.split())[:most]


def _valid(adapter: TypeAdapter[T], content: object) -> T:
    try:
        return adapter.validate_python(content, strict=True)
    except ValidationError as e:
        error = e.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, error["loc"])) or "the answer"
    why = quoted(error["msg"].removeprefix("Value error, "))
    raise ValueError(f"{quoted(where)} is {quoted(error['input'], 60)}: {why}")
