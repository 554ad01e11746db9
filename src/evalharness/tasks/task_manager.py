"""lm-eval's index of task names: its own out of the cache (`lm_eval_index`), and those of our folders over them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import lm_eval.tasks
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry, Kind, TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from evalharness.tasks.fixed_docs import FixedDocsFactory
from evalharness.tasks.lm_eval_index import stock_rows
from evalharness.tasks.python.adapter import python_entries
from evalharness.tasks.yaml.files import (
    read,
    yaml_files,
)

logger = logging.getLogger(__name__)

STOCK = Path(lm_eval.tasks.__file__).parent


class CachedTaskManager(TaskManager):  # type: ignore[misc]
    """lm-eval's TaskManager with lm-eval's tasks from the cache; `include` is read again, and its last folder wins."""

    def __init__(self, include: Sequence[Path]) -> None:
        """Index `include` over lm-eval's own tasks."""
        super().__init__(include_defaults=False)
        self.include_path = list(include)
        stock = stock_index()
        self._factory = FixedDocsFactory(meta=self.metadata)
        self.stock_names = frozenset(stock)
        self._index: dict[str, Entry] = {**stock, **own_index(include)}
        self._index |= python_entries(include, self._index)
        names: dict[Kind, list[str]] = defaultdict(list)
        for name, entry in self._index.items():
            names[entry.kind].append(name)
        self._all_tasks = sorted(self._index)
        self._all_subtasks = sorted(names[Kind.TASK] + names[Kind.PY_TASK])
        self._all_groups = sorted(names[Kind.GROUP])
        self._all_tags = sorted(names[Kind.TAG])


def own_index(folders: Sequence[Path]) -> dict[str, Entry]:
    """The tasks, groups and tags in our folders, of which the last wins; unreadable files define nothing.

    lm-eval's own `TaskIndex.build` waits for ever at a pipe, and accepts names that can't be sorted.
    """
    index: dict[str, Entry] = {}
    for folder in folders:
        found: dict[str, Entry] = {}
        for path in yaml_files(folder):
            try:
                read(path)
                TaskIndex.process_cfg(load_yaml(path, resolve_func=False), path, found)
            except (
                Exception,
                RecursionError,
            ) as e:  # any kind of file may be there; `scan` reports it
                logger.debug("%s defines nothing: %s", path, e)
        index |= {name: entry for name, entry in found.items() if isinstance(name, str)}
    return index


def stock_index(cache: Path | None = None) -> dict[str, Entry]:
    """The tasks, groups and tags of lm-eval.

    Args:
        cache: folder of the cache; the user's by default.
    """
    return {
        name: Entry(
            name=name,
            kind=Kind[row.index_kind],
            yaml_path=STOCK / row.file if row.file else None,
            tags=set(row.tags),
        )
        for name, row in stock_rows(cache, STOCK).items()
    }
