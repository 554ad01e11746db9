"""One run, from its configuration to its table: prepare -> execute -> score -> finish.

Everything that can be wrong with the input is found in `prepare`, before any weights are loaded and before a folder is
made. From then on nothing is lost: responses go to the journal, finished tasks to the store, and whatever ends the run
(an interruption, a dead engine) leaves it `partial` with its reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from evalharness import checkpoint
from evalharness.checkpoint import CheckpointInfo
from evalharness.config import Config, Device, EngineKind, Variant
from evalharness.engines import Engine, EngineInfo, Weights, open_engine, resolve_device
from evalharness.errors import CheckpointError, EngineError, StoreError
from evalharness.records import Failure, Generation, Manifest, MetricRecord, TaskSummary
from evalharness.running import environment
from evalharness.running.building import Prompting
from evalharness.running.executing import Sender, TaskProgress, execute
from evalharness.running.journal import Journal
from evalharness.running.scoring import TaskScores, no_metric, score_groups, score_task
from evalharness.running.terminal import Bars, Capture, captured_output
from evalharness.store import layout
from evalharness.store.write import RunWriter
from evalharness.tasks.lm import EngineLM
from evalharness.tasks.loading import LoadedSuite, LoadedTask, load_suite
from evalharness.tasks.mirror import go_offline

logger = logging.getLogger(__name__)


INTERRUPTED = "interrupted"
"""The reason of a run that Ctrl-C or SIGTERM ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind."""

    manifest: Manifest
    metrics: list[MetricRecord]
    run_dir: Path


@dataclass(slots=True)
class Prepared:
    """A run whose input is right."""

    config: Config
    weights: Weights
    info: CheckpointInfo
    tokenizer: Any
    suite: LoadedSuite
    prompting: Prompting
    max_model_len: int | None
    """What the engine is asked for; None leaves it the choice."""


class InterruptedRunError(Exception):
    """Ctrl-C or SIGTERM."""


def run(config: Config) -> Outcome:
    """Evaluate one checkpoint on one suite.

    Raises:
        UserError: something in the input is wrong; nothing was run and nothing written.
        EngineError: the engine didn't start; the run's folder says so.
    """
    started = time.perf_counter()
    with (
        captured_output() as capture,
        _logging(),
        Bars(capture.console) as bars,
        _interruptible(),
    ):
        with bars.step(f"preparing {config.model.name} and suite {config.suite.name}"):
            prepared = prepare(config)
        manifest = _manifest(prepared)
        writer = RunWriter.create(Path(config.results_dir), manifest, OmegaConf.to_yaml(config))
        capture.move_to(writer.run_dir / layout.LOG)
        return _Execution(prepared, writer, capture, bars, started).run()


def prepare(config: Config) -> Prepared:
    """Find and check everything a run needs, in the order of what is cheapest to find wrong."""
    if config.data.offline or config.data.mirror:
        go_offline()
    _check_results(Path(config.results_dir), config.run.id)
    offline = config.data.offline
    path = checkpoint.resolve(config.model, offline)
    adapter = checkpoint.resolve_adapter(config.model, offline)
    info = checkpoint.inspect(path, allow_pickle=config.model.allow_pickle)
    if adapter:
        info = checkpoint.with_adapter(info, checkpoint.inspect_adapter(adapter))
    weights = Weights(
        path=path,
        adapter=adapter,
        is_text_only=config.model.is_text_only,
        trust_remote_code=config.model.trust_remote_code,
        allow_pickle=config.model.allow_pickle,
    )
    max_model_len = _check_fit(config, info)
    is_chat = _is_chat(config, path)
    tokenizer = _load_tokenizer(config, path)
    suite = load_suite(config)
    multiturn = config.run.fewshot_as_multiturn
    return Prepared(
        config=config,
        weights=weights,
        info=info,
        tokenizer=tokenizer,
        suite=suite,
        prompting=Prompting(
            is_chat=is_chat,
            fewshot_as_multiturn=is_chat if multiturn is None else multiturn,
            system_instruction=config.model.system_instruction,
            run_seed=config.run.seed,
        ),
        max_model_len=max_model_len,
    )


class _Execution:
    """A prepared run on its way to the end; holds what the steps share."""

    def __init__(
        self,
        prepared: Prepared,
        writer: RunWriter,
        capture: Capture,
        bars: Bars,
        started: float,
    ) -> None:
        self.prepared, self.writer, self.bars = prepared, writer, bars
        self.console = capture.console
        self.started = started
        self.tasks = [TaskProgress(t, t.num_docs * t.repeats) for t in prepared.suite.tasks]
        self.scores: dict[str, TaskScores] = {}
        self.summaries: dict[str, TaskSummary] = {}

    def run(self) -> Outcome:
        """Execute; whatever happens, the manifest tells it."""
        try:
            return self._finish(self._execute_all())
        except (InterruptedRunError, KeyboardInterrupt):
            self._end("partial", INTERRUPTED)
            raise KeyboardInterrupt from None
        except EngineError as e:
            self._end("failed", str(e))
            raise
        except BaseException as e:
            self._end("failed", f"{type(e).__name__}: {e}")
            raise

    def _execute_all(self) -> str | None:
        """Why it ended early, if it did after the engine was up."""
        try:
            asyncio.run(self._run())
        except EngineError as e:
            if self.writer.manifest.load_s is None:
                raise
            return str(e)
        except (InterruptedRunError, KeyboardInterrupt, asyncio.CancelledError):
            return INTERRUPTED
        return None

    async def _run(self) -> None:
        prepared, config = self.prepared, self.prepared.config
        loading = time.perf_counter()
        with self.bars.step(f"loading {config.model.name}"):
            engine_config = replace(config.engine, max_model_len=prepared.max_model_len)
            engine = await open_engine(engine_config, prepared.weights)
        try:
            self._update(load_s=time.perf_counter() - loading, engine=_describe(engine.info))
            async with Journal(self.writer.run_dir / layout.JOURNAL) as journal:
                await _until_interrupted(self._execute(engine, journal))
        finally:
            await engine.close()

    async def _execute(self, engine: Engine, journal: Journal) -> None:
        prepared = self.prepared
        lm = EngineLM(
            prepared.tokenizer,
            engine.info.max_model_len,
            model=prepared.config.model,
            sampling=prepared.config.sampling,
            truncation=prepared.config.run.truncation,
        )
        self.bars.begin(sum(task.num_expected for task in self.tasks))
        identity = f"{prepared.info.fingerprint} {engine.info.numerics}"
        await execute(
            self.tasks,
            lm,
            Sender(engine, journal, identity),
            prepared.prompting,
            max_in_flight=prepared.config.engine.max_in_flight,
            on_sample=lambda t: self.bars.advance(t.loaded.name, len(t.samples), t.num_expected),
            on_task_done=self._score,
        )

    async def _score(self, task: TaskProgress) -> None:
        """Score a task, store its samples, and forget them."""
        loaded = task.loaded
        scores = await score_task(loaded, task.samples)
        summary = _summary(loaded, task, self.prepared.config.run.max_error_rate)
        if summary.status == "failed":
            scores = replace(scores, metrics=[no_metric(loaded)], values={})
        self.writer.write_samples(loaded.name, scores.samples)
        self.scores[loaded.name] = replace(scores, samples=[])
        self.summaries[loaded.name] = summary
        logger.info(_one_line(summary, self.scores[loaded.name].metrics))
        for sample in task.samples:
            sample.responses, sample.plans, sample.instances = [], [], []

    def _finish(self, reason: str | None) -> Outcome:
        for task in self.tasks:
            if task.loaded.name not in self.summaries:
                asyncio.run(self._score(task))
        metrics = [m for s in self.scores.values() for m in s.metrics]
        ok = {n: s for n, s in self.scores.items() if self.summaries[n].status != "failed"}
        metrics += score_groups(self.prepared.suite.groups, self.prepared.suite.tasks, ok)
        self.writer.write_metrics(metrics)
        bad = [s for s in self.summaries.values() if s.status != "complete"]
        if reason is None and bad:
            reason = "; ".join(f"{s.task} is {s.status}: {_what_failed(s)}" for s in bad[:3])
        self._end("partial" if bad else "complete", reason if bad else None)
        return Outcome(self.writer.manifest, metrics, self.writer.run_dir)

    def _end(self, status: str, reason: str | None) -> None:
        logger.info(
            "run %s is %s%s", self.writer.manifest.run_id, status, f": {reason}" * bool(reason)
        )
        order = [task.loaded.name for task in self.tasks if task.loaded.name in self.summaries]
        self._update(
            status=status,
            reason=reason,
            tasks=tuple(self.summaries[name] for name in order),
            finished_at=_now(),
            wall_s=time.perf_counter() - self.started,
        )

    def _update(self, **changes: Any) -> None:
        self.writer.update(replace(self.writer.manifest, **changes))


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Messages go to descriptor 2, which is the run's log now; afterwards logging is as it was."""
    # Not `sys.stderr`: under pytest and in notebooks that is another file.
    log = os.fdopen(2, "w", buffering=1, closefd=False)
    root, handler = logging.getLogger(), logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    before, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Says of every task with a dataset of its own that it could be given arguments.
    logging.getLogger("lm_eval.api.task").setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        log.close()


