"""What fits, what is cut, and what isn't asked, at every boundary."""

import pytest

from evalharness.config.schema import Truncation
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
)
from evalharness.tasks.context_window import Room
from evalharness.tasks.encoding import Encoder, Tokens
from tokenizer_styles import byte_level, tokenizer

GEMMA, QWEN = Encoder(tokenizer("gemma")), Encoder(tokenizer("qwen"))
BOS = GEMMA.prefix_token_id or 0


def room(
    max_model_len: int,
    truncation: Truncation = Truncation.none,
    encoder: Encoder = QWEN,
    min_room: int = 1,
) -> Room:
    return Room(max_model_len, truncation, encoder, min_room)


def tokens(number: int, start: int = 100) -> Tokens:
    return tuple(range(start, start + number))


def scored(fit: object) -> Tokens:
    assert isinstance(fit, ScoreRequest)
    return fit.context_token_ids


@pytest.mark.parametrize(("min_room", "limit"), [(1, 20), (0, 21)])
@pytest.mark.parametrize("num_choice", [1, 2, 7])
def test_a_context_and_a_choice_that_fill_the_window_exactly_are_scored(
    min_room: int, limit: int, num_choice: int
) -> None:
    fits = room(20, min_room=min_room)
    full = fits.fit_score(tokens(limit - num_choice), (tokens(num_choice),))
    assert scored(full.request) == tokens(limit - num_choice)
    assert not full.is_cut
    over = fits.fit_score(tokens(limit - num_choice + 1), (tokens(num_choice),))
    assert isinstance(over.request, Failure)
    assert over.request.kind == "context_overflow"
    assert f"{limit + 1} tokens" in over.request.message
    assert f"room for {limit}" in over.request.message


def test_the_longest_choice_decides() -> None:
    short, long = tokens(1), tokens(4)
    for choices in [(short, long), (long, short)]:
        assert isinstance(room(10).fit_score(tokens(7), choices).request, Failure)
        assert room(11).fit_score(tokens(7), choices).request == ScoreRequest(
            context_token_ids=tokens(7), continuations=choices
        )


def test_a_choice_without_tokens_is_a_failure_of_its_own() -> None:
    fit = room(5).fit_score(tokens(20), (tokens(1), ()))
    assert isinstance(fit.request, Failure)
    assert fit.request.kind == "request"


@pytest.mark.parametrize("over", [1, 2, 9])
def test_truncation_drops_as_many_of_the_oldest_tokens_as_are_too_many(over: int) -> None:
    fit = room(20, Truncation.left).fit_score(tokens(17 + over), (tokens(3),))
    assert scored(fit.request) == tokens(17 + over)[over:]
    assert fit.is_cut


def test_what_fits_isnt_cut() -> None:
    fit = room(20, Truncation.left).fit_score(tokens(17), (tokens(3),))
    assert scored(fit.request) == tokens(17)
    assert not fit.is_cut


@pytest.mark.parametrize("over", [1, 2, 9])
def test_truncation_keeps_the_bos(over: int) -> None:
    context = (BOS, *tokens(16 + over))
    fit = room(20, Truncation.left, GEMMA).fit_score(context, (tokens(3),))
    assert scored(fit.request) == (BOS, *tokens(16 + over)[over:])


def test_truncation_keeps_a_bos_behind_the_templates_newline() -> None:
    context = (50, BOS, *tokens(18))
    fit = room(20, Truncation.left, GEMMA).fit_score(context, (tokens(3),))
    assert scored(fit.request) == (50, BOS, *tokens(18)[3:])


def test_a_choice_that_leaves_no_room_for_any_context_is_an_overflow() -> None:
    one = room(6, Truncation.left).fit_score(tokens(4), (tokens(5),))
    assert scored(one.request) == tokens(4)[3:]
    none = room(5, Truncation.left).fit_score(tokens(4), (tokens(5),))
    assert isinstance(none.request, Failure)
    assert none.request.kind == "context_overflow"
    assert not none.is_cut


def generated(fit: object) -> GenerateRequest:
    assert isinstance(fit, GenerateRequest)
    return fit


def sampling(max_gen_toks: int, temperature: float = 0.0) -> SamplingParams:
    return SamplingParams(max_gen_toks=max_gen_toks, temperature=temperature)


