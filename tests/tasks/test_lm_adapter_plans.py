"""What `EngineLM` makes of instances and of responses: every field of a plan, windows token by token, conversations."""

from typing import Any

import pytest
from lm_eval.api.instance import Instance

from evalharness.config.schema import (
    ModelConfig,
    SamplingConfig,
    Truncation,
)
from evalharness.engines.base import RequestError
from evalharness.engines.fake import FakeEngine
from evalharness.engines.requests import (
    ContinuationScore,
    Failure,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Scores,
)
from evalharness.errors import TaskError
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.plans import Plan
from tokenizer_styles import byte_level, tokenizer

THINKING = ModelConfig(name="thinker", think_start="<think>", think_end="</think>")


def instance(kind: str, *args: Any, doc_id: int = 0) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=args, idx=0, metadata=("task", doc_id, 1))  # type: ignore[arg-type]


def score_of(logprob: float, is_greedy: bool = False) -> Scores:
    one = ContinuationScore(logprob=logprob, is_greedy=is_greedy, num_tokens=99)
    return Scores(continuations=(one,))


@pytest.fixture(scope="module")
def lm() -> EngineLM:
    return EngineLM(tokenizer("qwen"), 100)


@pytest.fixture(scope="module")
def gemma() -> EngineLM:
    return EngineLM(tokenizer("gemma"), 100)


def test_it_is_lm_evals_only_process(lm: EngineLM) -> None:
    assert (lm.rank, lm.world_size) == (0, 1)


def test_a_tokenizers_name_is_one_part_of_a_path() -> None:
    named = tokenizer("qwen")
    before, named.name_or_path = named.name_or_path, "org/some/model"
    try:
        assert EngineLM(named, 100).tokenizer_name == "org__some__model"
    finally:
        named.name_or_path = before


def test_prefix_and_end_are_the_tokenizers(gemma: EngineLM) -> None:
    decode = gemma.tokenizer.decode
    assert (decode([gemma.prefix_token_id]), decode([gemma.eot_token_id])) == ("<bos>", "<eos>")


@pytest.mark.parametrize("style", ["qwen", "gemma", "appends_eos"])
def test_how_a_whole_text_is_scored_is_told_where_the_tokenizer_adds_to_it(style: str) -> None:
    ours, theirs = (
        EngineLM(tokenizer(style), 100, rolling_as_lm_eval=way) for way in (False, True)
    )
    adds = style != "qwen"
    assert len(ours.remarks_on("loglikelihood_rolling")) == adds
    assert ours.remarks_on("loglikelihood") == ours.remarks_on("generate_until") == []
    if adds:
        assert ours.remarks_on("loglikelihood_rolling")[0].startswith("only the text's own tokens")
        assert theirs.remarks_on("loglikelihood_rolling")[0].startswith("what the tokenizer adds")


