"""engine=openai against a small real HTTP server: what it asks, what it makes of the answers, and every mishap."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from evalharness.config.bounds import check_values
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    PromptFormat,
    Scoring,
    SuiteConfig,
)
from evalharness.engines import RequestError, Weights, describe, open_engine
from evalharness.engines.openai.capabilities import Logprobs
from evalharness.engines.openai.engine import OpenAIEngine
from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
)
from evalharness.errors import ConfigError, EngineError
from scripted_endpoint import Endpoint, Mishap, likeliest, logprob, running

T = TypeVar("T")

GREEDY = (10, 20, likeliest((10, 20)))
LONG = tuple(range(40, 140))


def config(endpoint: Endpoint, **changes: Any) -> EngineConfig:
    given = {"base_url": endpoint.url, "num_retries": 2, "timeout_s": 20.0} | changes
    return EngineConfig(kind=EngineKind.openai, **given)


def use(
    endpoint: Endpoint,
    checkpoint: Path,
    work: Callable[[OpenAIEngine], Awaitable[T]],
    **changes: Any,
) -> T:
    """The result of `work` with an open engine; the endpoint forgets what it was asked while opening."""

    async def run() -> T:
        engine = await open_engine(config(endpoint, **changes), Weights(path=checkpoint))
        assert isinstance(engine, OpenAIEngine)
        endpoint.bodies.clear()
        try:
            return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(run())


def score_of(context: tuple[int, ...], continuation: tuple[int, ...]) -> tuple[float, bool]:
    pairs = [(context + continuation[:i], token) for i, token in enumerate(continuation)]
    return sum(logprob(*p) for p in pairs), all(likeliest(p) == t for p, t in pairs)


def ask(prompt: tuple[int, ...] = (10, 20, 30), **sampling: Any) -> GenerateRequest:
    return GenerateRequest(prompt_token_ids=prompt, sampling=SamplingParams(**sampling))


async def info(engine: OpenAIEngine) -> Any:
    return engine.info


DIALECTS = {
    "vllm with its cache known": {},
    "vllm without metrics": {"metrics": ""},
    "vllm of before logprob_token_ids": {"gives_next": False},
    "echo": {"is_ranked": False, "gives_next": False},
    "echo alone": {"is_ranked": False, "gives_next": False, "takes_extras": False},
}
QUESTIONS = {
    "one-token choices": ((10, 20), ((30,), (31,), (GREEDY[2],))),
    "longer choices": ((10, 20), ((30, 31, 32), (30, 31, 33), (*GREEDY[2:], 5))),
    "a duplicate and a prefix": ((10,), ((30, 31), (30, 31), (30,))),
    "a long context": (LONG, ((30, 31), (30, 32), (33,))),
}


@pytest.mark.parametrize("scoring", Scoring)
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_scores_are_the_servers_own(
    tiny_llama: Path, dialect: str, question: str, scoring: Scoring
) -> None:
    context, continuations = QUESTIONS[question]
    request = ScoreRequest(context_token_ids=context, continuations=continuations)
    with running(**DIALECTS[dialect]) as end:
        scores = use(end, tiny_llama, lambda e: e.score(request), scoring=scoring)
    expected = [score_of(context, c) for c in continuations]
    assert [s.logprob for s in scores.continuations] == pytest.approx([e[0] for e in expected])
    assert [s.is_greedy for s in scores.continuations] == [e[1] for e in expected]
    assert [s.num_tokens for s in scores.continuations] == [len(c) for c in continuations]


def test_one_token_choices_are_one_request(tiny_llama: Path) -> None:
    request = ScoreRequest(context_token_ids=LONG, continuations=((5,), (6,), (7,), (8,)))
    with running(metrics="") as end:
        use(end, tiny_llama, lambda e: e.score(request))
        assert len(end.bodies) == 1


def test_more_choices_than_vllm_takes_are_split(tiny_llama: Path) -> None:
    request = ScoreRequest(context_token_ids=(9,), continuations=tuple((t,) for t in range(200)))
    with running() as end:
        scores = use(end, tiny_llama, lambda e: e.score(request))
        assert [len(b["logprob_token_ids"]) for b in end.bodies] == [128, 72]
    assert [s.logprob for s in scores.continuations] == [logprob((9,), t) for t in range(200)]


def test_a_long_context_is_walked_once_per_token_of_the_trie(tiny_llama: Path) -> None:
    request = ScoreRequest(context_token_ids=LONG * 5, continuations=((5, 6, 7), (5, 6, 8), (9, 1)))
    with running() as end:
        use(end, tiny_llama, lambda e: e.score(request))
        asked = sorted((len(b["prompt"]) - 500, b["logprob_token_ids"]) for b in end.bodies)
        assert asked == [(0, [5, 9]), (1, [1]), (1, [6]), (2, [7, 8])]
        assert end.bodies[0]["prompt"] == list(LONG * 5)  # alone, so that the others find it cached


def test_a_cache_nobody_knows_of_is_not_walked(tiny_llama: Path) -> None:
    request = ScoreRequest(context_token_ids=LONG * 5, continuations=((5, 6, 7), (9, 1)))
    with running(metrics="") as end:
        use(end, tiny_llama, lambda e: e.score(request))
        assert [b["prompt_logprobs"] for b in end.bodies] == [0, 0]


def test_logits_in_the_place_of_log_probabilities_are_noticed(tiny_llama: Path) -> None:
    request = ScoreRequest(context_token_ids=(10, 20), continuations=((30,), (31,)))
    with running(next_is_logits=True) as end:
        scores = use(end, tiny_llama, lambda e: e.score(request))
    assert [s.logprob for s in scores.continuations] == [logprob((10, 20), t) for t in (30, 31)]


def test_a_server_without_log_likelihoods_still_generates(tiny_llama: Path) -> None:
    async def both(engine: OpenAIEngine) -> str:
        assert not engine.info.gives_logprobs
        with pytest.raises(RequestError, match=r"no log-likelihoods.*vLLM"):
            await engine.score(ScoreRequest(context_token_ids=(1,), continuations=((2,),)))
        return (await engine.generate(ask())).text

    with running(is_ranked=False, is_echoing=False, gives_next=False) as end:
        assert use(end, tiny_llama, both)
        assert len(end.bodies) == 1


def test_a_generation_has_text_tokens_and_counts(tiny_llama: Path) -> None:
    with running() as end:
        generation = use(end, tiny_llama, lambda e: e.generate(ask(max_gen_toks=3)))
    ids = [10, 20, 30]
    for _ in range(3):
        ids.append(likeliest(ids))
    assert generation.token_ids == tuple(ids[3:])
    assert generation.text == "{}"  # the last token is no whole character
    assert (generation.finish_reason, generation.num_prompt_tokens) == ("length", 3)
    assert generation.num_cached_tokens == 3


def test_a_request_says_all_of_its_sampling(tiny_llama: Path) -> None:
    request = ask(temperature=0.7, top_k=20, min_p=0.1, seed=5, stop=("\n", "Q:"), max_gen_toks=9)
    with running() as end:
        use(end, tiny_llama, lambda e: e.generate(request), extra={"priority": 3})
        (body,) = end.bodies
    sent = {k: body[k] for k in ("temperature", "top_k", "min_p", "top_p", "repetition_penalty")}
    assert sent == {
        "temperature": 0.7,
        "top_k": 20,
        "min_p": 0.1,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
    }
    assert (body["seed"], body["stop"], body["max_tokens"]) == (5, ["\n", "Q:"], 9)
    assert (body["model"], body["prompt"], body["priority"]) == ("tiny", [10, 20, 30], 3)


SETTINGS: dict[str, tuple[Any, Any]] = {
    "presence_penalty": (1.5, 1.5),
    "frequency_penalty": (0.5, 0.5),
    "logit_bias": (((5, 1.0),), {"5": 1.0}),
    "min_tokens": (3, 3),
    "stop_token_ids": ((5,), [5]),
    "ignore_eos": (True, True),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_tasks_is_sent_where_it_is_not_neutral(
    tiny_llama: Path, name: str
) -> None:
    value, sent = SETTINGS[name]

    async def both(engine: OpenAIEngine) -> None:
        await engine.generate(ask(**{name: value}))
        await engine.generate(ask())

    with running() as end:
        use(end, tiny_llama, both)
        set_, neutral = end.bodies
    assert set_[name] == sent
    assert name not in neutral


@pytest.mark.parametrize("name", ["min_tokens", "stop_token_ids", "ignore_eos"])
def test_a_setting_that_the_server_has_not_is_refused(tiny_llama: Path, name: str) -> None:
    async def refused(engine: OpenAIEngine) -> None:
        with pytest.raises(RequestError, match=f"takes no {name}"):
            await engine.generate(ask(**{name: SETTINGS[name][0]}))

    with running(takes_extras=False) as end:
        use(end, tiny_llama, refused)


def test_special_tokens_are_asked_for_and_known_where_the_server_tells_its_tokens(
    tiny_llama: Path,
) -> None:
    with running() as end:
        assert use(end, tiny_llama, info).keeps_special_tokens
        use(end, tiny_llama, lambda e: e.generate(ask()))
        assert end.bodies[-1]["skip_special_tokens"] is False
    with running(takes_extras=False) as end:
        assert not use(end, tiny_llama, info).keeps_special_tokens


def test_a_text_without_its_tokens_ends_at_the_stop_string_and_loses_an_end_token(
    tiny_llama: Path,
) -> None:
    def said(text: str) -> str:
        choice = {"text": text, "finish_reason": "length", "index": 0}
        return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3}})

    async def two(engine: OpenAIEngine) -> list[tuple[str, str]]:
        end.mishaps += [Mishap(body=said("It is 5.<|im_end|>")), Mishap(body=said("5. Q: 9"))]
        answers = [await engine.generate(ask(stop=("Q:",))) for _ in range(2)]
        return [(a.text, a.finish_reason) for a in answers]

    with running(takes_extras=False) as end:
        assert use(end, tiny_llama, two) == [("It is 5.", "length"), ("5. ", "stop")]


@pytest.mark.parametrize("token_ids", [["a"], [-1], [2**40], [True], [1.5]])
def test_token_ids_that_are_none_fail_the_request(tiny_llama: Path, token_ids: list[Any]) -> None:
    choice = {"text": "a", "finish_reason": "stop", "index": 0, "token_ids": token_ids}
    body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3}})

    async def refused(engine: OpenAIEngine) -> None:
        end.mishaps.append(Mishap(body=body))
        with pytest.raises(RequestError, match="token_ids"):
            await engine.generate(ask())

    with running() as end:
        use(end, tiny_llama, refused)


def test_a_server_that_refuses_extras_gets_none_but_those_that_matter(tiny_llama: Path) -> None:
    async def both(engine: OpenAIEngine) -> int:
        with pytest.raises(RequestError, match="takes no top_k"):
            await engine.generate(ask(temperature=1.0, top_k=5))
        return len((await engine.generate(ask(max_gen_toks=2))).token_ids)

    with running(takes_extras=False) as end:
        assert use(end, tiny_llama, both) == 2
        assert "top_k" not in end.bodies[0]


def test_too_many_requests_waits_as_long_as_the_server_says(tiny_llama: Path) -> None:
    async def timed(engine: OpenAIEngine) -> float:
        end.mishaps.append(Mishap(429, headers={"Retry-After": "2"}))
        started = time.perf_counter()
        await engine.generate(ask())
        return time.perf_counter() - started

    with running() as end:
        assert 2.0 <= use(end, tiny_llama, timed) < 10
        assert len(end.bodies) == 2


MISHAPS = {
    "unavailable": Mishap(503),
    "a lost connection": Mishap(is_reset=True),
    "a slow answer": Mishap(seconds=5.0),
}


@pytest.mark.parametrize("mishap", MISHAPS)
def test_a_passing_mishap_is_asked_again(tiny_llama: Path, mishap: str) -> None:
    async def work(engine: OpenAIEngine) -> str:
        end.mishaps.append(MISHAPS[mishap])
        return (await engine.generate(ask(max_gen_toks=2))).text

    with running() as end:
        assert len(use(end, tiny_llama, work, timeout_s=1.0)) == 2
        assert len(end.bodies) == 2


@pytest.mark.parametrize("mishap", MISHAPS)
def test_a_lasting_mishap_fails_the_request_and_not_the_engine(
    tiny_llama: Path, mishap: str
) -> None:
    async def work(engine: OpenAIEngine) -> str:
        end.mishaps += [MISHAPS[mishap]] * 3
        with pytest.raises(RequestError):
            await engine.generate(ask())
        assert len(end.bodies) == 3
        return (await engine.generate(ask(max_gen_toks=2))).text

    with running() as end:
        assert len(use(end, tiny_llama, work, timeout_s=1.0)) == 2


def test_a_bad_request_is_sent_once_and_tells_what_the_server_said(tiny_llama: Path) -> None:
    with running() as end:
        with pytest.raises(RequestError, match="400: Token id is out of vocabulary"):
            use(end, tiny_llama, lambda e: e.generate(ask((10, 9999))))
        assert len(end.bodies) == 1


@pytest.mark.parametrize(
    "body",
    ["<html>", "[]", "{}", '{"choices": []}', '{"choices": [{"text": null}]}', '{"choices": [{"te'],
)
def test_garbage_is_an_error_and_no_answer(tiny_llama: Path, body: str) -> None:
    async def work(engine: OpenAIEngine) -> None:
        end.mishaps.append(Mishap(body=body))
        with pytest.raises(RequestError):
            await engine.generate(ask())
        end.mishaps.append(Mishap(body=body))
        with pytest.raises(RequestError):
            await engine.score(ScoreRequest(context_token_ids=(1,), continuations=((2, 3),)))

    with running() as end:
        use(end, tiny_llama, work)


def test_an_aborted_answer_is_an_error(tiny_llama: Path) -> None:
    async def work(engine: OpenAIEngine) -> None:
        end.mishaps.append(Mishap(body='{"choices": [{"text": "a", "finish_reason": "abort"}]}'))
        with pytest.raises(RequestError, match="abort"):
            await engine.generate(ask())

    with running() as end:
        use(end, tiny_llama, work)


def test_a_server_that_is_gone_ends_the_run(tiny_llama: Path) -> None:
    async def work(engine: OpenAIEngine) -> None:
        end.dies_after = 0
        with pytest.raises(EngineError, match="is gone"):
            await engine.generate(ask())

    with running() as end:
        use(end, tiny_llama, work)


def test_a_key_taken_back_ends_the_run(tiny_llama: Path) -> None:
    async def work(engine: OpenAIEngine) -> None:
        end.mishaps.append(Mishap(401))
        with pytest.raises(EngineError, match="another key"):
            await engine.generate(ask())

    with running() as end:
        use(end, tiny_llama, work)


def test_no_more_requests_at_once_than_allowed_and_no_fewer(tiny_llama: Path) -> None:
    async def work(engine: OpenAIEngine) -> None:
        end.max_at_once = 0
        await asyncio.gather(*(engine.generate(ask((10, i))) for i in range(150)))

    with running(latency_s=0.3) as end:
        use(end, tiny_llama, work, max_in_flight=50)
        assert end.max_at_once == 50


def test_a_key_is_sent_and_not_shown(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret")
    with running(key="s3cret") as end:
        shown = use(end, tiny_llama, info, api_key_env="THE_KEY")
        assert end.headers[0]["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(shown)


def test_a_refused_key_names_the_setting(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(key="s3cret") as end:
        with pytest.raises(ConfigError, match=r"another key.*engine\.api_key_env"):
            use(end, tiny_llama, info)
        monkeypatch.setenv("THE_KEY", "wr0ng")
        with pytest.raises(ConfigError, match=r"\$THE_KEY") as e:
            use(end, tiny_llama, info, api_key_env="THE_KEY")
        assert "wr0ng" not in str(e.value)


def test_a_key_that_is_not_set_is_a_config_error(tiny_llama: Path) -> None:
    with running() as end, pytest.raises(ConfigError, match="no variable NOT_SET_ANYWHERE"):
        use(end, tiny_llama, info, api_key_env="NOT_SET_ANYWHERE")


def test_an_unknown_model_names_the_nearest(tiny_llama: Path) -> None:
    with running() as end, pytest.raises(ConfigError, match="no 'tinny'; did you mean 'tiny'"):
        use(end, tiny_llama, info, served_model="tinny")


def test_several_models_ask_for_a_name(tiny_llama: Path) -> None:
    models = [{"id": "one"}, {"id": "two"}]
    with running(models=models) as end:
        with pytest.raises(ConfigError, match=r"engine\.served_model.*one, two"):
            use(end, tiny_llama, info)
        assert "two" in use(end, tiny_llama, info, served_model="two").endpoint


def test_a_url_without_the_api_says_so(tiny_llama: Path) -> None:
    with running() as end:
        end.url = end.url.removesuffix("/v1")
        with pytest.raises(ConfigError, match="no OpenAI API there"):
            use(end, tiny_llama, info)


def test_nothing_listening_is_an_engine_error(tiny_llama: Path) -> None:
    with running() as end:
        pass
    with pytest.raises(EngineError, match="no server answers"):
        use(end, tiny_llama, info)


@pytest.mark.parametrize(("served", "wanted", "got"), [(512, None, 512), (512, 100, 100)])
def test_the_context_is_the_servers_or_less(
    tiny_llama: Path, served: int, wanted: int | None, got: int
) -> None:
    with running(models=[{"id": "m", "max_model_len": served}]) as end:
        assert use(end, tiny_llama, info, max_model_len=wanted).max_model_len == got


def test_a_longer_context_than_the_servers_is_refused(tiny_llama: Path) -> None:
    with running() as end, pytest.raises(ConfigError, match=r"2000 is more than the 1024"):
        use(end, tiny_llama, info, max_model_len=2000)


def test_a_server_silent_on_its_context_leaves_the_checkpoints(tiny_llama: Path) -> None:
    with running(models=[{"id": "m"}]) as end:
        assert use(end, tiny_llama, info).max_model_len == 1024


def test_responses_of_two_servers_or_models_are_never_shared(tiny_llama: Path) -> None:
    models = [{"id": "one"}, {"id": "two"}]
    with running(models=models) as a, running(models=models) as b:
        reported = [
            use(end, tiny_llama, info, served_model=name).numerics
            for end in (a, b)
            for name in ("one", "two")
        ]
    with running(models=[{"id": "one", "root": "elsewhere"}]) as end:
        end_info = use(end, tiny_llama, info)
    assert len({*reported, end_info.numerics}) == 5


def test_the_server_says_what_it_is(tiny_llama: Path) -> None:
    with running() as end:
        assert use(end, tiny_llama, info).version == "vllm 0.32.0"


def test_another_tokenizer_is_noticed_before_the_run(tiny_llama: Path) -> None:
    with running(num_extra_tokens=2) as end, pytest.raises(ConfigError, match="another tokenizer"):
        use(end, tiny_llama, info)


def test_a_prompt_read_otherwise_is_an_error(tiny_llama: Path) -> None:
    async def work(engine: OpenAIEngine) -> None:
        end.num_extra_tokens = 1
        with pytest.raises(RequestError, match="read 4 tokens in a prompt of 3"):
            await engine.generate(ask())

    with running() as end:
        use(end, tiny_llama, work)


def test_a_server_for_texts_only_names_the_setting(tiny_llama: Path) -> None:
    with (
        running(takes_token_ids=False) as end,
        pytest.raises(ConfigError, match=r"expected a string.*engine\.prompt_format=text"),
    ):
        use(end, tiny_llama, info)


def tokenizer(checkpoint: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint)


@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_prompt_as_text_is_read_as_the_same_tokens(tiny_llama: Path, adds_bos: bool) -> None:
    tokens = tokenizer(tiny_llama)
    prompt = ((1,) if adds_bos else ()) + tuple(tokens.encode("Héllo <|im_end|> x"))
    request = ScoreRequest(context_token_ids=prompt, continuations=((40, 41), (42,)))
    behaviour = {"takes_token_ids": False, "takes_extras": False, "is_ranked": False}
    with running(tokenizer=tokens, adds_bos=adds_bos, **behaviour) as end:
        scores = use(end, tiny_llama, lambda e: e.score(request), prompt_format=PromptFormat.text)
        assert end.bodies[0]["prompt"].startswith("Héllo <|im_end|> x")
    expected = [score_of(prompt, c)[0] for c in request.continuations]
    assert [s.logprob for s in scores.continuations] == pytest.approx(expected)


def test_a_prompt_that_no_text_stands_for_is_refused(tiny_llama: Path) -> None:
    cut_in_two = tuple(tokenizer(tiny_llama).encode("é"))[:1]
    with running(tokenizer=tokenizer(tiny_llama)) as end:
        with pytest.raises(RequestError, match="gives different tokens"):
            use(
                end,
                tiny_llama,
                lambda e: e.generate(ask(cut_in_two)),
                prompt_format=PromptFormat.text,
            )
        assert end.bodies == []


def test_a_busy_server_is_not_taken_for_an_unable_one(tiny_llama: Path) -> None:
    mishaps = [Mishap(429, headers={"Retry-After": "0.1"})] * 5
    with running(mishaps=mishaps) as end, pytest.raises(EngineError, match="429"):
        use(end, tiny_llama, info)


def test_the_servers_dialect_is_found_out(tiny_llama: Path) -> None:
    async def dialect(engine: OpenAIEngine) -> Any:
        return engine.dialect

    with running() as end:
        found = use(end, tiny_llama, dialect)
    assert (found.logprobs, found.gives_next, found.block_size) == (Logprobs.ranked, True, 16)


def check(config: Config) -> None:
    """As a run does before anything else."""
    check_values(config)
    describe(config.engine)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "localhost:8000"},
        {"base_url": "http://me:s3cret@host/v1"},
        {"base_url": "http://host/v1?key=s3cret"},
        {"base_url": "http://host/v1", "api_key_env": "sk-s3cret"},
        {"base_url": "http://host/v1", "timeout_s": 0.0},
        {"base_url": "http://host/v1", "num_retries": -1},
    ],
)
def test_values_that_cant_work_are_refused_without_repeating_a_secret(
    changes: dict[str, Any],
) -> None:
    engine = EngineConfig(kind=EngineKind.openai, **changes)
    whole = Config(
        model=ModelConfig(name="m"), engine=engine, suite=SuiteConfig(name="s", tasks={})
    )
    with pytest.raises(ConfigError, match=r"^engine\.") as e:
        check(whole)
    assert "s3cret" not in str(e.value)
