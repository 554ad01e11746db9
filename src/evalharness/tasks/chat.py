"""The next turn of a conversation, as text: answer and message in a chat template or in plain text."""

from __future__ import annotations

from collections.abc import Callable

from evalharness.errors import TaskError

Message = dict[str, str]
"""role and content, as in chat templates."""
Render = Callable[[list[Message], bool], str]
"""Function from messages, and whether an answer follows, to text."""

_MARK = "Hello"
"""Placeholder for the conversation so far, which exists as text already."""


def follow_up(render: Render, prompt: str, answer: str, message: str) -> str:
    """The prompt of the next turn of a chat.

    The template's own rules decide how an earlier answer is written (many leave out its thinking). The template's
    opening of an answer is searched for in the prompt, and what a task wrote after it belongs to the answer.

    Args:
        render: the chat template.
        prompt: of the turn before, template applied.
        answer: the model's answer to it.
        message: the next message to the model.

    Raises:
        TaskError: the template can't continue a conversation.
    """
    asked = [{"role": "user", "content": _MARK}]
    closed, opened = render(asked, False), render(asked, True)
    opening = opened.removeprefix(closed)
    before, found, begun = prompt.rpartition(opening) if opening else (prompt, "", "")
    if (opening and not found) or not opened.startswith(closed):
        raise TaskError(_UNFIT)
    said = [*asked, {"role": "assistant", "content": begun + answer}]
    try:
        whole = render([*said, {"role": "user", "content": message}], True)
    except Exception as e:  # templates may raise anything
        raise TaskError(f"{_UNFIT} ({type(e).__name__}: {e})") from e
    if not whole.startswith(closed):
        raise TaskError(_UNFIT)
    return before + whole.removeprefix(closed)


def follow_up_plain(prompt: str, answer: str, message: str) -> str:
    """The prompt of the next turn without a chat template: the message is a paragraph below the answer."""
    return f"{prompt}{answer}\n\n{message}\n"


_UNFIT = "the chat template can't continue a conversation; model.chat=false does without it"
