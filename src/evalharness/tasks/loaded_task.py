"""A loaded task: its docs, which of them a run takes, how they are hashed and scored."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import lm_eval.config.task
import lm_eval.utils
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.utils import handle_non_serializable

from evalharness.config.schema import (
    StrategyConfig,
    TaskConfig,
)
from evalharness.errors import TaskError, did_you_mean
from evalharness.tasks import local_rows, subsets
from evalharness.tasks.random_state import seeded
from evalharness.tasks.subsets import HASH_BYTES, Subset
from evalharness.tasks.user_code import Bounds

logger = logging.getLogger(__name__)

OWN_FEWSHOT = "lm-eval leaves a doc out of its own few-shots if fewshot_split and test_split are the same split"
"""Why a doc can be its own few-shot, and the way out."""

_PLACE = "config_source"
"""Path of the YAML, which differs between machines."""
_STRATIFY = "stratify"
"""Key of a task's metadata: which docs a limited run takes; scores don't depend on it."""

_ONLY_SCORING = frozenset(
    {
        *("filter_list", "metric_list", "process_results", "metadata"),
        *("should_decontaminate", "doc_to_decontamination_query", "tag", "task_alias"),
    }
)
"""Fields of a task's configuration that don't change its requests."""


@dataclass(slots=True)
class LoadedTask:
    """An lm-eval task with the suite's settings."""

    name: str
    task: Task
    group: str
    """The name in the suite: the task itself, or its group or tag."""
    config: TaskConfig
    limit: int | None
    repeats: int
    """Independent samples per doc."""
    limit_seed: int | None = None
    """Seed of the random docs that a limit takes; None: the first docs."""
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    """How its requests become answers."""
    bounds: Bounds = field(default_factory=Bounds)
    """Limits of its own code."""
    _docs: Sequence[Any] | None = None
    _hashes: bytes | None = None
    """Hashes of the docs up to the last that is scored; 32 bytes each, because a task may have a million."""
    _subset: Subset | None = None
    _filters: list[str] | None = field(default=None, init=False)
    _main: tuple[str, str] | None = field(default=None, init=False)

    @property
    def solve(self) -> Callable[[Any, Any], Awaitable[str]] | None:
        """The conversation that a multi-turn task holds for each doc (doc, Dialogue -> answer); None for all others."""
        return getattr(self.task, "solve", None)

    @property
    def scores_in_thread(self) -> bool:
        """Whether its scoring is slow, may run in any thread and caches its results: `metadata: {scores_in_thread: true}`."""
        return bool((self.task.config.metadata or {}).get("scores_in_thread"))

    @property
    def num_draws(self) -> int:
        """Answers per sample that the task's own filters need."""
        return int(self.task.config.repeats or 1)

    @property
    def docs(self) -> Sequence[Any]:
        """The scored split, made once, because another access to lm-eval's `eval_docs` may shuffle it again."""
        if self._docs is None:
            self._docs = getattr(self.task, "task_docs", None) or self.task.eval_docs
        return self._docs

    @property
    def makes_docs(self) -> bool:
        """Whether its own code makes or changes its docs, and may make others in another process."""
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
        """The field or Jinja template of a doc's category; empty for none."""
        named = self.config.stratify
        if named is None:
            named = (self.task.config.metadata or {}).get(_STRATIFY)
        if named is None:
            named = subsets.category_field(self.docs[0]) if self.num_docs_available else ""
        return str(named)

    def scored_docs(self) -> Iterator[tuple[int, Any]]:
        """Docs that this run scores, with their ids, which are their positions in the split."""
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
            TaskError: the suite names one that the task doesn't have.
        """
        if self._main is None:
            self._main = self._find_main_metric()
        return self._main

    def _find_main_metric(self) -> tuple[str, str]:
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
        if self._filters is None:
            self._filters = [f.name for f in getattr(self.task, "_filters", [])] or ["none"]
        return self._filters

    def target(self, doc_id: int, doc: Any) -> str:
        """The right answer of a doc, to be shown beside the model's."""
        with seeded(self.name, doc_id, "target"):
            return str(self.task.doc_to_target(doc))

    def docs_fingerprint(self) -> str:
        """sha256 over the scored docs, in order."""
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
        """The source of a scored doc, as a short hash.

        None if nothing is declared, and for a doc without the template's fields, which is its own source.
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
        """Refuse a cluster template that fails or is empty for the first doc.

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
        """Refuse categories that fail or are missing for the first doc.

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
        _ = self.subset  # so that a failure for another doc is found now

    def task_hash(self) -> str:
        """sha256 of the task's resolved configuration, with its prompt, filters and metrics.

        Functions count by name, so a change inside one requires a new task version.
        """
        content = self.task.dump_config()
        content["metadata"] = {
            k: v for k, v in (content.get("metadata") or {}).items() if k not in (_PLACE, _STRATIFY)
        }
        return _hash(content)

    def request_hash(self) -> str:
        """sha256 of the part of the configuration that determines requests; the rest only scores responses."""
        content = {k: v for k, v in self.task.dump_config().items() if k not in _ONLY_SCORING}
        if not self.task.config.num_fewshot:
            content.pop("doc_to_target", None)
        return _hash(content)


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
