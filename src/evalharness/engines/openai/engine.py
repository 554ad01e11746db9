"""A model behind a running server: any OpenAI-compatible `/v1/completions`.

`vllm serve`, SGLang, llama.cpp's server, a provider: what each can do is probed. Prompts are sent as token ids, so that
the server sees what every other engine sees; `engine.prompt_format=text` is for servers that accept no ids. The
checkpoint's folder is needed only for tokenizer and chat template, and nothing proves that the server has the weights
it names: the manifest marks them as unverified, and its responses are kept separate from those of local weights and of
other servers and names (`EngineInfo.numerics`).

    endpoint.py      HTTP: connections, retries, errors
    capabilities.py  what this server can
    logprobs.py      log-probabilities out of its answers

Log-likelihoods: from vLLM's own fields if the server is a vLLM, else from OpenAI's `echo`; a server with neither
(llama.cpp) can only generate. Over HTTP, vLLM never reads its prefix cache for prompt log-probabilities. So if the
cache is known to be on, continuations are walked instead, if that computes fewer tokens: each token is requested as the
next one after all before it, which does read the cache. Tested with vLLM 0.32 on a CPU.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness import checkpoint
from evalharness.config.schema import (
    EngineConfig,
    Scoring,
)
from evalharness.engines.base import EngineInfo, RequestError, Weights
from evalharness.engines.detokenizer import Detokenizer, Ended, cut_at_stop
from evalharness.engines.openai.capabilities import (
    EXTRAS,
    Dialect,
    Logprobs,
    Probing,
    Prompts,
)
from evalharness.engines.openai.endpoint import (
    Answer,
    Endpoint,
    ModelCard,
)
from evalharness.engines.openai.logprobs import (
    ECHOED,
    RANKED,
    asks_next,
    echoed_scores,
    next_scores,
    ranked_scores,
)
from evalharness.engines.openai.schema import Choice
from evalharness.engines.prefix_trie import (
    Tokens,
    TokenScore,
    known_score,
    total,
    unique_leaves,
)
from evalharness.engines.requests import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from evalharness.errors import CheckpointError, ConfigError

logger = logging.getLogger(__name__)

NO_LOGPROBS = (
    "the server gives no log-likelihoods of a prompt's tokens (neither vLLM's prompt_logprobs nor OpenAI's echo with "
    "logprobs); serve the model with vLLM, or choose generative tasks"
)
MAX_NEXT = 128
"""vLLM's limit on `logprob_token_ids`."""
REQUEST_TOKENS = 64
"""Cost of one more request, in prompt tokens computed in the same time."""
_STOPPED = ("stop", "eos_token", "stop_sequence")


