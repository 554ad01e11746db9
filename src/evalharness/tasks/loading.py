"""A suite becomes lm-eval tasks: found by name, with the suite's overrides applied, and their data loaded.

Everything that can be wrong with a task is found here, before any weights are loaded.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import lm_eval.config.task
import lm_eval.utils
from lm_eval.api.group import Group
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.utils import handle_non_serializable

from evalharness import paths
from evalharness.config import Config, LimitFrom, StrategyConfig, SuiteConfig, TaskConfig
from evalharness.errors import TaskError, UserError, did_you_mean, one_line
from evalharness.tasks import local_rows, subsets, trust
from evalharness.tasks.definitions import check_definition, hides, own_definitions
from evalharness.tasks.index import CachedTaskManager
from evalharness.tasks.mirror import mirrored
from evalharness.tasks.random_state import seeded, seeded_with
from evalharness.tasks.sampling import check_settings
from evalharness.tasks.source_code import forget_imported, read_source_below
from evalharness.tasks.subsets import HASH_BYTES, Subset
from evalharness.tasks.task_files import Definitions, read
from evalharness.tasks.user_code import Bounds
from evalharness.tasks.validating import blamed_field, cause
from evalharness.yaml_files import shown

logger = logging.getLogger(__name__)

LM_EVAL_RANDOM_SEED = 0
"""lm-eval's own default for `random`, which tasks such as gpqa shuffle their options with."""

OWN_FEWSHOT = (
    "lm-eval leaves a doc out of its own where fewshot_split and test_split name one split"
)
"""Why a doc can be its own few-shot, and the way out."""

_PLACE = "config_source"
"""Where lm-eval read the YAML: another on each machine."""
_STRATIFY = "stratify"
"""In a task's metadata: which docs a limited run takes, nothing that a score hangs on."""

_ONLY_SCORING = frozenset(
    {
        *("filter_list", "metric_list", "process_results", "metadata"),
        *("should_decontaminate", "doc_to_decontamination_query", "tag", "task_alias"),
    }
)
"""Fields of a task's configuration that leave its requests as they are."""


