"""Prompts encoded in pieces have the tokens of the whole text, for every style of tokenizer, or are encoded whole."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from evalharness.tasks.encoding import Encoder
from evalharness.tasks.pieces import CHECKED_EVERY, CHECKED_FIRST, SHORTEST, Pieces
from tokenizer_styles import ALL, byte_level, tokenizer

WORDS = (
    *(
        "Question:",
        "What",
        "is",
        "the capital",
        "of",
        "France?",
        "Answer:",
        "Paris",
        "A.",
        "(B)",
        "1234567",
        "x2",
    ),
    *(
        "don't",
        "naïve",
        "日本語",
        "🙂",
        "<|im_start|>",
        "<s>",
        "</s>",
        "_",
        "a",
        "3",
        "É",
        "e\u0301",
        "…",
        '"',
        "$5,000.00",
    ),
)
SPACES = (
    " ",
    "  ",
    "\n",
    "\n\n",
    "\n\n\n",
    " \n",
    "\n ",
    "\t",
    "\r\n",
    "\n\n ",
    "",
    "\u00a0",
    "\u2028",
)
TEXTS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES)), min_size=12, max_size=40
).map(lambda parts: "".join(word + space for word, space in parts))
SPLIT = r"'[sdmt]|'(?:ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Splits as the newer byte-level tokenizers do: line breaks stay with the punctuation before them, digits by threes."""


def newer(**changes: Any) -> Any:
    """A byte-level tokenizer that splits as the newer ones."""
    its = byte_level("<|endoftext|>", bos="<s>", adds="<s> $A")
    its.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    for name, value in changes.items():
        setattr(its.backend_tokenizer, name, value)
    return its


def whole(its: Any, text: str, special: bool) -> list[int]:
    """What the tokenizer itself says."""
    return list(its.encode(text, add_special_tokens=special))


NO_END = [style for style in ALL if "eos" not in style]


@pytest.mark.parametrize("style", [*NO_END, "newer"])
@pytest.mark.parametrize("special", [True, False])
@settings(max_examples=25, deadline=None)
@given(text=TEXTS)
def test_pieces_have_the_tokens_of_the_whole(style: str, special: bool, text: str) -> None:
    its = newer() if style == "newer" else tokenizer(style)
    pieces = Pieces(its)
    cut = pieces.cut(text, special)
    assert "".join(piece.text for piece in cut) == text
    assert pieces.tokens(cut) == whole(its, text, special)
    head, rest = pieces.cut_at_end(text, special)
    assert pieces.tokens([*head, rest]) == whole(its, text, special)
    assert pieces.differs is None


@pytest.mark.parametrize("style", ["smollm2", "llama2", "llama3", "qwen", "gemma"])
def test_known_styles_are_cut(style: str) -> None:
    assert Pieces(tokenizer(style)).may_cut
    assert Pieces(newer()).may_cut


@pytest.mark.parametrize("style", ["merges_words", "merges_words_llama2"])
def test_a_vocabulary_that_spans_words_is_not_cut(style: str) -> None:
    pieces = Pieces(tokenizer(style))
    assert not pieces.may_cut
    assert len(pieces.cut("word " * SHORTEST, True)) == 1


def test_a_vocabulary_with_a_word_that_takes_the_spaces_after_it_is_not_cut() -> None:
    its = newer()
    its.add_tokens([AddedToken("zebra", rstrip=True)])
    pieces, text = Pieces(its), "the zebra of the big zebra  and of the rest"
    assert pieces.tokens(pieces.cut(text, special=False)) == whole(its, text, special=False)
    assert not pieces.may_cut


def test_examples_that_come_again_are_encoded_once() -> None:
    its = tokenizer("llama3")
    calls: list[str] = []

    class Counted:
        is_fast = True

        def __getattr__(self, name: str) -> Any:
            return getattr(its, name)

        def __call__(self, texts: list[str], **kwargs: Any) -> Any:
            calls.extend(texts)
            return its(texts, **kwargs)

    pieces = Pieces(Counted())
    shots = [
        f"Question: How many of the {n} apples are left?\nAnswer: {n} of them." for n in range(9)
    ]
    for last in range(20):
        ask = "\n\n".join([*shots, f"Question: How many are {last}?\nAnswer:"])
        pieces.remember(pieces.cut(ask, True))
        assert pieces.tokens(pieces.cut(ask, True)) == whole(its, ask, True)
    middles = [text for text in calls if "apples are left" in text]
    assert len(middles) == len(set(middles)) == len(shots)


def test_a_tokenizer_whose_pieces_differ_is_found_and_encodes_whole_texts() -> None:
    odd = newer(normalizer=normalizers.Replace(Regex("one two"), "three"))
    encoder = Encoder(odd)
    plain = (
        "Some words that every tokenizer cuts at their ends,\n\nand some more of them, to be long."
    )
    assert encoder.encode(plain) == whole(odd, plain, True)
    assert not encoder.differs_in_pieces
    text = (
        "There are the words zero and one\n\nand there is one two as well, which it replaces." * 2
    )
    cut = text.replace("zero and one\n\nand", "zero one\n\n").replace(
        "is one two as", "is one two\n\nas"
    )
    for asked in (text, cut, "one two\n\n" + plain, plain + " it is one two"):
        assert encoder.encode(asked) == whole(odd, asked, True)
        pair = encoder.pair(asked, " one two")
        assert [*pair.context, *pair.continuation][: len(pair.context)] == whole(odd, asked, True)


def test_the_first_texts_and_some_later_ones_are_checked() -> None:
    its = tokenizer("llama3")
    text = "word " * SHORTEST
    for number in range(1, 600):
        pieces = Pieces(its)
        assert pieces.may_cut
        pieces._num_texts = number - 1
        is_checked = not pieces.is_right(text, True, [], [])
        assert is_checked == (number <= CHECKED_FIRST or number % CHECKED_EVERY == 0)


def test_the_demos_tokenizer_is_cut() -> None:
    its = AutoTokenizer.from_pretrained("models/smollm2-135m-instruct")
    assert Pieces(its).may_cut
