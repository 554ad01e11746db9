"""EngineLM against lm-eval's own conventions, with a real tokenizer and the fake engine."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from evalharness.config.schema import (
    ModelConfig,
    SamplingConfig,
    Truncation,
)
from evalharness.engines.fake import FakeEngine
from evalharness.engines.requests import (
    Failure,
    GenerateRequest,
    Generation,
    ScoreRequest,
)
from evalharness.tasks.lm_adapter import EngineLM
from lm_eval_model import LmEvalModel


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_llama)


def instance(kind: str, *args: Any, doc_id: int = 0, idx: int = 0) -> Instance:
    return Instance(
        request_type=kind,  # type: ignore[arg-type]
        doc={},
        arguments=args,
        idx=idx,
        metadata=("task", doc_id, 1),
    )


def choices(context: str, *texts: str) -> list[Instance]:
    return [instance("loglikelihood", context, t, idx=i) for i, t in enumerate(texts)]


def test_choices_of_one_context_travel_in_one_request(tokenizer: Any) -> None:
    plan = EngineLM(tokenizer, 100).plan(choices("Q: sky?\nA:", " blue", " red", " green"))
    (request,) = plan.requests
    assert isinstance(request, ScoreRequest)
    assert len(request.continuations) == 3


def test_pairs_are_split_as_lm_eval_splits_them(tokenizer: Any) -> None:
    lm = LmEvalModel(tokenizer, 100, FakeEngine())
    for context, continuation in [("The sky is", " blue"), ("The sky is ", "blue"), ("a\n", "b c")]:
        (request,) = lm.plan(choices(context, continuation)).requests
        expected = lm._encode_pair(context, continuation)
        assert isinstance(request, ScoreRequest)
        assert [*request.context_token_ids] == expected[0]
        assert [*request.continuations[0]] == expected[1]


def test_an_empty_context_is_the_prefix_token(tokenizer: Any) -> None:
    (request,) = EngineLM(tokenizer, 100).plan(choices("", "abc")).requests
    assert isinstance(request, ScoreRequest)
    assert request.context_token_ids == (tokenizer.bos_token_id,)


def test_answers_come_back_in_the_order_of_the_instances(tokenizer: Any) -> None:
    lm, engine = EngineLM(tokenizer, 100), FakeEngine()
    instances = [*choices("one", " a", " b"), *choices("two", " a")]
    plan = lm.plan(instances)
    scores = [asyncio.run(engine.score(r)) for r in plan.requests]  # type: ignore[arg-type]
    answers = plan.resolve(scores)
    alone = [
        lm.plan([i]).resolve([asyncio.run(engine.score(lm.plan([i]).requests[0]))])[0]  # type: ignore[arg-type]
        for i in instances
    ]
    assert answers == alone


def test_text_that_starts_with_bos_gets_no_second_one(demo: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(demo)
    tokens = EngineLM(tokenizer, 100).tok_encode(f"{tokenizer.bos_token}user")
    assert tokens.count(tokenizer.bos_token_id) == 1


def test_a_tokenizer_that_adds_bos_adds_it_once(tokenizer: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A",
        special_tokens=[(tokenizer.bos_token, tokenizer.bos_token_id)],
    )
    try:
        lm = EngineLM(tokenizer, 100)
        assert lm.tok_encode("a").count(tokenizer.bos_token_id) == 1
        assert lm.tok_encode(f"{tokenizer.bos_token}a").count(tokenizer.bos_token_id) == 1
    finally:
        tokenizer.backend_tokenizer.post_processor = None


def generate_request(lm: EngineLM, prompt: str, **gen_kwargs: Any) -> GenerateRequest | Failure:
    (request,) = lm.plan([instance("generate_until", prompt, gen_kwargs)]).requests
    assert isinstance(request, (GenerateRequest, Failure))
    return request


def test_a_task_that_names_no_sampling_is_greedy_with_lm_evals_limit(tokenizer: Any) -> None:
    request = generate_request(EngineLM(tokenizer, 1000), "a", until=["\n"])
    assert isinstance(request, GenerateRequest)
    assert request.sampling.temperature == 0
    assert request.sampling.seed is None
    assert request.sampling.max_gen_toks == 256
    assert request.sampling.stop == ("\n",)


def test_the_runs_sampling_wins_over_the_tasks(tokenizer: Any) -> None:
    lm = EngineLM(tokenizer, 1000, sampling=SamplingConfig(temperature=0.6, max_gen_toks=7))
    request = generate_request(lm, "a", temperature=0.0, do_sample=False, max_gen_toks=99)
    assert isinstance(request, GenerateRequest)
    assert request.sampling.temperature == 0.6
    assert request.sampling.max_gen_toks == 7


def test_do_sample_false_is_greedy_whatever_the_temperature_says(tokenizer: Any) -> None:
    request = generate_request(EngineLM(tokenizer, 1000), "a", do_sample=False, temperature=0.7)
    assert isinstance(request, GenerateRequest)
    assert request.sampling.temperature == 0


def test_sampling_seeds_differ_by_doc_and_repeat_and_by_nothing_else(tokenizer: Any) -> None:
    def seed(doc_id: int, repeat: int, sampling_seed: int = 0) -> int | None:
        lm = EngineLM(tokenizer, 1000, sampling=SamplingConfig(temperature=1.0, seed=sampling_seed))
        one = instance("generate_until", "a", {}, doc_id=doc_id)
        (request,) = lm.plan([one], repeat=repeat).requests
        assert isinstance(request, GenerateRequest)
        return request.sampling.seed

    assert seed(0, 0) == seed(0, 0)
    assert len({seed(0, 0), seed(1, 0), seed(0, 1), seed(0, 0, 1)}) == 4


def test_a_prompt_longer_than_the_context_is_a_failure_not_a_cut(tokenizer: Any) -> None:
    request = generate_request(EngineLM(tokenizer, 10), "a" * 10)
    assert isinstance(request, Failure)
    assert request.kind == "context_overflow"
    (scored,) = EngineLM(tokenizer, 10).plan(choices("a" * 9, "bb")).requests
    assert isinstance(scored, Failure)


def test_truncation_left_keeps_the_end_of_the_prompt(tokenizer: Any) -> None:
    lm = EngineLM(tokenizer, 10, truncation=Truncation.left)
    (request,) = lm.plan(choices("abcdefghijkl", "xy")).requests
    assert isinstance(request, ScoreRequest)
    assert tokenizer.decode(request.context_token_ids) == "efghijkl"
    generate = generate_request(lm, "abcdefghijkl", max_gen_toks=4)
    assert isinstance(generate, GenerateRequest)
    assert tokenizer.decode(generate.prompt_token_ids) == "ghijkl"
    assert generate.sampling.max_gen_toks == 4


def test_an_answer_that_would_not_fit_is_limited_to_the_room_there_is(tokenizer: Any) -> None:
    request = generate_request(EngineLM(tokenizer, 10), "abcdef", max_gen_toks=100)
    assert isinstance(request, GenerateRequest)
    assert request.sampling.max_gen_toks == 4


def test_rolling_windows_cover_every_token_once(tokenizer: Any) -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    plan = EngineLM(tokenizer, 8).plan([instance("loglikelihood_rolling", text)])
    scored = [t for r in plan.requests for t in r.continuations[0]]  # type: ignore[union-attr]
    assert tokenizer.decode(scored) == text


THINKING = ModelConfig(name="thinker", think_start="<think>", think_end="</think>")


def test_stop_strings_wait_until_the_thinking_is_over(tokenizer: Any) -> None:
    lm = EngineLM(tokenizer, 1000, model=THINKING)
    plan = lm.plan([instance("generate_until", "a", {"until": ["\n\n"]})])
    (request,) = plan.requests
    assert isinstance(request, GenerateRequest)
    assert request.sampling.stop == ()
    said = Generation(text="<think>one\n\ntwo</think>4\n\nQ: next")
    assert plan.resolve(plan.finish([said])) == ["4"]


def test_unclosed_thinking_is_no_answer(tokenizer: Any) -> None:
    finished = EngineLM(tokenizer, 1000, model=THINKING).finish(Generation(text="<think>so"))
    assert finished.text == ""
    assert finished.finish_reason == "unclosed"


def test_thinking_that_the_prompt_opened_and_nothing_closed_is_no_answer(tokenizer: Any) -> None:
    lm = EngineLM(tokenizer, 1000, model=THINKING)
    plan = lm.plan([instance("generate_until", "Q: 2+2?<think>\n", {"until": []})])
    said = Generation(text="two and two", finish_reason="length")
    assert plan.resolve(plan.finish([said])) == [""]
    (finished,) = plan.finish([said])
    assert isinstance(finished, Generation)
    assert (finished.finish_reason, finished.thinking) == ("unclosed", "two and two")


def test_thinking_that_the_prompt_closed_is_answered_directly(tokenizer: Any) -> None:
    lm = EngineLM(tokenizer, 1000, model=THINKING)
    plan = lm.plan([instance("generate_until", "Q: 2+2?<think></think>\n", {"until": []})])
    assert plan.resolve(plan.finish([Generation(text="4")])) == ["4"]


def finished(tokenizer: Any, said: Generation, prompt: str = "a", **kwargs: Any) -> Generation:
    """As it is counted and stored; the scored answer is its text."""
    model = kwargs.pop("model", THINKING)
    plan = EngineLM(tokenizer, 1000, model=model).plan([instance("generate_until", prompt, kwargs)])
    (generation,) = plan.finish([said])
    assert isinstance(generation, Generation)
    assert plan.resolve(plan.finish([said])) == [generation.text]
    return generation


def test_an_answer_without_tags_ends_at_the_tasks_stop_strings(tokenizer: Any) -> None:
    said = Generation(text="It is 5. Q: 9?", finish_reason="length")
    generation = finished(tokenizer, said, until=["Q:"])
    assert (generation.text, generation.finish_reason) == ("It is 5. ", "stop")


def test_an_answer_that_a_stop_string_ended_behind_its_thinking_was_not_cut(tokenizer: Any) -> None:
    said = Generation(text="<think>a</think>It is 5. Q: 9?", finish_reason="length")
    generation = finished(tokenizer, said, until=["Q:"])
    assert (generation.text, generation.finish_reason) == ("It is 5. ", "stop")


def test_an_answer_that_the_limit_cut_behind_its_thinking_stays_as_far_as_it_came(
    tokenizer: Any,
) -> None:
    said = Generation(text="<think>a</think>It is 5", finish_reason="length")
    generation = finished(tokenizer, said, until=["Q:"])
    assert (generation.text, generation.finish_reason) == ("It is 5", "length")


def test_stop_strings_go_to_the_engine_where_the_prompt_has_closed_the_thinking(
    tokenizer: Any,
) -> None:
    lm = EngineLM(tokenizer, 1000, model=THINKING)
    for prompt, stop in (("Q<think>\n\n</think>\n\n", ("Q:",)), ("Q", ()), ("Q<think>", ())):
        request = generate_request(lm, prompt, until=["Q:"])
        assert isinstance(request, GenerateRequest)
        assert request.sampling.stop == stop


def test_each_generation_of_a_sample_ends_at_its_own_stop_strings(tokenizer: Any) -> None:
    lm = EngineLM(tokenizer, 1000, model=THINKING)
    plan = lm.plan(
        [instance("generate_until", "a", {"until": [stop]}, idx=i) for i, stop in enumerate("xy")]
    )
    said = [Generation(text="1y2x3"), Generation(text="1y2x3")]
    assert [r.text for r in plan.finish(said) if isinstance(r, Generation)] == ["1y2", "1"]
    assert plan.resolve(plan.finish(said)) == ["1y2", "1"]


def special(tokenizer: Any, text: str) -> Generation:
    """Said in special tokens where the text has them."""
    token_ids = tokenizer.encode(text, add_special_tokens=False)
    return Generation(text=text, token_ids=tuple(token_ids))


def test_bos_eos_and_padding_are_dropped_from_what_is_scored(tokenizer: Any) -> None:
    said = special(tokenizer, "<|im_start|>It<|endoftext|> is 5.<|im_end|>")
    assert finished(tokenizer, said).text == "It is 5."


def test_plain_text_that_looks_like_an_end_token_stays(tokenizer: Any) -> None:
    letters = tuple(tokenizer.encode("x", add_special_tokens=False))
    said = Generation(text="write <|im_end|> behind it", token_ids=letters)
    assert finished(tokenizer, said).text == "write <|im_end|> behind it"


def test_stop_strings_and_tags_may_be_special_tokens(tokenizer: Any) -> None:
    tags = ModelConfig(name="t", think_start="<|im_start|>", think_end="<|im_end|>")
    said = special(tokenizer, "<|im_start|>a<|im_end|>It is 5.<|endoftext|>Q: 9?")
    generation = finished(tokenizer, said, model=tags, until=["<|endoftext|>"])
    assert (generation.thinking, generation.text) == ("a", "It is 5.")


def test_other_special_tokens_stay_but_for_a_task_that_skips_them(tokenizer: Any) -> None:
    from copy import deepcopy

    more = deepcopy(tokenizer)
    more.add_special_tokens({"additional_special_tokens": ["<tool>"]})
    said = special(more, "<tool>It is 5.<|im_end|>")
    assert finished(more, said).text == "<tool>It is 5."
    assert finished(more, said, skip_special_tokens=True).text == "It is 5."
    assert finished(more, said, skip_special_tokens="false").text == "<tool>It is 5."


def test_settings_that_a_tasks_own_code_makes_wrong_fail_the_sample(tokenizer: Any) -> None:
    request = generate_request(EngineLM(tokenizer, 1000), "a", top_pp=0.3)
    assert isinstance(request, Failure)
    assert "'top_p'" in request.message


def test_a_tasks_own_seed_changes_its_draws(tokenizer: Any) -> None:
    lm = EngineLM(tokenizer, 1000)
    seeds = set()
    for seed in (None, 1, 2, -1):
        request = generate_request(lm, "a", temperature=1.0, seed=seed)
        assert isinstance(request, GenerateRequest)
        seeds.add(request.sampling.seed)
    assert len(seeds) == 3


def test_a_prompt_that_leaves_less_room_than_min_tokens_asks_for_what_there_is(
    tokenizer: Any,
) -> None:
    request = generate_request(EngineLM(tokenizer, 10), "abcdef", max_gen_toks=100, min_tokens=50)
    assert isinstance(request, GenerateRequest)
    assert (request.sampling.min_tokens, request.sampling.max_gen_toks) == (4, 4)
