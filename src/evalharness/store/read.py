"""Read runs: manifests as records, metrics as records, samples as records or as an Arrow table."""

import gc
import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalharness.errors import StoreError, did_you_mean, some
from evalharness.store import (
    layout,
    seal,
)
from evalharness.store.columns import CURVES, METRICS, SAMPLES, Column
from evalharness.store.json_codec import (
    NewerVersionError,
    manifest_from_json,
)
from evalharness.store.lock import is_written
from evalharness.store.records import (
    SCHEMA_VERSION,
    CurvePoint,
    DocRecord,
    Manifest,
    MetricRecord,
    SampleRecord,
    ScoredChoice,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

logger = logging.getLogger(__name__)

_NUM_RUN_COLUMNS = 4
_MOST_SHOWN = 5
_WITH_HEAD = (2, 3, SCHEMA_VERSION)
"""Schema versions whose manifests begin as `_HEAD` says."""
_HEAD = re.compile(rb'\{\s*"schema_version": (\d+),\s*"run_id": "([^"\\]+)"')
"""Prefix of `manifest.json`."""
_HEAD_BYTES = 512
_OF_A_RUN = (layout.METRICS, layout.SAMPLES, layout.JOURNAL, layout.CHECKSUMS)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector, which would only walk through everything that is read, again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def warn_once() -> Iterator[None]:
    """Warn only once of what is read several times."""
    warned: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_known = message in warned
        warned.add(message)
        return not is_known

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


@_uncollected()
def list_runs(results_dir: Path, containing: str = "") -> list[Manifest]:
    """All runs, newest first. Runs that can't be read are left out with a warning in the log.

    Args:
        results_dir: the store.
        containing: only runs with this text in their manifest, such as a hash; the others aren't parsed.
    """
    names = run_names(results_dir)
    if containing:
        names = [name for name in names if _mentions(results_dir / name, containing.encode())]
    runs = [run for name in names if (run := _try_load(results_dir / name))]
    return sorted(runs, key=lambda run: (run.started_at, run.run_id), reverse=True)


def run_names(results_dir: Path) -> list[str]:
    """Names of the folders that hold a run, without reading them; empty if there is no results_dir.

    Raises:
        StoreError: results_dir is a file or may not be read.
    """
    try:
        folders = sorted(path.name for path in results_dir.iterdir())
    except FileNotFoundError:
        return []
    except OSError as e:
        raise StoreError(f"results_dir {str(results_dir)!r}: can't read: {e.strerror}") from e
    return [
        name
        for name in folders
        if layout.is_run_id(name) and (results_dir / name / layout.MANIFEST).is_file()
    ]


def run_versions(results_dir: Path) -> dict[str, int]:
    """Run -> the schema version of its files, for all runs of `list_runs`, in no order.

    Reads only a manifest's prefix, or all of it if the prefix is unusual: enough for reading Parquet files.

    Raises:
        StoreError: results_dir is a file or may not be read.
    """
    found = {name: _version(results_dir / name) for name in run_names(results_dir)}
    return {name: version for name, version in found.items() if version is not None}


def _version(run_dir: Path) -> int | None:
    try:
        with (run_dir / layout.MANIFEST).open("rb") as file:
            head = _HEAD.match(file.read(_HEAD_BYTES))
    except OSError:
        head = None
    if head and int(head[1]) in _WITH_HEAD and head[2].decode() == run_dir.name:
        return int(head[1])
    if _try_load(run_dir) is None:
        return None
    return int(json.loads((run_dir / layout.MANIFEST).read_bytes())["schema_version"])


def half_copied(results_dir: Path) -> list[str]:
    """Names of the folders that hold a run's files but no manifest: a copy that was cut off or is in progress."""
    if not results_dir.is_dir():
        return []
    folders = sorted(p for p in results_dir.iterdir() if layout.is_run_id(p.name) and p.is_dir())
    return [
        folder.name
        for folder in folders
        if any((folder / name).exists() for name in _OF_A_RUN)
        # Checked last, so that a run that has just appeared has it.
        and not (folder / layout.MANIFEST).is_file()
    ]


def load_manifest(run_dir: Path) -> Manifest:
    """The manifest of one run.

    Raises:
        StoreError: missing, damaged, written by a newer version, or the folder was renamed.
    """
    path = run_dir / layout.MANIFEST
    try:
        manifest = manifest_from_json(path.read_bytes().decode())
    except OSError as e:
        raise StoreError(f"{str(path)!r}: can't read: {e.strerror}") from e
    except NewerVersionError as e:
        raise StoreError(f"{str(path)!r} is {e}") from e
    except ValueError as e:
        raise StoreError(
            f"{str(path)!r} is damaged: {e}; restore it from a copy; `evalharness results verify {run_dir.name}` checks "
            "the run's other files"
        ) from e
    if manifest.run_id != run_dir.name:
        raise StoreError(
            f"folder {run_dir.name!r} holds run {manifest.run_id!r}: renamed or copied; "
            "give it its own name back"
        )
    return manifest


def as_seen(results_dir: Path, run: Manifest) -> Manifest:
    """The run with its true status: `interrupted` if it says `running` but its process is gone."""
    if run.status != "running" or is_written(results_dir / run.run_id, run.hardware):
        return run
    why = f"its process is gone; `evalharness resume {run.run_id}` continues it"
    return replace(run, status="interrupted", reason=why)


def find_run(results_dir: Path, name: str) -> Manifest:
    """The run that a user means: a run id, `latest`, a model (its latest run), or the prefix of one run id.

    Raises:
        StoreError: none, several, or damaged.
    """
    if layout.is_run_id(name) and (results_dir / name / layout.MANIFEST).is_file():
        return load_manifest(results_dir / name)
    runs = list_runs(results_dir)
    if not runs:
        raise StoreError(f"no runs in {str(results_dir)!r}; `evalharness run` makes one")
    if name == "latest":
        return runs[0]
    of_model = [run for run in runs if run.model == name]
    if of_model:
        return of_model[0]
    begins = [run for run in runs if name and run.run_id.startswith(name)]
    originals = [run for run in begins if not run.rescored_from]
    for found in (begins, originals):  # what was scored again is meant by its whole name
        if len(found) == 1:
            return found[0]
    if begins:
        shown = some((run.run_id for run in begins), _MOST_SHOWN)
        raise StoreError(f"{len(begins)} runs begin with {name!r}: {shown}")
    known = [run.run_id for run in runs] + [run.model for run in runs]
    raise StoreError(
        f"no run or model {name!r} in {str(results_dir)!r}{did_you_mean(name, known)}; "
        "`evalharness results` lists them"
    )


def load_metrics(run_dir: Path) -> list[MetricRecord]:
    """The run's metrics, in the order in which they were written; empty if there are none yet.

    Raises:
        StoreError: the file is damaged.
    """
    rows = _read_table(run_dir / layout.METRICS, METRICS)
    return [_metric(row) for row in rows]


class MainMetrics(NamedTuple):
    """The main metrics of many runs."""

    of_run: dict[str, list[MetricRecord]]
    """Run -> its metrics, in the order in which they were written, without runs that have none."""
    damaged: list[str]
    """Runs whose metrics can't be read."""


@_uncollected()
def load_main_metrics(results_dir: Path, run_ids: Sequence[str]) -> MainMetrics:
    """The main metrics of these runs, read with one query for all files."""
    from evalharness.store.duckdb_session import cursor

    paths = [results_dir / run_id / layout.METRICS for run_id in run_ids]
    paths = [path for path in paths if path.is_file()]
    damaged = set(seal.damaged(paths))
    found = MainMetrics({}, [path.parent.name for path in paths if path in damaged])
    with cursor() as connection:
        _add_main_metrics(connection, [path for path in paths if path not in damaged], found)
    return found


def _add_main_metrics(
    connection: "duckdb.DuckDBPyConnection", paths: Sequence[Path], found: MainMetrics
) -> None:
    """A damaged file fails the whole query, so the halves are read separately, down to that file."""
    import duckdb

    if not paths:
        return
    columns = METRICS[_NUM_RUN_COLUMNS:]
    names = ["run_id", *(column.name for column in columns)]
    selected = f"run_id, {_selected(columns)}"
    try:
        rows = connection.execute(
            f"SELECT {selected} FROM read_parquet(?) WHERE is_main",
            [[layout.literal_glob(path) for path in paths]],
        ).fetchall()
    except duckdb.Error:
        if len(paths) == 1:
            found.damaged.append(paths[0].parent.name)
            return
        middle = len(paths) // 2
        _add_main_metrics(connection, paths[:middle], found)
        _add_main_metrics(connection, paths[middle:], found)
        return
    for run_id, *values in rows:
        metric = _metric(dict(zip(names[1:], values, strict=True)))
        found.of_run.setdefault(run_id, []).append(metric)


def load_curves(run_dir: Path) -> list[CurvePoint]:
    """The curves of the run's strategy, in the order in which they were written; empty if there are none.

    Raises:
        StoreError: the file is damaged.
    """
    rows = _read_table(run_dir / layout.CURVES, CURVES)
    floats = ("value", "ci_low", "ci_high", "num_tokens")
    return [
        CurvePoint(**{**row, **{k: math.nan for k in floats if row[k] is None}}) for row in rows
    ]


def _read_table(path: Path, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """A file's rows without the run's own columns; none if there is no file."""
    import duckdb  # starts 0.1 s sooner than pyarrow, which needs numpy

    from evalharness.store.duckdb_session import cursor

    if not path.is_file():
        return []
    _require_whole(path)
    columns = columns[_NUM_RUN_COLUMNS:]
    names, selected = [column.name for column in columns], _selected(columns)
    try:
        with cursor() as connection:
            rows = connection.execute(
                f"SELECT {selected} FROM read_parquet(?)", [layout.literal_glob(path)]
            ).fetchall()
    except duckdb.Error as e:
        raise _damaged(path, e) from e
    return [dict(zip(names, row, strict=True)) for row in rows]


def _selected(columns: Sequence[Column]) -> str:
    """The columns, cast to their types, so that a file of another writer fails or is read like ours."""
    return ", ".join(f'CAST("{column.name}" AS {column.type})' for column in columns)


def load_samples(run_dir: Path, task: str, columns: Sequence[str] | None = None) -> "pa.Table":
    """A task's samples as an Arrow table: the columns of `store.columns.SAMPLES`, or those named.

    Raises:
        StoreError: no such task in the run, or the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = _samples_file(run_dir, task)
    _require_whole(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=list(columns) if columns is not None else None)
    except (OSError, pa.ArrowException) as e:
        raise _damaged(path, e) from e


def iter_samples(run_dir: Path, task: str) -> Iterator[SampleRecord]:
    """A task's samples one by one, in the order in which they were written.

    Raises:
        StoreError: no such task in the run, or the file is damaged.
    """
    names = [column.name for column in SAMPLES[_NUM_RUN_COLUMNS:]]
    main_filter = None
    for row in _read(_samples_file(run_dir, task), names):
        row["scores"] = dict(row["scores"])
        if "choices" in row:  # schema 3
            row["choices"] = tuple(ScoredChoice(**choice) for choice in row["choices"])
            row["chosen"], row["gold"] = dict(row["chosen"]), tuple(row["gold"])
        if "is_main" not in row:  # schema 1
            main_filter = main_filter or _main_filter(run_dir, task)
            row["is_main"] = row["filter"] == main_filter
        yield SampleRecord(**row)


def iter_docs(run_dir: Path, task: str) -> Iterator[DocRecord]:
    """The docs that a task's code made and that were asked; none for other tasks, and for runs that stored none.

    Raises:
        StoreError: the file is damaged.
    """
    path = layout.docs_path(run_dir, task)
    if path.is_file():
        for row in _read(path, list(DocRecord._fields)):
            yield DocRecord(**row)


def _main_filter(run_dir: Path, task: str) -> str | None:
    return next((m.filter for m in load_metrics(run_dir) if m.task == task and m.is_main), None)


def _mentions(run_dir: Path, text: bytes) -> bool:
    try:
        return text in (run_dir / layout.MANIFEST).read_bytes()
    except OSError:
        return False


def _try_load(run_dir: Path) -> Manifest | None:
    try:
        return load_manifest(run_dir)
    except StoreError as e:
        logger.warning("run skipped: %s", e)
        return None


def _read(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _require_whole(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=256, columns=columns):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as e:
        raise _damaged(path, e) from e


def _samples_file(run_dir: Path, task: str) -> Path:
    path = layout.samples_path(run_dir, task)
    if not path.is_file():
        known = [item.task for item in load_manifest(run_dir).tasks]
        raise StoreError(
            f"run {run_dir.name!r} has no samples of task {task!r}{did_you_mean(task, known)}"
        )
    return path


def _metric(row: dict[str, Any]) -> MetricRecord:
    floats = ("value", "ci_low", "ci_high", "stderr")
    return MetricRecord(**{**row, **{k: math.nan for k in floats if row[k] is None}})


def _require_whole(path: Path) -> None:
    if why := seal.problem(path):
        raise _damaged(path, why)


def _damaged(path: Path, error: Exception | str) -> StoreError:
    run_id = path.parents[not (path.parent / layout.MANIFEST).is_file()].name
    return StoreError(
        f"{str(path)!r} is damaged: {json.dumps(str(error).splitlines()[0])}; restore it from a copy, or repeat the run, "
        f"which reuses the answers in the run's journal; `evalharness results verify {run_id}` checks its other files"
    )