# -- checks before loading ------------------------------------------------------------------------


def _check_results(results_dir: Path, run_id: str | None) -> None:
    if run_id is not None:
        layout.check_free(results_dir, run_id)
    folder = results_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(
            f"results_dir {str(results_dir)!r}: can't write to {str(folder)!r}; "
            "choose another with results_dir=<folder>"
        )


def _check_fit(config: Config, info: CheckpointInfo) -> int | None:
    """The max_model_len to ask for; refuses what can't fit before any weights are loaded."""
    engine = config.engine
    wanted = engine.max_model_len
    if engine.kind is not EngineKind.vllm:
        return wanted
    if wanted and info.context_length and wanted > info.context_length:
        raise CheckpointError(
            f"engine.max_model_len: {wanted} is more than the checkpoint's context of "
            f"{info.context_length} tokens"
        )
    is_cpu = resolve_device(engine.device) is Device.cpu
    if is_cpu:
        memory, share, dtype = environment.total_memory_bytes(), 0.9, "float32"
    else:
        sizes = [size for _, size in environment.gpus()]
        if not sizes:
            return wanted
        num_wanted = engine.tensor_parallel_size * engine.pipeline_parallel_size
        if num_wanted > len(sizes):
            raise CheckpointError(
                f"engine: {num_wanted} GPUs wanted (tensor_parallel_size x pipeline_parallel_size), "
                f"{len(sizes)} there"
            )
        memory, share, dtype = min(sizes), engine.gpu_memory_utilization, "auto"
    fit = checkpoint.check_fit(
        info,
        memory_bytes_per_device=memory,
        max_model_len=wanted,
        dtype=engine.dtype if engine.dtype != "auto" else dtype,
        quantization=engine.quantization,
        tensor_parallel_size=engine.tensor_parallel_size,
        pipeline_parallel_size=engine.pipeline_parallel_size,
        gpu_memory_utilization=share,
        disk_bytes=info.disk_bytes,
    )
    fit.require()
    if wanted is None and info.context_length and fit.max_model_len < info.context_length:
        logger.warning(
            "context cut from %d to %d tokens to fit the memory",
            info.context_length,
            fit.max_model_len,
        )
        return fit.max_model_len
    return wanted


