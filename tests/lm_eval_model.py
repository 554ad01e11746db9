"""Our requests and engines as a model of lm-eval's own: what its `simple_evaluate` takes, to hold our numbers against its."""

import asyncio
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from evalharness.engines.base import Engine, RequestError
from evalharness.engines.requests import Failure
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.plans import Plan, send


class LmEvalModel(EngineLM, TemplateLM):  # type: ignore[misc]
    """Requests of `EngineLM`, answered by an engine one `Instance` at a time; a failure raises."""

    def __init__(
        self,
        tokenizer: Any,
        max_model_len: int,
        engine: Engine,
        loop: asyncio.AbstractEventLoop | None = None,
        **settings: Any,
    ) -> None:
        TemplateLM.__init__(self)
        EngineLM.__init__(self, tokenizer, max_model_len, **settings)
        self._engine, self._loop = engine, loop

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        return self._respond(requests)

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[Any]:
        return self._respond(requests)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        return self._respond(requests)

    def _loglikelihood_tokens(self, requests: Any, **kwargs: Any) -> list[tuple[float, bool]]:
        raise AssertionError("never called: `loglikelihood` groups continuations by context")

    def _respond(self, instances: list[Instance]) -> list[Any]:
        async def run_all() -> list[Any]:
            plans = [self.plan([instance]) for instance in instances]
            answers = await asyncio.gather(*map(self._run, plans))
            return [answer for [answer] in answers]

        if self._loop is None:
            return asyncio.run(run_all())
        return self._loop.run_until_complete(run_all())

    async def _run(self, plan: Plan) -> list[Any]:
        responses = []
        for request in plan.requests:
            if isinstance(request, Failure):
                raise RequestError(f"{request.kind}: {request.message}")
            responses.append(await send(self._engine, request))
        return plan.resolve(plan.finish(responses))
