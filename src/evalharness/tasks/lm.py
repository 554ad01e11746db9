"""lm-eval meets our engines: its instances become requests, and responses become what lm-eval expects.

`EngineLM` is an lm-eval `LM`, so `lm_eval.simple_evaluate(model=EngineLM(...))` works; the runner uses the same
`plan`, one per sample, to send requests of all tasks through one queue.

    doc -> instances (lm-eval) -> Plan(requests) -> engine -> responses -> Plan.resolve -> instance.resps
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from evalharness.config import ModelConfig, SamplingConfig, Truncation
from evalharness.engines.base import Engine, RequestError
from evalharness.errors import TaskError
from evalharness.records import (
    Failure,
    GenerateRequest,
    Generation,
    Response,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from evalharness.tasks import chat
from evalharness.tasks.fitting import Room
from evalharness.tasks.plans import Plan, join, send
from evalharness.tasks.sampling import drawn, sampling_params, skips_special_tokens
from evalharness.tasks.thinking import split_thinking


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a generation, and how its response becomes an answer."""

    request: GenerateRequest | Failure
    stop: tuple[str, ...]
    """Ends the answer, not the thinking before it."""
    is_open: bool
    """The prompt ends inside the model's thinking."""
    is_raw: bool
    """The text is taken as it is: no thinking is split off."""
    is_plain: bool
    """No special token is left in the answer."""
    _lm: EngineLM

    def finish(self, generation: Generation) -> Generation:
        """The response with its thinking apart and its answer ended by the stop strings."""
        return self._lm.finish(
            generation,
            self.stop,
            is_open=self.is_open,
            is_raw=self.is_raw,
            is_plain=self.is_plain,
        )


