"""Thinking models: what was thought, what was answered."""

from typing import NamedTuple


class Split(NamedTuple):
    """A generation taken apart."""

    thinking: str | None
    answer: str
    is_unclosed: bool
    """The thinking never ended, so there is no answer."""


def split_thinking(
    text: str, think_start: str | None, think_end: str | None, *, is_open: bool = False
) -> Split:
    """Take the thinking out of a generation.

    Many chat templates open the thinking in the prompt, so the start tag may be missing; everything up to the first
    end tag is thinking. A text with neither tag is an answer of a model that may answer directly, unless its prompt
    had opened the thinking.

    Args:
        text: as generated.
        think_start: tag that opens the thinking; None when the model has none.
        think_end: tag that ends it; None when the model doesn't think.
        is_open: the prompt ends with the start tag.
    """
    if not think_end:
        return Split(None, text, False)
    before, end, after = text.partition(think_end)
    if end:
        thinking = before.split(think_start, 1)[-1] if think_start else before
        return Split(thinking.strip(), after.lstrip(), False)
    if think_start and think_start in text:
        return Split(text.split(think_start, 1)[1].strip(), "", True)
    return Split(text.strip(), "", True) if is_open else Split(None, text, False)