def _is_chat(config: Config, path: Path) -> bool:
    model = config.model
    is_chat = model.variant is Variant.instruct if model.chat is None else model.chat
    if is_chat and model.chat_template is None and not checkpoint.has_chat_template(path):
        raise CheckpointError(
            f"model {model.name!r}: its tokenizer has no chat template; set model.chat=false for plain "
            "prompts or model.chat_template=<file>"
        )
    return is_chat


def _load_tokenizer(config: Config, path: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, trust_remote_code=config.model.trust_remote_code
        )
    except Exception as e:  # transformers raises anything on a damaged tokenizer
        first = (str(e).splitlines() or [type(e).__name__])[0]
        raise CheckpointError(f"model {config.model.name!r}: tokenizer in {path}: {first}") from e
    if config.model.chat_template:
        template = Path(config.model.chat_template)
        if not template.is_file():
            raise CheckpointError(f"model.chat_template: no file at {template}")
        tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


# -- manifest -------------------------------------------------------------------------------------


def _manifest(prepared: Prepared) -> Manifest:
    config = prepared.config
    return Manifest(
        run_id=_run_id(config),
        status="running",
        model=config.model.name,
        suite=config.suite.name,
        suite_version=config.suite.version,
        started_at=_now(),
        config=_plain(config),
        checkpoint=dataclasses.asdict(prepared.info) | {"is_chat": prepared.prompting.is_chat},
        packages=environment.package_versions(),
        hardware=environment.hardware(),
        seeds={
            "run": config.run.seed,
            "sampling": config.sampling.seed,
            "engine": config.engine.seed,
        },
    )


