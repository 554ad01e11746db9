"""engine=openai against servers that are broken or mean harm: an answer, a RequestError, or one line; never another thing."""

import asyncio
import gzip
import json
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalharness.config.schema import (
    EngineConfig,
    EngineKind,
)
from evalharness.engines import (
    RequestError,
    Weights,
    open_engine,
)
from evalharness.engines.openai import (
    http as openai_client,
)
from evalharness.engines.openai import (
    schema,
)
from evalharness.engines.openai.engine import OpenAIEngine
from evalharness.engines.requests import (
    GenerateRequest,
    Generation,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from evalharness.engines.soundness import check_response
from evalharness.errors import ConfigError, EngineError
from scripted_endpoint import Endpoint, Mishap, running

T = TypeVar("T")
Content = dict[str, Any]

GENERATE = GenerateRequest(
    prompt_token_ids=(10, 20, 30, 40), sampling=SamplingParams(max_gen_toks=3)
)
SCORE = ScoreRequest(context_token_ids=(10, 20, 30), continuations=((30, 31), (30, 32), (33, 34)))
NEXT = ScoreRequest(context_token_ids=(10, 20, 30), continuations=((30,), (31,)))


def use(
    end: Endpoint,
    checkpoint: Path,
    work: Callable[[OpenAIEngine], Awaitable[T]],
    **changes: Any,
) -> T:
    async def run() -> T:
        engine = await opened(end, checkpoint, **changes)
        try:
            return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(run())


async def opened(end: Endpoint, checkpoint: Path, **changes: Any) -> OpenAIEngine:
    given = {"base_url": end.url, "num_retries": 0, "timeout_s": 120.0} | changes
    config = EngineConfig(kind=EngineKind.openai, **given)
    engine = await open_engine(config, Weights(path=checkpoint))
    assert isinstance(engine, OpenAIEngine)
    return engine


def refusal(
    end: Endpoint, checkpoint: Path, mishap: Mishap, request: Any = GENERATE, **changes: Any
) -> str:
    """What the RequestError says that this mishap becomes; the server then answers as before."""

    async def work(engine: OpenAIEngine) -> str:
        ask: Callable[[Any], Awaitable[Any]] = (
            engine.generate if isinstance(request, GenerateRequest) else engine.score
        )
        end.mishap_of = lambda body: mishap
        with pytest.raises(RequestError) as e:
            await ask(request)
        end.mishap_of = None
        await ask(request)
        return str(e.value)

    said = use(end, checkpoint, work, **changes)
    assert said.isprintable()
    assert len(said) < 600
    return said


def choice(**fields: Any) -> Callable[[Content], Content]:
    def edit(content: Content) -> Content:
        content["choices"][0].update(fields)
        return content

    return edit


def usage(**fields: Any) -> Callable[[Content], Content]:
    return lambda content: content | {"usage": content["usage"] | fields}


def without(*path: Any) -> Callable[[Content], Content]:
    def edit(content: Content) -> Content:
        *into, name = path
        inner: Any = content
        for step in into:
            inner = inner[step]
        del inner[name]
        return content

    return edit


def raw(text: str) -> Callable[[Content], bytes]:
    return lambda content: text.encode()


BAD_ANSWERS: dict[str, tuple[Callable[[Content], Any], str]] = {
    "an error with status 200": (
        raw('{"error": {"message": "out\\u001b[31m of\\nmemory"}}'),
        r"an error: out \[31m of memory",
    ),
    "no choices": (lambda c: c | {"choices": []}, "choices is"),
    "several choices": (lambda c: c | {"choices": c["choices"] * 2}, "choices is"),
    "choices that are none": (lambda c: c | {"choices": [None]}, r"choices\.0 is None"),
    "another index": (choice(index=1), r"index is 1"),
    "an index that is a truth": (choice(index=False), r"index is False"),
    "a null text": (choice(text=None), "no text"),
    "a text that is a number": (choice(text=5), "text is 5"),
    "half a character": (
        lambda c: json.dumps(choice(text="@")(c)).replace("@", r"\ud800").encode(),
        "not JSON",
    ),
    "an unknown end": (choice(finish_reason="tired"), "'tired'"),
    "no end": (choice(finish_reason=None), "None"),
    "an end that is a list": (choice(finish_reason=["stop"]), "finish_reason is"),
    "more tokens than asked for": (choice(token_ids=[1, 2, 3, 4]), "wrote 4 tokens"),
    "more tokens counted than asked for": (usage(completion_tokens=4), "wrote 4 tokens"),
    "a text longer than asked for": (choice(text="a" * 200), "200 tokens of text"),
    "negative tokens": (choice(token_ids=[-1]), r"token_ids\.0 is -1"),
    "tokens that are texts": (choice(token_ids=["5"]), r"token_ids\.0 is 5"),
    "tokens that are truths": (choice(token_ids=[True]), r"token_ids\.0 is True"),
    "huge tokens": (choice(token_ids=[10**30]), r"token_ids\.0 is 1000"),
    "another prompt": (choice(prompt_token_ids=[10, 20, 30, 41]), "other tokens"),
    "a negative count": (usage(prompt_tokens=-4), "prompt_tokens is -4"),
    "a huge count": (usage(prompt_tokens=10**25), "prompt_tokens is 1000"),
    "a count that is a text": (usage(prompt_tokens="4"), "prompt_tokens is 4"),
    "a count that is a truth": (usage(prompt_tokens=True), "prompt_tokens is True"),
    "a count with a fraction": (usage(prompt_tokens=4.5), "prompt_tokens is 4.5"),
    "another count": (usage(prompt_tokens=7), "read 7 tokens in a prompt of 4"),
    "negative cached tokens": (
        usage(prompt_tokens_details={"cached_tokens": -1314636283961437470064640}),
        "cached_tokens is -13146",
    ),
    "more cached than read": (
        usage(prompt_tokens_details={"cached_tokens": 5}),
        "5 tokens cached of a prompt of 4",
    ),
    "a usage that is a list": (lambda c: c | {"usage": [1]}, "usage is"),
    "another model": (lambda c: c | {"model": "other"}, "as 'other'.*another model"),
    "HTML": (raw("<html><body>502</body></html>"), "not JSON.*<html>"),
    "events": (raw('data: {"choices": []}\n\ndata: [DONE]\n\n'), "not JSON.*data:"),
    "a list": (raw("[]"), "not a JSON object"),
    "nothing": (raw(""), "not JSON"),
    "half of it": (lambda c: json.dumps(c).encode()[:-9], "not JSON"),
    "two answers": (lambda c: json.dumps(c).encode() * 2, "trailing"),
    "a key twice": (raw('{"choices": [], "choices": []}'), "duplicate key"),
    "deep nesting": (raw('{"choices": ' + "[" * 100_000), "recursion"),
    "no UTF-8": (lambda c: b'{"choices": [{"text": "\xff"}]}', "not JSON"),
    "an integer without end": (raw('{"usage": ' + "9" * 100_000 + "}"), "not JSON"),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_a_wrong_field_of_an_answer_is_named(tiny_llama: Path, bad: str) -> None:
    edit, named = BAD_ANSWERS[bad]
    with running(edit=lambda c: c | {"model": "tiny"}) as end:
        said = refusal(end, tiny_llama, Mishap(edit=edit))
        assert re.search(named, said), said


BAD_PROMPT_LOGPROBS: dict[str, Callable[[Content], Any]] = {
    "none": choice(prompt_logprobs=None),
    "too few": without("choices", 0, "prompt_logprobs", -1),
    "not of our token": choice(prompt_logprobs=[None, *[{"1": {"logprob": -1.0, "rank": 1}}] * 4]),
    "null": choice(prompt_logprobs=[None] * 5),
    **{
        f"log-probability {text}": lambda c, text=text: (
            json.dumps(c).replace('"logprob": -', f'"logprob": {text}, "was": -').encode()
        )
        for text in (
            "NaN",
            "-Infinity",
            "1e999",
            "0.5",
            "true",
            '"-1.0"',
            "null",
            "[]",
            "-" + "9" * 999,
        )
    },
    **{
        f"rank {text}": lambda c, text=text: (
            json.dumps(c).replace('"rank": ', f'"rank": {text}, "was": ').encode()
        )
        for text in ("0", "-1", "1.5", "true", '"1"', "null", "1" * 50)
    },
}


@pytest.mark.parametrize("bad", BAD_PROMPT_LOGPROBS)
def test_wrong_log_probabilities_of_a_prompt_are_no_score(tiny_llama: Path, bad: str) -> None:
    with running(gives_next=False) as end:
        assert refusal(end, tiny_llama, Mishap(edit=BAD_PROMPT_LOGPROBS[bad]), SCORE)


def logprobs(**fields: Any) -> Callable[[Content], Content]:
    def edit(content: Content) -> Content:
        content["choices"][0]["logprobs"].update(fields)
        return content

    return edit


BAD_ECHOES: dict[str, Callable[[Content], Any]] = {
    "none": choice(logprobs=None),
    "of fewer tokens": logprobs(token_logprobs=[-1.0], top_logprobs=[{"a": -1.0}]),
    "of different lengths": without("choices", 0, "logprobs", "top_logprobs", -1),
    "without the likeliest": logprobs(top_logprobs=[None] * 6),
    "with nothing for the likeliest": logprobs(top_logprobs=[{}] * 6),
    "likelier than the likeliest": logprobs(top_logprobs=[{"a": -50.0}] * 6),
    "positive": logprobs(token_logprobs=[0.5] * 6),
    "null": logprobs(token_logprobs=[None] * 6),
    "in a dictionary": logprobs(token_logprobs={"0": -1.0}),
}


@pytest.mark.parametrize("bad", BAD_ECHOES)
def test_wrong_log_probabilities_of_an_echo_are_no_score(tiny_llama: Path, bad: str) -> None:
    with running(is_ranked=False, gives_next=False) as end:
        assert refusal(end, tiny_llama, Mishap(edit=BAD_ECHOES[bad]), SCORE)


BAD_NEXT: dict[str, Callable[[Content], Any]] = {
    "none": choice(logprobs=None),
    "of no token": logprobs(top_logprobs=[]),
    "of nothing": logprobs(top_logprobs=[None]),
    "without ours": logprobs(top_logprobs=[{"token_id:30": -1.0}]),
    "under other names": logprobs(top_logprobs=[{"30": -1.0, "31": -1.0}]),
    "positive": logprobs(top_logprobs=[{"token_id:30": -1.0, "token_id:31": 2.0}]),
    "without the likeliest": choice(token_ids=[]),
}


@pytest.mark.parametrize("bad", BAD_NEXT)
def test_wrong_log_probabilities_of_next_tokens_are_no_score(tiny_llama: Path, bad: str) -> None:
    with running() as end:
        assert refusal(end, tiny_llama, Mishap(edit=BAD_NEXT[bad]), NEXT)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BAD_TRANSPORT = {
    "a reset in mid-body": Mishap(raw=HEAD + b'Content-Length: 900\r\n\r\n{"choices": ['),
    "chunks that are none": Mishap(raw=HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "a chunk without end": Mishap(raw=HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n{}"),
    "a status that is none": Mishap(raw=b"HTTP/1.1 abc what\r\n\r\n"),
    "no HTTP": Mishap(raw=b"\x00\xff\x00" * 100),
    "headers without end": Mishap(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000),
    "a length that is none": Mishap(raw=HEAD + b"Content-Length: -5\r\n\r\n{}"),
    "gzip that is none": Mishap(body="{}", headers={"Content-Encoding": "gzip"}),
    "half a gzip": Mishap(
        body=gzip.compress(b"{}" * 99)[:20], headers={"Content-Encoding": "gzip"}
    ),
    "an unknown encoding": Mishap(body=b"\x01\x02", headers={"Content-Encoding": "frob"}),
    "an unknown charset": Mishap(500, "x", {"Content-Type": "text/html; charset=rot13"}),
    "a redirect to nowhere": Mishap(307, headers={"Location": "http://["}),
    "a redirect to a file": Mishap(307, headers={"Location": "file:///etc/passwd"}),
    "a redirect in a circle": Mishap(307, headers={"Location": "/v1/completions"}),
    "a redirect without a place": Mishap(302),
    "a status of another kind": Mishap(418, "<html>" + "x" * 10**6),
    "a deep error": Mishap(400, '{"error": ' + '{"message": ' * 900 + "1" + "}" * 901),
    "an error of half a character": Mishap(400, '{"error": {"message": "\\ud800"}}'),
    "no content": Mishap(204, ""),
}


@pytest.mark.parametrize("bad", BAD_TRANSPORT)
def test_a_broken_transport_fails_the_request_alone(tiny_llama: Path, bad: str) -> None:
    with running() as end:
        assert refusal(end, tiny_llama, BAD_TRANSPORT[bad])


@pytest.mark.parametrize(
    "wait", ["-5", "1e9", "NaN", "inf", "1e400", "soon", "Mon, 01 Jan 1990 00:00:00 GMT", "\x7f"]
)
def test_an_absurd_time_to_wait_is_not_waited_for(tiny_llama: Path, wait: str) -> None:
    with running() as end:
        started = time.monotonic()
        mishap = Mishap(429, headers={"Retry-After": wait})
        assert "429" in refusal(end, tiny_llama, mishap, num_retries=1)
        assert time.monotonic() - started < 60


def test_an_answer_that_drips_ends_with_the_time_of_a_request(tiny_llama: Path) -> None:
    with running() as end:
        started = time.monotonic()
        assert "timed out" in refusal(end, tiny_llama, Mishap(drip_s=0.2), timeout_s=1.5)
        assert time.monotonic() - started < 60


def test_an_answer_without_end_is_read_no_further_than_its_bound(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_client, "BASE_BYTES", 2**20)
    with running() as end:
        assert "longer than" in refusal(end, tiny_llama, Mishap(is_endless=True))
        assert end.num_sent < 16 * 2**20  # what the sockets between them hold


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_compressed_answer_is_bounded_by_what_it_unpacks_to(tiny_llama: Path, name: str) -> None:
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}[name](b" " * 2**25)
    assert len(packed) < 2**16
    with running() as end:
        mishap = Mishap(body=packed, headers={"Content-Encoding": name})
        assert "longer than" in refusal(end, tiny_llama, mishap)
        twice = Mishap(body=gzip.compress(packed), headers={"Content-Encoding": f"{name}, gzip"})
        assert "more than once" in refusal(end, tiny_llama, twice)


def test_a_compressed_answer_is_an_answer(tiny_llama: Path) -> None:
    async def work(engine: OpenAIEngine) -> str:
        plain = (await engine.generate(GENERATE)).text
        _, content = end.answer(end.bodies[-1])
        body = gzip.compress(json.dumps(content).encode())
        end.mishaps.append(Mishap(body=body, headers={"Content-Encoding": "gzip"}))
        assert (await engine.generate(GENERATE)).text == plain
        return plain

    with running() as end:
        assert use(end, tiny_llama, work)


def test_a_redirect_to_another_server_gets_no_prompt(tiny_llama: Path) -> None:
    with running() as end, running() as other:
        mishap = Mishap(307, headers={"Location": f"{other.url}/completions"})
        said = refusal(end, tiny_llama, mishap)
        assert other.bodies == []
    assert f"redirects to {other.url}/completions" in said
    assert "engine.base_url" in said


BAD_LISTS = {
    "HTML": Mishap(body="<html>"),
    "deep nesting": Mishap(body="[" * 10**5),
    "no models": Mishap(body='{"data": {}}'),
    "a name that is a number": Mishap(body='{"data": [{"id": 5}]}'),
    "a name that moves the cursor": Mishap(body='{"data": [{"id": "\\u001b[2J"}]}'),
    "a name of half a character": Mishap(body='{"data": [{"id": "\\ud800"}]}'),
    "an endless name": Mishap(body=json.dumps({"data": [{"id": "x" * 10**6}]})),
    "a negative context": Mishap(body='{"data": [{"id": "a", "max_model_len": -1}]}'),
    "a context that is a text": Mishap(body='{"data": [{"id": "a", "max_model_len": "9"}]}'),
    "a huge context": Mishap(body='{"data": [{"id": "a", "max_model_len": 1e30}]}'),
    "too much of it": Mishap(body=b" " * (9 * 2**20)),
    "a redirect": Mishap(307, headers={"Location": "http://127.0.0.1:9/v1/models"}),
    "a server's error": Mishap(500, '{"detail": ' + "[" * 900 + "]" * 900 + "}"),
}


@pytest.mark.parametrize("bad", BAD_LISTS)
def test_a_wrong_list_of_models_is_one_line(tiny_llama: Path, bad: str) -> None:
    with running(gets={"/v1/models": BAD_LISTS[bad]}) as end:
        with pytest.raises((ConfigError, EngineError), match=r"^engine\.base_url ") as e:
            use(end, tiny_llama, lambda engine: engine.generate(GENERATE))
        assert end.bodies == []
    assert str(e.value).isprintable()
    assert len(str(e.value)) < 600


BESIDE = {
    "a version that is a list": {"/version": '{"version": [1]}'},
    "a version of two lines": {"/version": '{"version": "1\\n2"}'},
    "metrics without a block size": {
        "/metrics": 'vllm:cache_config_info{enable_prefix_caching="True"} 1\n'
    },
    "blocks of no tokens": {
        "/metrics": 'vllm:cache_config_info{block_size="0",enable_prefix_caching="True"} 1\n'
    },
    "blocks of a superscript": {
        "/metrics": 'vllm:cache_config_info{block_size="²",enable_prefix_caching="True"} 1\n'
    },
    "endless labels": {"/metrics": "vllm:cache_config_info{" + "a" * 10**6 + "}\n"},
}


@pytest.mark.parametrize("bad", BESIDE)
def test_nonsense_beside_the_api_changes_no_score(tiny_llama: Path, bad: str) -> None:
    gets = {path: Mishap(body=body) for path, body in BESIDE[bad].items()}
    with running() as end:
        right = use(end, tiny_llama, lambda engine: engine.score(SCORE))
    with running(gets=gets) as end:
        scores = use(end, tiny_llama, lambda engine: engine.score(SCORE))
        version = use(end, tiny_llama, version_of)
    assert [s.is_greedy for s in scores.continuations] == [s.is_greedy for s in right.continuations]
    assert [s.logprob for s in scores.continuations] == pytest.approx(
        [s.logprob for s in right.continuations]
    )
    assert version in ("vllm", "vllm 0.32.0")


async def version_of(engine: OpenAIEngine) -> str:
    return engine.info.version


def test_a_server_that_answers_under_another_name_is_distinguished(tiny_llama: Path) -> None:
    with running(edit=lambda c: c | {"model": "alias-7b"}) as end:
        reported = use(end, tiny_llama, numerics_of)
        assert "tiny org/tiny answers as alias-7b" in reported
    with running(edit=lambda c: c | {"model": "tiny"}) as end:
        assert "answers as" not in use(end, tiny_llama, numerics_of)


async def numerics_of(engine: OpenAIEngine) -> str:
    return engine.info.numerics


# --- an answer changed at random


ODD = st.one_of(
    st.sampled_from(
        [
            *(None, True, False, 0, -1, 1, 10**40, -(10**40), 0.5, -0.5, 1e308, -1e308),
            *(float("nan"), float("inf"), -float("inf"), "", "NaN", "\ud800", "\x00", [], {}, [[]]),
        ]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
)


@st.composite
def edits(draw: st.DrawFn) -> Callable[[Content], Any]:
    """Replaces, removes or repeats things in an answer, or its bytes."""
    picks = draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3), ODD), max_size=3))
    cut = draw(st.one_of(st.none(), st.tuples(st.floats(0, 1), st.binary(max_size=3))))

    def edit(content: Content) -> Any:
        for place, how, odd in picks:
            places = [*_places(content)]
            holder, key = places[place % len(places)]
            if how == 0:
                del holder[key]
            elif how == 1 and isinstance(holder, list):
                holder.insert(key, holder[key])
            else:
                holder[key] = odd
            if not content:
                break
        body = json.dumps(content).encode()
        if cut is None:
            return body
        at = int(cut[0] * len(body))
        return body[:at] + cut[1] + body[at + 1 :]

    return edit


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    for key, inner in items:
        yield value, key
        yield from _places(inner)


