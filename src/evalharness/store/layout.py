"""Where a run's files are.

<results_dir>/<run_id>/
    manifest.json           what was run, on what, and how it ended; a folder without it is not a run
    config.yaml             the resolved configuration
    metrics.parquet         a row per task x metric x filter
    curves.parquet          a row per point of a strategy's curves; only with a strategy
    samples/<task>.parquet  a row per doc x repeat x filter
    turns/<task>.parquet    a row per turn of a conversation; only with a strategy or a multi-turn task
    docs/<task>.parquet     the docs that were asked; only if code made them, as it may make others next time
    journal/                responses as they finished
    checksums.sha256        checksums of all of the above, once the run has ended (`store.checksums`)
    log.txt
<results_dir>/.responses/   where responses are in the journals (`runner.response_index`); safe to delete
"""

import hashlib
import itertools
import re
from pathlib import Path

from evalharness.errors import StoreError

MANIFEST = "manifest.json"
CONFIG = "config.yaml"
METRICS = "metrics.parquet"
CURVES = "curves.parquet"
SAMPLES = "samples"
TURNS = "turns"
DOCS = "docs"
JOURNAL = "journal"
LOG = "log.txt"
CHECKSUMS = "checksums.sha256"

_RUN_ID = re.compile(r"[\w+=@][\w.+=@, -]{0,199}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 100


def is_run_id(name: str) -> bool:
    """Whether a run can have this name: one folder, visible, without separators or control characters."""
    return _RUN_ID.fullmatch(name) is not None


def check_results_dir(results_dir: Path) -> None:
    """Refuse a results_dir that is no folder.

    Raises:
        StoreError: it is a file.
    """
    if results_dir.exists() and not results_dir.is_dir():
        raise StoreError(f"results_dir {str(results_dir)!r} is a file, not a folder")


def check_free(results_dir: Path, run_id: str) -> None:
    """Refuse an id that can't be a folder's name, or that is taken.

    Raises:
        StoreError: says what to do.
    """
    if not is_run_id(run_id):
        raise StoreError(f"run.id {run_id!r}: letters, digits and . _ - + = @ only, no slash")
    if (results_dir / run_id).exists():
        raise StoreError(
            f"run {run_id!r} exists in {str(results_dir)!r}; another run.id starts a new one"
        )


def free_id(results_dir: Path, base: str) -> str:
    """The first of `base`, `base-2`, `base-3`, ... that no run has."""
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not (results_dir / name).exists())


def samples_path(run_dir: Path, task: str) -> Path:
    """The file with a task's samples."""
    return run_dir / SAMPLES / f"{file_stem(task)}.parquet"


def turns_path(run_dir: Path, task: str) -> Path:
    """The file with the turns of a task's conversations."""
    return run_dir / TURNS / f"{file_stem(task)}.parquet"


def docs_path(run_dir: Path, task: str) -> Path:
    """The file with a task's docs."""
    return run_dir / DOCS / f"{file_stem(task)}.parquet"


def file_stem(task: str) -> str:
    """A file name for any task name, unique to the task.

    Plain names are unchanged. Others lose their special characters and get a hash of the whole name.
    """
    safe = _UNSAFE.sub("_", task)[:_LONGEST_NAME]
    if safe == task and not task.startswith(".") and "--" not in task and task:
        return task
    digest = hashlib.sha256(task.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe.lstrip('.')}--{digest[:12]}"


def literal_glob(path: Path) -> str:
    """The path as a glob that matches only itself, because DuckDB reads every path as a glob."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in str(path))
