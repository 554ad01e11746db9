"""From a suite to lm-eval tasks: found by name, with the suite's overrides applied, and their data loaded.

Everything that can be wrong with a task is found here, before any weights are loaded.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import lm_eval.config.task
import lm_eval.utils
from lm_eval.api.group import Group
from lm_eval.api.task import Task

from evalharness import paths
from evalharness.config.schema import (
    Config,
    LimitFrom,
    SuiteConfig,
    TaskConfig,
)
from evalharness.config.yaml_files import shown
from evalharness.errors import TaskError, UserError, did_you_mean, one_line
from evalharness.tasks import trust
from evalharness.tasks.dataset_mirror import mirrored
from evalharness.tasks.hub_access import tried_once
from evalharness.tasks.loaded_task import LoadedTask
from evalharness.tasks.random_state import seeded_with
from evalharness.tasks.rendering import render_once
from evalharness.tasks.sampling import check_settings
from evalharness.tasks.source_code import forget_imported, read_source_below
from evalharness.tasks.task_manager import CachedTaskManager
from evalharness.tasks.user_code import Bounds
from evalharness.tasks.yaml.data_hints import data_hint
from evalharness.tasks.yaml.definitions import (
    check_definition,
    hides,
    own_definitions,
)
from evalharness.tasks.yaml.files import (
    Definitions,
    read,
)
from evalharness.tasks.yaml.validate import (
    blamed_field,
    cause,
)

logger = logging.getLogger(__name__)

LM_EVAL_RANDOM_SEED = 0
"""lm-eval's own default for `random`, with which tasks such as gpqa shuffle their options."""


class BrokenTask(NamedTuple):
    """A name of the suite that failed."""

    name: str
    message: str
    """One line: file and field, or what is missing."""


@dataclass(slots=True)
class LoadedSuite:
    """Tasks in the suite's order, and the lm-eval groups that aggregate some of them."""

    tasks: list[LoadedTask]
    groups: dict[str, Group]
    broken: list[BrokenTask] = field(default_factory=list)
    """Tasks that can't be run; the others are."""


def task_manager() -> CachedTaskManager:
    """lm-eval's tasks and ours; `./tasks` first, then those that ship with the package, then lm-eval's."""
    return _task_manager(tuple(reversed(paths.search("tasks"))))


@functools.lru_cache(maxsize=4)
def _task_manager(include: tuple[Path, ...]) -> CachedTaskManager:
    _compile_templates_once()
    _read_temperatures_late()
    return CachedTaskManager(include)


def _compile_templates_once() -> None:
    """Cache compiled templates: lm-eval compiles them for every doc, which takes most of the time of a prompt."""
    environment = lm_eval.utils.env
    if not hasattr(environment.from_string, "cache_info"):
        environment.from_string = functools.lru_cache(maxsize=1024)(environment.from_string)


def _read_temperatures_late() -> None:
    """Accept null: lm-eval converts a task's temperature to float when it reads it, which fails for null.

    `check_settings` checks it with all other settings.
    """
    read = lm_eval.config.task.TaskConfig.__post_init__
    if hasattr(read, "__wrapped__"):
        return

    @functools.wraps(read)
    def read_others(self: Any) -> None:
        kwargs = self.generation_kwargs
        if kwargs is not None and not isinstance(kwargs, dict):
            raise TaskError(f"generation_kwargs: got {kwargs!r}; expected names with values")
        temperature = kwargs.pop("temperature", None) if kwargs else None
        read(self)
        if temperature is not None:
            self.generation_kwargs["temperature"] = temperature

    lm_eval.config.task.TaskConfig.__post_init__ = read_others


def load_suite(config: Config) -> LoadedSuite:
    """Load every task of the suite, with its data; those that can't be loaded are in `broken`.

    Raises:
        TaskError: an unknown task, one that isn't trusted, a metric or filter that doesn't exist, an unsafe task, or
            nothing that can be loaded.
    """
    read_source_below(paths.search("tasks"))
    forget_imported()
    manager = task_manager()
    definitions = own_definitions()
    check_names(config.suite, manager, definitions)
    trust.require(config, manager.task_index)
    tasks: dict[str, LoadedTask] = {}
    groups: dict[str, Group] = {}
    broken: list[BrokenTask] = []
    with nullcontext() if config.data.mirror else tried_once(), mirrored(config.data.mirror):
        for name, overrides in config.suite.tasks.items():
            try:
                loaded = _load(manager, definitions, name, config)
            except TaskError as e:
                broken.append(BrokenTask(name, one_line(e)))
                continue
            _check_generates(name, loaded["tasks"].values(), overrides.gen_kwargs)
            for task_name in [task_name for task_name in loaded["tasks"] if task_name in tasks]:
                raise TaskError(
                    f"suite {config.suite.name!r}: task {task_name!r} comes with both "
                    f"{tasks[task_name].group!r} and {name!r}; name it once"
                )
            try:
                configured = {
                    task_name: _configure(task_name, task, name, overrides, config)
                    for task_name, task in loaded["tasks"].items()
                }
            except UserError:
                raise
            except Exception as e:  # fields of any type
                broken.append(BrokenTask(name, f"task {name!r}: {cause(e)}"))
                continue
            tasks |= configured
            groups |= loaded.get("groups", {})
    _report(broken, num_loaded=len(tasks))
    return LoadedSuite(tasks=list(tasks.values()), groups=groups, broken=broken)


