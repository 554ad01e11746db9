import pytest

from evalharness.tasks.thinking import split_thinking


@pytest.mark.parametrize(
    ("text", "thinking", "answer", "is_unclosed"),
    [
        ("<think>two and two</think>\n\n4", "two and two", "4", False),
        ("two and two</think>4", "two and two", "4", False),  # the prompt opened the tag
        ("<think>two and", "two and", "", True),
        ("4", None, "4", False),
        ("<think>a</think>b</think>c", "a\n\nb", "c", False),  # as lm-eval: behind the last
        ("<think>a</think>\n<think>b</think>c", "a\n\nb", "c", False),
        ("<think>a</think>\n<think>b", "a\n\nb", "", True),
        ("<think>a</think>4</think>\n", "a", "4", False),  # closes nothing
        ("<think></think>4", "", "4", False),
    ],
)
def test_split(text: str, thinking: str | None, answer: str, is_unclosed: bool) -> None:
    split = split_thinking(text, "<think>", "</think>")
    assert split == (thinking, answer, is_unclosed, False)


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
    assert split == (thinking, answer, is_unclosed, False)


def test_a_model_without_tags_only_answers() -> None:
    split = split_thinking("<think>4", None, None)
    assert (split.thinking, split.answer, split.is_unclosed) == (None, "<think>4", False)


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("It is 5. Question: 9?", None, "It is 5. "),
        ("It is 5. Question: <think>b</think>9", None, "It is 5. "),
        ("<think>Question: a</think>It is 5. Question: 9?", "Question: a", "It is 5. "),
        ("Question: a</think>It is 5. Question: 9?", "Question: a", "It is 5. "),
        ("Question: a</think>5. Question: <think>b</think>9", "Question: a", "5. "),
        ("<think>a</think>5. Question: <think>b</think>9", "a", "5. "),
    ],
)
def test_a_stop_string_ends_the_answer_and_not_the_thinking(
    text: str, thinking: str | None, answer: str
) -> None:
    split = split_thinking(text, "<think>", "</think>", ["Question:"])
    assert split == (thinking, answer, False, True)


def test_a_stop_string_before_the_thinking_that_leaves_nothing_ends_nothing() -> None:
    split = split_thinking("\n\n<think>a</think>4", "<think>", "</think>", ["\n\n"])
    assert split == ("a", "4", False, False)


def test_a_start_tag_as_stop_string_ends_the_answer_before_it() -> None:
    split = split_thinking("4 <think>b</think>5", "<think>", "</think>", ["<think>"])
    assert split == (None, "4 ", False, True)
    split = split_thinking("<think>a</think>4", "<think>", "</think>", ["<think>", "</think>"])
    assert split == ("a", "4", False, False)


def test_a_stop_string_in_thinking_that_the_prompt_opened_ends_nothing() -> None:
    split = split_thinking("a\n\nb</think>4", "<think>", "</think>", ["\n\n"], is_open=True)
    assert split == ("a\n\nb", "4", False, False)
    split = split_thinking("a\n\nb", "<think>", "</think>", ["\n\n"], is_open=True)
    assert split.is_unclosed


def test_a_model_without_a_start_tag_is_split_at_its_end_tag() -> None:
    assert split_thinking("a\n\nb</think>4\n\n5", None, "</think>", ["\n\n"]).answer == "4"
    assert split_thinking("4\n\n5", None, "</think>", ["\n\n"]).answer == "4"
