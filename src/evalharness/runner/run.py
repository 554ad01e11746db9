"""One run, from its configuration to its table: prepare -> execute -> score -> finish.

Everything that can be wrong with the input is found in `prepare`, before any weights are loaded and before a folder is
made. From then on nothing is lost: responses go to the journal, finished tasks to the store, and an early end (an
interruption, a dead engine) leaves the run `partial` with its reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from evalharness.checkpoint import fetching
from evalharness.config.schema import (
    Config,
)
from evalharness.engines import Engine, describe, open_engine
from evalharness.engines.loading import LoadingPhase
from evalharness.engines.requests import Failure
from evalharness.errors import EngineError, WriteError
from evalharness.runner.execute import (
    Ahead,
    Sender,
    TaskProgress,
    all_samples,
    execute,
)
from evalharness.runner.feeder import Engaged
from evalharness.runner.feeders import Feeders, may_be_fed, num_feeders
from evalharness.runner.finish import FinishedTask, Finisher
from evalharness.runner.group_scores import score_groups
from evalharness.runner.journal import FLUSH_EVERY_S, Journal
from evalharness.runner.lazy_engine import (
    DeferredEngine,
    known_info,
)
from evalharness.runner.manifest import (
    begin_manifest,
    describe_task,
    now,
    what_failed,
)
from evalharness.runner.prepare import (
    Prepared,
    prepare,
)
from evalharness.runner.progress import (
    Bars,
    captured_output,
    log_to_capture,
)
from evalharness.runner.response_cache import Responses
from evalharness.runner.response_index import add as add_to_index
from evalharness.runner.resume import (
    open_run,
    request_identity,
    stored_responses,
)
from evalharness.runner.samples import Sample
from evalharness.runner.score import (
    TaskScores,
)
from evalharness.runner.signals import (
    InterruptedRunError,
    at_the_latest,
    interruptible,
    until_interrupted,
)
from evalharness.runner.usage import (
    Meter,
    num_gpus,
)
from evalharness.stats.composite import score_composite
from evalharness.store import layout
from evalharness.store.records import (
    Manifest,
    MetricRecord,
)
from evalharness.store.write import RunWriter
from evalharness.tasks import user_code
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.user_code import Bounds, UserCodeError

logger = logging.getLogger(__name__)


INTERRUPTED = "interrupted"
"""The reason of a run that was ended by Ctrl-C or SIGTERM."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind."""

    manifest: Manifest
    metrics: list[MetricRecord]
    run_dir: Path


def run(config: Config) -> Outcome:
    """Evaluate one checkpoint on one suite.

    Raises:
        UserError: something in the input is wrong; nothing was run and nothing written.
        EngineError: the engine didn't start; the run's folder says so.
        WriteError: the disk is full or failed; the run is partial, and its folder says so if it could be written.
    """
    started, started_at = time.perf_counter(), now()
    with (
        captured_output() as capture,
        log_to_capture(),
        Bars(capture.console) as bars,
        interruptible(capture.console.file),
    ):
        with bars.step(
            f"preparing {config.model.name} and suite {config.suite.name}", fetching.how_far
        ):
            prepared = prepare(config)
        for name, why in prepared.suite.broken:
            # At once, not only in the table: whoever started a long run may want to fix it first.
            line = f"warning: {name} is left out: {why}"
            capture.console.print(line, markup=False, highlight=False, soft_wrap=True)
        for remark in prepared.remarks:
            line = f"warning: {remark}"
            capture.console.print(line, markup=False, highlight=False, soft_wrap=True)
        manifest = begin_manifest(prepared, started_at)
        writer = open_run(prepared, manifest, OmegaConf.to_yaml(config))
        try:
            capture.move_to(writer.run_dir / layout.LOG)
            outcome = _Execution(prepared, writer, bars, started).run()
            with contextlib.suppress(OSError):  # the next run does it
                add_to_index(writer.run_dir.parent, [writer.run_dir.name])
            return outcome
        finally:
            writer.release()


