"""Samples of a task, one after the other: prompts from lm-eval, requests from our `EngineLM`.

A stream, not a list: prompts of the next task are built while the engine works on this one.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import reprlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from lm_eval.api.instance import Instance

from evalharness import strategies
from evalharness.engines.requests import (
    Failure,
    Response,
)
from evalharness.runner.walk import (
    Chance,
    bounds_of_unscored,
    chance_of,
    stopped_at_the_draw,
    watch_fewshots,
)
from evalharness.tasks.choices import NO_CHOICES, Choices, asked_choices
from evalharness.tasks.conversation import (
    Dialogue,
    Send,
    Solve,
    Tried,
    Turn,
    Where,
)
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.plans import Plan
from evalharness.tasks.random_state import seeded
from evalharness.tasks.user_code import Bounds, UserCodeError

DOCS_AT_ONCE = 16
"""Docs whose prompts are encoded in one call."""
MOST_WAITING = 2048
"""Docs whose prompts are written and encoded while the engine loads."""
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of a strategy or task, and what it needs besides the engine."""

    solve: Solve
    where: Where
    gen_kwargs: Mapping[str, Any]
    is_chat: bool
    temperature: float
    first_draw: int
    bounds: Bounds = field(default_factory=Bounds)

    def begin(self, prompt: str, lm: EngineLM, send: Send) -> Dialogue:
        """The conversation before its first turn."""
        return Dialogue(
            prompt=prompt,
            where=self.where,
            is_chat=self.is_chat,
            gen_kwargs=self.gen_kwargs,
            lm=lm,
            send=send,
            temperature=self.temperature,
            first_draw=self.first_draw,
        )


@dataclass(slots=True)
class Sample:
    """One doc x repeat, from its prompt to its scores."""

    task: str
    doc_id: int
    repeat: int
    instances: list[Instance]
    plans: list[Plan]
    """One per draw: more than one for tasks whose own filters use several answers per doc."""
    target: str
    conversation: Conversation | None = None
    """How its answer is made if not by one request per draw; the conversation begins with its plan's prompt."""
    responses: list[Response] = field(default_factory=list)
    """One per request, with the thinking separated."""
    turns: list[Turn] = field(default_factory=list)
    """The turns of its conversation."""
    attempts: list[Tried] = field(default_factory=list)
    """Answers of its conversation that are scored for the strategy's curve."""
    is_without_system: bool = False
    """Whether its system text was left out, because the chat template takes none."""
    is_own_fewshot: bool = False
    choices: Choices = NO_CHOICES
    """What it offers to choose from."""
    is_cut: bool = False
    """Whether a prompt of it lost its oldest tokens."""

    @property
    def failure(self) -> Failure | None:
        """The first thing that went wrong, if any."""
        for response in self.responses:
            if isinstance(response, Failure):
                return response
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompting:
    """How prompts are written."""

    is_chat: bool
    fewshot_as_multiturn: bool
    system_instruction: str | None
    run_seed: int


def build_samples(loaded: LoadedTask, lm: EngineLM, prompting: Prompting) -> Iterator[Sample]:
    """All samples of a task, in the order of its docs (few-shots are drawn in that order, as lm-eval does)."""
    watch_fewshots(loaded)
    docs = _in_order(loaded, lm, prompting)
    waiting: deque[list[tuple[int, Any, Asked | Failure]]] = deque()
    while group := list(itertools.islice(docs, DOCS_AT_ONCE)):
        asked_now = [asked for _, _, asked in group if isinstance(asked, Asked)]
        lm.encode_ahead(i for asked in asked_now for i in asked.instances)
        waiting.append(group)
        if lm.is_fitted or len(waiting) * DOCS_AT_ONCE >= MOST_WAITING:
            while waiting:
                yield from _planned(loaded, lm, prompting, waiting.popleft())
    for group in waiting:
        yield from _planned(loaded, lm, prompting, group)


def _planned(
    loaded: LoadedTask,
    lm: EngineLM,
    prompting: Prompting,
    group: list[tuple[int, Any, Asked | Failure]],
) -> Iterator[Sample]:
    for doc_id, doc, asked in group:
        if isinstance(asked, Failure):
            yield from _unbuilt(loaded, doc_id, doc, asked)
        else:
            yield from _samples(loaded, lm, prompting, doc_id, asked)


def _in_order(
    loaded: LoadedTask, lm: EngineLM, prompting: Prompting
) -> Iterator[tuple[int, Any, Asked | Failure]]:
    """The scored docs' prompts, the same as in a run of all docs.

    Random draws that depend on earlier docs are made for all docs, in order; nothing else is done for those that aren't scored.
    """
    chance = chance_of(loaded)
    if chance is Chance.none:
        for doc_id, doc in loaded.scored_docs():
            yield doc_id, doc, _ask(loaded, lm, prompting, doc_id, doc)
        return
    scored = frozenset(loaded.subset.doc_ids)
    bounds = bounds_of_unscored(loaded)
    for doc_id, doc in loaded.docs_to_the_last():
        if doc_id in scored:
            yield doc_id, doc, _ask(loaded, lm, prompting, doc_id, doc)
            continue
        sampler = getattr(loaded.task, "sampler", None)
        with stopped_at_the_draw(sampler) if chance is Chance.fewshots else nullcontext():
            _ask(loaded, lm, prompting, doc_id, doc, bounds)


def _is_own_fewshot(loaded: LoadedTask, doc: Any) -> bool:
    """Whether the few-shots drawn last contain the doc itself, or an equal one."""
    drawn = getattr(getattr(loaded.task, "sampler", None), "last_drawn", ())
    if not loaded.task.config.num_fewshot:
        return False
    with contextlib.suppress(Exception):  # values that can't be compared
        return any(shot == doc for shot in drawn)
    return False


