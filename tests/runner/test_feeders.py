"""A run with feeders is the run without: same requests, samples and scores, whatever happens to a feeder."""

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import own_tasks
from evalharness.config.schema import (
    Config,
    EngineConfig,
    EngineKind,
    ModelConfig,
    Resume,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    TasksConfig,
    Variant,
)
from evalharness.engines.requests import (
    ContinuationScore,
    Failure,
    GenerateRequest,
    Generation,
    SamplingParams,
    ScoreRequest,
    Scores,
)
from evalharness.runner import feeders
from evalharness.runner.feeders import shares
from evalharness.runner.packing import (
    framed,
    pack_request,
    pack_response,
    unframed,
    unpack_request,
    unpack_response,
)
from evalharness.runner.run import Outcome, run
from evalharness.store.read import load_manifest
from journals import read_journal

MANY = [{"id": str(i), "q": f"What is {i} plus {i}?", "a": str(2 * i)} for i in range(60)]
PICKS = [
    {"id": str(i), "q": f"Which is {i % 4}?", "choices": [f"{i}{c}" for c in "abcd"], "a": i % 4}
    for i in range(60)
]
DEADLY = own_tasks.CHOICE + "process_results: !function deadly.process_results\n"
DEADLY_CODE = """
import os, signal


def process_results(doc, results):
    if os.environ["MAIN_PROCESS"] != str(os.getpid()) and doc["id"] == "7":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"acc": float(max(results)[0] == results[doc["a"]][0])}
"""


POOLED = "process_results: !function pooled.process_results\n"
POOLED_CODE = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

pools = []
main_process = os.environ.get("MAIN_PROCESS")


def process_results(doc, results):
    if main_process == str(os.getpid()):
        return {"acc": 1.0}
    if not pools:
        pools.append(ProcessPoolExecutor(1))
        Path("worker").write_text(str(pools[0].submit(os.getpid).result()))
    if main_process and doc["id"] == "7":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"acc": 1.0}
"""


FORKING = own_tasks.CHOICE + "process_results: !function forking.process_results\n"
FORKING_CODE = """
import multiprocessing, time


def process_results(doc, results):
    if doc["id"] == "3":
        process = multiprocessing.Process(target=print)
        process.start()
        process.join()
        assert process.exitcode == 0
    if doc["id"] == "5":
        while True:
            pass
    return {"acc": 1.0}
"""


def write_tasks(here: Path) -> None:
    own_tasks.write(here, "sums", rows=MANY)
    own_tasks.write(here, "draws", rows=MANY[:20])
    own_tasks.write(here, "picks", own_tasks.CHOICE, PICKS)
    own_tasks.write(here, "others", own_tasks.CHOICE, PICKS[:30])


def config(checkpoint: Path, num_feeders: int, *names: str, **extra: Any) -> Config:
    tasks = {name: TaskConfig() for name in names or ("sums", "draws", "picks", "others")}
    if "draws" in tasks:
        tasks["draws"] = TaskConfig(repeats=3)
    return Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.base),
        engine=EngineConfig(kind=EngineKind.fake, max_in_flight=4, extra=extra),
        suite=SuiteConfig(name="test", tasks=tasks),
        run=RunConfig(feeders=num_feeders, resume=Resume.never, reuse=False),
        tasks=TasksConfig(trust=True),
        results_dir="results",
    )


def samples(outcome: Outcome, task: str) -> pa.Table:
    """A task's samples without what differs between two runs."""
    table = pq.read_table(outcome.run_dir / "samples" / f"{task}.parquet")
    return table.drop_columns(["run_id", "started_at", "latency_s"])


def keys(outcome: Outcome) -> list[str]:
    return sorted(key for key, _ in read_journal(outcome.run_dir / "journal"))


def without_times(outcome: Outcome) -> list[Any]:
    return [replace(task, wall_s=0.0) for task in outcome.manifest.tasks]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path)
    return tmp_path


def test_numbers_are_those_of_a_run_without(tiny_llama: Path, here: Path) -> None:
    alone, fed = (run(config(tiny_llama, num)) for num in (0, 2))
    assert fed.manifest.status == alone.manifest.status == "complete"
    assert fed.metrics == alone.metrics
    assert without_times(fed) == without_times(alone)
    assert keys(fed) == keys(alone)
    for task in ("sums", "draws", "picks", "others"):
        assert samples(fed, task).equals(samples(alone, task))


