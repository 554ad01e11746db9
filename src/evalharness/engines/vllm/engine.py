"""vLLM in process (AsyncLLM): the engine for real work, on GPUs, and on CPUs for trying out.

Log-likelihoods read the prefix cache (`prefix_trie`, `logprobs`); `engine.scoring=plain` doesn't, and is what tests
compare with. Both were run with vLLM's older model runner on CPUs; nothing here has been run on a GPU yet.

The engine core is a child process of vLLM's own; when it dies, vLLM raises EngineDeadError and we raise EngineError.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import gc
import itertools
import logging
import multiprocessing
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalharness.checkpoint import merged, read_adapter
from evalharness.config.schema import (
    Device,
    EngineConfig,
    Scoring,
)
from evalharness.engines import resolve_device
from evalharness.engines.base import EngineInfo, RequestError, Weights
from evalharness.engines.child_processes import end_with_me
from evalharness.engines.determinism import batch_invariant
from evalharness.engines.detokenizer import Detokenizer
from evalharness.engines.own_log import OwnLog, log_path
from evalharness.engines.prefix_trie import (
    Answer,
    Tokens,
    score_nodes,
)
from evalharness.engines.requests import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)
from evalharness.engines.vllm.arguments import engine_arguments, scoring_of
from evalharness.engines.vllm.crash import cause_of_death
from evalharness.engines.vllm.logprobs import (
    read_answer,
    scoring_params,
)
from evalharness.engines.vllm.slots import Slot, shares_compilation, take_slot
from evalharness.engines.vllm.start import check_platform, set_environment
from evalharness.engines.vllm.start_failure import why_not_started
from evalharness.engines.vllm.text_only import find_torchvision
from evalharness.errors import ConfigError, EngineError, did_you_mean
from evalharness.paths import install_command

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

MERGE_BY_HAND = "; `evalharness model merge BASE ADAPTER OUT` makes a checkpoint that needs no adapter: set model.path to OUT"

PRIMED_BLOCKS = 2
"""A context with this many blocks more than the one before it is computed separately first: the LM head on its tokens,
which comes with a longer prompt, costs more than one more prompt."""


@dataclasses.dataclass(slots=True)
class _Meter:
    """Tokens of the prompts that one request of ours became."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0


