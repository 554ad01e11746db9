"""A server's capabilities, probed with a few requests of one token each while the engine opens.

Servers with OpenAI's API differ in what they add and what they leave out, and most silently ignore unknown fields. So
nothing is concluded from a server's name: a feature counts only if its answer is present and correct.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from evalharness.config.schema import PromptFormat
from evalharness.engines.base import RequestError
from evalharness.engines.openai.endpoint import (
    Answer,
    BusyError,
    Endpoint,
)
from evalharness.engines.openai.logprobs import (
    ECHOED,
    RANKED,
    asks_next,
    echoed_scores,
    next_scores,
    ranked_scores,
)
from evalharness.engines.prefix_trie import TokenScore
from evalharness.errors import ConfigError, EngineError

logger = logging.getLogger(__name__)

PROBE = "The river runs from the hills to the sea."
PROBE_RETRIES = 2
SAME = 0.2
"""Two ways to compute one log-probability may differ by this much in 16-bit arithmetic; another quantity (a logit, a
log-probability after sampling's filters) differs more."""

EXTRAS: Mapping[str, Any] = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "add_special_tokens": False,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "return_token_ids": True,
}
"""Fields of vLLM (and mostly of SGLang) beyond OpenAI's API. The first three give neutral values, because servers take
missing ones from the model's generation_config.json."""


class Logprobs(Enum):
    """How a prompt's log-probabilities can be had; see `logprobs`."""

    ranked = "ranked"
    echoed = "echoed"
    none = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a server can do besides continuing a prompt."""

    takes_extras: bool
    """Whether `EXTRAS` are accepted."""
    gives_token_ids: bool
    """Whether it reports the tokens that it generated; without them it is unknown whether special tokens were left out
    of the text."""
    logprobs: Logprobs
    gives_next: bool
    """Whether it gives the log-probabilities of given tokens as the next one."""
    block_size: int | None
    """Tokens per block of its prefix cache; None if it has none or doesn't say."""


