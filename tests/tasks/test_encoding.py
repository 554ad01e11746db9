"""Where a context ends and a choice begins, what stands around a text, and that lm-eval's hf backend sees it alike."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook
from lm_eval.models.huggingface import HFLM

from evalharness.tasks.encoding import Encoder, Pair
from evalharness.tasks.lm_adapter import EngineLM
from tokenizer_styles import ALL, KNOWN, byte_level, tokenizer

PAIRS = [
    ("Question: What is the capital of France?\nAnswer:", " Paris"),
    ("Question: What is the capital of France?\nAnswer:", " London, of course"),
    ("Question: What is the capital of France?\nAnswer: ", "Paris"),
    ("Question: What is the capital of France?\nAnswer:\n", "Paris"),
    ("Question: What is the capital of France?\nAnswer:  \n\n ", "Paris"),
    ("A. one\nB. two\nC. three\nD. four\nAnswer:", " A"),
    ("A. one\nB. two\nC. three\nD. four\nAnswer:", " B"),
    ("A. one\nB. two\nC. three\nD. four\nAnswer:", " C\n\n"),
    ("A. one\nB. two\nC. three\nD. four\nAnswer:", " (D)"),
    ("The quick brown fox", " jumps over the lazy dog"),
    ("The quick brown fox", "\njumps over the lazy dog."),
    ("true or false?", " true"),
    ("true or false?", " false"),
    ("x = y +", " 12345.67"),
    ("It costs $", " 5,000.00"),
    ("naïve café", " über straße"),
    ("日本語", " テスト"),
    ("A smile:", " 🙂"),
    ("An odd one: 🙂", " and on"),
    ("tabs\tand\tmore", "\tof them"),
    ("He said:", ' "yes"'),
    (" leading spaces", " and trailing ones  "),
]


class Theirs(HFLM):  # type: ignore[misc]
    """lm-eval's hf backend with a tokenizer and without a model."""

    def __init__(self, its: Any, max_length: int = 64) -> None:
        self.tokenizer, self._max_length = its, max_length
        self.add_bos_token, self.custom_prefix_token_id = None, None
        self.backend, self.batch_size_per_gpu, self.enable_thinking = "causal", 1, False
        self.cache_hook = CacheHook(None)
        self.asked: list[tuple[list[int], list[int]]] = []

    def _loglikelihood_tokens(self, requests: Any, **kwargs: Any) -> list[tuple[float, bool]]:
        self.asked += [(context, continuation) for _, context, continuation in requests]
        return [(0.0, True) for _ in requests]

    @property
    def rank(self) -> int:
        return 1

    @property
    def world_size(self) -> int:
        return 1


@pytest.mark.parametrize("style", KNOWN)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_is_split_as_lm_evals_hf_backend_splits_it(
    style: str, pair: tuple[str, str]
) -> None:
    context, continuation = Theirs(tokenizer(style))._encode_pair(*pair)
    assert Encoder(tokenizer(style)).pair(*pair) == Pair(tuple(context), tuple(continuation))


def test_there_are_22_pairs() -> None:
    assert len(set(PAIRS)) == 22


@pytest.mark.parametrize("style", KNOWN)
def test_an_empty_context_is_what_it_is_for_lm_eval(style: str) -> None:
    theirs = Theirs(tokenizer(style))
    theirs.loglikelihood([_instance("loglikelihood", "", " Paris")], disable_tqdm=True)
    pair = Encoder(tokenizer(style)).pair("", " Paris")
    assert theirs.asked == [([*pair.context], [*pair.continuation])]


@pytest.mark.parametrize("style", ["llama2", "llama3", "gemma"])
def test_a_context_of_spaces_is_what_it_is_for_lm_eval_where_it_takes_one(style: str) -> None:
    context, continuation = Theirs(tokenizer(style))._encode_pair(" \n", "Paris")
    assert Encoder(tokenizer(style)).pair(" \n", "Paris") == (
        tuple(context),
        tuple(continuation),
        False,
    )