@dataclass(slots=True)
class LoadedTask:
    """An lm-eval task as a suite wants it."""

    name: str
    task: Task
    group: str
    """The name in the suite: the task itself, or the group or tag that brought it in."""
    config: TaskConfig
    limit: int | None
    repeats: int
    """Independent samples per doc."""
    limit_seed: int | None = None
    """Of the random docs that a limit takes; None: the first docs."""
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    """How its requests become answers."""
    bounds: Bounds = field(default_factory=Bounds)
    """What its own code may take."""
    _docs: Sequence[Any] | None = None
    _hashes: bytes | None = None
    """Of the docs up to the last that is scored; 32 bytes each, because a task may have a million."""
    _subset: Subset | None = None

    @property
    def solve(self) -> Callable[[Any, Any], Awaitable[str]] | None:
        """The conversation that a multi-turn task holds for each doc (doc, Dialogue -> answer); None for all others."""
        return getattr(self.task, "solve", None)

    @property
    def scores_in_thread(self) -> bool:
        """Its scoring is slow, may run in any thread and remembers what it did: `metadata: {scores_in_thread: true}`."""
        return bool((self.task.config.metadata or {}).get("scores_in_thread"))

    @property
    def num_draws(self) -> int:
        """Answers that the task's own filters want for each sample."""
        return int(self.task.config.repeats or 1)

    @property
    def docs(self) -> Sequence[Any]:
        """The scored split, made once: another look at lm-eval's `eval_docs` may shuffle it anew."""
        if self._docs is None:
            self._docs = getattr(self.task, "task_docs", None) or self.task.eval_docs
        return self._docs

    @property
    def makes_docs(self) -> bool:
        """Code of its own makes or changes its docs, and may make others in another process."""
        config = self.task.config
        reads = config.custom_dataset is None or config.custom_dataset is local_rows.load
        is_configured = type(self.task) is ConfigurableTask
        return config.process_docs is not None or not reads or not is_configured

    @property
    def subset(self) -> Subset:
        """The docs that this run scores, chosen once."""
        if self._subset is None:
            num, limit, seed = self.num_docs_available, self.limit, self.limit_seed
            if seed is None or limit is None or limit >= num:
                self._subset = subsets.first(num, limit)
            else:
                by = self.stratified_by
                found = [subsets.category(doc, by) if by else "" for doc in self.docs]
                self._subset = subsets.draw(self._hash_first(num), found, limit, seed)
        return self._subset

    @property
    def stratified_by(self) -> str:
        """The field or Jinja template that says a doc's category; empty for none."""
        named = self.config.stratify
        if named is None:
            named = (self.task.config.metadata or {}).get(_STRATIFY)
        if named is None:
            named = subsets.category_field(self.docs[0]) if self.num_docs_available else ""
        return str(named)

    def scored_docs(self) -> Iterator[tuple[int, Any]]:
        """Docs that this run scores, with their ids: their places in the split."""
        ids = self.subset.doc_ids
        if isinstance(ids, range):
            return enumerate(itertools.islice(self.docs, len(ids)))
        return ((doc_id, self.docs[doc_id]) for doc_id in ids)

    def docs_to_the_last(self) -> Iterator[tuple[int, Any]]:
        """All docs of the split up to the last that is scored."""
        ids = self.subset.doc_ids
        return enumerate(itertools.islice(self.docs, ids[-1] + 1 if ids else 0))

    @property
    def num_docs_available(self) -> int:
        """Docs in the scored split."""
        return len(self.docs) if self._subset is None else self._subset.num_available

    @property
    def num_docs(self) -> int:
        """Docs that this run scores."""
        if self._subset is not None:
            return len(self._subset.doc_ids)
        available = self.num_docs_available
        return available if self.limit is None else min(self.limit, available)

    @property
    def kind(self) -> str:
        """lm-eval's output type."""
        return str(self.task.OUTPUT_TYPE)

    @property
    def version(self) -> str:
        """The task's version as its YAML states it."""
        return str(self.task.VERSION)

    @property
    def dataset(self) -> str:
        """Hub id or file format, and configuration."""
        parts = (self.task.DATASET_PATH, self.task.DATASET_NAME)
        return "/".join(str(part) for part in parts if part) or "the task's own folder"

    def main_metric(self) -> tuple[str, str]:
        """(metric, filter) shown first: the suite's, else the task's first of each.

        Raises:
            TaskError: the suite names one the task hasn't.
        """
        metrics, filters = list(self.task.aggregation()), self.filters()
        metric = self.config.metric or metrics[0]
        filter_ = self.config.filter or filters[0]
        for what, name, known in (("metric", metric, metrics), ("filter", filter_, filters)):
            if name not in known:
                raise TaskError(
                    f"suite: task {self.name!r} has no {what} {name!r}{did_you_mean(name, known)} "
                    f"It has: {', '.join(known)}."
                )
        return metric, filter_

    def filters(self) -> list[str]:
        """Names of the task's filters."""
        return [f.name for f in getattr(self.task, "_filters", [])] or ["none"]

    def target(self, doc_id: int, doc: Any) -> str:
        """What is right of a doc, to be shown beside the answer."""
        with seeded(self.name, doc_id, "target"):
            return str(self.task.doc_to_target(doc))

    def docs_fingerprint(self) -> str:
        """sha256 over the scored docs, in order: other docs, another fingerprint."""
        digest = hashlib.sha256()
        for doc_id in self.subset.doc_ids:
            digest.update(self.doc_hash(doc_id).encode())
        return digest.hexdigest()

    def doc_hash(self, doc_id: int) -> str:
        """lm-eval's hash of a scored doc, the key that joins runs."""
        hashes = self._hash_first(self.subset.doc_ids[-1] + 1)
        return hashes[doc_id * HASH_BYTES : (doc_id + 1) * HASH_BYTES].hex()

    def _hash_first(self, num: int) -> bytes:
        """Hashes of the first docs, computed once."""
        if self._hashes is None or len(self._hashes) < num * HASH_BYTES:
            docs = itertools.islice(self.docs, num)
            self._hashes = b"".join(bytes.fromhex(doc_hash(doc)) for doc in docs)
        return self._hashes

    def cluster(self, doc_id: int) -> str | None:
        """What a scored doc shares with others of its source, as a short hash.

        None where nothing is declared, and for a doc that doesn't have what the template names: its own source.
        """
        template = self.config.cluster or (self.task.config.metadata or {}).get("cluster")
        if template is None:
            return None
        try:
            text = lm_eval.utils.apply_template(template, self.docs[doc_id])
        except Exception as e:  # the template is the user's, the doc the dataset's
            logger.debug("%s, doc %d: cluster %r: %s", self.name, doc_id, template, e)
            return None
        return hashlib.sha256(text.encode()).hexdigest()[:16] if text else None

    def check_cluster(self) -> None:
        """Refuse a cluster template that means nothing for the first doc.

        Raises:
            TaskError: it can't be rendered, or is empty.
        """
        template = self.config.cluster or (self.task.config.metadata or {}).get("cluster")
        if template is not None and self.num_docs and self.cluster(0) is None:
            known = ", ".join(self.docs[0])
            raise TaskError(
                f"task {self.name!r}: cluster {template!r} gives nothing for the first doc; its fields are: {known}"
            )

    def check_categories(self) -> None:
        """Refuse a limit's categories that mean nothing for the first doc.

        Raises:
            TaskError: the template can't be rendered, or there is no such field.
        """
        by, is_drawn = self.stratified_by, self.limit is not None and self.limit_seed is not None
        if not (by and is_drawn and self.num_docs):
            return
        doc = self.docs[0]
        try:
            is_known = bool(subsets.category(doc, by)) if "{" in by else by in doc
        except Exception as e:  # the template is the user's, the doc the dataset's
            logger.debug("%s, doc 0: stratify %r: %s", self.name, by, e)
            is_known = False
        if not is_known:
            raise TaskError(
                f"task {self.name!r}: stratify {by!r} gives nothing for the first doc; its fields are: {', '.join(doc)}"
            )
        _ = self.subset  # what fails for another doc is found now

    def task_hash(self) -> str:
        """sha256 of the task's resolved configuration: another prompt, filter or metric, another hash.

        Functions count by name: a change inside one has to come with a new task version.
        """
        content = self.task.dump_config()
        content["metadata"] = {
            k: v for k, v in (content.get("metadata") or {}).items() if k not in (_PLACE, _STRATIFY)
        }
        return _hash(content)

    def request_hash(self) -> str:
        """sha256 of the part of the configuration that requests follow from: the rest only scores responses."""
        content = {k: v for k, v in self.task.dump_config().items() if k not in _ONLY_SCORING}
        if not self.task.config.num_fewshot:
            content.pop("doc_to_target", None)
        return _hash(content)