def test_responses_of_another_run_are_reused(tiny_llama: Path, here: Path) -> None:
    run(config(tiny_llama, 2))
    wanted = config(tiny_llama, 2)
    again = run(replace(wanted, run=replace(wanted.run, reuse=True, seed=1)))
    assert [task.num_reused for task in again.manifest.tasks] == [60, 60, 60, 30]


def test_a_feeder_that_dies_loses_nothing(
    tiny_llama: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_tasks.write(here, "deadly", DEADLY, PICKS)
    (here / "tasks/deadly/deadly.py").write_text(DEADLY_CODE)
    monkeypatch.setenv("MAIN_PROCESS", str(os.getpid()))
    alone, fed = (run(config(tiny_llama, num, "deadly", "sums")) for num in (0, 2))
    assert fed.manifest.status == "complete"
    assert fed.metrics == alone.metrics
    assert samples(fed, "deadly").equals(samples(alone, "deadly"))
    assert "ended early; done again: deadly" in fed.manifest.remarks[-1]
    assert len(keys(fed)) == len(set(keys(fed))) == len(keys(alone))
    assert not list((fed.run_dir / "samples").glob(".*"))


def test_a_scorer_may_start_processes_and_is_ended_at_its_limit(
    tiny_llama: Path, here: Path
) -> None:
    own_tasks.write(here, "forking", FORKING, PICKS)
    (here / "tasks/forking/forking.py").write_text(FORKING_CODE)
    wanted = config(tiny_llama, 1, "forking")
    outcome = run(
        replace(wanted, run=replace(wanted.run, scorer_timeout_s=1.0, max_error_rate=0.5))
    )
    errors = {
        row["doc_id"]: row["error"]
        for row in pq.read_table(outcome.run_dir / "samples" / "forking.parquet").to_pylist()
        if row["error"]
    }
    assert list(errors) == [5]
    assert "longer than 1 s" in errors[5]


def wait_for_end(pid: int) -> None:
    """Once killed, it's there until its new parent has noticed."""
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a scorer's process is left")


def test_a_scorer_may_leave_a_process_behind(tiny_llama: Path, here: Path) -> None:
    own_tasks.write(here, "pooled", own_tasks.CHOICE + POOLED, PICKS)
    (here / "tasks/pooled/pooled.py").write_text(POOLED_CODE)
    outcome = run(config(tiny_llama, 1, "pooled"))
    assert outcome.manifest.status == "complete"
    assert outcome.manifest.remarks == ()
    worker = int((here / "worker").read_text())
    wait_for_end(worker)


def test_a_killed_feeder_is_noticed_whatever_it_left_behind(
    tiny_llama: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_tasks.write(here, "pooled", own_tasks.CHOICE + POOLED, PICKS)
    (here / "tasks/pooled/pooled.py").write_text(POOLED_CODE)
    monkeypatch.setenv("MAIN_PROCESS", str(os.getpid()))
    outcome = run(config(tiny_llama, 1, "pooled"))
    wait_for_end(int((here / "worker").read_text()))
    assert outcome.manifest.status == "complete"
    assert "ended early; done again: pooled" in outcome.manifest.remarks[-1]


def test_scores_that_cannot_be_sent_are_made_again(tiny_llama: Path, here: Path) -> None:
    yaml = own_tasks.CHOICE.replace("aggregation: mean", "aggregation: !function own.total")
    own_tasks.write(here, "own", yaml + "process_results: !function own.process_results\n", PICKS)
    (here / "tasks/own/own.py").write_text(
        "def process_results(doc, results):\n"
        "    return {'acc': lambda: float(doc['id'])}\n\n\n"
        "def total(values):\n"
        "    return sum(value() for value in values)\n"
    )
    alone, fed = (run(config(tiny_llama, num, "own", "sums")) for num in (0, 2))
    assert fed.manifest.status == alone.manifest.status == "complete"
    assert fed.metrics == alone.metrics
    assert "done again: own" in fed.manifest.remarks[-1]


def test_a_dead_engine_leaves_what_was_finished(tiny_llama: Path, here: Path) -> None:
    outcome = run(config(tiny_llama, 2, die_after=60))
    assert outcome.manifest.status == "partial"
    assert "the fake engine died" in str(outcome.manifest.reason)
    stored = sum(samples(outcome, task.task).num_rows for task in outcome.manifest.tasks)
    assert 0 < stored <= len(keys(outcome))


def test_an_interrupted_run_ends_soon_and_keeps_what_was_finished(
    tiny_llama: Path, here: Path
) -> None:
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"sys.path.insert(0, {str(Path(__file__).parent.parent)!r})\n"
        "from pathlib import Path\n"
        "from test_feeders import config\n"
        "from evalharness.runner.run import run\n"
        f"run(config(Path({str(tiny_llama)!r}), 2, latency_s=0.5))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while not any(f.stat().st_size for f in (here / "results").glob("*/journal/*.jsonl")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.wait(60)
    assert time.monotonic() - started < 15
    (folder,) = (here / "results").glob("[!.]*")
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.reason) == ("partial", "interrupted")
    done = sum(task.num_samples for task in manifest.tasks)
    assert 0 < done <= len(list(read_journal(folder / "journal")))


def test_no_feeders_where_they_are_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Task:
        num_expected = 3000

        def __init__(self, name: str) -> None:
            self.loaded = type("Loaded", (), {"name": name})()

    tasks: Any = [Task(str(number)) for number in range(20)]
    monkeypatch.setattr(feeders, "may_be_fed", lambda task: True)
    for cores, expected in ((2, 0), (4, 1), (16, 7), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: range(cores))
        assert feeders.num_feeders(None, tasks) == expected
    assert feeders.num_feeders(None, tasks[:1]) == 1
    assert feeders.num_feeders(None, []) == 0
    assert feeders.num_feeders(5, tasks[:3]) == 3
    assert feeders.num_feeders(0, tasks) == 0


@given(sizes=st.lists(st.integers(0, 100), max_size=30), num=st.integers(1, 8))
def test_shares_hold_every_task_once_in_order_and_are_about_equal(
    sizes: list[int], num: int
) -> None:
    class Task:
        def __init__(self, name: int, size: int) -> None:
            self.loaded, self.num_expected = type("Loaded", (), {"name": name})(), size

    tasks: Any = [Task(name, size) for name, size in enumerate(sizes)]
    found = shares(tasks, num)
    assert len(found) <= num
    assert sorted(t.loaded.name for share in found for t in share) == list(range(len(sizes)))
    for share in found:
        assert [t.loaded.name for t in share] == sorted(t.loaded.name for t in share)
    totals = [sum(t.num_expected for t in share) for share in found]
    assert max(totals, default=0) <= sum(sizes) / num + max(sizes, default=0)


TOKENS = st.lists(st.integers(0, 2**31), max_size=5).map(tuple)


@given(
    prompt=TOKENS,
    continuations=st.lists(TOKENS, max_size=3).map(tuple),
    sampling=st.builds(
        SamplingParams,
        temperature=st.floats(0, 2),
        seed=st.none() | st.integers(0, 2**31),
        stop=st.lists(st.text(), max_size=2).map(tuple),
        logit_bias=st.lists(st.tuples(st.integers(0, 9), st.floats(-1, 1)), max_size=2).map(tuple),
    ),
    repeat=st.integers(0, 9),
)
def test_requests_arrive_as_they_were_sent(
    prompt: tuple[int, ...], continuations: Any, sampling: SamplingParams, repeat: int
) -> None:
    for request in (
        ScoreRequest(context_token_ids=prompt, continuations=continuations),
        GenerateRequest(prompt_token_ids=prompt, sampling=sampling, repeat=repeat),
    ):
        assert unpack_request(pack_request(request)) == request


@given(data=st.data(), text=st.text(), number=st.integers(0, 9), value=st.floats(-9, 0))
def test_responses_arrive_as_they_were_sent(
    data: Any, text: str, number: int, value: float
) -> None:
    score = ContinuationScore(logprob=value, is_greedy=data.draw(st.booleans()), num_tokens=number)
    for response in (
        Failure(kind=text, message=text),
        Scores(continuations=(score,) * number, latency_s=-value, is_reused=score.is_greedy),
        Generation(text=text, token_ids=(number,), thinking=data.draw(st.none() | st.text())),
    ):
        assert unpack_response(pack_response(response)) == response


@given(
    parts=st.lists(st.lists(st.tuples(st.text(), st.integers()), max_size=3), max_size=4),
    cuts=st.lists(st.integers(0, 400), max_size=5),
)
def test_messages_arrive_whole_in_whatever_parts_they_are_read(
    parts: list[list[tuple[Any, ...]]], cuts: list[int]
) -> None:
    data, received, found = b"".join(map(framed, parts)), bytearray(), []
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(places):
        received += data[start:end]
        while (messages := unframed(received)) is not None:
            found.append(messages)
    assert found == parts
    assert received == b""
