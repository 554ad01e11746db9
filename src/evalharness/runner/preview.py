"""What a model would be sent for one doc: the requests of a run, made without an engine and without weights.

Config with one task -> the tokenizer and template of the model entry -> the same samples that a run builds
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from evalharness import checkpoint
from evalharness.config.schema import (
    Config,
)
from evalharness.engines import describe
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
)
from evalharness.errors import TaskError
from evalharness.runner.prepare import (
    is_chat_model,
    load_tokenizer,
)
from evalharness.runner.samples import (
    Prompting,
    Sample,
    build_samples,
)
from evalharness.tasks.authoring.prompt_lengths import (
    DEFAULT_LIMIT,
    PromptSize,
)
from evalharness.tasks.dataset_mirror import go_offline
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.subsets import Subset
from evalharness.tasks.templates import Template, check_template, template_remarks

_PLAIN_CLASSES = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Tokenizers that tokenizer.json describes completely."""
_MOST_IDS = 10
"""Most docs that a message lists."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a prompt."""

    id: int
    text: str
    is_special: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A continuation whose log-likelihood is asked for."""

    text: str
    num_tokens: int
    is_split: bool = False
    """A token would span context and choice, so the choice is encoded separately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The first request of a doc, as the model gets it."""

    task: str
    kind: str
    doc_id: int
    prompt: str
    """Text with the chat template applied, without what the tokenizer adds."""
    tokens: tuple[Token, ...]
    """The tokens that are sent; the first may be a BOS that the tokenizer added."""
    bos_places: tuple[int, ...]
    """Positions of the BOS token in `tokens`."""
    target: str
    num_fewshot: int
    fewshots: tuple[Any, ...] = ()
    """Docs of the few-shots, in the prompt's order."""
    choices: tuple[Choice, ...] = ()
    sampling: SamplingParams | None = None
    is_chat: bool = False
    is_multiturn: bool = False
    """The prompt only begins a conversation, which the task continues."""
    num_requests: int = 1
    max_model_len: int = DEFAULT_LIMIT
    problem: str | None = None
    """Why the request can't be sent, e.g. a prompt longer than the context."""
    has_doubled_bos: bool = False
    """There are more BOS tokens than a model was trained on."""
    is_cut: bool = False
    """The prompt's oldest tokens are dropped to fit the context."""
    is_without_system: bool = False
    """The chat template takes no system text, so it is left out."""
    template_date: str | None = None
    """What the chat template writes as today's date."""
    remarks: tuple[str, ...] = ()
    """Settings of the model entry that have no effect."""
    doc: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Previewer:
    """How a model entry's prompts are written and encoded."""

    lm: EngineLM
    prompting: Prompting
    remarks: tuple[str, ...] = ()
    """Settings of the model entry that have no effect."""

    @classmethod
    def of(cls, config: Config) -> Previewer:
        """The tokenizer and template of the configuration's model.

        Raises:
            CheckpointError: they aren't there.
        """
        if config.data.offline or config.data.mirror:
            go_offline()
        path = checkpoint.resolve(config.model, config.data.offline, with_weights=False)
        is_chat = is_chat_model(config, path)
        tokenizer = _tokenizer(config, path)
        if is_chat:
            check_template(Template(tokenizer, config.model), config.model)
        multiturn = config.run.fewshot_as_multiturn
        lm = EngineLM(
            tokenizer,
            config.engine.max_model_len or _context_length(path),
            model=config.model,
            sampling=config.sampling,
            truncation=config.run.truncation,
            min_room=describe(config.engine).min_room,
            rolling_as_lm_eval=config.run.rolling_as_lm_eval,
        )
        return cls(
            lm,
            Prompting(
                is_chat=is_chat,
                fewshot_as_multiturn=is_chat if multiturn is None else multiturn,
                system_instruction=config.model.system_instruction,
                run_seed=config.run.seed,
            ),
            tuple(template_remarks(lm.template, config.model, is_chat=is_chat)),
        )

    def preview(self, loaded: LoadedTask, doc_id: int) -> Preview:
        """The request of one doc, as a run sends it.

        Raises:
            TaskError: there is no such doc, the limit leaves it out, or the task's own code fails on it.
        """
        num, ids = loaded.num_docs_available, loaded.subset.doc_ids
        if not 0 <= doc_id < num:
            raise TaskError(f"task {loaded.name!r}: no doc {doc_id}; there are {num}, from 0 on")
        if doc_id not in ids:
            some = ", ".join(map(str, ids[:_MOST_IDS])) + ", ..." * (len(ids) > _MOST_IDS)
            raise TaskError(
                f"task {loaded.name!r}: doc {doc_id} isn't one of the {len(ids)} that the limit takes: {some}"
            )
        alone = replace(loaded, _subset=Subset([doc_id], num))
        sample = next(build_samples(alone, self.lm, self.prompting))
        shots = loaded.task.config.num_fewshot or 0
        sampler = getattr(loaded.task, "sampler", None)
        return self._preview(loaded, sample, getattr(sampler, "last_drawn", ()) if shots else ())

    def sizes(self, loaded: LoadedTask, num_docs: int) -> Iterator[PromptSize]:
        """Lengths of the requests of a task's first docs."""
        samples = build_samples(loaded, self.lm, self.prompting)
        for sample in islice(samples, num_docs):
            plan = sample.plans[0]
            for request in plan.requests:
                if isinstance(request, Failure):
                    if request.kind == "context_overflow":
                        yield PromptSize(sample.doc_id, self.lm.max_model_len, 1)
                    else:
                        why = f"{request.kind}: {request.message}"
                        yield PromptSize(sample.doc_id, 0, 0, problem=why)
                    continue
                yield PromptSize(
                    sample.doc_id,
                    len(_context(request)),
                    self._answer(sample, request),
                    is_bos_doubled=plan.has_doubled_bos,
                    num_split_tokens=plan.num_split_tokens,
                    is_cut=plan.is_cut,
                    is_without_system=sample.is_without_system,
                )

    def _answer(self, sample: Sample, request: GenerateRequest | ScoreRequest) -> int:
        """Most tokens of the answer; the request asks for no more than fit."""
        if isinstance(request, GenerateRequest):
            return self.lm.sampling(sample.instances[0].args[1]).max_gen_toks
        return max(map(len, request.continuations))

    def _sampling(self, request: Any, arguments: Sequence[Any]) -> SamplingParams | None:
        """The sampling with the task's stop strings; for a thinking model they are applied to the answer, not sent."""
        if not isinstance(request, GenerateRequest):
            return None
        return replace(request.sampling, stop=self.lm.sampling(arguments[1]).stop)

    def _preview(self, loaded: LoadedTask, sample: Sample, fewshots: Sequence[Any]) -> Preview:
        plan = sample.plans[0]
        # A text without tokens is scored without a request.
        request = next(iter(plan.requests), Failure(kind="empty", message="nothing is asked"))
        arguments = sample.instances[0].args
        prompt = str(arguments[0])
        problem = request.message if isinstance(request, Failure) else None
        if isinstance(request, Failure) and request.kind not in ("context_overflow", "empty"):
            raise TaskError(f"task {loaded.name!r}, doc {sample.doc_id}: {problem}")
        ids = self.lm.tok_encode(prompt) if isinstance(request, Failure) else _context(request)
        if loaded.kind == "loglikelihood_rolling" and isinstance(request, ScoreRequest):
            ids = (*ids, *request.continuations[0])
        bos = self.lm.tokenizer.bos_token_id
        return Preview(
            task=loaded.name,
            kind=loaded.kind,
            doc_id=sample.doc_id,
            prompt=prompt,
            tokens=tuple(self._tokens(ids)),
            bos_places=tuple(i for i, token in enumerate(ids) if token == bos),
            target=sample.target,
            num_fewshot=loaded.task.config.num_fewshot or 0,
            fewshots=tuple(fewshots),
            choices=self._choices(sample),
            sampling=self._sampling(request, arguments),
            is_chat=self.prompting.is_chat,
            is_multiturn=sample.conversation is not None,
            num_requests=sum(len(plan.requests) for plan in sample.plans),
            max_model_len=self.lm.max_model_len,
            problem=problem,
            has_doubled_bos=plan.has_doubled_bos,
            is_cut=plan.is_cut,
            is_without_system=sample.is_without_system,
            template_date=self._date(),
            remarks=(*self.lm.remarks_on(loaded.kind), *self.remarks),
            doc=_plain_doc(sample.instances[0].doc),
        )

    def _date(self) -> str | None:
        template = self.lm.template
        return template.day if self.prompting.is_chat and template.writes_day else None

    def _tokens(self, ids: Sequence[int]) -> Iterator[Token]:
        special = set(self.lm.tokenizer.all_special_ids) | set(
            self.lm.tokenizer.added_tokens_decoder
        )
        for i in ids:
            yield Token(i, str(self.lm.tokenizer.decode([i])), i in special)

    def _choices(self, sample: Sample) -> tuple[Choice, ...]:
        if sample.instances[0].request_type != "loglikelihood":
            return ()
        pairs = [self.lm.encoder.pair(*instance.args) for instance in sample.instances]
        return tuple(
            Choice(str(instance.args[1]), len(pair.continuation), pair.is_split)
            for instance, pair in zip(sample.instances, pairs, strict=True)
        )


def _context(request: GenerateRequest | ScoreRequest) -> Sequence[int]:
    if isinstance(request, GenerateRequest):
        return request.prompt_token_ids
    return request.context_token_ids


def _tokenizer(config: Config, path: Path) -> Any:
    """The run's tokenizer, without the seconds that `AutoTokenizer` takes to import torch if tokenizer.json is enough."""
    stated = _json(path / "tokenizer_config.json")
    is_plain = stated.get("tokenizer_class") in _PLAIN_CLASSES and "auto_map" not in stated
    if config.model.chat_template or not is_plain or not (path / "tokenizer.json").is_file():
        return load_tokenizer(config, path)
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(path)


def _context_length(path: Path) -> int:
    stated = _json(path / "config.json")
    found = stated.get("max_position_embeddings") or (stated.get("text_config") or {}).get(
        "max_position_embeddings"
    )
    return int(found or DEFAULT_LIMIT)


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _plain_doc(doc: Any) -> dict[str, Any]:
    return dict(doc) if hasattr(doc, "items") else {"doc": doc}
