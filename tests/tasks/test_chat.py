import pytest

from evalharness.errors import TaskError
from evalharness.tasks.chat import Message, follow_up, follow_up_plain


def template(messages: list[Message], asks: bool) -> str:
    said = "".join(f"<{m['role']}>{m['content']}</>" for m in messages)
    return f"[system]{said}" + "<assistant>" * asks


def thinking_template(messages: list[Message], asks: bool) -> str:
    """Opens the thinking, and leaves it out of earlier answers."""
    return template(messages, asks) + "<think>\n" * asks


PROMPT = template([{"role": "user", "content": "2+2?"}], True)


def test_a_follow_up_is_what_the_template_makes_of_the_whole_conversation() -> None:
    whole = [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "Sure?"},
    ]
    assert follow_up(template, PROMPT, "5", "Sure?") == template(whole, True)


def test_a_conversation_continues_over_several_turns() -> None:
    second = follow_up(template, PROMPT, "5", "Sure?")
    third = follow_up(template, second, "4", "Really?")
    assert third.startswith(second + "4</><user>Really?</>")


def test_what_the_task_wrote_behind_the_opening_belongs_to_the_answer() -> None:
    assert "<assistant>Answer: 5</>" in follow_up(template, PROMPT + "Answer:", " 5", "Sure?")


def test_an_opened_thinking_is_closed_as_the_template_does_it() -> None:
    prompt = thinking_template([{"role": "user", "content": "2+2?"}], True)
    asked = follow_up(thinking_template, prompt, "5", "Sure?")
    assert asked == "[system]<user>2+2?</><assistant>5</><user>Sure?</><assistant><think>\n"


def test_few_shots_in_the_prompt_stay_as_they_are() -> None:
    shots = [
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2+2?"},
    ]
    prompt = template(shots, True)
    assert follow_up(template, prompt, "5", "Sure?").startswith(prompt + "5</>")


def test_a_prompt_that_the_template_did_not_open_is_refused() -> None:
    with pytest.raises(TaskError, match="chat template"):
        follow_up(template, "plain text", "5", "Sure?")


def test_plain_text_gets_a_paragraph() -> None:
    assert follow_up_plain("Q:", " 5", "Sure?") == "Q: 5\n\nSure?\n"


def test_a_template_that_raises_is_refused_in_one_line() -> None:
    def once(messages: list[Message], asks: bool) -> str:
        if len(messages) > 1:
            raise ValueError("one question only")
        return template(messages, asks)

    with pytest.raises(TaskError, match="one question only"):
        follow_up(once, PROMPT, "5", "Sure?")
