"""A server with OpenAI's `/v1/completions`, over HTTP: one request in, one answer or one error out.

The `openai` client keeps the connections and retries requests that were refused for now (429, 5xx), timed out or were
lost, with growing pauses or those that the server gives (Retry-After). What it can't resolve becomes one of our errors
here:

    RequestError  the server said no to this request, or answered with something that is no completion
                  (`schema`, `http`); BusyError when it had no answer for now, and all retries were in vain
    EngineError   the server is gone, or has stopped taking our key or serving the model
    ConfigError   before the first request: the URL, the key or the model's name is wrong
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx2
import openai

from evalharness.config.schema import EngineConfig
from evalharness.engines.base import RequestError
from evalharness.engines.openai import schema
from evalharness.engines.openai.http import (
    BoundedClient,
    UnfitAnswerError,
)
from evalharness.engines.openai.schema import quoted
from evalharness.errors import ConfigError, EngineError, did_you_mean, then

CONNECT_S = 10.0
KEEP_ALIVE_S = 2.0
"""Idle connections are closed before servers do it (uvicorn: 5 s), as a request on a closing connection is lost."""
PROBE_RETRIES = 1
"""While the engine opens, as a URL without an answer is usually a wrong one."""
NO_KEY = "none"
"""The client requires one; servers that need none ignore it."""


_BUSY = (408, 409, 425, 429, 502, 503, 504)


class BusyError(RequestError):
    """The server had no time for this request, which may still be valid."""


class ModelCard(NamedTuple):
    """One entry of `/v1/models`."""

    name: str
    owner: str
    """vllm, sglang, llamacpp, ..."""
    root: str
    """The model behind the name, if the server says it (vLLM: the path or Hub id of the weights); else ''."""
    max_model_len: int | None


class PrefixCache(NamedTuple):
    """The state of vLLM's prefix cache, from its metrics."""

    block_size: int


class Answer(NamedTuple):
    """The one choice of a completion, and its cost."""

    choice: schema.Choice
    num_prompt_tokens: int | None
    """The server's count; None if it doesn't say."""
    num_cached_tokens: int
    """Also 0 if the server doesn't say (vLLM does with --enable-prompt-tokens-details)."""