def _plain(config: Config) -> dict[str, Any]:
    container = OmegaConf.to_container(OmegaConf.structured(config), resolve=True, enum_to_str=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _run_id(config: Config) -> str:
    if config.run.id:
        return config.run.id
    base = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{config.model.name}-{config.suite.name}"
    name, number = base, 1
    while (Path(config.results_dir) / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def _describe(info: EngineInfo) -> dict[str, Any]:
    return dataclasses.asdict(info)


def _summary(loaded: LoadedTask, task: TaskProgress, max_error_rate: float) -> TaskSummary:
    responses = [r for s in task.samples for r in s.responses]
    generations = [r for r in responses if isinstance(r, Generation)]
    failures = [s.failure for s in task.samples if isinstance(s.failure, Failure)]
    status = "complete" if task.is_done else "partial"
    if task.samples and len(failures) > max_error_rate * len(task.samples):
        status = "failed"
    return TaskSummary(
        task=loaded.name,
        group=loaded.group,
        version=loaded.version,
        num_fewshot=loaded.task.config.num_fewshot or 0,
        repeats=loaded.repeats,
        kind=loaded.kind,
        num_docs=loaded.num_docs,
        num_docs_available=loaded.num_docs_available,
        num_samples=len(task.samples),
        num_errors=len(failures),
        num_truncated=sum(g.finish_reason == "length" for g in generations),
        num_empty=sum(not g.text.strip() for g in generations),
        num_context_overflow=sum(f.kind == "context_overflow" for f in failures),
        num_prompt_tokens=sum(getattr(r, "num_prompt_tokens", 0) for r in responses),
        num_cached_tokens=sum(getattr(r, "num_cached_tokens", 0) for r in responses),
        num_generated_tokens=sum(len(g.token_ids) for g in generations),
        wall_s=task.wall_s,
        dataset=loaded.dataset,
        dataset_fingerprint=loaded.docs_fingerprint(),
        task_hash=loaded.task_hash(),
        status=status,
    )


def _what_failed(summary: TaskSummary) -> str:
    if summary.status == "partial":
        return f"{summary.num_samples} of {summary.num_docs * summary.repeats} samples"
    what = f"{summary.num_errors} of {summary.num_samples} samples failed"
    if summary.num_context_overflow:
        what += (
            f", {summary.num_context_overflow} because the prompt is longer than the context "
            "(fewer few-shots, a larger engine.max_model_len, or run.truncation=left)"
        )
    return what


def _one_line(summary: TaskSummary, metrics: list[MetricRecord]) -> str:
    main = next(m for m in metrics if m.is_main)
    return (
        f"{summary.task}: {summary.num_docs} docs x {summary.repeats}, {main.value:.3f} "
        f"[{main.ci_low:.3f}, {main.ci_high:.3f}], {summary.num_truncated} truncated, "
        f"{summary.num_errors} errors, {summary.wall_s:.0f} s, {summary.tokens_per_s:.0f} tok/s"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


# -- interruption ---------------------------------------------------------------------------------

_stop: Callable[[], None] | None = None
"""Cancels what runs on the event loop; None while nothing does."""


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in order: at once while loading, through the event loop afterwards.

    A second one ends it wherever it is; the journal has what was finished.
    """

    def handle(signum: int, frame: object) -> None:
        global _stop
        if _stop is None:
            raise KeyboardInterrupt
        stop, _stop = _stop, None
        stop()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


async def _until_interrupted(work: Any) -> None:
    """Await work; an interruption cancels it and becomes `InterruptedRunError`."""
    global _stop
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    is_interrupted = False

    def stop() -> None:
        nonlocal is_interrupted
        is_interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    _stop = stop
    try:
        await task
    except asyncio.CancelledError:
        if is_interrupted:
            raise InterruptedRunError from None
        raise
    finally:
        _stop = None
