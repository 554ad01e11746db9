"""`selfcheck`: run the same suite twice with different batch sizes, and show what differs.

The order in which a GPU (or CPU) adds numbers depends on what else is in the batch, and so do the last digits of every
log-likelihood, and now and then a token. The two are ordinary runs in `<results_dir>/.selfcheck`: they can be read and
resumed there, but neither leaderboards nor the reuse of responses see them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from evalharness.config.schema import Config
from evalharness.errors import ConfigError, EngineError
from evalharness.runner.run import (
    INTERRUPTED,
    Outcome,
    run,
)
from evalharness.stats.noise import (
    NoiseFloor,
    TaskNoise,
    noise_floor,
    task_noise,
)
from evalharness.store.read import iter_samples

FOLDER = ".selfcheck"
"""Folder under results_dir; a name with a dot is never a run's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selfcheck:
    """Two runs and what differs between them."""

    runs: tuple[Outcome, Outcome]
    batch_sizes: tuple[int, int]
    """Most sequences in one batch of each run."""
    tasks: tuple[TaskNoise, ...]
    floor: NoiseFloor


def selfcheck(config: Config, small: int) -> Selfcheck:
    """Run the suite as configured, and again with batches of at most `small`.

    Raises:
        UserError: something in the input is wrong, or the configured batches are no larger than `small`.
        EngineError: a run ended before all was answered.
        KeyboardInterrupt: a run was interrupted.
    """
    engine = config.engine
    large = min(engine.max_num_seqs or math.inf, engine.max_in_flight)
    if large <= small:
        raise ConfigError(
            f"selfcheck: engine.max_num_seqs and engine.max_in_flight allow batches of {large:g}, and the "
            f"second run uses {small}; the first must be larger"
        )
    sizes = (int(large), small)
    alone = replace(engine, max_num_seqs=small, max_in_flight=small)
    first = _run(replace(config, engine=engine), sizes[0])
    second = _run(replace(config, engine=alone), sizes[1])
    tasks = _compare(first, second)
    return Selfcheck(runs=(first, second), batch_sizes=sizes, tasks=tasks, floor=noise_floor(tasks))


def _run(config: Config, size: int) -> Outcome:
    """Do one of the two runs; it never reuses responses."""
    own_id = f"{config.run.id}-batch-{size}" if config.run.id else None
    outcome = run(
        replace(
            config,
            run=replace(config.run, id=own_id, reuse=False),
            results_dir=str(Path(config.results_dir) / FOLDER),
        )
    )
    manifest = outcome.manifest
    if manifest.reason == INTERRUPTED:
        raise KeyboardInterrupt
    if any(task.status == "partial" for task in manifest.tasks):
        raise EngineError(
            f"selfcheck: run {manifest.run_id} is {manifest.status}: {manifest.reason}; "
            "the same command continues where it ended"
        )
    return outcome


def _compare(first: Outcome, second: Outcome) -> tuple[TaskNoise, ...]:
    values = {m.task: m.value for m in second.metrics if m.is_main}
    mains = {m.task: m for m in first.metrics if m.is_main}
    return tuple(
        task_noise(
            iter_samples(first.run_dir, name),
            iter_samples(second.run_dir, name),
            task=name,
            metric=mains[name].metric,
            filter_=mains[name].filter,
            values=(mains[name].value, values[name]),
        )
        for name in (task.task for task in first.manifest.tasks)
    )
