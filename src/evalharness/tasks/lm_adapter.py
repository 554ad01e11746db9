"""lm-eval over our engines: its instances become requests, and responses become what lm-eval expects.

The runner asks for one plan a sample and sends the requests of all tasks through one queue.

    doc -> instances (lm-eval) -> Plan(requests) -> engine -> responses -> Plan.resolve -> instance.resps
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from evalharness.config.schema import (
    ModelConfig,
    SamplingConfig,
    Truncation,
)
from evalharness.engines.detokenizer import special_tokens
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    Generation,
    Response,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from evalharness.errors import EngineError, TaskError
from evalharness.tasks import chat
from evalharness.tasks.context_window import Room
from evalharness.tasks.encoding import NO_PREFIX, Encoder
from evalharness.tasks.pieces import Piece, Tokens
from evalharness.tasks.plans import Plan, join
from evalharness.tasks.sampling import drawn, sampling_params, skips_special_tokens
from evalharness.tasks.templates import Template
from evalharness.tasks.thinking import split_thinking


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a generation, and how its response becomes an answer."""

    request: GenerateRequest | Failure
    stop: tuple[str, ...]
    """Stop strings of the answer, not of the thinking before it."""
    is_open: bool
    """Whether the prompt ends inside the model's thinking."""
    is_raw: bool
    """Whether the text is used as it is, without splitting off thinking."""
    is_plain: bool
    """Whether all special tokens are removed from the answer."""
    _lm: EngineLM
    is_cut: bool
    """Whether the prompt's oldest tokens were dropped."""
    has_doubled_bos: bool
    """See `Encoder.has_doubled_bos`."""

    def finish(self, generation: Generation) -> Generation:
        """The response with its thinking separated and its answer ended by the stop strings."""
        return self._lm.finish(
            generation,
            self.stop,
            is_open=self.is_open,
            is_raw=self.is_raw,
            is_plain=self.is_plain,
        )


