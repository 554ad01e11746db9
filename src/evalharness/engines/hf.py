"""transformers, one request after the other: slow, and so plain that it can be trusted as the reference."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from evalharness.config import Device, EngineConfig
from evalharness.engines.base import EngineInfo, RequestError, Weights
from evalharness.errors import ConfigError, EngineError
from evalharness.records import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)


class HfEngine:
    """AutoModelForCausalLM behind a lock. `engine.extra` goes to `from_pretrained`."""

    def __init__(self, model: Any, tokenizer: Any, info: EngineInfo) -> None:
        """Wrap a loaded model; use `load`."""
        self.info = info
        self._model, self._tokenizer = model, tokenizer
        self._lock = asyncio.Lock()

    @classmethod
    def load(cls, config: EngineConfig, weights: Weights) -> HfEngine:
        """Load weights and tokenizer.

        Raises:
            ConfigError: torch or transformers isn't installed.
            EngineError: transformers can't load the checkpoint.
        """
        try:
            import torch
            import transformers
        except ImportError as e:
            raise ConfigError(f"engine=hf: {e}. Install evalharness[hf].") from e
        has_gpu = config.device is not Device.cpu and torch.cuda.is_available()
        dtype: Any = "auto" if has_gpu else torch.float32
        if config.dtype != "auto":
            dtype = getattr(torch, config.dtype, None)
        if not isinstance(dtype, (str, torch.dtype)):
            raise ConfigError(f"engine.dtype: torch has no dtype {config.dtype!r}")
        trust = {"trust_remote_code": weights.trust_remote_code}
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                weights.path,
                dtype=dtype,
                use_safetensors=None if weights.allow_pickle else True,
                **trust,
                **config.extra,
            )
            if weights.adapter:
                model.load_adapter(str(weights.adapter))
            tokenizer = transformers.AutoTokenizer.from_pretrained(weights.path, **trust)
        except (OSError, ValueError, RuntimeError) as e:
            raise EngineError(f"transformers did not load {weights.path.name}: {e}") from e
        model = model.to("cuda" if has_gpu else "cpu").eval()
        info = EngineInfo(
            kind="hf",
            version=transformers.__version__,
            device="gpu" if has_gpu else "cpu",
            dtype=str(model.dtype).removeprefix("torch."),
            quantization=config.quantization,
            max_model_len=config.max_model_len or model.config.max_position_embeddings,
        )
        return cls(model, tokenizer, info)

    async def generate(self, request: GenerateRequest) -> Generation:
        """See `Engine.generate`."""
        async with self._lock:
            return await asyncio.to_thread(self._generate, request)

    async def score(self, request: ScoreRequest) -> Scores:
        """See `Engine.score`. One forward pass per continuation."""
        async with self._lock:
            return await asyncio.to_thread(self._score, request)

    async def close(self) -> None:
        """Drop the model and empty the GPU's cache."""
        import gc

        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _generate(self, request: GenerateRequest) -> Generation:
        import torch

        s, started = request.sampling, time.perf_counter()
        ids = torch.tensor([request.prompt_token_ids], device=self._model.device)
        sampled: dict[str, Any] = {"do_sample": False}
        if s.temperature > 0:
            sampled = {"do_sample": True, "temperature": s.temperature, "top_p": s.top_p}
            sampled |= {"top_k": s.top_k, "min_p": s.min_p}
            torch.manual_seed(s.seed or 0)
        try:
            output = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=s.max_gen_toks,
                repetition_penalty=s.repetition_penalty,
                stop_strings=list(s.stop) or None,
                tokenizer=self._tokenizer,
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
                **sampled,
            )
        except (RuntimeError, ValueError) as e:
            raise RequestError(f"transformers: {e}") from e
        token_ids = tuple(output[0, len(request.prompt_token_ids) :].tolist())
        text, is_stopped = cut_at_stop(
            self._tokenizer.decode(token_ids, skip_special_tokens=True), s.stop
        )
        ended = is_stopped or len(token_ids) < s.max_gen_toks or self._is_end(token_ids)
        return Generation(
            text=text,
            token_ids=token_ids,
            finish_reason="stop" if ended else "length",
            num_prompt_tokens=len(request.prompt_token_ids),
            latency_s=time.perf_counter() - started,
        )

    def _score(self, request: ScoreRequest) -> Scores:
        import torch

        started, scored, num_tokens = time.perf_counter(), [], 0
        for continuation in request.continuations:
            tokens = request.context_token_ids + continuation
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

    def _is_end(self, token_ids: tuple[int, ...]) -> bool:
        ends = self._model.generation_config.eos_token_id
        return bool(token_ids) and token_ids[-1] in (ends if isinstance(ends, list) else [ends])


def cut_at_stop(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """The text before its earliest stop string, and whether there was one."""
    places = [text.find(s) for s in stop if s and s in text]
    return (text[: min(places)], True) if places else (text, False)
