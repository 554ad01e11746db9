"""Replicas as real Ray actors: they share the work, lose none of it when one dies, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

pytest.importorskip("ray")

from evalharness.config.schema import (
    Config,
    Device,
    EngineConfig,
    EngineKind,
    ModelConfig,
    RayConfig,
    Resume,
    SuiteConfig,
    TaskConfig,
    Variant,
)
from evalharness.engines import Engine, EngineInfo, RequestError, Weights, open_engine
from evalharness.engines.fake import FakeEngine
from evalharness.engines.replicas.cluster import Cluster
from evalharness.engines.requests import (
    GenerateRequest,
    SamplingParams,
    ScoreRequest,
)
from evalharness.errors import ConfigError, EngineError
from evalharness.runner.run import run
from evalharness.store.read import load_manifest

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOWHERE = Weights(path=Path("/"))


def fakes(**extra: Any) -> EngineConfig:
    return EngineConfig(
        kind=EngineKind.replicas, replica_kind=EngineKind.fake, num_replicas=2, extra=extra
    )


def prompt(number: int) -> GenerateRequest:
    return GenerateRequest(
        prompt_token_ids=(number, 2, 3), sampling=SamplingParams(max_gen_toks=20)
    )


def choices(number: int) -> ScoreRequest:
    return ScoreRequest(context_token_ids=(number, 2, 3), continuations=((4,), (5, 6)))


@dataclass
class Running:
    """Replicas and the loop they are used in."""

    engine: Any
    runner: asyncio.Runner

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @property
    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(place.pid) for place in self.engine.places]


def opened(config: EngineConfig, weights: Weights = NOWHERE) -> Iterator[Running]:
    with asyncio.Runner() as runner:
        engine = runner.run(open_engine(config, weights, RayConfig()))
        try:
            yield Running(engine, runner)
        finally:
            runner.run(engine.close())


@dataclass
class Finished:
    """What two replicas did from start to end, computed once for several tests."""

    answers: list[Any]
    num_taken: list[int]
    info: EngineInfo
    processes: set[psutil.Process]
    """All that were started."""
    handlers: list[Any]
    """Of signals, while they ran."""


@pytest.fixture(scope="module")
def finished() -> Finished:
    me = psutil.Process()
    before = set(me.children(recursive=True))
    for running in opened(fakes(fail_share=0.2)):
        result = Finished(
            answers=running(answers(running.engine, 50)),
            num_taken=[r.num_taken for r in running.engine._router._replicas.values()],
            info=running.engine.info,
            processes=set(me.children(recursive=True)) - before,
            handlers=[signal.getsignal(s) for s in SIGNALS],
        )
    return result


@pytest.fixture(scope="module")
def ray_runs() -> Iterator[None]:
    """Ray, started once: an engine joins what its process has. Tests that must start their own stand before those that
    use this."""
    cluster = Cluster.connect(RayConfig())
    yield
    cluster.close()


@pytest.fixture
def slow_fakes(ray_runs: None) -> Iterator[Running]:
    """A second for each request: long enough to die in between."""
    yield from opened(fakes(latency_s=1.0))


async def answers(engine: Engine, num_requests: int) -> list[Any]:
    calls = [engine.generate(prompt(n)) for n in range(num_requests)]
    calls += [engine.score(choices(n)) for n in range(num_requests)]  # type: ignore[misc]
    return await asyncio.gather(*calls, return_exceptions=True)


def test_answers_are_those_of_one_engine(finished: Finished) -> None:
    one = asyncio.run(answers(FakeEngine(fail_share=0.2), 50))
    assert [str(a) for a in finished.answers] == [str(a) for a in one]
    assert [type(a) for a in finished.answers] == [type(a) for a in one]
    assert any(isinstance(a, RequestError) for a in finished.answers)


def test_both_replicas_work(finished: Finished) -> None:
    assert sorted(finished.num_taken) == [50, 50]


def test_it_says_what_the_replicas_are_and_how_many(finished: Finished) -> None:
    assert finished.info == replace(FakeEngine().info, num_replicas=2)
    assert finished.info.numerics == FakeEngine().info.numerics


def test_no_process_is_left(finished: Finished) -> None:
    assert len(finished.processes) > 4
    _, alive = psutil.wait_procs(finished.processes, timeout=5)
    assert alive == []


def test_signals_stay_the_runs_own(finished: Finished) -> None:
    assert finished.handlers == [signal.getsignal(s) for s in SIGNALS]
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(SIGNALS)


def test_a_cluster_that_isnt_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"ray\.address: no Ray cluster at '127\.0\.0\.1:1'"):
        asyncio.run(open_engine(fakes(), NOWHERE, RayConfig(address="127.0.0.1:1")))


def test_a_killed_replica_loses_nothing(
    slow_fakes: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async def kill_one() -> list[Any]:
        waiting = asyncio.create_task(answers(slow_fakes.engine, 20))
        await asyncio.sleep(0.5)
        os.kill(slow_fakes.engine.places[0].pid, signal.SIGKILL)
        return await waiting

    got = slow_fakes(kill_one())
    assert [str(a) for a in got] == [
        str(a) for a in asyncio.run(answers(FakeEngine(latency_s=1.0), 20))
    ]
    assert slow_fakes.engine.info.num_lost == 1
    assert "replica 1 of 2" in caplog.text
    assert "20 requests go to the 1 left" in caplog.text


def test_when_all_are_killed_the_engine_is_dead(slow_fakes: Running) -> None:
    async def kill_all() -> list[Any]:
        waiting = asyncio.create_task(answers(slow_fakes.engine, 5))
        await asyncio.sleep(0.5)
        for place in slow_fakes.engine.places:
            os.kill(place.pid, signal.SIGKILL)
        return await waiting

    got = slow_fakes(kill_all())
    assert {type(a) for a in got} == {EngineError}
    assert "all 2 replicas died" in str(got[0])
    assert slow_fakes.engine.info.num_lost == 2


def test_an_engine_that_dies_inside_its_actor_is_a_lost_replica(ray_runs: None) -> None:
    for running in opened(fakes(die_after=15)):
        got = running(answers(running.engine, 10))
        assert not any(isinstance(a, Exception) for a in got)
        got = running(answers(running.engine, 10))
        assert any("as configured" in str(a) for a in got)


def test_what_an_actor_started_dies_with_it(slow_fakes: Running) -> None:
    actor = slow_fakes.processes[0]
    children = actor.children(recursive=True)
    assert children
    actor.kill()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_more_replicas_than_cores_are_refused_before_anything_loads(ray_runs: None) -> None:
    config = EngineConfig(kind=EngineKind.replicas, device=Device.cpu, num_replicas=1000)
    with pytest.raises(ConfigError, match=r"num_replicas: 1000 don't fit"):
        asyncio.run(open_engine(config, NOWHERE))


def test_a_bad_argument_is_shown_as_one_engine_shows_it(ray_runs: None) -> None:
    with pytest.raises(ConfigError, match=r"engine\.extra: .*no_such_argument"):
        asyncio.run(open_engine(fakes(no_such_argument=1), NOWHERE))


TASKS = {"arc_easy_sample": TaskConfig(limit=40), "weekday_arithmetic": TaskConfig(limit=20)}


def wait_for(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def config_of_run(checkpoint: Path, results_dir: Path, engine: EngineConfig) -> Config:
    return Config(
        model=ModelConfig(name="tiny", path=str(checkpoint), variant=Variant.instruct),
        engine=engine,
        suite=SuiteConfig(name="test", tasks=dict(TASKS)),
        results_dir=str(results_dir),
    )


def test_a_run_gives_the_numbers_of_one_engine_and_says_how_many(
    ray_runs: None, tiny_llama: Path, tmp_path: Path
) -> None:
    one = run(config_of_run(tiny_llama, tmp_path / "one", EngineConfig(kind=EngineKind.fake)))
    two = run(config_of_run(tiny_llama, tmp_path / "two", fakes()))
    assert two.manifest.status == "complete"
    assert two.metrics == one.metrics
    assert two.manifest.identity == one.manifest.identity
    assert two.manifest.engine["num_replicas"] == 2


def test_one_engine_reuses_what_replicas_answered(
    ray_runs: None, tiny_llama: Path, tmp_path: Path
) -> None:
    run(config_of_run(tiny_llama, tmp_path, fakes()))
    again = run(config_of_run(tiny_llama, tmp_path, EngineConfig(kind=EngineKind.fake)))
    assert all(t.num_reused == t.num_samples for t in again.manifest.tasks)


def kill_actors_when_there_is_a(journal: Path) -> None:
    wait_for(lambda: any(f.stat().st_size for f in journal.glob("*")))
    for process in psutil.Process().children(recursive=True):
        if process.name().startswith("ray::ReplicaActor"):
            process.kill()


def test_a_run_whose_replicas_all_died_is_partial_and_one_engine_completes_it(
    ray_runs: None, tiny_llama: Path, tmp_path: Path
) -> None:
    slow = fakes(latency_s=0.5)
    slow.max_in_flight = 2
    config = config_of_run(tiny_llama, tmp_path, slow)
    config.run.id = "cut"
    killer = threading.Thread(
        target=kill_actors_when_there_is_a, args=[tmp_path / "cut" / "journal"]
    )
    killer.start()
    cut = run(config)
    killer.join()
    assert cut.manifest.status == "partial"
    assert "all 2 replicas died; the last one: " in str(cut.manifest.reason)
    assert cut.manifest.engine["num_lost"] == 2

    config.engine.kind, config.run.resume = EngineKind.fake, Resume.must
    done = run(config)
    assert done.manifest.status == "complete"
    assert any(t.num_reused for t in done.manifest.tasks)


COMMAND = [sys.executable, "-m", "evalharness", "run", "suite=quick", "engine=replicas"]


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_ends_the_run_in_order(
    tiny_llama: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    """As a terminal's Ctrl-C and a batch system's end of time reach them."""
    process = subprocess.Popen(
        [
            *COMMAND,
            "model=smollm2-135m",
            f"model.path={tiny_llama}",
            "engine.replica_kind=fake",
            "engine.num_replicas=2",
            "engine.max_in_flight=2",
            "+engine.extra.latency_s=0.5",
            f"results_dir={tmp_path}",
            "run.id=cut",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    journal = tmp_path / "cut" / "journal"
    wait_for(lambda: process.poll() is not None or any(f.stat().st_size for f in journal.glob("*")))
    assert process.poll() is None, process.communicate()
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signum)
    process.communicate(timeout=60)
    manifest = load_manifest(tmp_path / "cut")
    assert (manifest.status, manifest.reason) == ("partial", "interrupted")
    assert process.returncode == 3
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_replicas_divide_the_cores_and_survive_a_kill(
    demo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two on the CPU: the same answers as from one, and the killed one's engine process goes with it."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two replicas need two cores")
    one = EngineConfig(device=Device.cpu, max_model_len=512, cpu_kv_cache_gib=2)
    two = replace(one, kind=EngineKind.replicas, num_replicas=2)
    words = [tuple(range(n, n + 70)) for n in range(100, 124)]

    async def score_all(engine: Engine) -> list[float]:
        requests = [
            ScoreRequest(context_token_ids=w, continuations=((900,), (901, 902))) for w in words
        ]
        scores = await asyncio.gather(*map(engine.score, requests))
        return [c.logprob for s in scores for c in s.continuations]

    async def with_one() -> list[float]:
        engine = await open_engine(one, Weights(path=demo))
        try:
            return await score_all(engine)
        finally:
            await engine.close()

    def engine_of(actor: psutil.Process) -> psutil.Process:
        (engine,) = [p for p in actor.children(recursive=True) if "EngineCore" in p.name()]
        return engine

    expected = asyncio.run(with_one())
    for running in opened(two, Weights(path=demo)):
        engines = [engine_of(actor) for actor in running.processes]
        cores = [set(engine.cpu_affinity()) for engine in engines]
        assert not cores[0] & cores[1]
        assert running(score_all(running.engine)) == pytest.approx(expected, abs=1e-4)

        async def score_and_kill(running: Running = running) -> list[float]:
            waiting = asyncio.create_task(score_all(running.engine))
            await asyncio.sleep(0.2)
            running.processes[0].kill()
            return await waiting

        assert running(score_and_kill()) == pytest.approx(expected, abs=1e-4)
        assert running.engine.info.num_lost == 1
        _, alive = psutil.wait_procs(engines[:1], timeout=10)
        assert alive == []
    _, alive = psutil.wait_procs(engines, timeout=10)
    assert alive == []