class Asked(NamedTuple):
    """One doc's prompts and its right answer."""

    instances: list[Instance]
    target: str
    is_without_system: bool
    """Whether its system text was left out, because the chat template takes none."""
    is_own_fewshot: bool
    """Whether the doc is among its own few-shots, with its answer."""
    choices: Choices = NO_CHOICES


def _ask(
    loaded: LoadedTask,
    lm: EngineLM,
    prompting: Prompting,
    doc_id: int,
    doc: Any,
    bounds: Bounds | None = None,
) -> Asked | Failure:
    """One doc's prompts, or why the task's own code or the template can't make them."""
    before = lm.template.num_without_system
    try:
        with (
            (bounds or loaded.bounds).contain("the prompt"),
            seeded(prompting.run_seed, loaded.name, doc_id, "prompt"),
        ):
            instances = _ask_lm_eval(loaded, lm, prompting, doc_id, doc)
            target = loaded.target(doc_id, doc)
            choices = asked_choices(loaded.task, doc)
        is_without_system = lm.template.num_without_system > before
        return Asked(
            instances,
            target,
            is_without_system,
            _is_own_fewshot(loaded, doc),
            choices,
        )
    except UserCodeError as e:
        return Failure(kind="prompt", message=str(e))


def _ask_lm_eval(
    loaded: LoadedTask, lm: EngineLM, prompting: Prompting, doc_id: int, doc: Any
) -> list[Instance]:
    num_fewshot = loaded.task.config.num_fewshot or 0
    instances = instances_of(loaded, lm, prompting, doc_id, doc, num_fewshot)
    _check_texts(instances)
    return instances


def instances_of(
    loaded: LoadedTask,
    lm: EngineLM,
    prompting: Prompting,
    doc_id: int,
    doc: Any,
    num_fewshot: int,
) -> list[Instance]:
    """lm-eval's instances of a doc after so many few-shots, which are drawn now; they aren't checked."""
    task = loaded.task
    template = lm.apply_chat_template if prompting.is_chat else None
    context = task.fewshot_context(
        doc,
        num_fewshot=num_fewshot,
        system_instruction=prompting.system_instruction,
        apply_chat_template=prompting.is_chat,
        fewshot_as_multiturn=prompting.fewshot_as_multiturn,
        chat_template=template,
        gen_prefix=task.doc_to_prefix(doc),
    )
    instances = task.construct_requests(
        doc=doc,
        ctx=context,
        metadata=(task.config.task, doc_id, task.config.repeats),
        apply_chat_template=prompting.is_chat,
        chat_template=template,
    )
    return instances if isinstance(instances, list) else [instances]


def _check_texts(instances: list[Instance]) -> None:
    """Refuse a doc without a question, and prompts that no tokenizer accepts.

    Raises:
        TypeError: not a text.
        ValueError: nothing is asked, or half a character.
    """
    if not instances:
        raise ValueError("nothing is asked: the doc has no choices")
    for instance in instances:
        texts = instance.args if instance.request_type == "loglikelihood" else instance.args[:1]
        for text in texts:
            if not isinstance(text, str):
                kind = type(text).__name__
                raise TypeError(f"the prompt is {reprlib.repr(text)} ({kind}), not a text")
            if not text.isascii() and (half := _HALF.search(text)):
                raise ValueError(
                    f"{half[0]!r} in the prompt is half a character (a surrogate without its pair)"
                )


def _unbuilt(loaded: LoadedTask, doc_id: int, doc: Any, failure: Failure) -> Iterator[Sample]:
    for repeat in range(loaded.repeats):
        instance = Instance(
            request_type=loaded.task.OUTPUT_TYPE,
            doc=doc,
            arguments=("",),
            idx=0,
            metadata=(loaded.task.config.task, doc_id, loaded.task.config.repeats),
        )
        plan = Plan((failure,), lambda _: [])
        yield Sample(loaded.name, doc_id, repeat, [instance], [plan], target="")


def _samples(
    loaded: LoadedTask,
    lm: EngineLM,
    prompting: Prompting,
    doc_id: int,
    asked: Asked,
) -> Iterator[Sample]:
    num_draws = loaded.num_draws
    for repeat in range(loaded.repeats):
        copies = asked.instances
        if loaded.repeats > 1:
            copies = [replace(i, resps=[], filtered_resps={}) for i in asked.instances]
        plans = [
            lm.plan(copies, repeat=repeat * num_draws + draw, run_seed=prompting.run_seed)
            for draw in range(num_draws)
        ]
        conversation = _conversation(loaded, copies[0], prompting, repeat)
        yield Sample(
            loaded.name,
            doc_id,
            repeat,
            copies,
            plans,
            asked.target,
            conversation,
            is_without_system=asked.is_without_system,
            is_own_fewshot=asked.is_own_fewshot,
            choices=asked.choices,
            is_cut=any(plan.is_cut for plan in plans),
        )


def _conversation(
    loaded: LoadedTask, instance: Instance, prompting: Prompting, repeat: int
) -> Conversation | None:
    strategy = loaded.strategy
    solve = partial(loaded.solve, instance.doc) if loaded.solve else strategies.solver(strategy)
    if solve is None:
        return None
    return Conversation(
        solve=solve,
        where=Where(instance.task_name, instance.doc_id, repeat, prompting.run_seed),
        gen_kwargs=instance.args[1],
        is_chat=prompting.is_chat,
        temperature=strategy.temperature,
        first_draw=strategies.first_draw(strategy, repeat),
        bounds=loaded.bounds,
    )