def _report(broken: list[BrokenTask], *, num_loaded: int) -> None:
    if broken and not num_loaded:
        more = f" (and {len(broken) - 1} more that can't be loaded)" if len(broken) > 1 else ""
        raise TaskError(f"{broken[0].message}{more}")
    for name, message in broken:
        logger.warning("%s is left out: %s", name, message)


def check_names(
    suite: SuiteConfig, manager: CachedTaskManager, definitions: Sequence[Definitions]
) -> None:
    """Check that every name of a suite is a task, group or tag of lm-eval, or seems to be defined in one of our files.

    Raises:
        TaskError: the first that isn't, with the nearest that is.
    """
    if not suite.tasks:
        raise TaskError(f"suite {suite.name!r} has no tasks; add some under `tasks:`")
    seeming = {name for found in definitions for name in found.unreadable}
    for name in suite.tasks:
        if name not in manager.task_index and name not in seeming:
            raise TaskError(
                f"suite {suite.name!r}: unknown task {name!r}{did_you_mean(name, manager.all_tasks)}"
            )


def _load(
    manager: CachedTaskManager, definitions: list[Definitions], name: str, config: Config
) -> Mapping[str, Any]:
    path = check_definition(name, manager.task_index, definitions)
    if path and (hidden := hides(name, path, definitions, manager.stock_names)):
        logger.warning("%s: %s is used, not %s", name, shown(path), hidden)
    try:
        with seeded_with(python=LM_EVAL_RANDOM_SEED, numpy=config.run.seed):
            loaded: Mapping[str, Any] = manager.load([name])
    except (Exception, SystemExit) as e:  # a task's own Python and `datasets` may raise anything
        raise TaskError(_why(name, path, e)) from e
    if not loaded["tasks"]:
        raise TaskError(f"{shown(path) if path else name}: task: no task in it")
    for task_name, task in loaded["tasks"].items():
        try:
            _check_fewshots(task_name, task, config.suite.tasks[name].num_fewshot)
        except (TypeError, ValueError, AttributeError) as e:
            raise TaskError(f"task {task_name!r}: num_fewshot: {cause(e)}") from e
    return loaded


def _why(name: str, path: Path | None, error: BaseException) -> str:
    """The message for a task that can't be loaded; for one of ours, with the place in its file."""
    if path:
        file = read(path)
        hint = "; get the data, or set data.mirror" if isinstance(error, OSError) else ""
        return f"{blamed_field(error, file)}: {cause(error)}{hint or data_hint(error, file)}"
    if isinstance(error, TaskError):
        return f"task {name!r}: {error}"
    hint = " Get the data, or set data.mirror to a folder that has it."
    if isinstance(error, ImportError):
        hint = " Install what it needs."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    return f"task {name!r} can't be loaded: {message}{_dot(message)}{hint}"


def _check_fewshots(name: str, task: Task, wanted: int | None) -> None:
    """Refuse more few-shots than there are, which would fail every sample of the task."""
    num = wanted if wanted is not None else task.get_config("num_fewshot") or 0
    pool = getattr(getattr(task, "sampler", None), "df", None)
    if not num or pool is None:
        return
    split = task.fewshot_cfg.split
    num_free = len(pool) - (split is not None and split == task.config.test_split)
    if num > num_free:
        raise TaskError(
            f"task {name!r}: num_fewshot: {num} wanted, {max(num_free, 0)} there"
            f"{f' in the split {split!r}' if split else ''}"
        )


def _configure(
    name: str, task: Task, group: str, overrides: TaskConfig, config: Config
) -> LoadedTask:
    if getattr(task, "UNSAFE_CODE", False) and not config.run.allow_unsafe_code:
        raise TaskError(
            f"task {name!r} runs model-written code in this process, without a sandbox; humaneval_sandboxed, "
            "mbpp_sandboxed and *_instruct_sandboxed run it in one; run.allow_unsafe_code=true runs it anyway"
        )
    if getattr(task, "MULTIMODAL", False):
        raise TaskError(f"task {name!r} needs images or audio; only text tasks run here")
    if task.get_config("num_fewshot") is None:
        task.set_config("num_fewshot", 0)
    if overrides.num_fewshot is not None:
        task.set_config("num_fewshot", overrides.num_fewshot)
    if task.OUTPUT_TYPE == "generate_until":
        own = task.get_config("generation_kwargs")
        task.set_config("generation_kwargs", check_settings(name, group, own, overrides.gen_kwargs))
    task.set_fewshot_seed(config.run.seed)
    limits = [limit for limit in (config.run.limit, overrides.limit) if limit is not None]
    render_once(task)
    loaded = LoadedTask(
        name=name,
        task=task,
        group=group,
        config=overrides,
        limit=min(limits) if limits else None,
        repeats=overrides.repeats or 1,
        limit_seed=config.run.limit_seed if config.run.limit_from is LimitFrom.random else None,
        bounds=Bounds(limit_s=config.run.scorer_timeout_s),
    )
    # One more than these fails the task, whatever the scores of the other samples.
    num_samples = loaded.num_docs * loaded.repeats
    loaded.bounds.max_overruns = math.floor(config.run.max_error_rate * num_samples)
    loaded.main_metric()
    loaded.check_cluster()
    loaded.check_categories()
    return loaded


def _check_generates(group: str, tasks: Iterable[Task], over: Mapping[str, Any]) -> None:
    if over and not any(task.OUTPUT_TYPE == "generate_until" for task in tasks):
        raise TaskError(
            f"suite.tasks.{group}.gen_kwargs: {group!r} generates nothing that {', '.join(over)} could change"
        )


def _dot(message: str) -> str:
    return "" if message.endswith((".", "!", "?")) else "."
