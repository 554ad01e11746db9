"""Do a task's prompts and answers fit the context, and do they reach the model as written?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.checkpoint import DEMO_PATH
from evalharness.config.schema import SamplingConfig
from evalharness.tasks.authoring.defects import Defect
from evalharness.tasks.choices import choices_of
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.sampling import sampling_params
from evalharness.tasks.user_code import UserCodeError

DEFAULT_LIMIT = 4096
"""Tokens of context if no model is given."""
CHARACTERS_PER_TOKEN = 3
"""Characters per token without any tokenizer: a low guess for English."""
_LONGEST = 20
"""Number of docs whose prompts are made: those with the longest questions."""


class PromptSize(NamedTuple):
    """The length of a doc's request."""

    doc_id: int
    num_tokens: int
    num_answer_tokens: int
    """Tokens of the longest choice, or the limit of generated ones."""
    is_bos_doubled: bool = False
    num_split_tokens: int = 0
    """Choices that are encoded separately, as one token would span context and choice."""
    is_cut: bool = False
    """Whether the prompt's oldest tokens are dropped."""
    is_without_system: bool = False
    """Whether the task's description is left out, because the chat template takes no system text."""
    problem: str = ""
    """Why it has no request."""


def check_sizes(sizes: Iterable[PromptSize], limit: int) -> list[Defect]:
    """Defects: prompts that are too long, answers that may be cut, and changes to prompts on the way to the model.

    Args:
        sizes: of some or all docs.
        limit: tokens of the context.
    """
    sizes = sorted(sizes, key=lambda size: -size.num_tokens)
    found = []
    over = [size for size in sizes if size.num_tokens >= limit]
    if over:
        what = f"the prompt of doc {over[0].doc_id} has {over[0].num_tokens} tokens, the context {limit}"
        found.append(Defect("error", what, "doc_to_text"))
    cut = [s for s in sizes if s.num_tokens < limit < s.num_tokens + s.num_answer_tokens]
    if cut:
        total = cut[0].num_tokens + cut[0].num_answer_tokens
        what = f"prompt and answer of doc {cut[0].doc_id} may take {total} tokens, the context is {limit}"
        found.append(Defect("warning", what, "generation_kwargs"))
    return [*found, *_on_the_way(sorted(sizes))]


def _on_the_way(sizes: Sequence[PromptSize]) -> Iterator[Defect]:
    doubled = {size.doc_id for size in sizes if size.is_bos_doubled}
    if doubled:
        what = f"more than one BOS token in the prompt of {_docs(doubled)}"
        yield Defect("error", what, "doc_to_text")
    for problem in sorted({size.problem for size in sizes if size.problem}):
        failed = {size.doc_id for size in sizes if size.problem == problem}
        yield Defect("error", f"{_docs(failed)} can't be asked: {problem}", "doc_to_text")
    split = {size.doc_id for size in sizes if size.num_split_tokens}
    if split:
        what = f"one token would span context and choice in {_docs(split)}: the choice is encoded separately"
        yield Defect("warning", what, "target_delimiter")
    cut = {size.doc_id for size in sizes if size.is_cut}
    if cut:
        what = f"the oldest tokens are cut off the prompt of {_docs(cut)} (run.truncation=left)"
        yield Defect("warning", what, "doc_to_text")
    without = {size.doc_id for size in sizes if size.is_without_system}
    if without:
        what = f"the chat template takes no system text, so it is left out in {_docs(without)}"
        yield Defect("warning", what, "description")


def _docs(ids: set[int]) -> str:
    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    return f"doc {min(ids)}{more}"


def estimated_sizes(loaded: LoadedTask) -> Iterator[PromptSize]:
    """Sizes of the docs with the longest questions, without a model: by the demo's tokenizer, else by characters.

    Docs whose question fails come first, with the reason.
    """
    count = token_counter()
    docs = sorted(enumerate(loaded.docs), key=lambda item: -_length(loaded, item[1]))
    for doc_id, doc in docs[:_LONGEST]:
        try:
            with loaded.bounds.contain("the prompt"):
                num_tokens, num_answer = _estimated(loaded, doc, count)
        except UserCodeError as e:
            yield PromptSize(doc_id, 0, 0, problem=str(e))
        else:
            yield PromptSize(doc_id, num_tokens, num_answer)


def _length(loaded: LoadedTask, doc: Any) -> float:
    try:
        with loaded.bounds.contain("the question"):
            return len(str(loaded.task.doc_to_text(doc)))
    except UserCodeError:
        return math.inf


def _estimated(loaded: LoadedTask, doc: Any, count: Callable[[str], int]) -> tuple[int, int]:
    """Tokens of a doc's prompt, and most tokens of its answer."""
    task = loaded.task
    context = task.fewshot_context(
        doc,
        num_fewshot=task.get_config("num_fewshot") or 0,
        gen_prefix=task.doc_to_prefix(doc),
    )
    texts = context if isinstance(context, list) else [context]
    kwargs = task.get_config("generation_kwargs") or {}
    if loaded.kind == "generate_until":
        num_answer = sampling_params(kwargs, SamplingConfig()).max_gen_toks
    else:
        num_answer = max((count(choice) for choice in choices_of(task, doc)), default=1)
    return max(count(text) for text in texts), num_answer


def token_counter() -> Callable[[str], int]:
    """Function from a text to its approximate number of tokens."""
    path = Path(DEMO_PATH) / "tokenizer.json"
    if not path.is_file():
        return lambda text: len(text) // CHARACTERS_PER_TOKEN + 1
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text).ids)
