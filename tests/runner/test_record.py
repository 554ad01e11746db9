"""A finished sample as its rows, turns and attempts; a stored response as lm-eval's."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lm_eval.api.instance import Instance

import own_tasks
from evalharness.engines.requests import (
    ContinuationScore,
    Failure,
    Generation,
    Response,
    Scores,
)
from evalharness.runner.record import (
    Recorder,
    attempts,
    failure_text,
    is_cut,
    parse_response,
    response_text,
    sample_rows,
    turn_rows,
)
from evalharness.runner.samples import Sample
from evalharness.runner.score import (
    Answer,
    Scored,
)
from evalharness.tasks.conversation import (
    Tried,
    Turn,
)
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.plans import Plan

DOC = own_tasks.SUMS[1]
SAID = Generation(
    text="4", thinking="2 + 2", token_ids=(5, 6, 7), finish_reason="length", num_prompt_tokens=11, latency_s=0.25
)  # fmt: skip
AGAIN = Generation(text="4", thinking="again", token_ids=(8,), num_prompt_tokens=11, latency_s=0.5)
SCORED = Scores(
    continuations=(ContinuationScore(logprob=-1.0, is_greedy=True, num_tokens=1),),
    num_prompt_tokens=17,
    latency_s=0.125,
)
YAML = own_tasks.GENERATE.replace(
    "metric_list:", "  - {{name: text, filter: [{{function: take_first}}]}}\nmetric_list:"
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedTask]:
    folder = tmp_path_factory.mktemp("recording")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        own_tasks.write(folder, "sums", YAML)
        (task,) = own_tasks.load("sums", filter="text", cluster="{{id}}").tasks
        yield task


def instance(*resps: Any, idx: int = 0) -> Instance:
    made = Instance("generate_until", DOC, ("What is 2 plus 2?", {}), idx, ("sums", 1, 1))
    made.resps = list(resps)
    return made


def sample(*responses: Response, resps: tuple[Any, ...] = ("4",), **changes: Any) -> Sample:
    made = Sample(
        task="sums", doc_id=1, repeat=2, instances=[instance(*resps)], plans=[Plan((), list)], target="4", **changes
    )  # fmt: skip
    made.responses = list(responses)
    return made


class Kept(list[Any]):
    """A writer that keeps what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.end = ""

    def add(self, rows: list[Any]) -> None:
        self.extend(rows)

    def close(self) -> None:
        self.end += "closed"

    def discard(self) -> None:
        self.end += "discarded"


def test_a_sample_has_a_row_for_each_filter(loaded: LoadedTask) -> None:
    by_filter = {
        "number": Scored("4", {"exact_match": 1.0}),
        "text": Scored("four", {"exact_match": 0.0, "pair": (1, 2), "name": "x"}),
    }
    number, text = sample_rows(loaded, sample(SAID, AGAIN), by_filter)
    assert (number.filter, number.is_main, number.answer) == ("number", False, "4")
    assert (text.filter, text.is_main, text.answer) == ("text", True, "four")
    assert number.scores == {"exact_match": 1.0}
    assert text.scores == {"exact_match": 0.0, "pair[0]": 1.0, "pair[1]": 2.0}
    for row in (number, text):
        assert (row.task, row.doc_id, row.repeat, row.target) == ("sums", 1, 2, "4")
        assert (row.doc_hash, row.cluster) == (loaded.doc_hash(1), loaded.cluster(1))
        assert (row.prompt, row.response, row.thinking) == ("What is 2 plus 2?", "4", "2 + 2")
        assert (row.finish_reason, row.error, row.latency_s) == ("length", None, 0.5)
        assert (row.num_prompt_tokens, row.num_generated_tokens) == (22, 4)
    assert number.cluster not in (None, loaded.cluster(0))