class Counted:
    """A tokenizer that says how often it was asked for a text alone."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self.num_alone = tokenizer, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._tokenizer(*args, **kwargs)

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        self.num_alone += 1
        return self._tokenizer.encode(*args, **kwargs)


@pytest.mark.parametrize(
    "asked",
    [
        instance("loglikelihood", "The quick", " brown fox"),
        instance("loglikelihood_rolling", "The quick brown fox"),
        instance("generate_until", "The quick", {}),
    ],
)
def test_what_was_encoded_ahead_is_not_encoded_again(asked: Instance) -> None:
    counted = Counted(tokenizer("gemma"))
    lm = EngineLM(counted, 100)
    lm.encode_ahead([asked])
    counted.num_alone = 0
    plan = lm.plan([asked])
    assert counted.num_alone == 0
    assert plan.requests == EngineLM(tokenizer("gemma"), 100).plan([asked]).requests


def test_a_chat_ends_where_the_answer_begins_or_goes_on_with_its_last_message() -> None:
    lm = EngineLM(tokenizer("qwen"), 100)
    history = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is"}]
    assert lm.apply_chat_template(history).endswith("It is<|im_end|>\n<|im_start|>assistant\n")
    assert lm.apply_chat_template(history[:1], True).endswith("<|im_start|>assistant\n")
    assert lm.apply_chat_template(history, False).endswith("<|im_start|>assistant\nIt is")


def test_lm_eval_has_answers_in_the_order_of_its_instances() -> None:
    lm = EngineLM(tokenizer("qwen"), 100, engine=FakeEngine())
    pairs = lm.loglikelihood([instance("loglikelihood", "a", t) for t in ("b", "c")])
    assert pairs[0] != pairs[1]
    assert lm.loglikelihood([instance("loglikelihood", "a", "c")]) == [pairs[1]]
    (total,) = lm.loglikelihood_rolling([instance("loglikelihood_rolling", "The quick brown")])
    assert total < 0
    (text,) = lm.generate_until([instance("generate_until", "a", {})])
    assert text.startswith(" The answer is")


def test_lm_eval_is_told_of_a_request_without_an_answer() -> None:
    lm = EngineLM(tokenizer("qwen"), 5, engine=FakeEngine())
    with pytest.raises(RequestError, match="context_overflow: "):
        lm.generate_until([instance("generate_until", "The quick brown fox jumps over", {})])


def test_requests_of_all_kinds_in_one_sample_keep_their_order(lm: EngineLM) -> None:
    asked = [
        instance("generate_until", "a", {}),
        instance("loglikelihood", "a", "b"),
        instance("loglikelihood_rolling", "abc"),
    ]
    plan = lm.plan(asked)
    assert [type(r) for r in plan.requests] == [GenerateRequest, ScoreRequest, ScoreRequest]
    said = [Generation(text="4"), score_of(-1.0, True), score_of(-2.0)]
    assert plan.resolve(said) == ["4", (-1.0, True), -2.0]


def test_a_request_that_is_for_no_text_model_is_refused(lm: EngineLM) -> None:
    with pytest.raises(TaskError, match="'multiple_images' is not for text models"):
        lm.plan([instance("multiple_images", "a")])


def fields(plan: Plan) -> tuple[int, bool, bool]:
    return plan.num_split_tokens, plan.is_cut, plan.has_doubled_bos


def test_a_plan_says_what_happened_to_any_of_its_contexts() -> None:
    lm = EngineLM(tokenizer("gemma"), 8, truncation=Truncation.left)
    bos = lm.tokenizer.bos_token
    long, short = "The quick brown fox jumps over the lazy dog " * 3, "The"
    plain = instance("loglikelihood", short, " dog")
    assert fields(lm.plan([plain])) == (0, False, False)
    assert fields(lm.plan([instance("loglikelihood", long, " dog"), plain])) == (0, True, False)
    doubled = instance("loglikelihood", f"{bos}{bos}{short}", " dog")
    assert fields(lm.plan([doubled, plain])) == (0, False, True)
    assert fields(lm.plan([instance("generate_until", long, {"max_gen_toks": 2})])) == (0, True, False)  # fmt: skip
    assert fields(lm.plan([instance("generate_until", f"{bos}{bos}a", {})])) == (0, False, True)
    assert fields(lm.plan([instance("generate_until", "a", {})])) == (0, False, False)


def test_a_choice_that_was_encoded_apart_is_counted() -> None:
    lm = EngineLM(tokenizer("merges_words"), 100)
    plan = lm.plan([instance("loglikelihood", "Answer:", c) for c in (" B", " C", "\n\n")])
    apart = sum(lm.encoder.pair("Answer:", c).is_split for c in (" B", " C", "\n\n"))
    assert plan.num_split_tokens == apart > 0


def test_a_template_that_begins_every_turn_with_a_bos_may_have_several() -> None:
    lm = EngineLM(tokenizer("llama2"), 100)
    chat = lm.apply_chat_template(
        [{"role": r, "content": "a"} for r in ("user", "assistant", "user")]
    )
    assert chat.count(lm.tokenizer.bos_token) == 2
    assert not lm.plan([instance("generate_until", chat, {})]).has_doubled_bos


def windows(lm: EngineLM, text: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    requests = lm.plan([instance("loglikelihood_rolling", text)]).requests
    assert all(isinstance(r, ScoreRequest) for r in requests)
    return [(r.context_token_ids, r.continuations[0]) for r in requests]  # type: ignore[union-attr]


@pytest.mark.parametrize(("max_model_len", "min_room", "size"), [(8, 1, 7), (8, 0, 8), (5, 1, 4)])
def test_windows_are_disjoint_and_full_with_one_token_of_context_but_the_last(
    max_model_len: int, min_room: int, size: int
) -> None:
    """lm-eval's: the last is filled up with the tokens before it, which are read and not scored."""
    lm = EngineLM(tokenizer("qwen"), max_model_len, min_room=min_room)
    text = "zebra 日本語 テスト 🙂 naïve; Question: how many apples jump over 5 lazy dogs? Answer: twelve"
    ids = tuple(lm.tok_encode(text))
    found = windows(lm, text)
    assert len(ids) > 2 * size
    assert sum((scored for _, scored in found), ()) == ids
    prefix = (lm.prefix_token_id,)
    assert [c for c, _ in found[:-1]] == [prefix, *((ids[i - 1],) for i in range(size, len(ids) - size, size))]  # fmt: skip
    assert {len(scored) for _, scored in found[:-1]} == {size}
    context, scored = found[-1]
    assert len(context) + len(scored) == size + 1
    assert (*context, *scored) == ids[-size - 1 :]


def test_a_text_with_its_own_bos_has_no_second_one_as_in_lm_eval() -> None:
    lm = EngineLM(tokenizer("gemma"), 100, rolling_as_lm_eval=True)
    bos = lm.prefix_token_id
    own = lm.tok_encode("The quick", add_special_tokens=False)
    assert windows(lm, "The quick") == windows(lm, "<bos>The quick") == [((bos,), (bos, *own))]
    assert windows(EngineLM(tokenizer("gemma"), 100), "The quick") == [((bos,), tuple(own))]