class VllmEngine:
    """vLLM as an engine. Many coroutines call it at once; vLLM batches them continuously."""

    def __init__(self, llm: AsyncLLM, info: EngineInfo, weights: Weights, scoring: Scoring) -> None:
        """Wrap a running AsyncLLM; use `load`."""
        self.info = info
        self.num_resent = 0
        """Prompts of `score` that were sent again; see `prefix_trie`."""
        self._scoring = scoring
        self._drafts = llm.vllm_config.speculative_config is not None
        self._block_size: int = llm.vllm_config.cache_config.block_size
        self._by_token = bool(llm.vllm_config.use_v2_model_runner)
        self._last_context: Tokens = ()
        self._llm: AsyncLLM | None = llm
        self._slot: Slot | None = None
        self._ids = itertools.count()
        self._lora = _lora_request(weights)
        self._detokenizer = Detokenizer.of(weights.path, llm.get_tokenizer())

    @classmethod
    async def load(cls, config: EngineConfig, weights: Weights, _ray: object = None) -> VllmEngine:
        """Start vLLM with the weights. Blocks while they are loaded.

        Raises:
            CheckpointError: vLLM can't load the adapter, and it can't be merged into the weights either.
            ConfigError: vLLM isn't installed or was built for another device, or `engine.extra` names an unknown argument.
            EngineError: vLLM refused to start.
        """
        set_environment(config)
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
        except ImportError as e:
            raise ConfigError(
                f"engine=vllm: vLLM can't be imported ({e}); `{install_command('gpu')}` (or [cpu]) installs it, or use engine=hf."
            ) from e
        check_platform(config.device)
        if weights.is_text_only:
            find_torchvision()
        weights = _with_merged(config, weights)
        arguments = engine_arguments(config, weights)
        unknown = [k for k in arguments if k not in AsyncEngineArgs.__dataclass_fields__]
        if unknown:
            near = did_you_mean(unknown[0], AsyncEngineArgs.__dataclass_fields__)
            raise ConfigError(f"engine.extra: vLLM has no argument {unknown[0]!r}{near}")
        slot = take_slot(weights) if shares_compilation(arguments) else None
        if slot:
            arguments["model"] = str(slot.path)
        try:
            with batch_invariant(config.deterministic):
                engine = cls._start(AsyncEngineArgs(**arguments), config, weights)
            if slot:
                slot.check()
        except BaseException:
            if slot:
                slot.close()
            raise
        engine._slot = slot
        return engine

    @classmethod
    def _start(cls, arguments: Any, config: EngineConfig, weights: Weights) -> VllmEngine:
        """Not in `load`, because errors inside vLLM's imports keep its frame alive and the engine would outlive its run."""
        import psutil
        import vllm
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        log, is_cpu = OwnLog(), resolve_device(config.device) is Device.cpu
        try:
            # vLLM's own batch sizes for offline work, twice those of a server that must answer soon.
            llm = AsyncLLM.from_engine_args(arguments, usage_context=UsageContext.LLM_CLASS)
        except Exception as e:  # vLLM may raise anything from ValueError to RuntimeError here
            why = why_not_started(e, log.text(), log_path(), is_cpu=is_cpu, extra=config.extra)
            way_out = MERGE_BY_HAND if weights.adapter else ""
            raise EngineError(f"vLLM did not start: {why}{way_out}") from e
        end_with_me(child.pid for child in psutil.Process().children(recursive=True))
        model = llm.vllm_config.model_config
        info = EngineInfo(
            kind="vllm",
            version=vllm.__version__,
            device=resolve_device(config.device).value,
            dtype=str(model.dtype).removeprefix("torch."),
            quantization=model.quantization,
            max_model_len=model.max_model_len,
            asked_len=config.max_model_len,
        )
        return cls(llm, info, weights, scoring_of(config, llm.vllm_config.cache_config))

    async def generate(self, request: GenerateRequest) -> Generation:
        """See `Engine.generate`."""
        from vllm import SamplingParams

        s = request.sampling
        output, latency_s = await self._run(
            request.prompt_token_ids,
            SamplingParams(
                temperature=s.temperature,
                top_p=s.top_p,
                top_k=s.top_k,
                min_p=s.min_p,
                repetition_penalty=s.repetition_penalty,
                presence_penalty=s.presence_penalty,
                frequency_penalty=s.frequency_penalty,
                seed=s.seed,
                max_tokens=s.max_gen_toks,
                min_tokens=s.min_tokens,
                stop=list(s.stop),
                stop_token_ids=list(s.stop_token_ids),
                logit_bias=dict(s.logit_bias) or None,
                ignore_eos=s.ignore_eos,
                # Only for its stop strings; the text is made from the tokens afterwards.
                detokenize=bool(s.stop),
                skip_special_tokens=False,
                spaces_between_special_tokens=False,
                **self._final_only,
            ),
        )
        completion = output.outputs[0]
        if completion.finish_reason not in ("stop", "length"):
            raise RequestError(f"vLLM gave the finish reason {completion.finish_reason!r}")
        is_full = completion.finish_reason == "length"
        ended = self._detokenizer.finish(
            request,
            completion.token_ids,
            is_full=is_full,
            is_end_last=not is_full and not isinstance(completion.stop_reason, str),
        )
        return Generation(
            text=ended.text,
            token_ids=ended.token_ids,
            finish_reason=ended.finish_reason,
            cumulative_logprob=completion.cumulative_logprob,
            num_prompt_tokens=len(request.prompt_token_ids),
            num_cached_tokens=output.num_cached_tokens or 0,
            latency_s=latency_s,
        )

    async def score(self, request: ScoreRequest) -> Scores:
        """See `Engine.score`."""
        if self._drafts:
            raise RequestError(
                "vLLM gives no log-likelihoods of given tokens while it drafts tokens"
            )
        started = time.perf_counter()
        meter = _Meter()
        if self._scoring is Scoring.plain:
            scores = await self._score_plain(request, meter)
        else:
            scores, num_resent = await score_nodes(
                request.context_token_ids,
                request.continuations,
                functools.partial(self._ask, meter),
                primes=self._primes(request.context_token_ids),
            )
            self.num_resent += num_resent
        return Scores(
            continuations=scores,
            num_prompt_tokens=meter.num_prompt_tokens,
            num_cached_tokens=meter.num_cached_tokens,
            latency_s=time.perf_counter() - started,
        )

    async def close(self) -> None:
        """Stop the engine core and wait for it, so that the next load finds the memory free."""
        llm, self._llm = self._llm, None
        if llm is not None:
            if self.num_resent:
                logger.info("log-likelihoods: %d prompts were sent again", self.num_resent)
            await asyncio.to_thread(llm.shutdown)
            # It is part of reference cycles; its finalizer must not run while the interpreter shuts down.
            del llm
            gc.collect()
            multiprocessing.active_children()  # reaps the engine's process
        if self._slot:
            self._slot.close()

    async def _score_plain(
        self, request: ScoreRequest, meter: _Meter
    ) -> tuple[ContinuationScore, ...]:
        """Compute each continuation as a full prompt of its own: the reference for `score_nodes`."""
        context = request.context_token_ids

        async def one(continuation: Tokens) -> ContinuationScore:
            # Its last token is predicted, not read, so together they may be as long as the whole context.
            last = continuation[-1:]
            prompt, start = context + continuation[:-1], len(context)
            params = scoring_params(prompt, start, last, may_read_cache=False, by_token=False)
            output, _ = await self._run(prompt, params, meter)
            inside, after = read_answer(output, prompt, start, last)
            known = [*inside.values(), *after.values()]
            assert len(known) == len(continuation)
            return ContinuationScore(
                logprob=sum(s.logprob for s in known),
                is_greedy=all(s.is_greedy for s in known),
                num_tokens=len(continuation),
            )

        return tuple(await asyncio.gather(*map(one, request.continuations)))

    async def _ask(
        self, meter: _Meter, prompt: Tokens, start: int, token_ids: Sequence[int], cached: bool
    ) -> Answer:
        """See `prefix_trie.Ask`. More tokens than vLLM takes at once become several prompts."""
        from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS

        async def part(start: int, some: Sequence[int]) -> Answer:
            params = scoring_params(
                prompt, start, some, may_read_cache=cached, by_token=self._by_token
            )
            output, _ = await self._run(prompt, params, meter)
            return read_answer(output, prompt, start, some)

        first, *others = _batches(token_ids, MAX_LOGPROB_TOKEN_IDS)
        inside, after = await part(start, first)
        for answer in await asyncio.gather(*(part(len(prompt), some) for some in others)):
            after = {**after, **answer.after}
        return Answer(inside, after)

    def _primes(self, context: Tokens) -> bool:
        """Whether so much of the context is new that it is sent separately first; see `score_nodes`."""
        block, before = self._block_size, self._last_context
        self._last_context = context
        shared = 0
        while context[shared : shared + block] == before[shared : shared + block] != ():
            shared += block
        return self._by_token or len(context) - shared >= PRIMED_BLOCKS * block

    @property
    def _final_only(self) -> dict[str, Any]:
        from vllm.sampling_params import RequestOutputKind

        return {"output_kind": RequestOutputKind.FINAL_ONLY}

    async def _run(
        self, token_ids: tuple[int, ...], params: Any, meter: _Meter | None = None
    ) -> tuple[Any, float]:
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        llm = self._llm
        assert llm is not None, "the engine is closed"
        started = time.perf_counter()
        output = None
        try:
            async for output in llm.generate(  # noqa: B007
                tokens_input(list(token_ids)),
                params,
                request_id=str(next(self._ids)),
                lora_request=self._lora,
            ):
                pass
        except EngineDeadError as e:
            cause = await asyncio.to_thread(cause_of_death, llm)
            raise EngineError(f"vLLM's engine process died: {cause}; see log.txt of the run") from e
        except Exception as e:  # anything else concerns only this request
            if llm.errored:
                raise EngineError(f"vLLM failed: {_first_line(e)}; see log.txt of the run") from e
            raise RequestError(_first_line(e)) from e
        assert output is not None
        if meter:
            meter.num_prompt_tokens += len(token_ids)
            meter.num_cached_tokens += output.num_cached_tokens or 0
        return output, time.perf_counter() - started


def _with_merged(config: EngineConfig, weights: Weights) -> Weights:
    """The weights with their adapter merged, if vLLM can't load it as it is; else unchanged."""
    if weights.adapter is None or read_adapter(weights.adapter).not_for_vllm is None:
        return weights
    is_cpu = resolve_device(config.device) is Device.cpu
    dtype = "float32" if config.dtype == "auto" and is_cpu else config.dtype
    keeps_all = "float32" if dtype in ("float32", "float") else None
    return dataclasses.replace(
        weights, path=merged(weights.path, weights.adapter, dtype=keeps_all), adapter=None
    )


def _lora_request(weights: Weights) -> Any:
    if weights.adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, str(weights.adapter))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _batches(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
