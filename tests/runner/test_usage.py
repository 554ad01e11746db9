"""What GPUs draw is split between the tasks in flight; the tasks together are the run less its loading."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.config.schema import (
    Config,
    CostConfig,
    EngineConfig,
    EngineKind,
    ModelConfig,
    SuiteConfig,
    TaskConfig,
)
from evalharness.engines import EngineInfo, fake
from evalharness.runner import usage
from evalharness.runner.run import run
from evalharness.runner.usage import (
    GIB,
    Load,
    Meter,
    Usage,
    num_gpus,
)


@dataclass
class Box:
    """A clock, and GPUs that draw 100 W each while it goes."""

    now: float = 0.0
    memory_gib: float = 10.0
    is_silent: bool = False
    has_counter: bool = True

    def clock(self) -> float:
        return self.now


@dataclass
class FakeGpu:
    box: Box

    def energy_j(self) -> float | None:
        if self.box.is_silent or not self.box.has_counter:
            return None
        return 5000.0 + 100.0 * self.box.now

    def used_bytes(self) -> int | None:
        return int(self.box.memory_gib * GIB)


@dataclass
class Bench:
    """A meter over tasks a and b on that box."""

    count: int = 1
    box: Box = field(default_factory=Box)

    def __post_init__(self) -> None:
        self.a, self.b = Load(self.box.clock), Load(self.box.clock)
        gpus = [FakeGpu(self.box) for _ in range(self.count)]
        self.meter = Meter({"a": self.a, "b": self.b}, gpus, self.box.clock)

    def after(self, seconds: float) -> None:
        self.box.now += seconds


def test_loading_is_the_runs_alone() -> None:
    bench = Bench()
    bench.after(30)
    bench.meter.begin(1)
    assert (bench.meter.loading.gpu_s, bench.meter.loading.energy_j) == (30.0, 3000.0)
    assert bench.meter.run == bench.meter.loading
    bench.meter.end()
    assert bench.meter.tasks["a"] == Usage()


def test_a_tick_is_split_by_samples_in_flight() -> None:
    bench = Bench()
    bench.meter.begin(1)
    with bench.a, bench.b, bench.b, bench.b:
        bench.after(1)
        bench.meter.tick()
    assert bench.meter.tasks["a"].energy_j == pytest.approx(25)
    assert bench.meter.tasks["b"].energy_j == pytest.approx(75)
    assert bench.meter.tasks["b"].gpu_s == pytest.approx(0.75)


def test_what_was_in_flight_between_two_ticks_counts() -> None:
    bench = Bench()
    bench.meter.begin(1)
    with bench.a:
        bench.after(0.2)
    with bench.b:
        bench.after(0.6)
    bench.after(0.2)  # nothing in flight at the tick itself
    bench.meter.tick()
    assert bench.meter.tasks["a"].energy_j == pytest.approx(25)
    assert bench.meter.tasks["b"].energy_j == pytest.approx(75)


def test_the_tasks_are_the_run_less_its_loading() -> None:
    bench = Bench(count=2)
    bench.after(20)
    bench.meter.begin(2)
    bench.after(3)
    bench.meter.tick()  # prompts are still being built
    with bench.a:
        bench.after(2)
        with bench.b:
            bench.after(5)
            bench.meter.tick()
    bench.after(4)  # scored, with nothing in flight
    bench.meter.end()
    tasks, run, loading = bench.meter.tasks, bench.meter.run, bench.meter.loading
    assert run.energy_j == pytest.approx(2 * 100 * 34)
    assert run.gpu_s == pytest.approx(2 * 34)
    assert loading.energy_j is not None
    energy = sum(task.energy_j or 0.0 for task in tasks.values())
    assert energy + loading.energy_j == pytest.approx(run.energy_j)
    assert sum(t.gpu_s for t in tasks.values()) + loading.gpu_s == pytest.approx(run.gpu_s)


def test_the_peak_is_of_all_gpus_together_while_a_task_ran() -> None:
    bench = Bench(count=2)
    bench.meter.begin(2)
    with bench.a:
        bench.after(1)
        bench.meter.tick()
    bench.box.memory_gib = 40.0
    with bench.b:
        bench.after(1)
        bench.meter.tick()
    bench.box.memory_gib = 1.0
    peaks = [bench.meter.tasks[name].peak_gpu_memory_gib for name in "ab"]
    assert peaks == [20.0, 80.0]
    assert bench.meter.run.peak_gpu_memory_gib == 80.0


def test_only_the_gpus_that_are_used_count() -> None:
    bench = Bench(count=4)
    bench.after(10)
    bench.meter.begin(1)
    assert bench.meter.run.energy_j == pytest.approx(1000)


def test_gpus_of_another_machine_leave_energy_unknown_but_cost_known() -> None:
    bench = Bench(count=1)
    bench.after(1800)
    bench.meter.begin(8)
    assert bench.meter.run.energy_j is None
    assert bench.meter.run.cost_usd(2.5) == pytest.approx(10.0)


def test_without_a_counter_energy_is_null_not_zero() -> None:
    bench = Bench(box=Box(has_counter=False))
    bench.meter.begin(1)
    with bench.a:
        bench.after(1)
        bench.meter.tick()
    assert bench.meter.run.energy_j is None
    assert bench.meter.tasks["a"].energy_j is None
    assert bench.meter.tasks["a"].peak_gpu_memory_gib == 10.0


def test_a_reading_that_failed_is_made_up_by_the_next() -> None:
    bench = Bench()
    bench.meter.begin(1)
    with bench.a:
        bench.after(1)
        bench.box.is_silent = True
        bench.meter.tick()
        bench.after(1)
        bench.box.is_silent = False
        bench.meter.tick()
    assert bench.meter.tasks["a"].energy_j == pytest.approx(200)


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="a driver is here")
def test_on_a_machine_without_a_driver_everything_is_null() -> None:
    async def work() -> Meter:
        load = Load()
        meter = Meter({"a": load})
        meter.begin(0)
        async with meter.serving():
            with load:
                await asyncio.sleep(0.01)
        return meter

    meter = asyncio.run(work())
    assert meter.run == Usage() == meter.tasks["a"]
    assert meter.run.cost_usd(2.0) is None


def test_it_ticks_by_itself_and_stops_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "TICK_S", 0.005)

    async def work() -> Meter:
        box = Box()
        load = Load(box.clock)
        meter = Meter({"a": load}, [FakeGpu(box)], box.clock)
        meter.begin(1)
        async with meter.serving():
            with load:
                box.now, box.memory_gib = 1.0, 30.0
                await asyncio.sleep(0.05)
            box.memory_gib = 1.0
        assert len(asyncio.all_tasks()) == 1
        return meter

    meter = asyncio.run(work())
    assert meter.tasks["a"] == Usage(1.0, 100.0, 30.0)


@pytest.mark.parametrize(
    ("info", "config", "expected"),
    [
        ({}, {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, 8),
        ({"num_replicas": 3}, {"tensor_parallel_size": 2}, 6),
        ({"kind": "hf"}, {"kind": EngineKind.hf, "tensor_parallel_size": 4}, 1),
        ({"device": "cpu"}, {}, 0),
        ({"endpoint": "http://x"}, {}, 0),
    ],
)
def test_gpus_that_an_engine_uses(
    info: dict[str, object], config: dict[str, Any], expected: int
) -> None:
    base: dict[str, object] = {"kind": "vllm", "version": "", "device": "gpu", "dtype": ""}
    base |= {"quantization": None, "max_model_len": 1}
    assert num_gpus(EngineInfo(**base | info), EngineConfig(**config)) == expected


class OnGpu(fake.FakeEngine):
    """Says that it runs on a GPU."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.info = replace(self.info, device="gpu")


