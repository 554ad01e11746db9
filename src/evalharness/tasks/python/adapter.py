"""Python tasks for lm-eval: found by name without importing them, imported when loaded, hashed by their code."""

from __future__ import annotations

import hashlib
import inspect
import json
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from lm_eval.api.filter import Filter, FilterEnsemble
from lm_eval.api.task import ConfigurableTask
from lm_eval.filters.selection import TakeFirstFilter
from lm_eval.tasks._index import Entry, Kind

from evalharness.config.yaml_files import shown
from evalharness.errors import TaskError, one_line
from evalharness.tasks.python_task import PythonTask
from evalharness.tasks.random_state import seeded
from evalharness.tasks.source_code import import_file, read_source_below
from evalharness.tasks.yaml.files import python_files

_FILE = "python_file"
"""Field of an index entry: the path of the task's code."""


class Docs(list[dict[str, Any]]):
    """Docs as they are; `datasets` would give all of them the same fields."""

    @property
    def features(self) -> dict[str, Any]:
        """Field names, for lm-eval."""
        return self[0]


class ServedTask(ConfigurableTask):  # type: ignore[misc]
    """A `PythonTask` with lm-eval's interface."""

    def __init__(
        self,
        source: PythonTask,
        *,
        generation_kwargs: Mapping[str, Any] | None = None,
        identity: Mapping[str, Any] | None = None,
        place: str = "inline",
    ) -> None:
        """Make the docs and check them.

        Args:
            source: the task; `name` and `folder` are set.
            generation_kwargs: override those of the source.
            identity: what its scores depend on besides settings; part of the task's hash.
            place: the file it comes from.

        Raises:
            TaskError: no docs, docs that JSON can't hold, or settings that contradict each other.
        """
        self.source = source
        _check_settings(source)
        self._docs = _checked_docs(source.docs())
        kwargs = {"until": list(source.stop), "do_sample": False, "temperature": 0.0}
        kwargs |= {"max_gen_toks": source.max_gen_toks, **(generation_kwargs or {})}
        metadata = {"version": source.version, "config_source": place, **(identity or {})}
        if source.cluster is not None:
            metadata["cluster"] = source.cluster
        super().__init__(
            config={
                "task": source.name,
                "output_type": "generate_until",
                "test_split": "test",
                "description": source.description,
                "doc_to_text": source.prompt,
                "doc_to_target": source.target,
                "process_results": self._scores,
                "metric_list": [_metric(source, name) for name in source.metrics],
                "generation_kwargs": kwargs,
                # A perfect model's answer, in the same place as in a YAML task.
                "fewshot_config": {
                    "sampler": "first_n",
                    "samples": [],
                    "doc_to_target": source.gold,
                },
                "num_fewshot": 0,
                "metadata": metadata,
            }
        )
        if type(source).extract is not PythonTask.extract:
            extract = partial(_Extract, source.extract)
            self._filters = [FilterEnsemble("extract", [extract, TakeFirstFilter])]

    @property
    def solve(self) -> Callable[[Any, Any], Awaitable[str]] | None:
        """The conversation with the model, given doc and dialogue; None for a task of one turn."""
        return self.source.solve if self._is_multiturn else None

    def download(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: docs come from the source."""
        self.dataset = {"test": self._docs}

    def set_config(self, key: str, value: Any, update: bool = False) -> None:
        """Like lm-eval's, but without few-shots: the source writes the whole prompt.

        Raises:
            TaskError: few-shots are configured.
        """
        if key == "num_fewshot" and value:
            raise TaskError(
                f"task {self.source.name!r} writes its whole prompt itself; num_fewshot={value} can't apply to it"
            )
        super().set_config(key, value, update)

    def dump_config(self) -> dict[str, Any]:
        """Settings, with hashes for code.

        Requests follow from the prompts, or from all code if it has a conversation; the rest only scores.
        """
        config = self.config
        dumped = {
            "task": config.task,
            "output_type": config.output_type,
            "description": config.description,
            "generation_kwargs": config.generation_kwargs,
            "num_fewshot": config.num_fewshot,
            "prompts_sha256": self._prompts_sha256,
            "metric_list": list(self.source.metrics),
            "metadata": dict(config.metadata),
        }
        if self._is_multiturn:
            dumped["solve_sha256"] = _code_sha256(self.source)
        return dumped

    @property
    def _is_multiturn(self) -> bool:
        return type(self.source).solve is not PythonTask.solve

    @cached_property
    def _prompts_sha256(self) -> str:
        digest = hashlib.sha256()
        for number, doc in enumerate(self._docs):
            try:
                with seeded(self.source.name, number, "hash"):
                    prompt = self.source.prompt(doc)
            except (Exception, SystemExit) as e:  # the sample will report it
                prompt = f"{type(e).__name__}: {e}"
            digest.update(json.dumps(prompt).encode())
        return digest.hexdigest()

    def _scores(self, doc: Any, results: Sequence[str]) -> dict[str, float]:
        scores = dict(self.source.score(doc, results[0]))
        unknown = [name for name in scores if name not in self.source.metrics]
        if unknown or self.source.metrics[0] not in scores:
            raise ValueError(
                f"score() returned {', '.join(scores) or 'nothing'}; metrics are {', '.join(self.source.metrics)}"
            )
        return scores


class PythonFileTask(ServedTask):
    """The task in a file, imported here."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Import the file that lm-eval's index entry names.

        Raises:
            TaskError: the file is invalid or fails while it is loaded; gives file and line.
        """
        file = Path(config[_FILE])
        try:
            source = _task_class(_module(file), file)()
            source.name, source.folder = str(config["task"]), file.parent
            try:
                super().__init__(
                    source, identity={"source_sha256": _code_sha256(source)}, place=str(file)
                )
            except TaskError as e:  # names the method or field
                raise TaskError(f"{shown(file)}: {e}") from e
        except TaskError:
            raise
        except (Exception, SystemExit) as e:  # the user's code
            raise TaskError(f"{_place(e, file)}: {type(e).__name__}: {one_line(e)}") from e


class _Extract(Filter):  # type: ignore[misc]
    """Turns a function of one response into an lm-eval filter."""

    def __init__(self, extract: Callable[[str], str]) -> None:
        self._extract = extract

    def apply(self, resps: Iterable[Iterable[str]], docs: Any) -> list[list[str]]:
        return [[self._extract(response) for response in responses] for responses in resps]


def python_entries(folders: Sequence[Path], known: Mapping[str, Entry]) -> dict[str, Entry]:
    """Index entries of the Python tasks, without importing them.

    Args:
        folders: folders of tasks; the last wins.
        known: existing entries; a YAML of the same or a later folder keeps its name.
    """
    found: dict[str, Entry] = {}
    for number, folder in enumerate(folders):
        for file in python_files(folder):
            name = file.parent.name
            other = known[name].yaml_path if name in known else None
            if other and any(other.is_relative_to(path) for path in folders[number:]):
                continue
            config = {"task": name, "class": PythonFileTask, _FILE: str(file)}
            found[name] = Entry(name=name, kind=Kind.PY_TASK, yaml_path=None, cfg=config)
    return found


def _module(file: Path) -> ModuleType:
    """Import the file as a package of its folder, again, because it may have changed."""
    read_source_below([file.parent])
    return import_file(file, f"evalharness_task_{file.parent.name}", package=file.parent)


def _task_class(module: ModuleType, file: Path) -> type[PythonTask]:
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, PythonTask) and value is not PythonTask
    ]
    own = [c for c in classes if c.__module__ == module.__name__ and not inspect.isabstract(c)]
    leaves = [c for c in own if not any(other is not c and issubclass(other, c) for other in own)]
    if len(leaves) == 1:
        return leaves[0]
    if leaves:
        names = ", ".join(c.__name__ for c in leaves)
        raise TaskError(f"{shown(file)}: {len(leaves)} tasks ({names}); a folder holds one")
    for missing in (c for c in classes if c.__module__ == module.__name__):
        raise TaskError(
            f"{shown(file)}: {missing.__name__} lacks {', '.join(sorted(missing.__abstractmethods__))}"
        )
    raise TaskError(f"{shown(file)}: no class here is a PythonTask")


def _check_settings(source: PythonTask) -> None:
    metrics = source.metrics
    if isinstance(metrics, str) or not metrics:
        raise TaskError(f"metrics: got {metrics!r}; give a tuple of names, the main one first")
    if isinstance(source.stop, str):
        raise TaskError(f"stop: got {source.stop!r}; give a tuple of strings")
    for field in ("lower_is_better", "aggregations"):
        unknown = [name for name in getattr(source, field) if name not in metrics]
        if unknown:
            raise TaskError(f"{field}: {unknown[0]!r} is none of the metrics {', '.join(metrics)}")


def _checked_docs(docs: Iterable[Mapping[str, Any]]) -> Docs:
    """Docs after a round trip through JSON, so that a stored doc is the doc that was scored."""
    checked = Docs()
    for number, doc in enumerate(docs):
        if not isinstance(doc, Mapping):
            raise TaskError(f"docs(): doc {number} is a {type(doc).__name__}; give dicts")
        try:
            checked.append(json.loads(json.dumps(dict(doc), allow_nan=False)))
        except (TypeError, ValueError) as e:
            raise TaskError(f"docs(): doc {number} is not JSON: {e}") from e
    if not checked:
        raise TaskError("docs(): none")
    return checked


def _metric(source: PythonTask, name: str) -> dict[str, Any]:
    return {
        "metric": name,
        "aggregation": source.aggregations.get(name, "mean"),
        "higher_is_better": name not in source.lower_is_better,
    }


def _code_sha256(source: PythonTask) -> str:
    """sha256 of the folder's code, without its tests."""
    digest = hashlib.sha256()
    for file in sorted(source.folder.rglob("*.py")):
        if file.name.startswith("test_"):
            continue
        digest.update(f"{file.relative_to(source.folder).as_posix()}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _place(error: BaseException, file: Path) -> str:
    """File and line of the task's own code that an exception went through last."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(Path(error.filename))}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(file.parent)]
    return f"{shown(Path(own[-1].filename))}, line {own[-1].lineno}" if own else shown(file)