class EngineLM(TemplateLM):  # type: ignore[misc]
    """Tokenization, chat template and lm-eval's conventions over one engine.

    lm-eval conventions kept: continuations are split off the encoding of context + continuation, an empty context is
    the prefix token (BOS, else EOS), rolling windows are disjoint with one token of context.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_model_len: int,
        *,
        engine: Engine | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        model: ModelConfig | None = None,
        sampling: SamplingConfig | None = None,
        truncation: Truncation = Truncation.none,
    ) -> None:
        """Set up the conversion.

        Args:
            tokenizer: a transformers tokenizer.
            max_model_len: tokens of prompt and answer together.
            engine: needed only by the synchronous lm-eval methods.
            loop: the event loop that the engine lives in, for the same; None where it needs none.
            model: thinking tags and template arguments; none of either by default.
            sampling: replaces the tasks' own sampling where it isn't null.
            truncation: what happens to prompts that don't fit.
        """
        super().__init__()
        self.tokenizer = tokenizer
        self.max_model_len = max_model_len
        self._engine, self._loop = engine, loop
        self._model = model or ModelConfig(name="unnamed")
        self._sampling = sampling or SamplingConfig()
        self.sampling_seed = self._sampling.seed
        self._room = Room(max_model_len, truncation, self.prefix_token_id)
        self._bos = tokenizer.bos_token or ""
        self._encoded: dict[tuple[str, bool], list[int]] = {}
        ends = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        special = added.union(tokenizer.all_special_ids)
        self._special = {int(i): str(tokenizer.decode([i])) for i in special}
        self._ends = {i: text for i, text in self._special.items() if i in ends}

    @property
    def think_tags(self) -> tuple[str | None, str | None]:
        """What the model's thinking begins and ends with."""
        return self._model.think_start, self._model.think_end

    # -- lm-eval's interface ------------------------------------------------------------------

    @property
    def eot_token_id(self) -> int:
        """End of text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """Conditions the first token of an empty context: BOS, or EOS where there is none."""
        bos = self.tokenizer.bos_token_id
        return int(bos if bos is not None else self.tokenizer.eos_token_id)

    @property
    def tokenizer_name(self) -> str:
        """For lm-eval's request cache, which we don't use."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Token ids; text that starts with the BOS token (a chat template wrote it) gets no second one."""
        if add_special_tokens is None:
            add_special_tokens = self._wants_special_tokens(string)
        found = self._encoded.get((string, add_special_tokens))
        if found is not None:
            return found
        return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens))

    def _wants_special_tokens(self, string: str) -> bool:
        return not (self._bos and string.startswith(self._bos))

    def encode_ahead(self, instances: Iterable[Instance]) -> None:
        """Encode all that `plan` will ask for, in one call that the tokenizer spreads over the cores.

        Replaces what the call before kept. Called from one thread only, the one that plans.
        """
        self._encoded = {}
        wanted = {key for instance in instances for key in self._texts(instance)}
        for special in (True, False):
            texts = [text for text, is_special in wanted if is_special is special]
            if texts:
                ids = self.tokenizer(texts, add_special_tokens=special)["input_ids"]
                self._encoded |= zip(((text, special) for text in texts), ids, strict=True)

    def _texts(self, instance: Instance) -> list[tuple[str, bool]]:
        """(text, with special tokens) of an instance, as `plan` asks for them."""
        if instance.request_type != "loglikelihood":
            text = str(instance.args[0])
            return [(text, self._wants_special_tokens(text))]
        context, continuation = _move_spaces(*instance.args)
        if context == "":
            return [(continuation, False)]
        special = self._wants_special_tokens(context)
        return [(context, special), (context + continuation, special)]

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as text, with the model entry's template arguments."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                **self._model.chat_template_args,
            )
        )

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        """(logprob, is_greedy) per instance."""
        return self._respond(requests)

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[Any]:
        """Logprob of a whole text per instance."""
        return self._respond(requests)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Any]:
        """Text per instance."""
        return self._respond(requests)

    def _loglikelihood_tokens(self, requests: Any, **kwargs: Any) -> list[tuple[float, bool]]:
        raise AssertionError("never called: `loglikelihood` groups continuations by context")

    def _respond(self, instances: list[Instance]) -> list[Any]:
        """Run instances on the engine from lm-eval's synchronous world; a failure raises."""
        assert self._engine is not None
        engine = self._engine

        async def run_all() -> list[Any]:
            plans = [self.plan([instance]) for instance in instances]
            answers = await asyncio.gather(*(self._run(engine, plan) for plan in plans))
            return [answer for [answer] in answers]

        if self._loop is None:
            return asyncio.run(run_all())
        return self._loop.run_until_complete(run_all())

    async def _run(self, engine: Engine, plan: Plan) -> list[Any]:
        responses = []
        for request in plan.requests:
            if isinstance(request, Failure):
                raise RequestError(f"{request.kind}: {request.message}")
            responses.append(await send(engine, request))
        answers: list[Any] = plan.resolve(responses)
        return answers

    # -- instances to requests ----------------------------------------------------------------

    def plan(self, instances: Sequence[Instance], *, repeat: int = 0, run_seed: int = 0) -> Plan:
        """The requests for the instances of one sample.

        Instances of one context share one `ScoreRequest`. The sampling seed follows from (sampling seed, run seed,
        task, doc, repeat), so that order and sharding don't matter.

        Raises:
            TaskError: a request type that a text model can't serve.
        """
        kinds = {instance.request_type for instance in instances}
        if kinds == {"loglikelihood"}:
            return self._plan_loglikelihood(instances)
        plans = []
        for instance in instances:
            if instance.request_type == "generate_until":
                plans.append(self._plan_generate(instance, repeat, run_seed))
            elif instance.request_type == "loglikelihood_rolling":
                plans.append(self._plan_rolling(instance))
            elif instance.request_type == "loglikelihood":
                plans.append(self._plan_loglikelihood([instance]))
            else:
                raise TaskError(
                    f"task {instance.task_name!r}: request type {instance.request_type!r} is not for text models"
                )
        return plans[0] if len(plans) == 1 else join(plans)

    def _plan_loglikelihood(self, instances: Sequence[Instance]) -> Plan:
        pairs = [self._encode(*instance.args) for instance in instances]
        by_context: dict[tuple[int, ...], list[int]] = {}
        for index, (context, _) in enumerate(pairs):
            by_context.setdefault(context, []).append(index)
        requests = [
            self._room.fit_score(context, tuple(pairs[i][1] for i in indices))
            for context, indices in by_context.items()
        ]

        def resolve(responses: Sequence[Response]) -> list[Any]:
            answers: list[Any] = [None] * len(pairs)
            for indices, response in zip(by_context.values(), responses, strict=True):
                assert isinstance(response, Scores)
                for index, score in zip(indices, response.continuations, strict=True):
                    answers[index] = (score.logprob, score.is_greedy)
            return answers

        return Plan(tuple(requests), resolve)

    def _plan_rolling(self, instance: Instance) -> Plan:
        (text,) = instance.args
        windows = map(
            make_disjoint_window,
            get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                # One less than the context: engines want room for one generated token.
                max_seq_len=self.max_model_len - 1,
                context_len=1,
            ),
        )
        requests = tuple(
            ScoreRequest(context_token_ids=tuple(context), continuations=(tuple(continuation),))
            for context, continuation in windows
        )

        def resolve(responses: Sequence[Response]) -> list[Any]:
            scores = [r.continuations[0] for r in responses if isinstance(r, Scores)]
            return [sum(s.logprob for s in scores)]

        return Plan(requests, resolve)

    def _plan_generate(self, instance: Instance, repeat: int, run_seed: int) -> Plan:
        prompt, gen_kwargs = instance.args
        try:
            sampling = self.sampling(gen_kwargs)
        except TaskError as e:  # the task's own code makes these settings
            return Plan((Failure(kind="prompt", message=str(e)),), lambda _: [])
        where = (self.sampling_seed, run_seed, instance.task_name, instance.doc_id, repeat)
        asked = self.generate_request(
            prompt,
            drawn(sampling, *where),
            repeat,
            is_plain=skips_special_tokens(gen_kwargs),
        )

        def finish(responses: Sequence[Response]) -> list[Response]:
            return [asked.finish(r) if isinstance(r, Generation) else r for r in responses]

        def resolve(responses: Sequence[Response]) -> list[Any]:
            (generation,) = finish(responses)
            assert isinstance(generation, Generation)
            return [generation.text]

        return Plan((asked.request,), resolve, finish)

    def sampling(self, gen_kwargs: Mapping[str, Any]) -> SamplingParams:
        """A task's generation_kwargs with the run's sampling over them; no seed yet."""
        return sampling_params(gen_kwargs, self._sampling)

    def generate_request(
        self,
        prompt: str | Sequence[int],
        sampling: SamplingParams,
        repeat: int = 0,
        *,
        is_raw: bool = False,
        is_plain: bool = False,
    ) -> Asked:
        """A prompt, as text with its template applied or as token ids, as a request for one generation.

        Args:
            prompt: what the model continues.
            sampling: how, its seed set where it draws.
            repeat: which draw.
            is_raw: thinking is not split off, and stop strings end it like an answer.
            is_plain: no special token is left in the answer.
        """
        is_text = isinstance(prompt, str)
        start, end = self.think_tags
        shown = str(prompt).rstrip() if is_text else ""
        is_open = bool(start) and shown.endswith(str(start))
        stop = sampling.stop
        if end and not is_raw and not shown.endswith(end):
            # A stop string inside the thinking would end it; it is applied to the answer afterwards. A prompt that
            # has closed the thinking (a template told not to think) leaves only the answer.
            sampling = replace(sampling, stop=())
        token_ids = self.tok_encode(str(prompt)) if is_text else [int(i) for i in prompt]
        request = self._room.fit_generate(tuple(token_ids), sampling, repeat)
        return Asked(request, stop, is_open, is_raw, is_plain, self)

    def score_request(self, prompt: str, choices: Sequence[str]) -> ScoreRequest | Failure:
        """A prompt with given answers as a request for their log-probabilities.

        All choices begin alike: with a space or without one.
        """
        pairs = [self._encode(prompt, choice) for choice in choices]
        contexts = {context for context, _ in pairs}
        assert len(contexts) == 1, "choices that begin with spaces don't share a context"
        return self._room.fit_score(contexts.pop(), tuple(choice for _, choice in pairs))

    def finish(
        self,
        generation: Generation,
        stop: Sequence[str] = (),
        *,
        is_open: bool = False,
        is_raw: bool = False,
        is_plain: bool = False,
    ) -> Generation:
        """The generation with its thinking apart, its answer ended by the stop strings, as it is scored and shown.

        Thinking that never ended leaves no answer, and neither does an answer that the limit cut after the thinking:
        one that a stop string ended before wasn't cut. Tags and stop strings may be special tokens; BOS, EOS and
        padding are dropped behind all that.
        """
        start, end = (None, None) if is_raw else self.think_tags
        split = split_thinking(generation.text, start, end, stop, is_open=is_open)
        reason = generation.finish_reason
        if split.is_unclosed:
            reason = "unclosed"
        elif split.is_stopped:
            reason = "stop"
        is_cut = split.thinking is not None and reason == "length"
        return replace(
            generation,
            text="" if is_cut else self._without_special(split.answer, generation, is_plain),
            thinking=split.thinking,
            finish_reason=reason,
        )

    def _without_special(self, text: str, generation: Generation, is_plain: bool) -> str:
        """Without BOS, EOS and padding, or without any special token; their like in plain text stays."""
        dropped = self._special if is_plain else self._ends
        for token_id in dropped.keys() & set(generation.token_ids):
            text = text.replace(dropped[token_id], "")
        return text

    def follow_up(self, prompt: str, answer: str, message: str, *, is_chat: bool) -> str:
        """The prompt of the next turn; see `tasks.chat`."""
        if not is_chat:
            return chat.follow_up_plain(prompt, answer, message)
        return chat.follow_up(self._render, prompt, answer, message)

    def _render(self, messages: list[chat.Message], add_generation_prompt: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **self._model.chat_template_args,
            )
        )

    def _encode(self, context: str, continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """lm-eval's `TemplateLM.loglikelihood` for one pair; a context is encoded once for all its continuations."""
        if context == "":
            tokens = self.tok_encode(continuation, add_special_tokens=False)
            if tokens and tokens[0] == self.prefix_token_id:
                return tuple(tokens[:1]), tuple(tokens[1:])
            return (self.prefix_token_id,), tuple(tokens)
        context, continuation = _move_spaces(context, continuation)
        start = self.tok_encode(context)
        return tuple(start), tuple(self.tok_encode(context + continuation)[len(start) :])


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Spaces at the end of a context belong to what follows, as tokenizers see it."""
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation
