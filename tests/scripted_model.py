"""A model whose answers a test writes: requests are decoded, and a function says what comes back."""

from collections.abc import Awaitable, Callable
from typing import Any

from evalharness.config.schema import (
    ModelConfig,
    SamplingConfig,
)
from evalharness.engines.requests import (
    ContinuationScore,
    Failure,
    GenerateRequest,
    Generation,
    Request,
    Response,
    Scores,
)
from evalharness.tasks.conversation import (
    Dialogue,
    Where,
)
from evalharness.tasks.lm_adapter import EngineLM


class ScriptedModel:
    """Takes requests like the runner's sender; keeps them, with their prompts as text."""

    def __init__(
        self,
        tokenizer: Any,
        reply: Callable[[str, GenerateRequest], str],
        *,
        p_yes: Callable[[str], float] = lambda prompt: 0.5,
    ) -> None:
        self.tokenizer, self.reply, self.p_yes = tokenizer, reply, p_yes
        self.requests: list[GenerateRequest] = []
        self.prompts: list[str] = []

    async def __call__(self, request: Request | Failure) -> Response:
        if isinstance(request, Failure):
            return request
        if not isinstance(request, GenerateRequest):
            import math

            p = self.p_yes(self.tokenizer.decode(request.context_token_ids))
            return Scores(
                continuations=tuple(
                    ContinuationScore(logprob=math.log(x), is_greedy=False, num_tokens=1)
                    for x in (p, 1 - p)
                )
            )
        prompt = self.tokenizer.decode(request.prompt_token_ids)
        self.requests.append(request)
        self.prompts.append(prompt)
        return self._ended(self.reply(prompt, request), request)

    def _ended(self, text: str, request: GenerateRequest) -> Generation:
        """The reply as an engine would end it: at a stop string, or at the limit."""
        reason = "stop"
        for stop in request.sampling.stop:
            text = text.split(stop, 1)[0]
        token_ids = self.tokenizer.encode(text, add_special_tokens=False)
        if len(token_ids) > request.sampling.max_gen_toks:
            token_ids, reason = token_ids[: request.sampling.max_gen_toks], "length"
            text = self.tokenizer.decode(token_ids)
        return Generation(text=text, token_ids=tuple(token_ids), finish_reason=reason)


def dialogue(
    model: Callable[[Request | Failure], Awaitable[Response]],
    tokenizer: Any,
    prompt: str = "Q: 2+2?\nA:",
    *,
    gen_kwargs: dict[str, Any] | None = None,
    config: ModelConfig | None = None,
    sampling: SamplingConfig | None = None,
    max_model_len: int = 4096,
    doc_id: int = 0,
    first_draw: int = 0,
    is_chat: bool = False,
) -> Dialogue:
    """A conversation of one sample with a scripted model."""
    return Dialogue(
        prompt=prompt,
        where=Where("task", doc_id, 0, 1234),
        is_chat=is_chat,
        gen_kwargs=gen_kwargs or {"until": ["\n"], "max_gen_toks": 64},
        lm=EngineLM(tokenizer, max_model_len, model=config, sampling=sampling),
        send=model,
        first_draw=first_draw,
    )