@dataclass
class ClockGpu:
    """100 W for as long as the process lives."""

    def energy_j(self) -> float:
        return 100.0 * time.perf_counter()

    def used_bytes(self) -> int:
        return 3 * GIB


def run_config(checkpoint: Path, results_dir: Path) -> Config:
    return Config(
        model=ModelConfig(name="tiny", path=str(checkpoint)),
        engine=EngineConfig(kind=EngineKind.fake, max_in_flight=2, extra={"latency_s": 0.005}),
        suite=SuiteConfig(
            name="s",
            tasks={
                "arc_easy_sample": TaskConfig(limit=6),
                "weekday_arithmetic": TaskConfig(limit=6, num_fewshot=0),
            },
        ),
        cost=CostConfig(usd_per_gpu_hour=3600.0),
        results_dir=str(results_dir),
    )


def test_a_runs_manifest_has_what_its_gpus_drew(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "FakeEngine", OnGpu)
    monkeypatch.setattr(usage, "visible_gpus", lambda: [ClockGpu(), ClockGpu()])
    manifest = run(run_config(tiny_llama, tmp_path)).manifest
    assert manifest.num_gpus == 1
    assert manifest.peak_gpu_memory_gib == 3.0
    assert manifest.energy_j is not None
    assert manifest.load_energy_j is not None
    assert manifest.cost_usd == pytest.approx(manifest.energy_j / 100, rel=0.01)  # $1 a second
    tasks = [task.energy_j or 0.0 for task in manifest.tasks]
    assert min(tasks) > 0
    assert sum(tasks) == pytest.approx(manifest.energy_j - manifest.load_energy_j)


def test_a_run_without_gpus_has_nulls_though_it_has_a_price(
    tiny_llama: Path, tmp_path: Path
) -> None:
    manifest = run(run_config(tiny_llama, tmp_path)).manifest
    assert (manifest.num_gpus, manifest.energy_j, manifest.cost_usd) == (0, None, None)
    assert 0 < (manifest.serve_s or 0) < (manifest.wall_s or 0)
    assert {task.energy_j for task in manifest.tasks} == {None}