@dataclass(slots=True)
class _Meter:
    """Prompt tokens of all prompts for one of our requests."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0


class OpenAIEngine:
    """An engine behind a server. Many coroutines call it at once; the server batches them."""

    def __init__(
        self,
        endpoint: Endpoint,
        info: EngineInfo,
        dialect: Dialect,
        prompts: Prompts,
        config: EngineConfig,
        model: str,
        detokenizer: Detokenizer,
    ) -> None:
        """Wrap a probed server; use `load`."""
        self.info = info
        self.dialect = dialect
        self._endpoint, self._prompts = endpoint, prompts
        self._scoring = config.scoring
        extras = EXTRAS if dialect.takes_extras else {}
        self._fields: Mapping[str, Any] = {"model": model, **extras}
        self._extra = config.extra
        self._detokenizer = detokenizer
        decoder = prompts.tokenizer
        self._ends = [str(decoder.decode([end])) for end in sorted(detokenizer.end_token_ids)]

    @classmethod
    async def load(
        cls, config: EngineConfig, weights: Weights, _ray: object = None
    ) -> OpenAIEngine:
        """Find the server and its model, and probe what it can do.

        Raises:
            ConfigError: URL, key, model name, prompt format or context length don't fit the server.
            EngineError: nothing answers there.
        """
        import transformers

        if weights.adapter:
            raise ConfigError(
                "model.adapter: engine=openai can't load it; the server must, and engine.served_model is its name there"
            )
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            weights.path, trust_remote_code=weights.trust_remote_code
        )
        endpoint = Endpoint(config)
        try:
            return await cls._open(
                endpoint, Prompts(tokenizer, config.prompt_format), config, weights
            )
        except BaseException:
            await endpoint.close()
            raise

    @classmethod
    async def _open(
        cls, endpoint: Endpoint, prompts: Prompts, config: EngineConfig, weights: Weights
    ) -> OpenAIEngine:
        card = await endpoint.model(config.served_model)
        max_model_len = _max_model_len(config, card, weights)
        dialect = await Probing(endpoint, card.name, prompts).dialect(config.extra)
        version, answers_as = await endpoint.version(), ""
        if endpoint.answers_as not in (None, card.name):
            answers_as = f"answers as {endpoint.answers_as}"
            logger.warning("%s: asked for %r, the server %s", endpoint.url, card.name, answers_as)
        info = EngineInfo(
            kind="openai",
            version=f"{card.owner} {version}".strip() or "unknown",
            device="none",
            dtype="unknown" if config.dtype == "auto" else config.dtype,
            quantization=config.quantization,
            max_model_len=max_model_len,
            endpoint=" ".join(filter(None, (endpoint.url, card.name, card.root, answers_as))),
            min_room=2,
            gives_logprobs=dialect.logprobs is not Logprobs.none,
            keeps_special_tokens=dialect.gives_token_ids,
            takes_extras=dialect.takes_extras,
        )
        logger.info("%s: %s", info.endpoint, dialect)
        detokenizer = Detokenizer.of(weights.path, prompts.tokenizer)
        return cls(endpoint, info, dialect, prompts, config, card.name, detokenizer)

    async def generate(self, request: GenerateRequest) -> Generation:
        """See `Engine.generate`. Token ids are those of the text if the server doesn't report which it generated."""
        started, meter = time.perf_counter(), _Meter()
        fields = self._sampling_fields(request.sampling)
        answer = await self._ask(meter, request.prompt_token_ids, fields)
        choice = answer.choice
        text, finish_reason = choice.get("text"), choice.get("finish_reason")
        if text is None:
            raise RequestError("the server sent no text")
        if finish_reason not in (*_STOPPED, "length"):
            raise RequestError(f"the server gave the finish reason {finish_reason!r}")
        ended = self._ended(request, text, choice)
        return Generation(
            text=ended.text,
            token_ids=ended.token_ids,
            finish_reason=ended.finish_reason,
            num_prompt_tokens=meter.num_prompt_tokens,
            num_cached_tokens=meter.num_cached_tokens,
            latency_s=time.perf_counter() - started,
        )

    def _ended(self, request: GenerateRequest, text: str, choice: Choice) -> Ended:
        """Made from its tokens if the server reports them, else from its text."""
        is_full, ids = choice.get("finish_reason") == "length", choice.get("token_ids")
        if ids is None and self.dialect.gives_token_ids:
            raise RequestError("the server no longer reports which tokens it wrote")
        if ids is not None:
            # If a stop string or the server's own end token ended it, vLLM names it.
            is_end_last = isinstance(choice.get("stop_reason"), int)
            return self._detokenizer.finish(
                request, ids, is_full=is_full, is_end_last=is_end_last and not is_full
            )
        for end in self._ends:
            text = text.removesuffix(end)
        text, is_cut = cut_at_stop(text, request.sampling.stop)
        encoded = self._prompts.tokenizer.encode(text, add_special_tokens=False)
        return Ended(text, tuple(encoded), "length" if is_full and not is_cut else "stop")

    async def score(self, request: ScoreRequest) -> Scores:
        """See `Engine.score`."""
        if self.dialect.logprobs is Logprobs.none:
            raise RequestError(NO_LOGPROBS)
        started, meter = time.perf_counter(), _Meter()
        context, continuations = request.context_token_ids, request.continuations
        if self._scoring is Scoring.plain:
            scores = tuple(
                await asyncio.gather(*(self._plain(meter, context, c) for c in continuations))
            )
        elif self._walks(context, continuations):
            scores = await self._walk(meter, context, continuations)
        else:
            scores = await self._whole(meter, context, continuations)
        return Scores(
            continuations=scores,
            num_prompt_tokens=meter.num_prompt_tokens,
            num_cached_tokens=meter.num_cached_tokens,
            latency_s=time.perf_counter() - started,
        )

    async def close(self) -> None:
        """Close the connections; the server keeps running."""
        await self._endpoint.close()

    def _walks(self, context: Tokens, continuations: Sequence[Tokens]) -> bool:
        """Whether requests token by token, from the prefix cache, are less work than whole continuations."""
        if not self.dialect.gives_next:
            return False
        block, nodes = self.dialect.block_size, next_tokens(continuations)
        if block is None:
            return len(nodes) == 1
        # Of a cached prompt, the last, unfinished block is computed again.
        walked = sum((len(context) + len(n) - 1) % block + 1 + REQUEST_TOKENS for n in nodes if n)
        whole = sum(len(context) + len(c) + REQUEST_TOKENS for c in set(continuations))
        return len(context) + REQUEST_TOKENS + walked <= whole

    async def _walk(
        self, meter: _Meter, context: Tokens, continuations: Sequence[Tokens]
    ) -> tuple[ContinuationScore, ...]:
        nodes = next_tokens(continuations)
        known: dict[Tokens, TokenScore] = {}

        async def ask(node: Tokens) -> None:
            scores = await self._next(meter, context + node, sorted(nodes[node]))
            known.update({(*node, token): score for token, score in scores.items()})

        await ask(())  # the others find the context in the cache
        await asyncio.gather(*(ask(node) for node in nodes if node))
        return tuple(known_score(c, known) for c in continuations)

    async def _whole(
        self, meter: _Meter, context: Tokens, continuations: Sequence[Tokens]
    ) -> tuple[ContinuationScore, ...]:
        """Each continuation with its context, but for those that another one begins with."""
        known: dict[Tokens, TokenScore] = {}

        async def ask(leaf: Tokens) -> None:
            scores = await self._tail(meter, context + leaf, len(context))
            known.update({leaf[: p - len(context) + 1]: s for p, s in scores.items()})

        await asyncio.gather(*map(ask, unique_leaves(continuations)))
        return tuple(known_score(c, known) for c in continuations)

    async def _plain(
        self, meter: _Meter, context: Tokens, continuation: Tokens
    ) -> ContinuationScore:
        known = await self._tail(meter, context + continuation, len(context))
        return total(known.values())

    async def _next(
        self, meter: _Meter, context: Tokens, token_ids: Sequence[int]
    ) -> dict[int, TokenScore]:
        known: dict[int, TokenScore] = {}
        for start in range(0, len(token_ids), MAX_NEXT):
            some = token_ids[start : start + MAX_NEXT]
            answer = await self._ask(meter, context, _ONE_TOKEN | asks_next(some))
            known |= next_scores(answer.choice, some)
        return known

    async def _tail(self, meter: _Meter, tokens: Tokens, start: int) -> dict[int, TokenScore]:
        if self.dialect.logprobs is Logprobs.ranked:
            answer = await self._ask(meter, tokens, {**_ONE_TOKEN, **RANKED})
            return ranked_scores(answer.choice, tokens, start)
        answer = await self._ask(meter, tokens, {**_ONE_TOKEN, **ECHOED})
        return echoed_scores(answer.choice, tokens, start)

    def _sampling_fields(self, s: SamplingParams) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "max_tokens": s.max_gen_toks,
            "temperature": s.temperature,
            "top_p": s.top_p,
        }
        if s.seed is not None:
            fields["seed"] = s.seed
        if s.stop:
            fields["stop"] = list(s.stop)
        if s.presence_penalty:
            fields["presence_penalty"] = s.presence_penalty
        if s.frequency_penalty:
            fields["frequency_penalty"] = s.frequency_penalty
        if s.logit_bias:
            fields["logit_bias"] = {str(token): bias for token, bias in s.logit_bias}
        more = own_settings(s)
        if more and not self.dialect.takes_extras:
            raise RequestError(f"the server takes no {', '.join(more)}")
        return fields | more

    async def _ask(self, meter: _Meter, tokens: Sequence[int], fields: Mapping[str, Any]) -> Answer:
        body = {**self._fields, "prompt": self._prompts.write(tokens), **fields, **self._extra}
        answer = await self._endpoint.complete(body)
        if not body.get("echo"):
            self._prompts.check_length(answer, body["max_tokens"])
        self._prompts.check(tokens, answer)
        meter.num_prompt_tokens += len(tokens)
        meter.num_cached_tokens += answer.num_cached_tokens
        return answer