class EngineLM:
    """Tokenization, chat template and lm-eval's conventions.

    lm-eval conventions kept: continuations are split off the encoding of context + continuation (where that can be
    split: see `encoding`), an empty context is the prefix token (BOS, else EOS), rolling windows are disjoint with one
    token of context.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_model_len: int | None,
        *,
        model: ModelConfig | None = None,
        sampling: SamplingConfig | None = None,
        truncation: Truncation = Truncation.none,
        min_room: int = 1,
        rolling_as_lm_eval: bool = False,
        template_day: str | None = None,
    ) -> None:
        """Set up the conversion.

        Args:
            tokenizer: a transformers tokenizer.
            max_model_len: tokens of prompt and answer together; None until the engine is there, see `fit_to`.
            model: thinking tags and template arguments; none of either by default.
            sampling: replaces the tasks' own sampling if it isn't null.
            truncation: what happens to prompts that don't fit.
            min_room: tokens that a scored prompt leaves free; see `EngineInfo`.
            rolling_as_lm_eval: score what the tokenizer adds to a whole text like the text itself.
            template_day: the chat template's date of today; see `Template`.
        """
        self.tokenizer = tokenizer
        self._model = model or ModelConfig(name="unnamed")
        self._sampling = sampling or SamplingConfig()
        self.sampling_seed = self._sampling.seed
        self.template = Template(tokenizer, self._model, template_day)
        self.encoder = Encoder(
            tokenizer, self.template.opening, bos_begins_turns=self.template.bos_begins_turns
        )
        self._truncation = truncation
        self._engine_known = threading.Event()
        self._known_room: Room | None = None
        if max_model_len is not None:
            self.fit_to(max_model_len, min_room)
        self._rolling_as_lm_eval = rolling_as_lm_eval
        ends = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self._special = special_tokens(tokenizer)
        self._ends = {i: text for i, text in self._special.items() if i in ends}

    @property
    def is_fitted(self) -> bool:
        """Whether requests can be made; until then `plan` waits."""
        return self._engine_known.is_set()

    def fit_to(self, max_model_len: int, min_room: int) -> None:
        """Make requests that fit an engine; see `__init__`."""
        self._known_room = Room(max_model_len, self._truncation, self.encoder, min_room)
        self._engine_known.set()

    def give_up(self) -> None:
        """There will be no engine: what waits for it ends with an EngineError."""
        self._engine_known.set()

    @property
    def _room(self) -> Room:
        self._engine_known.wait()
        if self._known_room is None:
            raise EngineError("the engine didn't start")
        return self._known_room

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and answer together."""
        return self._room.max_model_len

    @property
    def think_tags(self) -> tuple[str | None, str | None]:
        """The tags before and after the model's thinking."""
        return self._model.think_start, self._model.think_end

    def remarks_on(self, kind: str) -> list[str]:
        """Remarks on the encoding of a task's texts, for readers of its score.

        Args:
            kind: lm-eval's output_type.
        """
        encoder, remarks = self.encoder, []
        if encoder.differs_in_pieces:
            remarks.append(
                "this tokenizer gives other tokens for the parts of a prompt than for the whole: prompts are encoded whole "
                "since that was found (see the log); those before it weren't all checked"
            )
        if kind != "loglikelihood_rolling" or not (encoder.before or encoder.after):
            return remarks
        if self._rolling_as_lm_eval:
            said = "what the tokenizer adds to a text is scored too, as in lm-eval (run.rolling_as_lm_eval)"
        else:
            said = (
                "only the text's own tokens are scored, the first after a BOS; lm-eval also scores the BOS (or EOS) that this "
                "tokenizer adds, so its numbers differ (run.rolling_as_lm_eval=true gives them)"
            )
        return [*remarks, said]

    def tok_encode(self, string: str, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids; see `Encoder.encode`."""
        return self.encoder.encode(string, add_special_tokens)

    def encode_ahead(self, instances: Iterable[Instance]) -> None:
        """Encode all texts of `plan`, in one call. Called only from the thread that plans."""
        self.encoder.encode_ahead(piece for i in instances for piece in self._pieces(i))

    def _pieces(self, instance: Instance) -> list[Piece]:
        """What `plan` needs the tokens of."""
        if instance.request_type == "loglikelihood":
            return self.encoder.pieces_of_pair(*instance.args)
        text = str(instance.args[0])
        if instance.request_type == "loglikelihood_rolling":
            return [Piece(text, False)]
        return self.encoder.pieces_of(text)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as text, with the model entry's template arguments; the last message is continued or answered."""
        return self.template.render(
            chat_history,
            opens_answer=add_generation_prompt,
            continues_last=not add_generation_prompt,
        )

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
        try:
            pairs = [self.encoder.pair(*instance.args) for instance in instances]
        except ValueError as e:
            return _unasked(e)
        by_context: dict[Tokens, list[int]] = {}
        for index, pair in enumerate(pairs):
            by_context.setdefault(pair.context, []).append(index)
        fitted = [
            self._room.fit_score(context, tuple(pairs[i].continuation for i in indices))
            for context, indices in by_context.items()
        ]

        def resolve(responses: Sequence[Response]) -> list[Any]:
            answers: list[Any] = [None] * len(pairs)
            for indices, response in zip(by_context.values(), responses, strict=True):
                assert isinstance(response, Scores)
                for index, score in zip(indices, response.continuations, strict=True):
                    answers[index] = (score.logprob, score.is_greedy)
            return answers

        return Plan(
            tuple(fit.request for fit in fitted),
            resolve,
            num_split_tokens=sum(pair.is_split for pair in pairs),
            is_cut=any(fit.is_cut for fit in fitted),
            has_doubled_bos=any(map(self.encoder.has_doubled_bos, by_context)),
        )

    def _plan_rolling(self, instance: Instance) -> Plan:
        (text,) = instance.args
        if self._rolling_as_lm_eval:
            special = self.encoder.wants_special_tokens(text)
            token_ids = list(self.tokenizer.encode(text, add_special_tokens=special))
        else:
            token_ids = self.encoder.rolling(text)
        prefix = self.encoder.prefix_token_id
        if prefix is None:
            return _unasked(NO_PREFIX)
        windows = map(
            make_disjoint_window,
            get_rolling_token_windows(
                token_list=token_ids,
                prefix_token=prefix,
                max_seq_len=self._room.max_score_len - 1,
                context_len=1,
            ),
        )
        requests = tuple(
            ScoreRequest(context_token_ids=tuple(context), continuations=(tuple(continuation),))
            for context, continuation in windows
        )

        def resolve(responses: Sequence[Response]) -> list[Any]:
            scores = [r.continuations[0] for r in responses if isinstance(r, Scores)]
            return [sum((s.logprob for s in scores), 0.0)]

        return Plan(requests, resolve)

    def _plan_generate(self, instance: Instance, repeat: int, run_seed: int) -> Plan:
        prompt, gen_kwargs = instance.args
        try:
            sampling = self.sampling(gen_kwargs)
        except TaskError as e:  # these settings come from the task's own code
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
            (generation,) = responses
            assert isinstance(generation, Generation)
            return [generation.text]

        return Plan(
            (asked.request,),
            resolve,
            finish,
            is_cut=asked.is_cut,
            has_doubled_bos=asked.has_doubled_bos,
        )

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
            sampling: the sampling, with its seed if it draws.
            repeat: which draw.
            is_raw: thinking is not split off, and stop strings end it like an answer.
            is_plain: all special tokens are removed from the answer.
        """
        is_text = isinstance(prompt, str)
        start, end = self.think_tags
        shown = str(prompt).rstrip() if is_text else ""
        is_open = bool(start) and shown.endswith(str(start))
        stop = sampling.stop
        if end and not is_raw and not shown.endswith(end):
            # A stop string inside the thinking would end it; it is applied to the answer afterwards. A prompt that
            # has closed the thinking (a template with thinking switched off) leaves only the answer.
            sampling = replace(sampling, stop=())
        token_ids = self.tok_encode(str(prompt)) if is_text else [int(i) for i in prompt]
        fit = self._room.fit_generate(tuple(token_ids), sampling, repeat)
        is_doubled = is_text and self.encoder.has_doubled_bos(token_ids)
        return Asked(fit.request, stop, is_open, is_raw, is_plain, self, fit.is_cut, is_doubled)

    def score_request(self, prompt: str, choices: Sequence[str]) -> ScoreRequest | Failure:
        """A prompt with given answers as a request for their log-probabilities.

        All choices must start the same way, with a space or without one.
        """
        pairs = [self.encoder.pair(prompt, choice) for choice in choices]
        contexts = {pair.context for pair in pairs}
        assert len(contexts) == 1, "choices with and without a leading space don't share a context"
        return self._room.fit_score(
            contexts.pop(), tuple(pair.continuation for pair in pairs)
        ).request

    def finish(
        self,
        generation: Generation,
        stop: Sequence[str] = (),
        *,
        is_open: bool = False,
        is_raw: bool = False,
        is_plain: bool = False,
    ) -> Generation:
        """The generation as it is scored and shown: its thinking separated, its answer ended by the stop strings.

        Thinking that never ended leaves no answer. An answer that was cut by the limit is kept, with or without
        thinking, as in lm-eval; one that was ended by a stop string before the limit wasn't cut. Tags and stop strings
        may be special tokens; BOS, EOS and padding are dropped afterwards.
        """
        start, end = (None, None) if is_raw else self.think_tags
        split = split_thinking(generation.text, start, end, stop, is_open=is_open)
        reason = generation.finish_reason
        if split.is_unclosed:
            reason = "unclosed"
        elif split.is_stopped:
            reason = "stop"
        found = self._without_special(split.answer, generation, is_plain), split.thinking, reason
        if found == (generation.text, generation.thinking, generation.finish_reason):
            return generation
        text, thinking, finish_reason = found
        return replace(generation, text=text, thinking=thinking, finish_reason=finish_reason)

    def _without_special(self, text: str, generation: Generation, is_plain: bool) -> str:
        """The text without BOS, EOS and padding, or without any special token; the same characters in plain text are kept."""
        dropped = self._special if is_plain else self._ends
        if dropped.keys().isdisjoint(generation.token_ids):
            return text
        for token_id in dropped.keys() & set(generation.token_ids):
            text = text.replace(dropped[token_id], "")
        return text

    def follow_up(self, prompt: str, answer: str, message: str, *, is_chat: bool) -> str:
        """The prompt of the next turn; see `tasks.chat`."""
        if not is_chat:
            return chat.follow_up_plain(prompt, answer, message)
        return chat.follow_up(self._render, prompt, answer, message)

    def _render(self, messages: list[chat.Message], add_generation_prompt: bool) -> str:
        return self.template.render(messages, opens_answer=add_generation_prompt)


def _unasked(why: object) -> Plan:
    return Plan((Failure(kind="prompt", message=str(why)),), lambda _: [])