def test_a_whole_texts_score_is_the_sum_of_its_windows(lm: EngineLM) -> None:
    plan = lm.plan([instance("loglikelihood_rolling", "a b c")])
    assert plan.resolve([score_of(-1.5), score_of(-0.25)]) == [-1.75]
    assert plan.resolve([]) == [0.0]


def test_a_text_that_nothing_can_stand_before_is_a_failed_sample() -> None:
    bare = byte_level("<|endoftext|>")
    bare.eos_token = None
    for asked in (instance("loglikelihood_rolling", "a"), instance("loglikelihood", "", "a")):
        plan = EngineLM(bare, 100).plan([asked])
        (failure,) = plan.requests
        assert isinstance(failure, Failure)
        assert failure.kind == "prompt"
        assert "neither BOS nor EOS" in failure.message
        assert plan.resolve([]) == []


def test_settings_that_a_tasks_own_code_makes_wrong_are_the_samples_failure(lm: EngineLM) -> None:
    plan = lm.plan([instance("generate_until", "a", {"top_p": 7})])
    (failure,) = plan.requests
    assert isinstance(failure, Failure)
    assert (failure.kind, plan.resolve([])) == ("prompt", [])
    assert failure.message.startswith("generation_kwargs.top_p: got 7")


def test_a_failed_generation_stays_as_it_is(lm: EngineLM) -> None:
    failure = Failure(kind="request", message="no answer")
    assert lm.plan([instance("generate_until", "a", {})]).finish([failure]) == [failure]


def test_the_seed_of_a_draw_is_golden() -> None:
    lm = EngineLM(tokenizer("qwen"), 100, sampling=SamplingConfig(temperature=1.0, seed=5))
    (request,) = lm.plan([instance("generate_until", "a", {}, doc_id=3)], repeat=2, run_seed=7).requests  # fmt: skip
    assert isinstance(request, GenerateRequest)
    assert (request.sampling.seed, request.repeat) == (47558158, 2)


def test_a_request_is_the_first_draw_where_nobody_says_which(lm: EngineLM) -> None:
    asked = lm.generate_request("a", lm.sampling({"temperature": 1.0}))
    assert isinstance(asked.request, GenerateRequest)
    assert asked.request.repeat == 0


@pytest.mark.parametrize(
    ("prompt", "is_raw", "is_open", "stop"),
    [
        ("Q", False, False, ()),
        ("Q", True, False, ("x",)),
        ("Q<think>\n", False, True, ()),
        ("Q<think>", True, True, ("x",)),
        ("Q</think>\n", False, False, ("x",)),
        ((5, 6), False, False, ()),
    ],
)
def test_stop_strings_reach_the_engine_where_no_thinking_comes_before_the_answer(
    prompt: Any, is_raw: bool, is_open: bool, stop: tuple[str, ...]
) -> None:
    lm = EngineLM(tokenizer("qwen"), 100, model=THINKING)
    asked = lm.generate_request(prompt, lm.sampling({"until": ["x"]}), is_raw=is_raw)
    assert isinstance(asked.request, GenerateRequest)
    assert (asked.is_open, asked.request.sampling.stop, asked.stop) == (is_open, stop, ("x",))
    if not isinstance(prompt, str):
        assert asked.request.prompt_token_ids == prompt


def test_raw_text_is_not_parted() -> None:
    lm = EngineLM(tokenizer("qwen"), 100, model=THINKING)
    said = Generation(text="<think>a</think>b")
    for is_raw in (True, False):
        found = lm.generate_request("Q", lm.sampling({}), is_raw=is_raw).finish(said)
        assert found.text == (said.text if is_raw else "b")
        assert found.thinking == (None if is_raw else "a")


def test_a_prompt_without_thinking_tags_is_not_open_whatever_it_ends_with(lm: EngineLM) -> None:
    assert not lm.generate_request("None", lm.sampling({})).is_open
    assert not lm.generate_request((1, 2), lm.sampling({})).has_doubled_bos


def test_given_answers_are_scored_behind_their_prompt(lm: EngineLM) -> None:
    request = lm.score_request("Right? Answer:", (" true", " false"))
    assert isinstance(request, ScoreRequest)
    assert request.context_token_ids == tuple(lm.tok_encode("Right? Answer:"))
    decode = lm.tokenizer.decode
    assert [decode(c) for c in request.continuations] == [" true", " false"]


def test_the_next_turn_follows_the_template_or_is_a_paragraph(lm: EngineLM) -> None:
    assert lm.follow_up("Q:", " 4", "Sure?", is_chat=False) == "Q: 4\n\nSure?\n"
    begun = lm.apply_chat_template([{"role": "user", "content": "2+2?"}])
    turns = [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "Sure?"},
    ]
    assert lm.follow_up(begun, "4", "Sure?", is_chat=True) == lm.apply_chat_template(turns)


def test_only_special_tokens_that_were_generated_are_dropped(lm: EngineLM) -> None:
    end = int(lm.tokenizer.eos_token_id)
    text = lm.tokenizer.decode([end])
    assert lm.finish(Generation(text=f"a{text}", token_ids=(end,))).text == "a"
    assert lm.finish(Generation(text=f"a{text}", token_ids=())).text == f"a{text}"