@pytest.mark.parametrize(
    ("responses", "reported"),
    [
        ((), ("score", None, None, 0, 0, 0.0)),
        ((SCORED,), ("score", None, None, 17, 0, 0.125)),
        ((Failure(kind="request", message="m"),), ("error", "request: m", None, 0, 0, 0.0)),
        ((SAID, Failure(kind="task", message="m")), ("error", "task: m", "2 + 2", 11, 3, 0.25)),
        ((SAID, Failure(kind="scoring", message="m")), ("length", "scoring: m", "2 + 2", 11, 3, 0.25)),
    ],
)  # fmt: skip
def test_what_a_row_says_of_its_responses(
    loaded: LoadedTask, responses: tuple[Response, ...], reported: tuple[Any, ...]
) -> None:
    for row in sample_rows(loaded, sample(*responses), {}):
        assert (
            row.finish_reason, row.error, row.thinking, row.num_prompt_tokens, row.num_generated_tokens, row.latency_s
        ) == reported  # fmt: skip
        assert (row.answer, row.scores) == ("", {})


def test_the_prompt_of_a_sample_is_that_of_its_first_request(loaded: LoadedTask) -> None:
    asked = sample(SCORED)
    other = Instance("loglikelihood", DOC, ("another", " choice"), 1, ("sums", 1, 1))
    asked.instances.append(other)
    assert {row.prompt for row in sample_rows(loaded, asked, {})} == {"What is 2 plus 2?"}


def test_a_failure_is_its_kind_and_message() -> None:
    assert failure_text(None) is None
    assert failure_text(Failure(kind="prompt", message="none")) == "prompt: none"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"finish_reason": "budget"}, False),
        ({"finish_reason": "length"}, True),
        ({"finish_reason": "unclosed"}, True),
        ({"text": " \n"}, True),
    ],
)
def test_an_answer_is_cut_that_a_limit_ended_or_that_is_empty(
    changes: dict[str, str], expected: bool
) -> None:
    whole, other = Generation(text="4"), Generation(**{"text": "4"} | changes)
    assert is_cut(sample(whole, other)) is is_cut(sample(other, whole)) is expected
    assert not is_cut(sample(SCORED))
    # Of a conversation the last answer counts, whatever was said before or after it.
    turns = [turn(0, "answer", whole), turn(1, "answer", other), turn(2, "critique", SAID), turn(3, "answer", None)]  # fmt: skip
    assert is_cut(sample(SAID, other, turns=turns)) is expected
    assert not is_cut(sample(SAID, turns=[turn(0, "answer", SAID), turn(1, "answer", whole)]))
    assert not is_cut(sample(SAID, turns=[turn(0, "critique", SAID)]))


def turn(step: int, purpose: str, generation: Generation | None, **changes: Any) -> Turn:
    fields = {"arm": "correct", "step": step, "purpose": purpose, "generation": generation}
    return Turn(**fields | {"message": f"message {step}"} | changes)


def test_a_conversations_turns_are_rows_in_their_order(loaded: LoadedTask) -> None:
    turns = [
        turn(0, "answer", SAID, num_prompt_tokens=21, latency_s=1.5),
        turn(5, "verify", None, logprobs=(0.0, 0.0)),
    ]
    first, second = turn_rows(loaded, sample(turns=turns), {id(turns[0]): Answer("4", 0.5)})
    assert (first.turn, first.step, first.purpose, first.arm) == (0, 0, "answer", "correct")
    assert (second.turn, second.step, second.purpose) == (1, 5, "verify")
    for row in (first, second):
        assert (row.task, row.doc_id, row.doc_hash, row.repeat) == ("sums", 1, loaded.doc_hash(1), 2)  # fmt: skip
        assert row.message == f"message {row.step}"
    assert (first.text, first.thinking, first.token_ids) == ("4", "2 + 2", (5, 6, 7))
    assert (first.answer, first.score, first.p_yes, first.finish_reason) == ("4", 0.5, None, "length")  # fmt: skip
    assert (first.num_prompt_tokens, first.latency_s) == (21, 1.5)
    assert (second.text, second.thinking, second.token_ids) == ("", None, ())
    assert (second.answer, second.score, second.p_yes, second.finish_reason) == (None, None, 0.5, "score")  # fmt: skip


