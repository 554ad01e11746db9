"""Do a task's prompts and answers fit into a context, and does one BOS begin them?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from evalharness.checkpoint import DEMO_PATH
from evalharness.config import SamplingConfig
from evalharness.tasks.authoring.answers import choices_of
from evalharness.tasks.authoring.checking import Defect
from evalharness.tasks.loading import LoadedTask
from evalharness.tasks.sampling import sampling_params

DEFAULT_LIMIT = 4096
"""Tokens of context, where no model is named."""
CHARACTERS_PER_TOKEN = 3
"""A low guess for English, where there is no tokenizer at all."""
_LONGEST = 20
"""Docs whose prompts are written: those with the longest questions."""


class PromptSize(NamedTuple):
    """How long a doc's request is."""

    doc_id: int
    num_tokens: int
    num_answer_tokens: int
    """The longest choice, or the limit of the generated ones."""
    is_bos_doubled: bool = False


def check_sizes(sizes: Iterable[PromptSize], limit: int) -> list[Defect]:
    """Prompts that leave no room, answers that may be cut, and a doubled BOS.

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
    doubled = [size.doc_id for size in sizes if size.is_bos_doubled]
    if doubled:
        what = f"two BOS tokens begin the prompt of doc {min(doubled)}"
        found.append(Defect("error", what, "doc_to_text"))
    return found


def estimated_sizes(loaded: LoadedTask) -> Iterator[PromptSize]:
    """Of the docs with the longest questions, without a model: by the demo's tokenizer, else by characters."""
    task, count = loaded.task, token_counter()
    kwargs = task.get_config("generation_kwargs") or {}
    limit = sampling_params(kwargs, SamplingConfig()).max_gen_toks
    docs = sorted(enumerate(loaded.docs), key=lambda item: -len(str(task.doc_to_text(item[1]))))
    for doc_id, doc in docs[:_LONGEST]:
        context = task.fewshot_context(
            doc,
            num_fewshot=task.get_config("num_fewshot") or 0,
            gen_prefix=task.doc_to_prefix(doc),
        )
        texts = context if isinstance(context, list) else [context]
        answers = [count(choice) for choice in choices_of(task, doc)]
        num_answer = limit if loaded.kind == "generate_until" else max(answers, default=1)
        yield PromptSize(doc_id, max(count(text) for text in texts), num_answer)


def token_counter() -> Callable[[str], int]:
    """Text -> about how many tokens it has."""
    path = Path(DEMO_PATH) / "tokenizer.json"
    if not path.is_file():
        return lambda text: len(text) // CHARACTERS_PER_TOKEN + 1
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text).ids)