class _Execution:
    """A prepared run in progress, with what its steps share."""

    def __init__(
        self,
        prepared: Prepared,
        writer: RunWriter,
        bars: Bars,
        started: float,
    ) -> None:
        self.prepared, self.writer, self.bars = prepared, writer, bars
        self.started = started
        self.tasks = [TaskProgress(task) for task in prepared.suite.tasks]
        self.meter = Meter({task.loaded.name: task.load for task in self.tasks})
        self.lm: EngineLM | None = None
        self.finisher = Finisher(prepared.config, writer)
        self.finished: dict[str, FinishedTask] = {}
        self.feeders = self._begin_feeders()

    def run(self) -> Outcome:
        """Execute; the manifest records how it ended."""
        try:
            with at_the_latest(self._end_by_force):
                return self._run_to_the_end()
        finally:
            if self.feeders is not None:
                self.feeders.close()

    def _begin_feeders(self) -> Feeders | None:
        """The feeders, if there are to be any; forked before the engine and the event loop are there."""
        config, fed = self.prepared.config, [t for t in self.tasks if may_be_fed(t)]
        num = num_feeders(config.run.feeders, self.tasks)
        if num == 0:
            return None
        return Feeders(
            fed,
            num,
            self._make_lm,
            self.prepared.prompting,
            lambda writer: Finisher(config, writer),
            self.writer,
        )

    def _run_to_the_end(self) -> Outcome:
        try:
            return self._finish(self._execute_all())
        except (InterruptedRunError, KeyboardInterrupt):
            self._end("partial", INTERRUPTED)
            raise KeyboardInterrupt from None
        except EngineError as e:
            self._end("failed", str(e))
            raise
        except WriteError as e:
            with contextlib.suppress(WriteError):
                self._end("partial", str(e))
            raise
        except BaseException as e:
            self._end("failed", f"{type(e).__name__}: {e}")
            raise
        finally:
            self.finisher.discard()

    def _execute_all(self) -> str | None:
        """Why it ended early, if it did so after the engine had started."""
        try:
            asyncio.run(self._run())
        except EngineError as e:
            if self.writer.manifest.load_s is None:
                raise
            return str(e)
        except (InterruptedRunError, KeyboardInterrupt, asyncio.CancelledError):
            user_code.allow()  # aggregations of the finished samples
            return INTERRUPTED
        return None

    async def _run(self) -> None:
        prepared = self.prepared
        folder = self.writer.run_dir / layout.JOURNAL
        with stored_responses(prepared, self.writer.run_dir) as responses:
            lm = self.lm = self._make_lm()
            ahead = Ahead(all_samples(self._own_tasks(), lm, prepared.prompting))
            try:
                engine = await self._open_engine(has_responses=len(responses) > 0)
            except BaseException:
                lm.give_up()
                await ahead.close()
                raise
            try:
                lm.fit_to(engine.info.max_model_len, engine.info.min_room)
                async with Journal(folder) as journal:
                    sender = Sender(
                        engine, journal, request_identity(prepared, engine.info), responses
                    )
                    async with self.meter.serving():
                        await until_interrupted(self._execute(engine, sender, ahead))
            finally:
                await ahead.close()
                await engine.close()
                with contextlib.suppress(WriteError):  # the user sees what failed first
                    self._update(engine=asdict(engine.info))  # replicas may have been lost

    async def _open_engine(self, *, has_responses: bool) -> Engine:
        """The engine; loaded by its first request if all may be answered already."""
        config = self.prepared.config
        # A server may have other weights under the same name by now, and asking it is cheap.
        may_defer = has_responses and not describe(config.engine).is_remote
        known = None
        if may_defer:
            length = self.prepared.max_model_len
            known = known_info(Path(config.results_dir), self.writer.manifest, length)
        return DeferredEngine(known, self._load) if known else await self._load()

    async def _load(self) -> Engine:
        config, started = self.prepared.config, time.perf_counter()
        with self.bars.step(f"loading {config.model.name}", LoadingPhase()):
            engine_config = replace(config.engine, max_model_len=self.prepared.max_model_len)
            engine = await open_engine(engine_config, self.prepared.weights, config.ray)
        self.meter.begin(num_gpus(engine.info, config.engine))
        self._update(load_s=time.perf_counter() - started, engine=asdict(engine.info))
        return engine

    def _make_lm(self) -> EngineLM:
        prepared = self.prepared
        return EngineLM(
            prepared.tokenizer,
            None,
            model=prepared.config.model,
            sampling=prepared.config.sampling,
            truncation=prepared.config.run.truncation,
            rolling_as_lm_eval=prepared.config.run.rolling_as_lm_eval,
            template_day=self.writer.manifest.template_date,
        )

    async def _execute(
        self, engine: Engine, sender: Sender, ahead: Ahead[tuple[TaskProgress, Sample]]
    ) -> None:
        prepared, lm = self.prepared, self.lm
        assert lm is not None
        self.bars.begin(sum(task.num_expected for task in self.tasks))
        max_in_flight = prepared.config.engine.max_in_flight * engine.info.num_replicas

        async def run_here(tasks: Sequence[TaskProgress], ahead: Any, sender: Sender) -> None:
            await execute(
                tasks,
                lm,
                sender,
                prepared.prompting,
                max_in_flight=max_in_flight,
                on_sample=self._record,
                ahead=ahead,
            )

        if self.feeders is None:
            return await run_here(self.tasks, ahead, sender)
        engaged = Engaged(
            engine.info.max_model_len, engine.info.min_room, sender.identity, max_in_flight
        )
        try:
            async with asyncio.TaskGroup() as group:
                fed = group.create_task(
                    self.feeders.run(sender, engaged, self._advance, self._keep)
                )
                group.create_task(run_here(self._own_tasks(), ahead, sender))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if lost := fed.result():
            await self._do_again(lost, sender, run_here)

    async def _do_again(self, lost: Sequence[TaskProgress], sender: Sender, run_here: Any) -> None:
        """Tasks of feeders that have ended: their answers are in the journal."""
        assert self.feeders is not None
        names = ", ".join(task.loaded.name for task in lost)
        remark = f"{self.feeders.num_lost} of the run's processes ended early; done again: {names}"
        self._update(remarks=(*self.writer.manifest.remarks, remark))
        self.writer.remove_leftovers()
        for task in lost:
            task.num_done = 0
            self._advance(task, is_computed=False)
        folder = self.writer.run_dir / layout.JOURNAL
        await asyncio.sleep(2 * FLUSH_EVERY_S)
        with Responses([folder], own=folder) as responses:
            again = replace(sender, responses=responses)
            await run_here(lost, None, again)

    def _own_tasks(self) -> list[TaskProgress]:
        """The tasks that this process does itself."""
        return [t for t in self.tasks if self.feeders is None or not may_be_fed(t)]

    def _advance(self, task: TaskProgress, is_computed: bool) -> None:
        self.bars.advance(
            task.loaded.name, task.num_done, task.num_expected, is_computed=is_computed
        )

    def _record(self, task: TaskProgress, sample: Sample) -> None:
        """Score and store a finished sample, and with its last one the task."""
        self.finisher.add(task, sample)
        self._advance(
            task, any(isinstance(r, Failure) or not r.is_reused for r in sample.responses)
        )
        if task.is_done:
            self._finish_task(task)

    def _finish_task(self, task: TaskProgress) -> None:
        self._keep(self.finisher.finish(task, self.lm))

    def _keep(self, finished: FinishedTask) -> None:
        self.finished[finished.summary.task] = finished
        logger.info(describe_task(finished.summary, finished.scores.metrics))

    def _finish(self, reason: str | None) -> Outcome:
        for task in self.tasks:
            if task.loaded.name not in self.finished:
                self._finish_task(task)
        # By task, not by which ended first, so that the same run gives the same file twice.
        finished = [self.finished[task.loaded.name] for task in self.tasks]
        metrics = [m for task in finished for m in task.scores.metrics]
        ok = {f.summary.task: f.scores for f in finished if f.summary.status != "failed"}
        metrics += self._score_groups(ok)
        if composite := self.prepared.config.suite.composite:
            metrics.append(score_composite(composite, metrics))
        self.writer.write_metrics(metrics)
        if curves := [point for task in finished for point in task.curves]:
            self.writer.write_curves(curves)
        bad = [f.summary for f in self.finished.values() if f.summary.status != "complete"]
        left_out = self.writer.manifest.left_out
        if reason is None and (bad or left_out):
            reasons = [f"{s.task} is {s.status}: {what_failed(s)}" for s in bad]
            reasons += [f"{name} is left out: {why}" for name, why in left_out.items()]
            reason = "; ".join(reasons[:3])
        is_partial = bool(bad or left_out)
        self._end("partial" if is_partial else "complete", reason if is_partial else None)
        return Outcome(self.writer.manifest, metrics, self.writer.run_dir)

    def _score_groups(self, scores: Mapping[str, TaskScores]) -> list[MetricRecord]:
        suite = self.prepared.suite
        try:
            with Bounds().contain("a group's aggregation"):
                return score_groups(suite.groups, suite.tasks, scores)
        except UserCodeError as e:
            remark = f"groups have no scores: {e}"
            self._update(remarks=(*self.writer.manifest.remarks, remark))
            return []

    def _end(self, status: str, reason: str | None) -> None:
        logger.info(
            "run %s is %s%s", self.writer.manifest.run_id, status, f": {reason}" * bool(reason)
        )
        names = [task.loaded.name for task in self.tasks if task.loaded.name in self.finished]
        price = self.prepared.config.cost.usd_per_gpu_hour
        self._update(
            status=status,
            reason=reason,
            tasks=tuple(self.meter.on_task(self.finished[name].summary, price) for name in names),
            **self.meter.of_run(price),
            finished_at=now(),
            wall_s=time.perf_counter() - self.started,
        )

    def _end_by_force(self) -> None:
        """Record what is finished, from any thread: the main one may never return."""
        if self.writer.manifest.status == "running":
            finished = list(self.finished.values())
            self.writer.write_metrics([m for task in finished for m in task.scores.metrics])
            self._end("partial", INTERRUPTED)

    def _update(self, **changes: Any) -> None:
        self.writer.update(replace(self.writer.manifest, **changes))
