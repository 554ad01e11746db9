"""Thinking models: separates thinking from answer, and ends the answer at the task's stop strings."""

from collections.abc import Sequence
from typing import NamedTuple

from evalharness.engines.detokenizer import cut_at_stop


class Split(NamedTuple):
    """The parts of a generation."""

    thinking: str | None
    """None if the model answered directly."""
    answer: str
    is_unclosed: bool
    """Whether the thinking never ended, so that there is no answer."""
    is_stopped: bool = False
    """Whether a stop string ended the answer."""


def split_thinking(
    text: str,
    think_start: str | None,
    think_end: str | None,
    stop: Sequence[str] = (),
    *,
    is_open: bool = False,
) -> Split:
    """Take the thinking out of a generation, and end the answer at its first stop string.

    Many chat templates open the thinking in the prompt, so the start tag may be missing; everything up to the first end
    tag is thinking, and so is every block that follows immediately. Stop strings inside it end nothing. A text with
    neither tag is a direct answer, unless its prompt had opened the thinking; so is a text that a stop string ended
    before the first start tag, as what follows, such as a next question made up by the model, isn't the answer. If an
    answer contains an end tag, the part after the last one counts, as in lm-eval.

    Args:
        text: as generated.
        think_start: tag that opens the thinking; None if the model has none.
        think_end: tag that ends it; None if the model doesn't think.
        stop: end the answer, not the thinking.
        is_open: the prompt ends with the start tag.
    """
    if not think_end:
        return _answered(None, text, stop)
    if not is_open and (direct := _direct(text, think_start, think_end, stop)) is not None:
        return direct
    before, end, rest = text.partition(think_end)
    first = before.split(think_start, 1)[-1] if think_start else before
    if not end:
        return Split(first.strip(), "", True)
    thoughts, rest = [first.strip()], rest.lstrip()
    while think_start and rest.startswith(think_start):
        more, end, rest = rest.removeprefix(think_start).partition(think_end)
        thoughts, rest = [*thoughts, more.strip()], rest.lstrip()
        if not end:
            return Split(_joined(thoughts), "", True)
    answer, is_stopped = cut_at_stop(rest, stop)
    *stray, answer = _without_closing(answer, think_end).split(think_end)
    thoughts += [part.strip() for part in stray]
    return Split(_joined(thoughts), answer.lstrip() if stray else answer, False, is_stopped)


def _direct(text: str, start: str | None, end: str, stop: Sequence[str]) -> Split | None:
    """An answer without thinking before it; None if there is thinking."""
    begins = text.find(start) if start else -1
    if begins < 0:
        return _answered(None, text, stop) if end not in text else None
    if end in text[:begins]:  # the prompt had opened the thinking
        return None
    answer, is_stopped = cut_at_stop(text, stop)
    is_answer = is_stopped and len(answer) <= begins and answer.strip()
    return Split(None, answer, False, True) if is_answer else None


def _answered(thinking: str | None, text: str, stop: Sequence[str]) -> Split:
    answer, is_stopped = cut_at_stop(text, stop)
    return Split(thinking, answer, False, is_stopped)


def _without_closing(answer: str, end: str) -> str:
    """Remove end tags that nothing follows, as they close no thinking."""
    while answer.rstrip().endswith(end):
        answer = answer.rstrip().removesuffix(end)
    return answer


def _joined(thoughts: Sequence[str]) -> str:
    return "\n\n".join(filter(None, thoughts))
