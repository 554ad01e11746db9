import pytest

from evalharness.tasks.thinking import split_thinking


@pytest.mark.parametrize(
    ("text", "thinking", "answer", "is_unclosed"),
    [
        ("<think>two and two</think>\n\n4", "two and two", "4", False),
        ("two and two</think>4", "two and two", "4", False),  # the prompt opened the tag
        ("<think>two and", "two and", "", True),
        ("4", None, "4", False),
        ("<think>a</think>b</think>c", "a", "b</think>c", False),
    ],
)
def test_split(text: str, thinking: str | None, answer: str, is_unclosed: bool) -> None:
    assert split_thinking(text, "<think>", "</think>") == (thinking, answer, is_unclosed)


@pytest.mark.parametrize(
    ("text", "thinking", "answer", "is_unclosed"),
    [
        ("two and", "two and", "", True),
        ("two and two</think>4", "two and two", "4", False),
    ],
)
def test_split_when_the_prompt_opened_the_thinking(
    text: str, thinking: str, answer: str, is_unclosed: bool
) -> None:
    split = split_thinking(text, "<think>", "</think>", is_open=True)
    assert split == (thinking, answer, is_unclosed)


def test_a_model_without_tags_only_answers() -> None:
    assert split_thinking("<think>4", None, None) == (None, "<think>4", False)