class BrokenTask(NamedTuple):
    """A name of the suite that came to nothing."""

    name: str
    message: str
    """One line: file and field, or what is missing."""


@dataclass(slots=True)
class LoadedSuite:
    """Tasks in the suite's order, and the lm-eval groups that aggregate some of them."""

    tasks: list[LoadedTask]
    groups: dict[str, Group]
    broken: list[BrokenTask] = field(default_factory=list)
    """What can't be run; the others are."""


def task_manager() -> CachedTaskManager:
    """lm-eval's tasks and ours; `./tasks` first, then those that ship with the package, then lm-eval's."""
    return _task_manager(tuple(reversed(paths.search("tasks"))))


@functools.lru_cache(maxsize=4)
def _task_manager(include: tuple[Path, ...]) -> CachedTaskManager:
    _compile_templates_once()
    _read_temperatures_late()
    return CachedTaskManager(include)


def _compile_templates_once() -> None:
    """lm-eval compiles a task's Jinja templates again for every doc, which is most of what building a prompt takes."""
    environment = lm_eval.utils.env
    if not hasattr(environment.from_string, "cache_info"):
        environment.from_string = functools.lru_cache(maxsize=1024)(environment.from_string)


def _read_temperatures_late() -> None:
    """lm-eval makes a float of a task's temperature as it reads it, which ends in a TypeError where that is null.

    `check_settings` reads it with all other settings, and says what is wrong with it.
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
    """Load every task of the suite, with its data; those that can't be loaded stand in `broken`.

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
    with mirrored(config.data.mirror):
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
    """Every name of a suite is a task, group or tag that lm-eval knows, or that a file of ours seems to define.

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
    except (Exception, SystemExit) as e:  # a task's own Python and `datasets` raise anything
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
    """What to say of a task that can't be loaded; of one of ours, where in its file the reason stands."""
    if path:
        hint = "; get the data, or set data.mirror" if isinstance(error, OSError) else ""
        return f"{blamed_field(error, read(path))}: {cause(error)}{hint}"
    if isinstance(error, TaskError):
        return f"task {name!r}: {error}"
    hint = " Get the data, or set data.mirror to a folder that has it."
    if isinstance(error, ImportError):
        hint = " Install what it needs."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    return f"task {name!r} can't be loaded: {message}{_dot(message)}{hint}"


def _check_fewshots(name: str, task: Task, wanted: int | None) -> None:
    """More few-shots than there are would fail every sample of the task."""
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
    # One more than these fails the task, whatever the other samples score.
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


def doc_hash(doc: Any) -> str:
    """lm-eval's hash of a doc, the key that joins runs."""
    dumped = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return hashlib.sha256(dumped.encode("utf-8", "surrogatepass")).hexdigest()


def _hash(content: dict[str, Any]) -> str:
    dumped = json.dumps(content, sort_keys=True, default=_stable_repr)
    return hashlib.sha256(dumped.encode()).hexdigest()


def _stable_repr(value: object) -> str:
    """Functions by name, everything else by type: no memory addresses in a hash."""
    return getattr(value, "__qualname__", type(value).__qualname__)


def _dot(message: str) -> str:
    return "" if message.endswith((".", "!", "?")) else "."
