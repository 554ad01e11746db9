"""What a run uses: GPU energy and memory, split between the tasks in flight, and what it costs.

The GPUs' energy counters are read about once a second. The difference is split between the tasks in proportion to their
samples in flight in that time, so that the tasks add up to the run without its loading. Null means not measured: on
CPUs, without a driver, on GPUs of other machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from evalharness.config.schema import EngineConfig
from evalharness.engines import EngineInfo, describe
from evalharness.engines.gpus import (
    Gpu,
    visible_gpus,
)
from evalharness.store.records import TaskSummary

TICK_S = 1.0
GIB = 2**30
Clock = Callable[[], float]


def num_gpus(info: EngineInfo, config: EngineConfig) -> int:
    """GPUs that a running engine uses; 0 on a CPU and for an endpoint, whose GPUs aren't ours."""
    if info.device != "gpu" or info.endpoint:
        return 0
    if describe(config).takes_one_gpu:
        return info.num_replicas
    return config.tensor_parallel_size * config.pipeline_parallel_size * info.num_replicas


@dataclass(slots=True)
class Load:
    """Sample-seconds of a task: its samples in flight, over time. A context manager around each sample."""

    clock: Clock = time.perf_counter
    _num: int = 0
    _since: float = 0.0
    _total: float = 0.0

    def __enter__(self) -> None:
        """Count a sample as in flight."""
        self._total, self._since = self.total(), self.clock()
        self._num += 1

    def __exit__(self, *exc_info: object) -> None:
        """Count it as finished or failed."""
        self._total, self._since = self.total(), self.clock()
        self._num -= 1

    def total(self) -> float:
        """Sample-seconds up to now."""
        return self._total + self._num * (self.clock() - self._since)


@dataclass(slots=True)
class Usage:
    """What was used by a task or by the run."""

    gpu_s: float = 0.0
    """GPUs x seconds."""
    energy_j: float | None = None
    peak_gpu_memory_gib: float | None = None
    """Peak over the GPUs together, by any process."""

    def add(self, more: Usage) -> None:
        """Add what was used since."""
        self.gpu_s += more.gpu_s
        if more.energy_j is not None:
            self.energy_j = (self.energy_j or 0.0) + more.energy_j
        if more.peak_gpu_memory_gib is not None:
            self.peak_gpu_memory_gib = max(
                self.peak_gpu_memory_gib or 0.0, more.peak_gpu_memory_gib
            )

    def times(self, share: float) -> Usage:
        """A share of it; memory isn't divided."""
        energy_j = None if self.energy_j is None else share * self.energy_j
        return Usage(share * self.gpu_s, energy_j, self.peak_gpu_memory_gib)

    def cost_usd(self, usd_per_gpu_hour: float | None) -> float | None:
        """The cost; None without a price or without a GPU."""
        if usd_per_gpu_hour is None or not self.gpu_s:
            return None
        return self.gpu_s / 3600 * usd_per_gpu_hour


class _Reading(NamedTuple):
    at: float
    energy_j: float | None
    memory_gib: float | None


