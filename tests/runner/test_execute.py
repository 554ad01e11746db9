"""Requests to an engine that fails now and then, samples on their way, tasks stored as soon as they are done."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

import own_tasks
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines.base import RequestError
from evalharness.engines.fake import FakeEngine
from evalharness.engines.requests import (
    ContinuationScore,
    Failure,
    GenerateRequest,
    Generation,
    Request,
    Response,
    SamplingParams,
    ScoreRequest,
    Scores,
    request_key,
)
from evalharness.engines.soundness import UnsoundResponseError
from evalharness.errors import EngineError
from evalharness.runner.execute import (
    Ahead,
    Sender,
    TaskProgress,
    _serve,
    execute,
)
from evalharness.runner.journal import (
    Journal,
)
from evalharness.runner.journal_lines import to_line
from evalharness.runner.response_cache import Responses
from evalharness.runner.run import run
from evalharness.runner.samples import (
    DOCS_AT_ONCE,
    Conversation,
    Prompting,
    Sample,
    build_samples,
)
from evalharness.store.read import iter_samples
from evalharness.tasks.conversation import (
    Tried,
    Turn,
    Where,
)
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.plans import Plan
from journals import read_journal

PROMPTING = Prompting(
    is_chat=False, fewshot_as_multiturn=False, system_instruction=None, run_seed=1234
)
REQUEST = GenerateRequest(prompt_token_ids=(1, 2, 3), sampling=SamplingParams())


class Flaky(FakeEngine):
    """Fails the first times that it is asked."""

    def __init__(self, num_failures: int) -> None:
        super().__init__()
        self.num_failures, self.num_asked = num_failures, 0

    async def generate(self, request: GenerateRequest) -> Generation:
        self.num_asked += 1
        if self.num_asked <= self.num_failures:
            raise RequestError(f"failure {self.num_asked}")
        return await super().generate(request)


def ask(engine: FakeEngine, folder: Path) -> Response:
    async def once() -> Response:
        async with Journal(folder) as journal:
            return await Sender(engine, journal, "identity")(REQUEST)

    return asyncio.run(once())


def test_a_request_that_failed_once_is_sent_again_and_journaled(tmp_path: Path) -> None:
    engine = Flaky(1)
    response = ask(engine, tmp_path)
    assert isinstance(response, Generation)
    assert engine.num_asked == 2
    assert [found for _, found in read_journal(tmp_path)] == [response]


def test_one_that_failed_twice_is_a_failure_with_the_last_reason(tmp_path: Path) -> None:
    engine = Flaky(2)
    assert ask(engine, tmp_path) == Failure(kind="request", message="failure 2")
    assert engine.num_asked == 2
    assert list(read_journal(tmp_path)) == []


class Counting(FakeEngine):
    """Keeps what it was asked, and how many at once at most; generations wait for a partner if configured."""

    def __init__(self, *, num_together: int = 1, unsound: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asked: list[Request] = []
        self.num_running = self.most_running = self.most_at_first_end = 0
        self.num_together, self.unsound = num_together, unsound

    async def generate(self, request: GenerateRequest) -> Generation:
        self.asked.append(request)
        self._begin()
        for _ in range(200):
            if self.most_running >= self.num_together:
                break
            await asyncio.sleep(0.005)
        self.most_at_first_end = self.most_at_first_end or self.most_running
        self.num_running -= 1
        return await super().generate(request)

    async def score(self, request: ScoreRequest) -> Scores:
        self.asked.append(request)
        self._begin()
        await asyncio.sleep(0.001)
        self.num_running -= 1
        scores = await super().score(request)
        if not self.unsound:
            return scores
        nan = tuple(replace(c, logprob=float("nan")) for c in scores.continuations)
        return replace(scores, continuations=nan)

    def _begin(self) -> None:
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)


def with_sender(
    engine: FakeEngine,
    folder: Path,
    use: Callable[[Sender], Any],
    responses: Responses | None = None,
) -> Any:
    """What the coroutine of `use` gives, within ten seconds."""

    async def main() -> Any:
        async with Journal(folder) as journal:
            return await asyncio.wait_for(use(Sender(engine, journal, "identity", responses)), 10)

    return asyncio.run(main())


SAID = Generation(text="on disk", token_ids=(1,))
KEY = request_key(REQUEST, "identity")


def stored(folder: Path, response: Generation | Scores, request: Request = REQUEST) -> Path:
    folder.mkdir()
    line = to_line(request_key(request, "identity"), response)
    (folder / "0000.jsonl").write_bytes(line)
    return folder


@pytest.mark.parametrize("is_own", [False, True])
def test_a_response_on_disk_is_not_asked_again_and_copied_into_the_runs_own_journal(
    tmp_path: Path, is_own: bool
) -> None:
    folder, engine = stored(tmp_path / "old", SAID), Counting()
    with Responses([folder], own=folder if is_own else None) as responses:
        found = with_sender(engine, tmp_path / "new", lambda send: send(REQUEST), responses)
    assert found == replace(SAID, is_reused=True)
    assert engine.asked == []
    assert list(read_journal(tmp_path / "new")) == ([] if is_own else [(KEY, SAID)])


def test_one_on_disk_that_is_none_is_asked_again(tmp_path: Path) -> None:
    request = ScoreRequest(context_token_ids=(1,), continuations=((2,),))
    nan = ContinuationScore(logprob=float("nan"), is_greedy=False, num_tokens=1)
    folder, engine = stored(tmp_path / "old", Scores(continuations=(nan,)), request), Counting()
    with Responses([folder]) as responses:
        found = with_sender(engine, tmp_path / "new", lambda send: send(request), responses)
    assert engine.asked == [request]
    assert found.continuations[0].logprob < 0
    assert not found.is_reused


def test_a_request_that_cant_be_sent_is_its_own_response(tmp_path: Path) -> None:
    failure, engine = Failure(kind="prompt", message="too long"), Counting()
    assert with_sender(engine, tmp_path, lambda send: send(failure)) is failure
    assert engine.asked == []


def test_a_dead_engine_is_no_failed_request(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        with_sender(FakeEngine(die_after=0), tmp_path, lambda send: send(REQUEST))


def sample(*plans: Plan, **changes: Any) -> Sample:
    """Of one instance, with a plan for each draw."""
    instances = [Instance("generate_until", {}, ("Q0", {}), 0, ("t", 0, 1))]
    return Sample(task="t", doc_id=0, repeat=0, instances=instances, plans=list(plans), target="", **changes)  # fmt: skip


def plan(*requests: Request | Failure) -> Plan:
    return Plan(requests, lambda responses: [[type(r).__name__ for r in responses]])


def generate(*token_ids: int) -> GenerateRequest:
    return GenerateRequest(prompt_token_ids=token_ids, sampling=SamplingParams())


SCORE = ScoreRequest(context_token_ids=(1,), continuations=((2,),))


@pytest.mark.parametrize(
    ("requests", "ahead"),
    [
        ((generate(1, 2),), ScoreRequest(context_token_ids=(1,), continuations=((2,),))),
        ((generate(1, 2, 3),), ScoreRequest(context_token_ids=(1, 2), continuations=((3,),))),
        ((generate(1),), None),
        ((SCORE,), None),
        ((), None),
    ],
)
def test_a_generations_prompt_of_two_tokens_or_more_is_computed_ahead(
    tmp_path: Path, requests: Sequence[Request], ahead: ScoreRequest | None
) -> None:
    engine = Counting()
    one = sample(plan(*requests), plan(generate(7, 8, 9)))
    may_follow = ahead is not None or requests == (SCORE,)
    assert with_sender(engine, tmp_path, lambda send: send.prime(one)) is may_follow
    assert engine.asked == ([] if ahead is None else [ahead])
    assert list(read_journal(tmp_path)) == []


def test_the_prompt_of_an_answer_on_disk_is_not(tmp_path: Path) -> None:
    folder, engine = stored(tmp_path / "old", SAID), Counting()
    with Responses([folder]) as responses:
        use = lambda send: send.prime(sample(plan(REQUEST)))  # noqa: E731
        assert with_sender(engine, tmp_path / "new", use, responses) is True
    assert engine.asked == []


def test_a_server_that_gives_no_log_likelihoods_is_asked_all_the_same(tmp_path: Path) -> None:
    use = lambda send: send.prime(sample(plan(REQUEST)))  # noqa: E731
    assert with_sender(FakeEngine(fail_share=1.0), tmp_path, use) is True
    with pytest.raises(UnsoundResponseError):
        with_sender(Counting(unsound=True), tmp_path, use)


def test_each_draw_of_a_sample_has_the_answers_of_all_its_requests(tmp_path: Path) -> None:
    one = sample(plan(SCORE, SCORE), plan(generate(1, 2)))
    with_sender(Counting(), tmp_path, lambda send: _serve(one, None, send))  # type: ignore[arg-type]
    assert one.instances[0].resps == [["Scores", "Scores"], ["Generation"]]
    assert [type(r).__name__ for r in one.responses] == ["Scores", "Scores", "Generation"]


def test_a_sample_with_a_failed_request_answers_nothing(tmp_path: Path) -> None:
    failure = Failure(kind="prompt", message="too long")
    one = sample(plan(SCORE, failure), plan(generate(1, 2)))
    with_sender(Counting(), tmp_path, lambda send: _serve(one, None, send))  # type: ignore[arg-type]
    assert one.instances[0].resps == []
    assert [type(r).__name__ for r in one.responses] == ["Scores", "Failure", "Generation"]


def converse(
    tmp_path: Path, lm: EngineLM, solve: Any, engine: FakeEngine | None = None, **changes: Any
) -> Sample:
    conversation = Conversation(
        solve=solve, where=Where("t", 0, 0, 0), gen_kwargs={}, is_chat=False, temperature=0.7, first_draw=0
    )  # fmt: skip
    one = sample(plan(REQUEST), conversation=conversation, **changes)
    with_sender(engine or Counting(), tmp_path, lambda send: _serve(one, lm, send))
    return one


@pytest.fixture
def lm(byte_tokenizer: Any) -> EngineLM:
    return EngineLM(byte_tokenizer, 100)


async def two_turns(dialogue: Any) -> str:
    second = await dialogue.generate(arm="b", step=0)
    first = await dialogue.generate(arm="a", step=1, message="again")
    zeroth = await dialogue.generate("other", arm="a", step=0)
    dialogue.attempts.append(Tried("a", 0, zeroth, 3))
    dialogue.is_cut = True
    assert isinstance(first, Turn)
    return f"{dialogue.prompt}: {second.text}"


def test_a_conversation_leaves_its_answer_turns_attempts_and_responses(
    tmp_path: Path, lm: EngineLM
) -> None:
    one = converse(tmp_path, lm, two_turns)
    assert one.instances[0].resps == [f"Q0: {one.turns[2].text}"]
    assert [(turn.arm, turn.step) for turn in one.turns] == [("a", 0), ("a", 1), ("b", 0)]
    assert [attempt.arm for attempt in one.attempts] == ["a"]
    assert len(one.responses) == 3
    assert (one.failure, one.is_cut) == (None, True)


def test_a_conversation_that_failed_before_it_began_is_not_held(
    tmp_path: Path, lm: EngineLM
) -> None:
    failure = Failure(kind="prompt", message="no prompt")
    one = converse(tmp_path, lm, two_turns, responses=[failure])
    assert one.turns == []
    assert one.failure is failure


@pytest.mark.parametrize("is_text", [True, False])
def test_a_conversation_ends_in_a_text_or_the_sample_has_failed(
    tmp_path: Path, lm: EngineLM, is_text: bool
) -> None:
    async def solve(dialogue: Any) -> Any:
        await dialogue.generate()
        return "4" if is_text else 4

    one = converse(tmp_path, lm, solve)
    assert one.instances[0].resps == (["4"] if is_text else [])
    expected = Failure(kind="task", message="solve() gave a int, not a text")
    assert one.responses[1:] == ([] if is_text else [expected])


def test_a_turn_without_an_answer_is_the_samples_failure(tmp_path: Path, lm: EngineLM) -> None:
    one = converse(tmp_path, lm, two_turns, FakeEngine(fail_share=1.0))
    assert [type(r).__name__ for r in one.responses] == ["Failure"]
    assert one.failure is not None
    assert one.failure.kind == "request"
    assert one.instances[0].resps == []


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedTask]:
    folder = tmp_path_factory.mktemp("tasks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        own_tasks.write(folder, "picks", own_tasks.CHOICE, own_tasks.PICKS)
        own_tasks.write(folder, "sums")
        apart = own_tasks.GENERATE.replace(
            "{{version: 1.0}}", "{{version: 1.0, scores_in_thread: true}}"
        )
        yaml = apart + "process_results: !function code.score\n"
        place = own_tasks.write(folder, "apart", yaml).parent
        (place / "code.py").write_text(
            "import threading\n\nSEEN = []\n\n\ndef score(doc, results):\n"
            "    SEEN.append(threading.current_thread() is threading.main_thread())\n"
            "    return {'exact_match': 1.0}\n"
        )
        found = {t.name: t for t in own_tasks.load("picks", "sums", "apart").tasks}
        assert all(task.docs for task in found.values())
    return found


def run_all(
    folder: Path, lm: EngineLM, engine: FakeEngine, *loaded: LoadedTask, max_in_flight: int = 3
) -> tuple[list[TaskProgress], list[Sample]]:
    progress, finished = [TaskProgress(task) for task in loaded], list[Sample]()
    prompting = Prompting(
        is_chat=False, fewshot_as_multiturn=False, system_instruction=None, run_seed=0
    )

    def keep(task: TaskProgress, sample: Sample) -> None:
        assert task.loaded.name == sample.task
        assert task.num_done == 1 + sum(one.task == sample.task for one in finished)
        finished.append(sample)

    def use(sender: Sender) -> Any:
        return execute(progress, lm, sender, prompting, max_in_flight=max_in_flight, on_sample=keep)

    with_sender(engine, folder, use)
    return progress, finished


def test_every_sample_of_every_task_comes_back_once(
    tmp_path: Path, lm: EngineLM, tasks: dict[str, LoadedTask]
) -> None:
    twice = replace(tasks["sums"], repeats=2)
    progress, finished = run_all(tmp_path, lm, Counting(), tasks["picks"], twice)
    assert sorted((s.task, s.doc_id, s.repeat) for s in finished) == [
        *(("picks", doc_id, 0) for doc_id in range(8)),
        *(("sums", doc_id, repeat) for doc_id in range(8) for repeat in range(2)),
    ]
    assert [(p.num_done, p.num_expected, p.is_done) for p in progress] == [(8, 8, True), (16, 16, True)]  # fmt: skip
    assert all(0 < p.wall_s < 10 for p in progress)
    assert all(len(i.resps) == 1 for sample in finished for i in sample.instances)


def test_a_task_that_hasnt_begun_took_no_time(tasks: dict[str, LoadedTask]) -> None:
    progress = TaskProgress(tasks["sums"])
    assert (progress.num_done, progress.is_done, progress.wall_s) == (0, False, 0.0)
    progress.started_at = 5.0
    assert progress.wall_s == 0.0
    progress.finished_at = 7.5
    assert progress.wall_s == 2.5


def test_generations_go_together_once_the_first_prompt_is_computed(
    tmp_path: Path, lm: EngineLM, tasks: dict[str, LoadedTask]
) -> None:
    engine = Counting(num_together=3)
    run_all(tmp_path, lm, engine, tasks["sums"])
    assert engine.most_at_first_end == 3
    assert [type(r).__name__ for r in engine.asked[:2]] == ["ScoreRequest", "GenerateRequest"]


def test_log_likelihoods_of_a_task_do_not_wait_for_its_first(
    tmp_path: Path, lm: EngineLM, tasks: dict[str, LoadedTask]
) -> None:
    class Watching(Counting):
        async def score(self, request: ScoreRequest) -> Scores:
            self.starts = [*getattr(self, "starts", []), self.num_requests]
            return await super().score(request)

    engine = Watching()
    run_all(tmp_path, lm, engine, tasks["picks"])
    assert engine.starts[:3] == [0, 0, 0]
    assert engine.most_running == 3


def test_of_weights_without_likelihoods_nothing_is_generated(
    tmp_path: Path, lm: EngineLM, tasks: dict[str, LoadedTask]
) -> None:
    engine = Counting(unsound=True)
    _, finished = run_all(tmp_path, lm, engine, tasks["sums"])
    assert [type(r).__name__ for r in engine.asked] == ["ScoreRequest"]
    for sample in finished:
        (failure,) = sample.responses
        assert isinstance(failure, Failure)
        assert failure.kind == "request"
        assert failure.message.startswith("of the task's first prompt, ")
        assert "nan" in failure.message


@pytest.mark.parametrize(
    ("name", "is_failing"), [("apart", False), ("apart", True), ("sums", False)]
)
def test_slow_scoring_of_answered_samples_is_done_in_a_thread(
    tmp_path: Path, lm: EngineLM, tasks: dict[str, LoadedTask], name: str, is_failing: bool
) -> None:
    seen = tasks["apart"].task.config.process_results.__globals__["SEEN"]
    seen.clear()
    engine = FakeEngine(fail_share=1.0 if is_failing else 0.0)
    run_all(tmp_path, lm, engine, tasks[name])
    assert seen == ([False] * 8 if name == "apart" and not is_failing else [])


def test_an_engine_that_dies_ends_all(
    tmp_path: Path, lm: EngineLM, tasks: dict[str, LoadedTask]
) -> None:
    with pytest.raises(EngineError):
        run_all(tmp_path, lm, FakeEngine(die_after=3), tasks["picks"])


def test_samples_are_built_one_chunk_of_32_ahead_and_nothing_waits_once_the_reader_has_left() -> (
    None
):
    taken, may_go_on = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(200):
            if number == 70:
                assert may_go_on.wait(10)
            taken.append(number)
            yield number

    async def read() -> list[int]:
        reader, found = Ahead(items()), []
        async for item in reader:
            found.append(item)
            if len(found) in (1, 32):
                for _ in range(200):
                    if len(taken) >= 64:
                        break
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.02)
                assert len(taken) == 64
            if len(found) == 33:
                break  # the third chunk is begun, and waits
        await reader.close()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        may_go_on.set()
        return found

    assert asyncio.run(read()) == list(range(33))


def test_the_builder_gives_all_items_and_ends() -> None:
    async def read() -> list[int]:
        return [item async for item in Ahead(iter(range(70)))]

    assert asyncio.run(read()) == list(range(70))


def test_a_task_is_stored_as_soon_as_it_is_done(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own_tasks.write(tmp_path, "first")
    yaml = own_tasks.GENERATE + "process_results: !function code.score\n"
    folder = own_tasks.write(tmp_path, "second", yaml).parent
    (folder / "code.py").write_text(
        "from pathlib import Path\n\n\n"
        "def score(doc, results):\n"
        "    stored = list(Path('results').glob('*/samples/first.parquet'))\n"
        "    return {'exact_match': float(len(stored))}\n"
    )
    outcome = run(
        Config(
            model=ModelConfig(name="tiny", path=str(tiny_llama)),
            engine=EngineConfig(kind=EngineKind.fake, max_in_flight=1),
            suite=SuiteConfig(name="two", tasks={n: TaskConfig() for n in ("first", "second")}),
            run=RunConfig(),
        )
    )
    rows = list(iter_samples(outcome.run_dir, "second"))
    assert [row.scores for row in rows] == [{"exact_match": 1.0}] * 8


def test_prompts_are_encoded_before_the_engine_is_there_and_planned_for_it_after(
    lm: EngineLM, tasks: dict[str, LoadedTask]
) -> None:
    def requests(samples: Iterable[Sample]) -> list[Any]:
        return [plan.requests for sample in samples for plan in sample.plans]

    task = tasks["picks"]
    expected = requests(build_samples(task, lm, PROMPTING))
    waiting = EngineLM(lm.tokenizer, None)
    encoded, found = [], []
    encode, waiting.encode_ahead = waiting.encode_ahead, lambda i: encoded.append(encode(i))  # type: ignore[method-assign, func-returns-value]
    builder = threading.Thread(
        target=lambda: found.extend(requests(build_samples(task, waiting, PROMPTING)))
    )
    builder.start()
    for _ in range(1000):
        if len(encoded) * DOCS_AT_ONCE >= task.num_docs:
            break
        time.sleep(0.01)
    assert len(encoded) * DOCS_AT_ONCE >= task.num_docs
    assert found == []
    waiting.fit_to(lm.max_model_len, 1)
    builder.join(20)
    assert found == expected


def test_prompts_that_wait_for_an_engine_that_never_comes_end(
    lm: EngineLM, tasks: dict[str, LoadedTask]
) -> None:
    waiting = EngineLM(lm.tokenizer, None)
    waiting.give_up()
    with pytest.raises(EngineError, match="didn't start"):
        list(build_samples(tasks["picks"], waiting, PROMPTING))