def test_an_attempt_is_an_answer_as_what_it_counts_for() -> None:
    said = turn(0, "answer", SAID)
    tried = [Tried("vote", 3, said, 40, 0.75), Tried("correct", 1, said, 50)]
    first, second = attempts(sample(attempts=tried), {id(said): Answer(None, 0.25)})
    assert (first.arm, first.step, first.num_tokens, first.p_yes) == ("vote", 3, 40, 0.75)
    assert (second.arm, second.step, second.num_tokens, second.p_yes) == ("correct", 1, 50, None)
    for one in (first, second):
        assert (one.doc_id, one.repeat, one.answer, one.score) == (1, 2, None, 0.25)


@pytest.fixture
def samples() -> Kept:
    return Kept()


@pytest.fixture
def turns() -> Kept:
    return Kept()


@pytest.fixture
def record(loaded: LoadedTask, samples: Kept, turns: Kept) -> Callable[..., Recorder]:
    def record(*finished: Sample) -> Recorder:
        recorder = Recorder(loaded, samples, turns)  # type: ignore[arg-type]
        for one in finished:
            recorder.add(one)
        return recorder

    return record


def test_a_sample_is_scored_counted_and_stored(
    record: Callable[..., Recorder], samples: Kept, turns: Kept
) -> None:
    recorder = record(sample(AGAIN))
    assert [row.scores for row in samples] == [{"exact_match": 1.0}] * 2
    assert (recorder.counts.num_samples, recorder.counts.num_errors) == (1, 0)
    scores = recorder.finish()
    assert {(m.filter, m.value, m.n) for m in scores.metrics} == {("number", 1, 1), ("text", 1, 1)}  # fmt: skip
    assert scores.doubt is None
    assert (samples.end, turns.end, turns) == ("closed", "closed", [])


def test_a_cut_answer_is_reported(record: Callable[..., Recorder]) -> None:
    doubt = record(sample(SAID)).finish().doubt
    assert doubt is not None
    assert (doubt.num_cut, doubt.low, doubt.high) == (1, 0.0, 1.0)


def test_a_failed_sample_has_rows_and_no_score(
    record: Callable[..., Recorder], samples: Kept
) -> None:
    recorder = record(sample(Failure(kind="request", message="m")))
    assert [row.error for row in samples] == ["request: m"] * 2
    assert recorder.counts.num_errors == 1
    assert all(m.n == 0 for m in recorder.finish().metrics)