class Meter:
    """Reads the GPUs from its creation on; from `begin` on, usage is split between the tasks."""

    def __init__(
        self,
        loads: Mapping[str, Load],
        gpus: Sequence[Gpu] | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        """The engine is about to be loaded.

        Args:
            loads: task -> its samples in flight.
            gpus: of this process, in the engine's order; None: asks the driver.
            clock: seconds.
        """
        self.run, self.loading = Usage(), Usage()
        """`loading` is the part of `run` before `begin`."""
        self.tasks = {name: Usage() for name in loads}
        self.num_gpus = 0
        self.serve_s: float | None = None
        """The total of `serving`; None before its end."""
        self._began = 0.0
        self._loads, self._clock = loads, clock
        self._visible: Sequence[Gpu] = visible_gpus() if gpus is None else gpus
        self._gpus: Sequence[Gpu] = ()
        self._started = [self._read([gpu]) for gpu in self._visible]
        self._last = self._read([])
        self._served = dict.fromkeys(loads, 0.0)
        self._open = Usage()
        """Used while nothing was in flight; added to the next tick that has something in flight."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Samples are served: tick until the block ends. An engine may be loaded before it or in it, or not at all."""
        if not self._began:
            self._began = self._clock()
        ticker = asyncio.create_task(self._tick_on())
        try:
            yield
        finally:
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticker
            self.end()

    def begin(self, num_gpus: int) -> None:
        """End of loading: the engine is on the first `num_gpus` GPUs."""
        self.num_gpus = num_gpus
        # Not all are here: the others are on another machine, and a part would be taken for the whole.
        is_here = 0 < num_gpus <= len(self._visible)
        self._gpus = self._visible[:num_gpus] if is_here else ()
        energies = [reading.energy_j for reading in self._started[:num_gpus]]
        self._last = _Reading(self._last.at, _sum(energies) if is_here else None, None)
        drawn = self._draw()
        self.run.add(drawn)
        self.loading.add(drawn)
        self._began = self._last.at
        self._served = {name: load.total() for name, load in self._loads.items()}

    def tick(self) -> None:
        """Split what was used since the last tick."""
        drawn = self._draw()
        self.run.add(drawn)
        self._open.add(drawn)
        totals = {name: load.total() for name, load in self._loads.items()}
        served = {name: total - self._served[name] for name, total in totals.items()}
        if (whole := sum(served.values())) > 0:
            self._served = totals
            self._share({name: part / whole for name, part in served.items() if part > 0})

    def end(self) -> None:
        """The last tick; usage after the last sample is split in proportion to earlier usage."""
        self.tick()
        self.serve_s = self._last.at - self._began
        whole = sum(usage.gpu_s for usage in self.tasks.values())
        if whole:
            self._share({name: usage.gpu_s / whole for name, usage in self.tasks.items()})

    def _share(self, shares: Mapping[str, float]) -> None:
        drawn, self._open = self._open, Usage()
        for name, share in shares.items():
            self.tasks[name].add(drawn.times(share))

    def _draw(self) -> Usage:
        """What was used since the last reading."""
        before, now = self._last, self._read(self._gpus)
        if now.energy_j is None:
            # The counter only grows: the next reading includes what a failed one misses.
            now = now._replace(energy_j=before.energy_j)
        self._last = now
        known = None not in (before.energy_j, now.energy_j)
        return Usage(
            gpu_s=self.num_gpus * (now.at - before.at),
            energy_j=(now.energy_j or 0.0) - (before.energy_j or 0.0) if known else None,
            peak_gpu_memory_gib=now.memory_gib,
        )

    def _read(self, gpus: Sequence[Gpu]) -> _Reading:
        size = _sum([gpu.used_bytes() for gpu in gpus])
        return _Reading(
            self._clock(),
            _sum([gpu.energy_j() for gpu in gpus]),
            None if size is None else size / GIB,
        )

    def on_task(self, summary: TaskSummary, usd_per_gpu_hour: float | None) -> TaskSummary:
        """The task's summary with its share."""
        usage = self.tasks[summary.task]
        return replace(
            summary,
            energy_j=usage.energy_j,
            peak_gpu_memory_gib=usage.peak_gpu_memory_gib,
            cost_usd=usage.cost_usd(usd_per_gpu_hour),
        )

    def of_run(self, usd_per_gpu_hour: float | None) -> dict[str, float | None]:
        """The manifest's fields about it."""
        return {
            "serve_s": self.serve_s,
            "num_gpus": self.num_gpus,
            "energy_j": self.run.energy_j,
            "load_energy_j": self.loading.energy_j,
            "peak_gpu_memory_gib": self.run.peak_gpu_memory_gib,
            "cost_usd": self.run.cost_usd(usd_per_gpu_hour),
        }

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()


def _sum(values: Sequence[float | None]) -> float | None:
    """None when there are none, or one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