def test_a_context_of_spaces_is_the_prefix_token_where_lm_eval_has_none() -> None:
    its = tokenizer("qwen")
    pair = Encoder(its).pair("  ", "Paris")
    assert pair.context == (its.eos_token_id,)
    assert its.decode(pair.continuation) == "  Paris"


@pytest.mark.parametrize("style", ["merges_words", "merges_words_llama2"])
@pytest.mark.parametrize("choice", [" C", " A", " B\n"])
def test_a_choice_whose_token_spans_the_context_is_encoded_by_itself(
    style: str, choice: str
) -> None:
    its, context = tokenizer(style), "Question 0. A. one B. two\nAnswer:"
    pair = Encoder(its).pair(context, choice)
    assert pair.is_split
    assert its.decode(pair.context, skip_special_tokens=True) == context
    # The tokens of both are the text of both: no space comes in that the choice hasn't.
    assert (
        its.decode([*pair.context, *pair.continuation], skip_special_tokens=True)
        == context + choice
    )


def test_an_eos_that_the_tokenizer_appends_stands_neither_after_the_context_nor_the_choice() -> (
    None
):
    its = tokenizer("appends_eos")
    context, continuation, is_split = Encoder(its).pair("Answer:", " C")
    assert its.convert_ids_to_tokens(context) == ["<s>", "Answer", ":"]
    assert its.convert_ids_to_tokens(continuation) == ["ĠC"]
    assert not is_split


def test_an_eos_that_the_text_itself_ends_with_stays() -> None:
    its = tokenizer("appends_eos")
    assert its.convert_ids_to_tokens(Encoder(its).encode("C</s>")) == ["<s>", "C", "</s>"]


def test_a_bos_behind_a_newline_gets_no_second_one() -> None:
    its = tokenizer("llama3")
    ids = Encoder(its).encode("\n<|begin_of_text|>Answer:")
    assert ids.count(its.bos_token_id) == 1


def test_a_bos_behind_what_the_template_writes_before_it_gets_no_second_one() -> None:
    its = tokenizer("llama3")
    encoder = Encoder(its, opening="A chat. <|begin_of_text|>")
    assert encoder.encode("A chat. <|begin_of_text|>Answer:").count(its.bos_token_id) == 1


def test_a_bos_later_in_a_text_doesnt_stand_for_the_one_at_its_start() -> None:
    its = tokenizer("llama3")
    ids = Encoder(its).encode("What does <|begin_of_text|> mean?")
    assert ids[0] == its.bos_token_id


@pytest.mark.parametrize(
    ("text", "is_doubled"),
    [
        ("Answer:", False),
        ("<|begin_of_text|>Answer:", False),
        ("<|begin_of_text|><|begin_of_text|>Answer:", True),
        ("\n<|begin_of_text|>\n<|begin_of_text|>Answer:", True),
        ("What does <|begin_of_text|> mean?", True),
    ],
)
def test_a_second_bos_is_noticed_wherever_it_stands(text: str, is_doubled: bool) -> None:
    encoder = Encoder(tokenizer("llama3"))
    assert encoder.has_doubled_bos(encoder.encode(text)) is is_doubled


def test_a_bos_for_every_turn_is_right_where_the_template_writes_them_so() -> None:
    encoder = Encoder(tokenizer("llama2"), bos_begins_turns=True)
    assert not encoder.has_doubled_bos(encoder.encode("<s>[INST] a [/INST] b </s><s>[INST] c"))
    assert encoder.has_doubled_bos(encoder.encode("<s><s>[INST] a [/INST]"))


@pytest.mark.parametrize("style", ["llama2", "llama3", "gemma", "appends_eos"])
def test_a_whole_text_is_scored_without_what_the_tokenizer_adds(style: str) -> None:
    its = tokenizer(style)
    ids = Encoder(its).rolling("The quick brown fox")
    assert its.decode(ids) == "The quick brown fox"
    assert not {its.bos_token_id, its.eos_token_id} & set(ids)