def test_what_cant_be_scored_is_an_error(
    record: Callable[..., Recorder], samples: Kept, loaded: LoadedTask, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(loaded.task, "process_results", lambda doc, results: {})
    recorder = record(sample(AGAIN))
    assert [row.error.split(":")[0] for row in samples] == ["scoring"] * 2
    assert recorder.counts.num_errors == 1


def test_the_answers_of_a_conversation_are_scored_once_each(
    record: Callable[..., Recorder], samples: Kept, turns: Kept
) -> None:
    right, wrong, said = (turn(i, "answer", Generation(text=text)) for i, text in enumerate("451"))  # fmt: skip
    tried = [Tried("correct", 0, wrong, 1), Tried("vote", 0, wrong, 1), Tried("correct", 1, right, 2)]  # fmt: skip
    recorder = record(sample(AGAIN, turns=[wrong, right, said], attempts=tried))
    assert [(a.arm, a.answer, a.score) for a in recorder.attempts] == [
        ("correct", "5", 0.0),
        ("vote", "5", 0.0),
        ("correct", "4", 1.0),
    ]
    assert [(row.answer, row.score) for row in turns] == [("5", 0.0), ("4", 1.0), (None, None)]
    assert [m.n for m in recorder.finish().metrics] == [1, 1]
    assert len(samples) == 2


def test_of_a_failed_conversation_only_the_turns_are_kept(
    record: Callable[..., Recorder], turns: Kept
) -> None:
    said = turn(0, "answer", AGAIN)
    failed = sample(Failure(kind="request", message="m"), turns=[said], attempts=[Tried("a", 0, said, 1)])  # fmt: skip
    assert record(failed).attempts == []
    assert [(row.text, row.answer) for row in turns] == [("4", None)]


def test_an_answer_that_cant_be_scored_fails_its_sample(
    record: Callable[..., Recorder], loaded: LoadedTask, samples: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(loaded.task, "process_results", lambda doc, results: {"f1": 1.0})
    said = turn(0, "answer", AGAIN)
    recorder = record(sample(AGAIN, turns=[said], attempts=[Tried("a", 0, said, 1)] * 2))
    assert recorder.attempts == []
    assert recorder.counts.num_errors == 1
    assert [row.scores for row in samples] == [{}, {}]


def test_what_is_discarded_is_not_closed(
    record: Callable[..., Recorder], samples: Kept, turns: Kept
) -> None:
    record().discard()
    assert (samples.end, turns.end) == ("discarded", "discarded")


def test_a_task_without_conversations_needs_no_writer_of_turns(
    loaded: LoadedTask, samples: Kept
) -> None:
    recorder = Recorder(loaded, samples)  # type: ignore[arg-type]
    recorder.add(sample(AGAIN))
    recorder.finish()
    recorder.discard()
    assert samples.end == "closeddiscarded"


@pytest.mark.parametrize(
    ("instances", "text"),
    [
        ([("said",)], "said"),
        ([(-1.5,)], "[-1.5]"),
        ([((-1.5, True),)], "[[-1.5, true]]"),
        ([((-1.5, True),), ((-2.0, False),)], "[[-1.5, true], [-2.0, false]]"),
        ([("a", "b")], '[["a", "b"]]'),
        ([("a",), ("b",)], '["a", "b"]'),
        ([("a",), ()], ""),
    ],
)
def test_a_response_is_its_text_or_the_json_of_all_entries(
    instances: list[tuple[Any, ...]], text: str
) -> None:
    assert response_text([instance(*resps) for resps in instances]) == text


@pytest.mark.parametrize(
    ("kind", "num_instances", "num_draws", "resps"),
    [
        ("generate_until", None, 1, [["[1"]]),
        ("generate_until", 1, 1, [["5"]]),
        ("generate_until", 2, 1, [["a"], ["b"]]),
        ("generate_until", 1, 2, [["a", "b"]]),
        ("generate_until", None, 2, [["a", "b"]]),
        ("loglikelihood_rolling", 1, 1, [[-1.5]]),
        ("loglikelihood", None, 1, [[(-1.5, True)], [(-2.0, False)]]),
        ("multiple_choice", 2, 1, [[(-1.5, True)], [(-2.0, False)]]),
        ("multiple_choice", 2, 2, [[(-1.5, True), (-1.0, False)], [(-2.0, False), (-3.0, False)]]),
    ],
)
def test_what_is_stored_is_what_is_read(
    kind: str, num_instances: int | None, num_draws: int, resps: list[list[Any]]
) -> None:
    stored = response_text([instance(*entry) for entry in resps])
    assert parse_response(stored, kind, num_instances=num_instances, num_draws=num_draws) == resps


@pytest.mark.parametrize(
    ("stored", "num_instances", "says"),
    [
        ("[[-1.5, true]]", 2, "not a list of 2 responses"),
        ('{"a": 1}', None, "not a list of some responses"),
        ("", 1, "Expecting value"),
    ],
)
def test_what_is_no_such_response_is_refused(
    stored: str, num_instances: int | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        parse_response(stored, "multiple_choice", num_instances=num_instances, num_draws=1)
