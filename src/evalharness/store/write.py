"""Write a run. A file appears whole or not at all, and the manifest's status is the last thing to change."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalharness.errors import StoreError, WriteError
from evalharness.records import Manifest, MetricRecord, SampleRecord
from evalharness.store import layout
from evalharness.store.claim import Claim
from evalharness.store.columns import METRICS, SAMPLES, Column
from evalharness.store.encoding import clean_text, manifest_to_json

_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "MAP(VARCHAR, DOUBLE)": pa.map_(pa.string(), pa.float64()),
}
_RUN_FIELDS = ("run_id", "model", "suite", "started_at")
_ROW_GROUP_ROWS = 8192
_ROW_GROUP_CHARS = 32_000_000
"""Long prompts end a row group earlier: it is held in memory."""


class RunWriter:
    """The folder of one run; `RunWriter(run_dir, manifest, claim)` goes on with a run that exists.

    Whatever writes raises WriteError when the disk is full or fails.
    """

    def __init__(self, run_dir: Path, manifest: Manifest, claim: Claim | None = None) -> None:
        self.run_dir = run_dir
        self.manifest = manifest
        self._claim = claim

    @classmethod
    def create(cls, results_dir: Path, manifest: Manifest, config_yaml: str) -> "RunWriter":
        """Make the run's folder with config and manifest, claimed for this process.

        Raises:
            StoreError: the id can't be a folder's name, the run exists, or results_dir can't be written.
        """
        layout.check_free(results_dir, manifest.run_id)
        # Made under another name: a process that is killed leaves a whole run or none.
        hidden = results_dir / f".{manifest.run_id}.{os.getpid()}.tmp"
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            for name in (layout.SAMPLES, layout.JOURNAL):
                (hidden / name).mkdir(parents=True)
            writer = cls(hidden, manifest, Claim.take(hidden))
            with _replacing(hidden / layout.CONFIG) as path:
                path.write_text(clean_text(config_yaml), encoding="utf-8")
            writer.update(manifest)
            writer.run_dir = hidden.rename(results_dir / manifest.run_id)
            _sync(results_dir)
        except (OSError, WriteError) as e:
            shutil.rmtree(hidden, ignore_errors=True)
            if results_dir.exists() and not results_dir.is_dir():
                raise StoreError(f"results_dir {str(results_dir)!r} is a file, not a folder") from e
            layout.check_free(results_dir, manifest.run_id)  # another process was first
            why = e.strerror if isinstance(e, OSError) else e
            raise StoreError(f"results_dir {str(results_dir)!r}: can't write: {why}") from e
        return writer

    def remove_leftovers(self) -> None:
        """Remove what a killed process was about to write."""
        for folder in (self.run_dir, self.run_dir / layout.SAMPLES):
            for path in folder.glob(".*.tmp"):
                path.unlink(missing_ok=True)

    def release(self) -> None:
        """Nothing more will be written: another process may go on with the run."""
        if self._claim is not None:
            self._claim.release()

    def update(self, manifest: Manifest) -> None:
        """Replace the manifest; a run's metrics have to be written before it is called complete."""
        assert manifest.run_id == self.manifest.run_id
        assert manifest.status != "complete" or (self.run_dir / layout.METRICS).is_file()
        with _replacing(self.run_dir / layout.MANIFEST) as path:
            path.write_text(manifest_to_json(manifest), encoding="utf-8")
        self.manifest = manifest

    def write_samples(self, task: str, samples: Iterable[SampleRecord]) -> None:
        """Write (or replace) a task's samples; they are taken one by one and never all in memory."""
        writer = self.open_samples(task)
        try:
            writer.add(samples)
            writer.close()
        finally:
            writer.discard()

    def open_samples(self, task: str) -> "SampleWriter":
        """Write (or replace) a task's samples as they come."""
        path = layout.samples_path(self.run_dir, task)
        path.parent.mkdir(exist_ok=True)
        return SampleWriter(path, self.manifest)

    def write_metrics(self, metrics: Iterable[MetricRecord]) -> None:
        """Write (or replace) the run's metrics."""
        table = _Table(self.run_dir / layout.METRICS, METRICS, self.manifest)
        try:
            table.write(metrics)
            table.close()
        finally:
            table.discard()


class SampleWriter:
    """A task's samples, in groups of rows that are ordered by doc and repeat. Close it, or discard it."""

    def __init__(self, path: Path, run: Manifest) -> None:
        """Use `RunWriter.open_samples`."""
        self._table = _Table(path, SAMPLES, run)
        self._rows: list[SampleRecord] = []
        self._num_chars = 0

    def add(self, samples: Iterable[SampleRecord]) -> None:
        """Take samples in any order.

        Raises:
            WriteError: they can't be written.
        """
        for sample in samples:
            self._rows.append(sample)
            self._num_chars += sum(len(text) for text in (sample.prompt, sample.response))
            self._num_chars += len(sample.thinking or "")
            if len(self._rows) >= _ROW_GROUP_ROWS or self._num_chars >= _ROW_GROUP_CHARS:
                self._write()

    def close(self) -> None:
        """The file is there, synced to disk."""
        self._write()
        self._table.close()

    def discard(self) -> None:
        """Remove what isn't closed; nothing happens after `close`."""
        self._table.discard()

    def _write(self) -> None:
        if not self._rows:
            return
        self._rows.sort(key=lambda row: (row.doc_id, row.repeat))
        rows, self._rows, self._num_chars = self._rows, [], 0
        self._table.write(rows)


class _Table:
    """A Parquet file that appears whole, when it is closed."""

    def __init__(self, path: Path, columns: tuple[Column, ...], run: Manifest) -> None:
        self._path, self._columns = path, columns
        self._schema = pa.schema([(column.name, _ARROW[column.type]) for column in columns])
        self._run = {name: clean_text(getattr(run, name)) for name in _RUN_FIELDS}
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def write(self, records: Iterable[SampleRecord | MetricRecord]) -> None:
        """One group of rows."""
        rows = list(records)
        names = [column.name for column in self._columns]
        columns = [
            [self._run[name]] * len(rows)
            if name in self._run
            else [_cell(getattr(row, name)) for row in rows]
            for name in names
        ]
        arrays = [
            pa.array(column, type=self._schema.field(name).type)
            for name, column in zip(names, columns, strict=True)
        ]
        with _as_write_error(self._path):
            self._opened().write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """The file is there, synced to disk."""
        with _as_write_error(self._path):
            self._opened()
            self._open.close()

    def discard(self) -> None:
        """Remove what isn't closed."""
        with contextlib.suppress(_Discarded, OSError, pa.ArrowException):
            self._open.__exit__(_Discarded, _Discarded(), None)

    def _opened(self) -> pq.ParquetWriter:
        if self._writer is None:
            temporary = self._open.enter_context(_replacing(self._path))
            self._writer = self._open.enter_context(
                pq.ParquetWriter(temporary, self._schema, compression="zstd")
            )
        return self._writer


class _Discarded(Exception):  # noqa: N818 (nobody sees it)
    """Ends a file that shall not be kept."""


def _cell(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case dict():
            return [(clean_text(key), item) for key, item in value.items()]
    return value


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path`, synced to disk, when the block ends well, and is removed when not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _as_write_error(path):
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _as_write_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise WriteError.of(e, path) from e


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
