"""transformers, one request after the other: slow, but simple enough to be the reference."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from evalharness.checkpoint import merged
from evalharness.config.schema import (
    Device,
    EngineConfig,
)
from evalharness.engines.base import EngineInfo, RequestError, Weights
from evalharness.engines.detokenizer import Detokenizer
from evalharness.engines.hf_sampling import Reshaping, StopStrings, generation_config, reshapes
from evalharness.engines.requests import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)
from evalharness.errors import ConfigError, EngineError, one_line
from evalharness.paths import install_command


class HfEngine:
    """AutoModelForCausalLM behind a lock. `engine.extra` goes to `from_pretrained`."""

    def __init__(
        self, model: Any, tokenizer: Any, info: EngineInfo, detokenizer: Detokenizer
    ) -> None:
        """Wrap a loaded model; use `load`."""
        import transformers

        self.info = info
        self._model, self._detokenizer = model, detokenizer
        pad = tokenizer.pad_token_id
        self._pad = tokenizer.eos_token_id if pad is None else pad
        # Settings that a request leaves open would be taken from the checkpoint's.
        model.generation_config = transformers.GenerationConfig()
        self._lock = asyncio.Lock()

    @classmethod
    async def load(cls, config: EngineConfig, weights: Weights, _ray: object = None) -> HfEngine:
        """Load weights and tokenizer. An adapter is merged into the weights first.

        Raises:
            CheckpointError: the adapter can't be merged into the weights.
            ConfigError: torch or transformers isn't installed.
            EngineError: transformers can't load the checkpoint.
        """
        try:
            import torch
            import transformers
        except ImportError as e:
            raise ConfigError(f"engine=hf: {e}; `{install_command('hf')}` installs it.") from e
        has_gpu = config.device is not Device.cpu and torch.cuda.is_available()
        dtype: Any = "auto" if has_gpu else torch.float32
        if config.dtype != "auto":
            dtype = getattr(torch, config.dtype, None)
        if not isinstance(dtype, (str, torch.dtype)):
            raise ConfigError(f"engine.dtype: torch has no dtype {config.dtype!r}")
        trust = {"trust_remote_code": weights.trust_remote_code}
        path = weights.path
        if weights.adapter:
            keeps_all = "float32" if dtype == torch.float32 else None
            path = merged(path, weights.adapter, dtype=keeps_all)
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype,
                use_safetensors=None if weights.allow_pickle else True,
                **trust,
                **config.extra,
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(weights.path, **trust)
        except Exception as e:  # transformers may raise anything on an unusual config.json
            why = (
                str(e)
                if isinstance(e, (OSError, ValueError, RuntimeError))
                else f"{type(e).__name__}: {one_line(e)}"
            )
            raise EngineError(f"transformers did not load {weights.path.name}: {why}") from e
        model = model.to("cuda" if has_gpu else "cpu").eval()
        info = EngineInfo(
            kind="hf",
            version=transformers.__version__,
            device="gpu" if has_gpu else "cpu",
            dtype=str(model.dtype).removeprefix("torch."),
            quantization=config.quantization,
            max_model_len=config.max_model_len or model.config.max_position_embeddings,
            min_room=0,
        )
        return cls(model, tokenizer, info, Detokenizer.of(weights.path, tokenizer))

    async def generate(self, request: GenerateRequest) -> Generation:
        """See `Engine.generate`."""
        async with self._lock:
            return await asyncio.to_thread(self._generate, request)

    async def score(self, request: ScoreRequest) -> Scores:
        """See `Engine.score`. One forward pass per continuation."""
        async with self._lock:
            return await asyncio.to_thread(self._score, request)

    async def close(self) -> None:
        """Free the model and empty the GPU's cache."""
        import gc

        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def _num_tokens(self) -> int:
        return int(self._model.get_input_embeddings().weight.shape[0])

    def _check_known(self, token_ids: Sequence[int]) -> None:
        """Refuse tokens without an embedding.

        Raises:
            RequestError: the tokenizer has more tokens than the model.
        """
        size = self._num_tokens
        if unknown := sorted({token for token in token_ids if token >= size}):
            raise RequestError(
                f"the model has {size} tokens, and the tokenizer gives the ids {unknown[:5]}; is it from another checkpoint?"
            )

    def _generate(self, request: GenerateRequest) -> Generation:
        import torch

        s, started = request.sampling, time.perf_counter()
        size = self._num_tokens
        self._check_known(request.prompt_token_ids)
        if unknown := [token for token, _ in s.logit_bias if token >= size]:
            raise RequestError(
                f"logit_bias: the model has {size} tokens; got the ids {unknown[:5]}"
            )
        ids = torch.tensor([request.prompt_token_ids], device=self._model.device)
        ends = self._detokenizer.ends(request)
        if s.temperature > 0:
            torch.manual_seed(s.seed or 0)
        try:
            output = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=generation_config(request, ends, self._pad),
                logits_processor=[Reshaping(request, ends)] if reshapes(s) else None,
                stopping_criteria=[StopStrings(request, self._detokenizer)] if s.stop else None,
            )
        except (RuntimeError, ValueError) as e:
            raise RequestError(f"transformers: {e}") from e
        token_ids = output[0, len(request.prompt_token_ids) :].tolist()
        ended = self._detokenizer.finish(
            request, token_ids, is_full=len(token_ids) >= s.max_gen_toks
        )
        return Generation(
            text=ended.text,
            token_ids=ended.token_ids,
            finish_reason=ended.finish_reason,
            num_prompt_tokens=len(request.prompt_token_ids),
            latency_s=time.perf_counter() - started,
        )

    def _score(self, request: ScoreRequest) -> Scores:
        import torch

        started, scored, num_tokens = time.perf_counter(), [], 0
        for continuation in request.continuations:
            tokens = request.context_token_ids + continuation
            self._check_known(tokens)
            num_tokens += len(tokens)
            with torch.inference_mode():
                ids = torch.tensor([tokens[:-1]], device=self._model.device)
                logits = self._model(ids).logits[0, -len(continuation) :].float()
            wanted = torch.tensor(continuation, device=logits.device)
            logprobs = logits.log_softmax(-1).gather(-1, wanted[:, None]).sum()
            scored.append(
                ContinuationScore(
                    logprob=float(logprobs),
                    is_greedy=bool((logits.argmax(-1) == wanted).all()),
                    num_tokens=len(continuation),
                )
            )
        return Scores(
            continuations=tuple(scored),
            num_prompt_tokens=num_tokens,
            latency_s=time.perf_counter() - started,
        )
