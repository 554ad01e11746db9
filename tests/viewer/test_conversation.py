import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalharness.viewer.conversation import Said, chat_turns, question
from evalharness.viewer.texts import LONGEST, block, clean

ASKED = [
    Said("system", "Be brief."),
    Said("user", "Hi?"),
    Said("assistant", "Yes."),
    Said("user", "Sure?"),
]


@pytest.mark.parametrize(
    "prompt",
    [
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\nHi?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nYes.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nSure?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe brief.<|eot|><|header_start|>user<|header_end|>\n\n"
        "Hi?<|eot|><|header_start|>assistant<|header_end|>\n\nYes.<|eot|><|header_start|>user<|header_end|>\n\nSure?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n",
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi? [/INST] Yes. </s><s>[INST] Sure? [/INST]",
        "<|system|>\nBe brief.</s>\n<|user|>\nHi?</s>\n<|assistant|>\nYes.</s>\n<|user|>\nSure?</s>\n<|assistant|>\n",
    ],
    ids=["chatml", "llama-3", "llama-4", "llama-2", "zephyr"],
)
def test_turns_are_read_off_the_marks_of_templates(prompt: str) -> None:
    assert [Said(said.role, said.text.strip()) for said in chat_turns(prompt)] == ASKED
    assert question(prompt).strip() == "Sure?"


def test_gemma_calls_the_assistant_model() -> None:
    prompt = "<bos><start_of_turn>user\nHi?<end_of_turn>\n<start_of_turn>model\nYes.<end_of_turn>\n"
    assert chat_turns(prompt) == [Said("user", "Hi?"), Said("assistant", "Yes.")]


def test_what_stands_before_the_first_mark_is_kept() -> None:
    prompt = "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi?<｜Assistant｜>"
    assert chat_turns(prompt) == [Said("", "Be brief."), Said("user", "Hi?")]


def test_plain_text_has_no_turns() -> None:
    assert chat_turns("Question: Hi?\nAnswer:") == []
    assert question("Question: Hi?\nAnswer:") == "Question: Hi?\nAnswer:"


@given(st.text())
@example("a\x85b\u2028c\u2029d\r\n")
def test_any_text_can_be_looked_at(text: str) -> None:
    chat_turns(text)
    shown = clean(text)
    assert all(line.isprintable() or "\u2028" not in line for line in shown.split("\n"))


def test_a_long_text_keeps_its_ends() -> None:
    found = block("x", "a" + "b" * 9000 + "c", is_whole=False)
    assert (found.head[0], found.tail[-1]) == ("a", "c")
    assert len(found.head) + len(found.tail) == LONGEST
    assert found.num_left_out == 9002 - LONGEST


def test_what_cannot_be_seen_is_counted_and_tabs_are_kept_as_spaces() -> None:
    found = block("x", "a\tb\x1b[0m\u202e\r\nend", is_whole=False)
    assert found.head == "a   b[0m\nend"
    assert found.num_hidden == 2
