"""Tokens become text as vLLM writes it, special tokens and all."""

import json
from pathlib import Path
from typing import Any

import pytest

from evalharness.engines.detokenizer import Detokenizer, cut_at_stop, find_end_tokens
from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
)


def sentencepiece() -> Any:
    """In the style of Llama 2's: a space before every word, bytes for what it doesn't know."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>"]
    tokens = [*special, *(f"<0x{i:02X}>" for i in range(256)), "▁Paris", "is", "▁", "<"]
    model = models.BPE({t: i for i, t in enumerate(tokens)}, [], unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens(special)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def ids(tokenizer: Any, *tokens: str) -> list[int]:
    found: list[int] = tokenizer.convert_tokens_to_ids(list(tokens))
    assert None not in found
    return found


def request(prompt: list[int], **sampling: Any) -> GenerateRequest:
    return GenerateRequest(prompt_token_ids=tuple(prompt), sampling=SamplingParams(**sampling))


def test_the_space_that_begins_a_sentencepiece_token_is_kept() -> None:
    tokenizer = sentencepiece()
    detokenizer = Detokenizer(tokenizer, frozenset())
    paris = ids(tokenizer, "▁Paris", "▁Paris")
    assert detokenizer.text(ids(tokenizer, "<s>", "is"), paris) == " Paris Paris"
    assert detokenizer.text(ids(tokenizer, "<s>"), paris) == " Paris Paris"


def test_bytes_that_are_no_whole_character_yet_are_left_out_at_the_end_only() -> None:
    tokenizer = sentencepiece()
    detokenizer = Detokenizer(tokenizer, frozenset())
    smile = ids(tokenizer, *(f"<0x{b:02X}>" for b in "é🙂".encode()))
    prompt = ids(tokenizer, "<s>", "is")
    texts = [detokenizer.text(prompt, smile[:n]) for n in range(len(smile) + 1)]
    assert texts == ["", "", "é", "é", "é", "é", "é🙂"]


def test_bytes_that_complete_a_character_of_the_prompt_do_no_harm() -> None:
    tokenizer = sentencepiece()
    first, second = ids(tokenizer, *(f"<0x{b:02X}>" for b in "é".encode()))
    text = Detokenizer(tokenizer, frozenset()).text([first], [second, *ids(tokenizer, "is")])
    assert text.endswith("is")


def test_special_tokens_stay_in_the_text_without_spaces(byte_tokenizer: Any) -> None:
    end, start = byte_tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>"])
    letters = byte_tokenizer.encode("a b", add_special_tokens=False)
    detokenizer = Detokenizer(byte_tokenizer, frozenset())
    text = detokenizer.text(letters, [end, start, *letters])
    assert text == "<|im_end|><|im_start|>a b"


def test_an_end_token_ends_the_answer_and_is_no_part_of_its_text(byte_tokenizer: Any) -> None:
    a, b, c = byte_tokenizer.encode("abc", add_special_tokens=False)
    detokenizer = Detokenizer(byte_tokenizer, frozenset({b}))
    ended = detokenizer.finish(request([a]), [a, b, c], is_full=True)
    assert ended == ("a", (a, b), "stop")
    on = detokenizer.finish(request([a], ignore_eos=True), [a, b, c], is_full=True)
    assert on == ("abc", (a, b, c), "length")


def test_a_stop_token_ends_the_answer_as_an_end_token_does(byte_tokenizer: Any) -> None:
    a, b, c = byte_tokenizer.encode("abc", add_special_tokens=False)
    asked = request([a], stop_token_ids=(c,), ignore_eos=True)
    ended = Detokenizer(byte_tokenizer, frozenset({b})).finish(asked, [a, b, c], is_full=True)
    assert ended == ("ab", (a, b, c), "stop")


def test_an_end_that_only_the_engine_knows_is_its_last_token(byte_tokenizer: Any) -> None:
    a, b, _ = byte_tokenizer.encode("abc", add_special_tokens=False)
    detokenizer = Detokenizer(byte_tokenizer, frozenset())
    assert detokenizer.finish(request([a]), [a, b], is_full=False, is_end_last=True).text == "a"
    assert detokenizer.finish(request([a]), [a, b], is_full=False).text == "ab"


def test_an_answer_that_a_stop_string_ended_is_not_cut_by_the_limit(byte_tokenizer: Any) -> None:
    tokens = byte_tokenizer.encode("abcd", add_special_tokens=False)
    detokenizer = Detokenizer(byte_tokenizer, frozenset())
    ended = detokenizer.finish(request([5], stop=("cd",)), tokens, is_full=True)
    assert (ended.text, ended.finish_reason) == ("ab", "stop")
    assert detokenizer.finish(request([5]), tokens, is_full=True).finish_reason == "length"


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["d", "b"], ("a", True)),
        (["b", "d"], ("a", True)),
        (["abcd", "c"], ("ab", True)),  # complete first, as in vLLM
        (["", "x"], ("abcde", False)),
        ([], ("abcde", False)),
    ],
)
def test_the_stop_string_that_is_complete_first_ends_the_text(
    stop: list[str], expected: tuple[str, bool]
) -> None:
    assert cut_at_stop("abcde", stop) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"generation_config.json": {"eos_token_id": [7, 8]}}, {2, 7, 8}),
        (
            {"generation_config.json": {"eos_token_id": 7}, "config.json": {"eos_token_id": 9}},
            {2, 7},
        ),
        ({"generation_config.json": {}, "config.json": {"eos_token_id": 9}}, {2}),
        ({"config.json": {"eos_token_id": [9]}}, {2, 9}),
        ({"config.json": {"text_config": {"eos_token_id": 9}}}, {2, 9}),
        ({"generation_config.json": {"eos_token_id": ["x", True, None]}}, {2}),
        ({}, {2}),
    ],
)
def test_end_tokens_are_the_tokenizers_and_the_checkpoints(
    tmp_path: Path, byte_tokenizer: Any, files: dict[str, Any], expected: set[int]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert byte_tokenizer.eos_token_id == 2
    assert find_end_tokens(tmp_path, byte_tokenizer) == expected
