"""The next turn of a conversation, as text: what a chat template, or plain text, makes of answer and message."""

from __future__ import annotations

from collections.abc import Callable

from evalharness.errors import TaskError

Message = dict[str, str]
"""role and content, as chat templates take them."""
Render = Callable[[list[Message], bool], str]
"""Messages, and whether an answer is asked for next -> text."""

_MARK = "Hello"
"""Stands for the conversation so far, which is there as text already."""


def follow_up(render: Render, prompt: str, answer: str, message: str) -> str:
    """The prompt of the next turn of a chat.

    The template's own rules decide what an earlier answer looks like (many leave its thinking out). What the template
    opens an answer with is looked for in the prompt, and what a task wrote behind it belongs to the answer.

    Args:
        render: the chat template.
        prompt: of the turn before, template applied.
        answer: what the model said to it.
        message: what is said to it next.

    Raises:
        TaskError: the template can't go on with a conversation.
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
    except Exception as e:  # templates raise what they like
        raise TaskError(f"{_UNFIT} ({type(e).__name__}: {e})") from e
    if not whole.startswith(closed):
        raise TaskError(_UNFIT)
    return before + whole.removeprefix(closed)


def follow_up_plain(prompt: str, answer: str, message: str) -> str:
    """The prompt of the next turn without a chat template: the message is a paragraph below the answer."""
    return f"{prompt}{answer}\n\n{message}\n"


_UNFIT = "the chat template can't go on with a conversation; model.chat=false goes without it"