class Prompts:
    """Token ids in the form that a server takes, and the check that it read the same."""

    def __init__(self, tokenizer: Any, form: PromptFormat) -> None:
        """`tokenizer` is the checkpoint's."""
        self.tokenizer = tokenizer
        self.form = form
        self.adds_bos = False
        """Whether the server adds the first token to every text itself."""

    def write(self, tokens: Sequence[int]) -> list[int] | str:
        """The prompt to send.

        Raises:
            RequestError: as text it would become different tokens.
        """
        if self.form is PromptFormat.token_ids:
            return list(tokens)
        sent = list(tokens)
        if self.adds_bos:
            if sent[0] != self.tokenizer.bos_token_id:
                raise RequestError(
                    "the server begins every text with a token that this prompt doesn't have"
                )
            del sent[0]
        text: str = self.tokenizer.decode(
            sent, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if self.tokenizer.encode(text, add_special_tokens=False) != sent:
            raise RequestError(
                "the prompt's text, which engine.prompt_format=text sends, gives different tokens"
            )
        return text

    def check(self, tokens: Sequence[int], answer: Answer) -> None:
        """Raise a RequestError if the server read other tokens than it was sent."""
        read = answer.choice.get("prompt_token_ids")
        if read is not None and read != list(tokens):
            raise RequestError("the server read other tokens than the prompt's")
        if answer.num_prompt_tokens not in (None, len(tokens)):
            raise RequestError(
                f"the server read {answer.num_prompt_tokens} tokens in a prompt of {len(tokens)}"
            )

    def check_length(self, answer: Answer, max_tokens: int) -> None:
        """Raise a RequestError if the text is longer than this many tokens can be.

        Encoding a text can give more tokens than generated it, but not many times as many.
        """
        text = answer.choice.get("text") or ""
        if len(text) <= 8 * max_tokens:
            return
        num_tokens = len(self.tokenizer.encode(text, add_special_tokens=False))
        if num_tokens > 2 * max_tokens + 8:
            raise RequestError(
                f"the server wrote {num_tokens} tokens of text where at most {max_tokens} tokens were asked for"
            )


class Probing:
    """The probes, one by one."""

    def __init__(self, endpoint: Endpoint, model: str, prompts: Prompts) -> None:
        """`prompts.adds_bos` is set here when it turns out so."""
        self._endpoint, self._model, self._prompts = endpoint, model, prompts
        self._tokens: list[int] = prompts.tokenizer.encode(PROBE, add_special_tokens=False)
        self._extras: Mapping[str, Any] = EXTRAS
        self._gives_token_ids = False

    async def dialect(self, extra: Mapping[str, Any]) -> Dialect:
        """Ask everything.

        Args:
            extra: fields of the user's for every request.

        Raises:
            ConfigError: the server doesn't take the prompt's format, or reads other tokens.
            EngineError: it is gone, or too busy for a first answer.
        """
        try:
            return await self._dialect(extra)
        except BusyError as e:
            raise EngineError(f"the first requests had no answer: {e}") from e

    async def _dialect(self, extra: Mapping[str, Any]) -> Dialect:
        takes_extras = await self._takes_extras(extra)
        self._extras = {**(EXTRAS if takes_extras else {}), **extra}
        logprobs = await self._logprobs()
        gives_next = logprobs is Logprobs.ranked and await self._gives_next()
        cache = await self._endpoint.prefix_cache() if gives_next else None
        return Dialect(
            takes_extras=takes_extras,
            gives_token_ids=self._gives_token_ids,
            logprobs=logprobs,
            gives_next=gives_next,
            block_size=cache.block_size if cache else None,
        )

    async def _takes_extras(self, extra: Mapping[str, Any]) -> bool:
        for extras in (EXTRAS, {}):
            self._extras = {**extras, **extra}
            try:
                answer = await self._ask(self._tokens, {})
                self._check_reading(answer)
            except BusyError:
                raise
            except RequestError as e:
                refusal = e
                continue
            self._gives_token_ids = isinstance(answer.choice.get("token_ids"), list)
            return bool(extras)
        form = self._prompts.form
        other = next(f for f in PromptFormat if f is not form)
        raise ConfigError(
            f"engine=openai: the server refuses a prompt as {form.value} ({refusal}); "
            f"engine.prompt_format={other.value} sends it otherwise"
        )

    def _check_reading(self, answer: Answer) -> None:
        read, tokens = answer.num_prompt_tokens, len(self._tokens)
        bos = self._prompts.tokenizer.bos_token_id
        if self._prompts.form is PromptFormat.text and read == tokens + 1 and bos is not None:
            self._prompts.adds_bos = True
            self._tokens.insert(0, bos)
        elif read not in (None, tokens):
            raise ConfigError(
                f"engine=openai: the server read {read} tokens in a prompt of {tokens}; it serves a model with "
                "another tokenizer than the checkpoint in model.path, or doesn't take prompts as "
                f"engine.prompt_format={self._prompts.form.value}"
            )

    async def _logprobs(self) -> Logprobs:
        for kind in (Logprobs.ranked, Logprobs.echoed):
            if await self._tail(kind) is not None:
                return kind
        return Logprobs.none

    async def _tail(self, kind: Logprobs) -> TokenScore | None:
        """The last token's score, when all tokens have one."""
        try:
            if kind is Logprobs.ranked:
                answer = await self._ask(self._tokens, RANKED)
                scores = ranked_scores(answer.choice, self._tokens, 1)
            else:
                answer = await self._ask(self._tokens, ECHOED)
                scores = echoed_scores(answer.choice, self._tokens, 1)
        except BusyError:
            raise
        except RequestError as e:
            logger.info("no %s log-probabilities: %s", kind.value, e)
            return None
        return scores[len(self._tokens) - 1]

    async def _gives_next(self) -> bool:
        *context, last = self._tokens
        try:
            answer = await self._ask(context, asks_next([last]))
            score = next_scores(answer.choice, [last])[last]
        except BusyError:
            raise
        except RequestError as e:
            logger.info("no log-probabilities of given next tokens: %s", e)
            return False
        reference = await self._tail(Logprobs.ranked)
        if reference is None or abs(score.logprob - reference.logprob) > SAME:
            logger.warning(
                "the server's logprobs aren't raw log-probabilities (--logprobs-mode); "
                "only its prompt_logprobs are used, which is slower"
            )
            return False
        return True

    async def _ask(self, tokens: Sequence[int], fields: Mapping[str, Any]) -> Answer:
        body = {"model": self._model, "prompt": self._prompts.write(tokens), "max_tokens": 1}
        return await self._endpoint.complete(
            body | {"temperature": 0.0} | {**self._extras} | {**fields}, PROBE_RETRIES
        )