@pytest.mark.parametrize(
    ("num_prompt", "max_gen_toks", "given"),
    [(13, 7, 7), (13, 8, 7), (13, 6, 6), (19, 5, 1), (19, 1, 1), (1, 100, 19)],
)
def test_an_answer_gets_what_room_there_is(num_prompt: int, max_gen_toks: int, given: int) -> None:
    fit = room(20).fit_generate(tokens(num_prompt), sampling(max_gen_toks), 0)
    assert generated(fit.request).sampling.max_gen_toks == given
    assert generated(fit.request).prompt_token_ids == tokens(num_prompt)
    assert not fit.is_cut


@pytest.mark.parametrize("num_prompt", [20, 21, 33])
def test_a_prompt_that_leaves_no_room_is_an_overflow(num_prompt: int) -> None:
    fit = room(20).fit_generate(tokens(num_prompt), sampling(5), 0)
    assert isinstance(fit.request, Failure)
    assert fit.request.kind == "context_overflow"
    assert fit.request.message.startswith(f"{num_prompt} tokens")


@pytest.mark.parametrize(("max_gen_toks", "room_made"), [(5, 5), (10, 10), (11, 10), (99, 10)])
@pytest.mark.parametrize("num_prompt", [20, 27])
def test_truncation_makes_room_for_the_answer_or_for_half_the_window(
    num_prompt: int, max_gen_toks: int, room_made: int
) -> None:
    fit = room(20, Truncation.left).fit_generate(tokens(num_prompt), sampling(max_gen_toks), 0)
    assert generated(fit.request).prompt_token_ids == tokens(num_prompt)[-(20 - room_made) :]
    assert generated(fit.request).sampling.max_gen_toks == room_made
    assert fit.is_cut


def test_a_prompt_with_room_for_one_token_isnt_cut() -> None:
    fit = room(20, Truncation.left).fit_generate(tokens(19), sampling(5), 0)
    assert generated(fit.request).prompt_token_ids == tokens(19)
    assert not fit.is_cut


def test_truncation_of_a_prompt_keeps_the_bos() -> None:
    prompt = (BOS, *tokens(24))
    fit = room(20, Truncation.left, GEMMA).fit_generate(prompt, sampling(5), 0)
    assert generated(fit.request).prompt_token_ids == (BOS, *tokens(24)[-14:])


def test_a_window_of_two_tokens_keeps_one_and_answers_one() -> None:
    fit = room(2, Truncation.left).fit_generate(tokens(5), sampling(5), 0)
    assert generated(fit.request).prompt_token_ids == tokens(5)[-1:]
    assert generated(fit.request).sampling.max_gen_toks == 1


@pytest.mark.parametrize(("encoder", "prefix"), [(GEMMA, "<bos>"), (QWEN, "<|endoftext|>")])
def test_an_empty_prompt_is_the_prefix_token(encoder: Encoder, prefix: str) -> None:
    fit = room(20, encoder=encoder).fit_generate((), sampling(5), 0)
    assert encoder.tokenizer.decode(generated(fit.request).prompt_token_ids) == prefix


@pytest.mark.parametrize(("temperature", "repeat"), [(0.0, 0), (0.7, 3)])
def test_draws_are_different_requests_and_greedy_repeats_are_one(
    temperature: float, repeat: int
) -> None:
    fit = room(20).fit_generate(tokens(3), sampling(5, temperature), 3)
    assert generated(fit.request).repeat == repeat


def test_a_window_of_two_tokens_keeps_one_of_what_begins_every_prompt() -> None:
    fit = room(2, Truncation.left, GEMMA).fit_generate((50, BOS, *tokens(5)), sampling(5), 0)
    assert generated(fit.request).prompt_token_ids == (50,)
    assert generated(fit.request).sampling.max_gen_toks == 1


def test_an_empty_prompt_that_nothing_can_stand_for_is_a_failure() -> None:
    bare = byte_level("<|endoftext|>")
    bare.eos_token = None
    fit = room(20, encoder=Encoder(bare)).fit_generate((), sampling(5), 0)
    assert isinstance(fit.request, Failure)
    assert fit.request.kind == "prompt"
    assert "neither BOS nor EOS" in fit.request.message