class Endpoint:
    """One server; any number of coroutines call it, and at most `engine.max_in_flight` requests are in flight."""

    def __init__(self, config: EngineConfig) -> None:
        """Set up without connecting.

        Raises:
            ConfigError: the key's environment variable isn't set.
        """
        assert config.base_url is not None  # config_values
        self.url = config.base_url.rstrip("/")
        self.num_retries = config.num_retries
        self.answers_as: str | None = None
        """The model's name in the first answer, if the server gives it."""
        self._key_env = config.api_key_env
        self._slots = asyncio.Semaphore(config.max_in_flight)
        limits = httpx2.Limits(
            max_connections=config.max_in_flight + 1,
            max_keepalive_connections=config.max_in_flight + 1,
            keepalive_expiry=KEEP_ALIVE_S,
        )
        timeout = httpx2.Timeout(config.timeout_s, connect=CONNECT_S, pool=None)
        self._client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=_key(config.api_key_env),
            max_retries=config.num_retries,
            timeout=timeout,
            http_client=BoundedClient(limits=limits, timeout=timeout),
        )
        for name in ("httpx2", "openai"):  # a line for every request and every retry
            logging.getLogger(name).setLevel(logging.WARNING)

    async def model(self, wanted: str | None) -> ModelCard:
        """The card of the configured model, or of the only one.

        Raises:
            ConfigError: no such model, several and none is configured, no such API at the URL, or the key was refused.
            EngineError: nothing answers.
        """
        try:
            listed = await self._get(f"{self.url}/models", PROBE_RETRIES)
        except openai.APIStatusError as e:
            raise self._not_opened(e) from e
        except openai.APIConnectionError as e:
            raise EngineError(
                f"engine.base_url {self.url}: no server answers ({_cause(e)}); is the server running?"
            ) from e
        except UnfitAnswerError as e:
            raise ConfigError(f"engine.base_url {self.url}: {e}") from e
        cards = self._cards(listed)
        names = [card.name for card in cards]
        if wanted is None and len(cards) == 1:
            return cards[0]
        if wanted is None:
            raise ConfigError(
                f"engine.served_model: {self.url} serves {len(names)} models; name one of "
                + ", ".join(names[:8])
            )
        if wanted not in names:
            near = did_you_mean(wanted, names)
            raise ConfigError(
                f"engine.served_model: {self.url} serves no {wanted!r}"
                + then(near, f"it serves {', '.join(names[:8])}")
            )
        return cards[names.index(wanted)]

    async def version(self) -> str:
        """The version of the server's software, if it says (vLLM); else ''."""
        response = await self._get_if_there("/version")
        try:
            content = schema.json_object(response.content) if response else {}
        except ValueError:
            return ""
        return schema.name_or_none(content.get("version")) or ""

    async def prefix_cache(self) -> PrefixCache | None:
        """The prefix cache of a vLLM server whose metrics can be read; None if there is none, or if it is unknown."""
        response = await self._get_if_there("/metrics")
        text = response.content.decode(errors="replace") if response else ""
        found = re.search(r"^vllm:cache_config_info\{(.{,10000})\}", text, re.M)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1])) if found else {}
        block_size = re.fullmatch(r"[1-9][0-9]{,5}", labels.get("block_size", ""))
        if labels.get("enable_prefix_caching") != "True" or not block_size:
            return None
        return PrefixCache(int(block_size[0]))

    async def complete(self, body: Mapping[str, Any], num_retries: int | None = None) -> Answer:
        """Send one request with one prompt.

        Args:
            body: has `max_tokens`, against which the answer is checked.
            num_retries: default: `engine.num_retries`.

        Raises:
            RequestError: refused, unanswered after all retries (BusyError), or answered with no completion.
            EngineError: the server is gone or refuses everything.
        """
        client = self._client
        if num_retries is not None:
            client = client.with_options(max_retries=num_retries)
        try:
            async with self._slots:
                response = await client.post("/completions", cast_to=httpx2.Response, body=body)
        except openai.APIStatusError as e:
            raise self._refused(e) from e
        except openai.APIConnectionError as e:
            raise await self._unanswered(e) from e
        except UnfitAnswerError as e:
            raise RequestError(str(e)) from e
        try:
            found = schema.completion(response.content, max_tokens=body["max_tokens"])
        except ValueError as e:
            raise RequestError(f"no completion: {e}") from e
        self._check_model(found.get("model"))
        return _answer(found)

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.close()

    def _check_model(self, name: str | None) -> None:
        self.answers_as = self.answers_as or name
        if name and name != self.answers_as:
            raise RequestError(
                f"the server answered as {name!r}, but earlier as {self.answers_as!r}: another model"
            )

    async def _get(self, url: str, num_retries: int) -> httpx2.Response:
        client = self._client.with_options(
            max_retries=num_retries, timeout=httpx2.Timeout(30.0, connect=CONNECT_S)
        )
        return await client.get(url, cast_to=httpx2.Response)

    async def _get_if_there(self, path: str) -> httpx2.Response | None:
        """Read a path outside the API, where vLLM has what OpenAI's API lacks."""
        try:
            return await self._get(self.url.removesuffix("/v1") + path, 0)
        except openai.OpenAIError:
            return None

    def _cards(self, listed: httpx2.Response) -> list[ModelCard]:
        """The listed models, without invalid entries."""
        where, wrong = f"engine.base_url {self.url}: /models there", ""
        try:
            data = schema.json_object(listed.content).get("data")
        except ValueError as e:
            raise ConfigError(f"{where} is not a list of models: {e}") from e
        cards = []
        for entry in data if isinstance(data, list) else ():
            try:
                cards.append(_model_card(schema.card(entry)))
            except ValueError as e:
                wrong = f" ({e})"
        if not cards:
            raise ConfigError(f"{where} lists no model{wrong}")
        return cards

    def _not_opened(self, e: openai.APIStatusError) -> ConfigError | EngineError:
        if e.status_code in (401, 403):
            return ConfigError(f"engine.base_url {self.url}: {self._key_refused(e)}")
        if e.status_code in (404, 405):
            return ConfigError(
                f"engine.base_url {self.url}: no OpenAI API there (/models: {e.status_code}); "
                "the URL mostly ends in /v1"
            )
        return EngineError(f"engine.base_url {self.url}: /models answers {_said(e)}")

    def _refused(self, e: openai.APIStatusError) -> RequestError | EngineError:
        if e.status_code in (401, 403):
            return EngineError(f"{self.url}: {self._key_refused(e)}")
        if e.status_code == 404:
            return EngineError(f"{self.url}: /completions answers {_said(e)}")
        kind = BusyError if e.status_code in _BUSY else RequestError
        return kind(f"{self.url} answers {_said(e)}")

    def _key_refused(self, e: openai.APIStatusError) -> str:
        way_out = "engine.api_key_env names the environment variable that holds it"
        if self._key_env:
            way_out = f"the one in ${self._key_env} was sent"
        return f"the server wants another key ({e.status_code}); {way_out}"

    async def _unanswered(self, e: openai.APIConnectionError) -> RequestError | EngineError:
        """The error if the server is gone: one that can't list its models would not answer other requests either."""
        what = f"no answer after {self.num_retries + 1} tries ({_cause(e)})"
        try:
            await self._get(f"{self.url}/models", 0)
        except openai.APIConnectionError as gone:
            return EngineError(f"the server at {self.url} is gone: {_cause(gone)}")
        except openai.OpenAIError:
            pass
        return BusyError(f"{self.url}: {what}")


def _key(environment_variable: str | None) -> str:
    if environment_variable is None:
        return NO_KEY
    key = os.environ.get(environment_variable, "").strip()
    if not key:
        raise ConfigError(
            f"engine.api_key_env: the environment has no variable {environment_variable}; "
            "set it to the endpoint's key"
        )
    return key


def _model_card(found: schema.Card) -> ModelCard:
    return ModelCard(
        name=found["id"],
        owner=found.get("owned_by") or "",
        root=found.get("root") or "",
        max_model_len=found.get("max_model_len"),
    )


def _answer(found: schema.Completion) -> Answer:
    usage = found.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return Answer(
        choice=found["choices"][0],
        num_prompt_tokens=usage.get("prompt_tokens"),
        num_cached_tokens=details.get("cached_tokens") or 0,
    )


def _said(e: openai.APIStatusError) -> str:
    """The status and the server's own message, in one line."""
    body = e.body if isinstance(e.body, dict) else {}
    return f"{e.status_code}: {quoted(body or e.response.content.decode(errors='replace'))}"


def _cause(e: openai.APIConnectionError) -> str:
    if isinstance(e, openai.APITimeoutError):
        return "timed out"
    cause = e.__cause__ or e
    return quoted(f"{type(cause).__name__}: {cause}").rstrip(": ")