DIALECTS = {
    "next": {},
    "ranked": {"gives_next": False},
    "echoed": {"gives_next": False, "is_ranked": False},
}


@contextmanager
def kept_open(checkpoint: Path, **behaviour: Any) -> Iterator[tuple[Endpoint, Any, asyncio.Runner]]:
    with running(**behaviour) as end, asyncio.Runner() as runner:
        engine = runner.run(opened(end, checkpoint))
        yield end, engine, runner
        runner.run(engine.close())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_answer_changed_at_random_is_sound_or_refused(tiny_llama: Path, dialect: str) -> None:
    outcomes: set[str] = set()

    with kept_open(tiny_llama, **DIALECTS[dialect]) as (end, engine, runner):

        @settings(
            max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @given(edit=edits())
        def check(edit: Callable[[Content], Any]) -> None:
            end.edit = edit
            for ask, request in ((engine.generate, GENERATE), (engine.score, SCORE)):
                try:
                    response = runner.run(ask(request))
                except RequestError as e:
                    outcomes.add("refused" if str(e).isprintable() else f"unprintable: {e!r}")
                    continue
                outcomes.add(type(response).__name__)
                assert_sound(request, response)

        check()
    assert outcomes == {"refused", "Generation", "Scores"}


def assert_sound(request: Any, response: Generation | Scores) -> None:
    check_response(request, response)
    assert 0 <= response.num_cached_tokens <= response.num_prompt_tokens < 1000
    if isinstance(response, Generation):
        assert len(response.token_ids) <= 20
        assert len(response.text.encode()) <= 100
        assert all(0 <= token < 2**31 for token in response.token_ids)


@settings(max_examples=200, deadline=None)
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_a_completion_or_one_line(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+\Z"):
        schema.completion(body, max_tokens=1)
