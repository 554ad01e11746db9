"""How long a context a run needs, before its engine is loaded: from the longest docs, not from all prompts.

The prompt of a doc is at most its prompt without few-shots, and as many times the longest few-shot as there are. Both
are encoded for the longest docs only, by their texts. Drawing few-shots would change those that the run draws.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from lm_eval.api.samplers import FirstNSampler

from evalharness.config.schema import StrategyKind
from evalharness.engines.requests import Failure, GenerateRequest
from evalharness.errors import EvalHarnessError
from evalharness.runner.samples import Prompting, instances_of
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.random_state import seeded
from evalharness.tasks.user_code import UserCodeError

ENDLESS = 2**40
"""A context that no prompt exceeds."""
_NUM_LONGEST = 8
"""Docs that are encoded; a shorter text can have more tokens, but not by much."""
_MOST_DOCS = 50_000
"""In a pool of few-shots; larger ones take too long to read."""
_HEADROOM = 1.1
_EXTRA = 64
"""Tokens of a template around each message, and of what the engine adds."""


def needed_context(tasks: Sequence[LoadedTask], lm: EngineLM, prompting: Prompting) -> int | None:
    """Tokens of the longest prompt with its answer, and some more: an upper limit for all requests of a run.

    Args:
        tasks: of the run.
        lm: encodes, with a context of `ENDLESS` tokens.
        prompting: how prompts are written.

    Returns:
        None if it isn't known: conversations grow, and texts scored as a whole are cut to whatever the engine has.
    """
    needed = [_needed_by(task, lm, prompting) for task in tasks]
    known = [num for num in needed if num is not None]
    return max(known) if known and len(known) == len(needed) else None


def _needed_by(loaded: LoadedTask, lm: EngineLM, prompting: Prompting) -> int | None:
    is_single = loaded.strategy.kind in (StrategyKind.single, StrategyKind.repeats)
    if loaded.kind == "loglikelihood_rolling" or loaded.solve is not None or not is_single:
        return None
    num_shots = loaded.task.config.num_fewshot or 0
    pool = _pool(loaded, num_shots) if num_shots else ()
    if pool is None:
        return None
    try:
        with loaded.bounds.contain("the prompt"), seeded(prompting.run_seed, loaded.name, "length"):
            asked = [_lengths(loaded, lm, prompting, doc) for doc in _longest(_docs(loaded))]
            shots = [_lengths(loaded, lm, prompting, doc) for doc in _longest(pool)]
            answers = [_answer(loaded, lm, doc) for doc in _longest(pool)]
    except (EvalHarnessError, UserCodeError):
        return None  # the run says what is wrong with the task, or with the doc
    longest = max((prompt + answer for prompt, answer in asked), default=0)
    shot = max((prompt for prompt, _ in shots), default=0) + max(answers, default=0) + _EXTRA
    return int(_HEADROOM * (longest + num_shots * shot)) + _EXTRA


def _docs(loaded: LoadedTask) -> Iterable[Any]:
    return (doc for _, doc in loaded.scored_docs())


def _pool(loaded: LoadedTask, num_shots: int) -> Sequence[Any] | None:
    """The docs that few-shots are drawn from; None if they can't be read here."""
    sampler = getattr(loaded.task, "sampler", None)
    pool: Sequence[Any] | None = getattr(sampler, "df", None)
    if pool is None or not 0 < len(pool) <= _MOST_DOCS:
        return None
    if type(sampler) is FirstNSampler:  # and one for a doc that is among them
        return [pool[i] for i in range(min(num_shots + 1, len(pool)))]
    return pool


def _longest(docs: Iterable[Any]) -> list[Any]:
    return heapq.nlargest(_NUM_LONGEST, docs, key=lambda doc: len(str(doc)))


def _lengths(loaded: LoadedTask, lm: EngineLM, prompting: Prompting, doc: Any) -> tuple[int, int]:
    """Most tokens of a doc's prompt without few-shots, and of its answer."""
    plan = lm.plan(instances_of(loaded, lm, prompting, 0, doc, 0))
    lengths = [(0, 0)]
    for request in plan.requests:
        if isinstance(request, Failure):
            continue
        if isinstance(request, GenerateRequest):
            lengths.append((len(request.prompt_token_ids), request.sampling.max_gen_toks))
        else:
            longest = max(map(len, request.continuations))
            lengths.append((len(request.context_token_ids), longest))
    return max(lengths, key=sum)


def _answer(loaded: LoadedTask, lm: EngineLM, doc: Any) -> int:
    """Tokens of the answer that a few-shot shows."""
    target = loaded.task.doc_to_target(doc)
    texts = target if isinstance(target, list) else [target]
    choices = loaded.task.doc_to_choice(doc) if loaded.task.config.doc_to_choice else []
    return max((len(lm.tok_encode(str(text))) for text in [*texts, *choices]), default=0)