def test_a_whole_text_that_writes_a_bos_isnt_scored_on_it() -> None:
    its = tokenizer("llama3")
    encoder = Encoder(its)
    assert encoder.rolling("<|begin_of_text|>fox") == encoder.rolling("fox")


def test_a_whole_text_without_tokens_has_none() -> None:
    assert Encoder(tokenizer("gemma")).rolling("") == []


TEXT = "The quick brown fox jumps over the lazy dog. " * 8


@pytest.mark.parametrize("style", ["qwen", "smollm2"])
def test_windows_are_lm_evals_on_a_tokenizer_that_adds_nothing(style: str) -> None:
    assert _windows(style) == _their_windows(style)
    assert len(_windows(style)) >= 3


@pytest.mark.parametrize("style", ["llama2", "llama3", "gemma"])
def test_windows_are_lm_evals_where_its_way_is_asked_for(style: str) -> None:
    assert _windows(style, rolling_as_lm_eval=True) == _their_windows(style)
    assert _windows(style) != _their_windows(style)


def test_the_first_window_of_a_text_begins_with_one_bos() -> None:
    its = tokenizer("gemma")
    (context, continuation), *_ = _windows("gemma")
    assert context == [its.bos_token_id]
    assert its.bos_token_id not in continuation


TEXTS = st.lists(st.sampled_from([*"abC :.\n\t日🙂1", "<s>", "</s>", "<bos>", "Answer"])).map(
    "".join
)


@settings(max_examples=60, deadline=None)
@given(
    style=st.sampled_from(ALL),
    pairs=st.lists(
        st.tuples(TEXTS, TEXTS),
        min_size=1,
        max_size=6,
    ),
)
def test_encoding_ahead_changes_nothing(style: str, pairs: list[tuple[str, str]]) -> None:
    alone, ahead = Encoder(tokenizer(style)), Encoder(tokenizer(style))
    ahead.encode_ahead(piece for pair in pairs for piece in ahead.pieces_of_pair(*pair))
    assert [ahead.pair(*pair) for pair in pairs] == [alone.pair(*pair) for pair in pairs]


@settings(max_examples=60, deadline=None)
@given(style=st.sampled_from(ALL), context=st.text(max_size=20), choice=st.text(max_size=8))
def test_any_split_that_isnt_counted_is_that_of_the_joint_encoding(
    style: str, context: str, choice: str
) -> None:
    encoder = Encoder(tokenizer(style))
    pair = encoder.pair(context, choice)
    if not pair.is_split and (context + choice).strip() and context.strip():
        assert [*pair.context, *pair.continuation] == encoder.encode(context + choice)


def test_a_tokenizer_with_neither_bos_nor_eos_cant_begin_an_empty_context() -> None:
    bare = byte_level("<|endoftext|>")
    bare.eos_token = None
    with pytest.raises(ValueError, match="neither BOS nor EOS"):
        Encoder(bare).pair("", "a")


def _windows(style: str, **settings: Any) -> list[tuple[list[int], list[int]]]:
    lm = EngineLM(tokenizer(style), 32, min_room=0, **settings)
    requests = lm.plan([_instance("loglikelihood_rolling", TEXT)]).requests
    return [([*r.context_token_ids], [*r.continuations[0]]) for r in requests]  # type: ignore[union-attr]


def _their_windows(style: str) -> list[tuple[list[int], list[int]]]:
    theirs = Theirs(tokenizer(style), max_length=32)
    theirs.loglikelihood_rolling([_instance("loglikelihood_rolling", TEXT)], disable_tqdm=True)
    return theirs.asked


def _instance(kind: str, *args: str) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=args, idx=0)  # type: ignore[arg-type]