_ONE_TOKEN: dict[str, Any] = {"max_tokens": 1, "temperature": 0.0}


def own_settings(s: SamplingParams) -> dict[str, Any]:
    """Settings of a request that vLLM has but OpenAI's API doesn't; only those that aren't neutral."""
    fields = {
        "top_k": s.top_k or -1,
        "min_p": s.min_p,
        "repetition_penalty": s.repetition_penalty,
        "min_tokens": s.min_tokens,
        "stop_token_ids": list(s.stop_token_ids),
        "ignore_eos": s.ignore_eos,
    }
    neutral = {"min_tokens": 0, "stop_token_ids": [], "ignore_eos": False, **EXTRAS}
    return {name: value for name, value in fields.items() if value != neutral[name]}


def next_tokens(continuations: Sequence[Tokens]) -> dict[Tokens, set[int]]:
    """The trie of the continuations: each prefix -> the tokens that follow it."""
    nodes: dict[Tokens, set[int]] = {}
    for continuation in continuations:
        for i, token in enumerate(continuation):
            nodes.setdefault(continuation[:i], set()).add(token)
    return nodes


def _max_model_len(config: EngineConfig, card: ModelCard, weights: Weights) -> int:
    """The server's value, or engine.max_model_len if that is smaller or the server gives none; else the checkpoint's."""
    wanted, served = config.max_model_len, card.max_model_len
    if wanted and served and wanted > served:
        raise ConfigError(
            f"engine.max_model_len: {wanted} is more than the {served} tokens that the server allows for {card.name!r}"
        )
    context = wanted or served or checkpoint.inspect_served(weights.path).context_length
    if context is None:
        raise CheckpointError(
            f"checkpoint {weights.path}: neither it nor the server gives the context length; "
            "set engine.max_model_len"
        )
    return context
