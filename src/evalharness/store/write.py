"""Write a run. A file appears complete or not at all, and the manifest's status changes last."""

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from evalharness.errors import StoreError, WriteError
from evalharness.store import (
    checksums,
    layout,
    seal,
)
from evalharness.store.atomic import as_write_error, replacing, sync, write_whole
from evalharness.store.columns import CHOICES, CURVES, METRICS, SAMPLES, TURNS, Column
from evalharness.store.json_codec import (
    clean_text,
    manifest_to_json,
)
from evalharness.store.lock import Claim
from evalharness.store.records import (
    CurvePoint,
    DocRecord,
    Manifest,
    MetricRecord,
    SampleRecord,
    ScoredChoice,
    TurnRecord,
)

Row = TypeVar("Row", SampleRecord, TurnRecord)

_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "BIGINT[]": pa.list_(pa.int64()),
    "MAP(VARCHAR, DOUBLE)": pa.map_(pa.string(), pa.float64()),
    "MAP(VARCHAR, BIGINT)": pa.map_(pa.string(), pa.int64()),
    CHOICES: pa.list_(
        pa.struct([("text", pa.string()), ("logprob", pa.float64()), ("num_tokens", pa.int64())])
    ),
}
_RUN_FIELDS = ("run_id", "model", "suite", "started_at")
_ROW_GROUP_ROWS = 8192
_DOCS_AT_ONCE = 1000
_ROW_GROUP_CHARS = 32_000_000
"""Long prompts end a row group earlier, because it is held in memory."""
_DICTIONARY_BYTES = _ROW_GROUP_CHARS * 4
"""A row group's distinct texts all fit its dictionary, so that texts shared by rows (a prompt by repeats and filters)
are stored once."""


class RunWriter:
    """The folder of one run; `RunWriter(run_dir, manifest, claim)` continues an existing run.

    All writing raises WriteError if the disk is full or fails.
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
        # Made under another name, so that a killed process leaves a complete run or none.
        hidden = results_dir / f".{manifest.run_id}.{os.getpid()}.tmp"
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            for name in (layout.SAMPLES, layout.JOURNAL):
                (hidden / name).mkdir(parents=True)
            writer = cls(hidden, manifest, Claim.take(hidden))
            write_whole(hidden / layout.CONFIG, clean_text(config_yaml))
            writer.update(manifest)
            writer.run_dir = hidden.rename(results_dir / manifest.run_id)
            sync(results_dir)
        except (OSError, WriteError) as e:
            shutil.rmtree(hidden, ignore_errors=True)
            layout.check_results_dir(results_dir)
            layout.check_free(results_dir, manifest.run_id)  # another process was first
            why = e.strerror if isinstance(e, OSError) else e
            raise StoreError(f"results_dir {str(results_dir)!r}: can't write: {why}") from e
        return writer

    def remove_leftovers(self) -> None:
        """Remove what a killed process was writing."""
        for folder in (
            self.run_dir,
            *(self.run_dir / n for n in (layout.SAMPLES, layout.TURNS, layout.DOCS)),
        ):
            for path in folder.glob(".*.tmp"):
                path.unlink(missing_ok=True)

    def release(self) -> None:
        """Stop writing: another process may continue the run."""
        if self._claim is not None:
            self._claim.release()

    def update(self, manifest: Manifest) -> None:
        """Replace the manifest; at the end of the run, list the checksums of all files.

        A run's metrics have to be written before it is called complete.
        """
        assert manifest.run_id == self.manifest.run_id
        assert manifest.status != "complete" or (self.run_dir / layout.METRICS).is_file()
        # Files may change from here on, and no list is better than one that calls them damaged.
        (self.run_dir / layout.CHECKSUMS).unlink(missing_ok=True)
        path = self.run_dir / layout.MANIFEST
        with as_write_error(path), replacing(path) as temporary:
            temporary.write_text(manifest_to_json(manifest), encoding="utf-8")
        self.manifest = manifest
        if manifest.status != "running":
            with as_write_error(self.run_dir / layout.CHECKSUMS):
                checksums.write(self.run_dir)

    def write_samples(self, task: str, samples: Iterable[SampleRecord]) -> None:
        """Write (or replace) a task's samples; they are taken one by one and are never all in memory."""
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
        return SampleWriter(path, SAMPLES, self.manifest, _sample_chars)

    def open_turns(self, task: str) -> "TurnWriter":
        """Write (or replace) the turns of a task's conversations as they come."""
        path = layout.turns_path(self.run_dir, task)
        path.parent.mkdir(exist_ok=True)
        return TurnWriter(path, TURNS, self.manifest, _turn_chars)

    def write_docs(self, task: str, docs: Iterable[DocRecord]) -> None:
        """Write (or replace) a task's docs; they are taken one by one and are never all in memory."""
        path = layout.docs_path(self.run_dir, task)
        path.parent.mkdir(exist_ok=True)
        schema = pa.schema(
            [("doc_id", pa.int64()), ("doc_hash", pa.string()), ("doc", pa.string())]
        )
        with _parquet(path, schema) as file:
            several = iter(docs)
            while rows := list(itertools.islice(several, _DOCS_AT_ONCE)):
                columns = zip(*rows, strict=True)
                file.write_table(pa.table([pa.array(c) for c in columns], schema=schema))

    def write_metrics(self, metrics: Iterable[MetricRecord]) -> None:
        """Write (or replace) the run's metrics."""
        self._write_table(layout.METRICS, METRICS, metrics)

    def write_curves(self, points: Iterable[CurvePoint]) -> None:
        """Write (or replace) the curves of the run's strategy."""
        self._write_table(layout.CURVES, CURVES, points)

    def _write_table(
        self, name: str, columns: tuple[Column, ...], records: Iterable[MetricRecord | CurvePoint]
    ) -> None:
        table = _Table(self.run_dir / name, columns, self.manifest)
        try:
            table.write(records)
            table.close()
        finally:
            table.discard()


class RowWriter(Generic[Row]):
    """A task's rows, in groups that are ordered by doc and repeat. Close it, or discard it."""

    def __init__(
        self,
        path: Path,
        columns: tuple[Column, ...],
        run: Manifest,
        num_chars: Callable[[Row], int],
    ) -> None:
        """Use `RunWriter.open_samples` and `open_turns`."""
        self._table = _Table(path, columns, run)
        self._rows: list[Row] = []
        self._num_chars_of: Callable[[Row], int] = num_chars
        self._num_chars = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in any order of docs.

        Raises:
            WriteError: they can't be written.
        """
        for row in rows:
            self._rows.append(row)
            self._num_chars += self._num_chars_of(row)
            if len(self._rows) >= _ROW_GROUP_ROWS or self._num_chars >= _ROW_GROUP_CHARS:
                self._write()

    def close(self) -> None:
        """Finish the file, synced to disk."""
        self._write()
        self._table.close()

    def discard(self) -> None:
        """Remove the file unless it is closed."""
        self._table.discard()

    def _write(self) -> None:
        if not self._rows:
            return
        self._rows.sort(key=lambda row: (row.doc_id, row.repeat))
        rows, self._rows, self._num_chars = self._rows, [], 0
        self._table.write(rows)


SampleWriter = RowWriter[SampleRecord]
TurnWriter = RowWriter[TurnRecord]


def _sample_chars(row: SampleRecord) -> int:
    return len(row.prompt) + len(row.response) + len(row.thinking or "")


def _turn_chars(row: TurnRecord) -> int:
    return len(row.message) + len(row.text) + len(row.thinking or "") + 8 * len(row.token_ids)


class _Table:
    """A Parquet file that appears, complete, when it is closed."""

    def __init__(self, path: Path, columns: tuple[Column, ...], run: Manifest) -> None:
        self._path, self._columns = path, columns
        self._schema = pa.schema([(column.name, _ARROW[column.type]) for column in columns])
        self._run = {name: clean_text(getattr(run, name)) for name in _RUN_FIELDS}
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def write(
        self, records: Iterable[SampleRecord | TurnRecord | MetricRecord | CurvePoint]
    ) -> None:
        """One group of rows."""
        rows = list(records)
        names = [column.name for column in self._columns]
        columns: list[list[Any]] = [
            [self._run[name]] * len(rows)
            if name in self._run
            else [_cell(getattr(row, name)) for row in rows]
            for name in names
        ]
        arrays = [
            _choices(cells)
            if column.type == CHOICES
            else pa.array(cells, type=self._schema.field(column.name).type)
            for column, cells in zip(self._columns, columns, strict=True)
        ]
        with as_write_error(self._path):
            self._opened().write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """The file is there, synced to disk."""
        with as_write_error(self._path):
            self._opened()
            self._open.close()

    def discard(self) -> None:
        """Remove the file unless it is closed."""
        with contextlib.suppress(_Discarded, OSError, pa.ArrowException):
            self._open.__exit__(_Discarded, _Discarded(), None)

    def _opened(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = self._open.enter_context(
                _parquet(self._path, self._schema, dictionary_pagesize_limit=_DICTIONARY_BYTES)
            )
        return self._writer


class _Discarded(Exception):  # noqa: N818 (private)
    """Raised to end a file that should not be kept."""


def _cell(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case dict():
            return [(clean_text(key), item) for key, item in value.items()]
    return value


def _choices(cells: Sequence[Sequence[ScoredChoice]]) -> pa.Array:
    """A column of choices, built field by field: several times faster than from a mapping for each."""
    ends = itertools.accumulate(map(len, cells), initial=0)
    choices = list(itertools.chain.from_iterable(cells))
    fields = list(_ARROW[CHOICES].value_type)
    values = (
        [clean_text(choice.text) for choice in choices],
        [choice.logprob for choice in choices],
        [choice.num_tokens for choice in choices],
    )
    arrays = [pa.array(v, type=field.type) for v, field in zip(values, fields, strict=True)]
    return pa.ListArray.from_arrays(
        pa.array(ends, type=pa.int32()), pa.StructArray.from_arrays(arrays, fields=fields)
    )


@contextmanager
def _parquet(path: Path, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
    """Writes a file with checksums of its pages and one of the whole."""
    with as_write_error(path), replacing(path) as temporary:
        with pq.ParquetWriter(
            temporary, schema, compression="zstd", write_page_checksum=True, **options
        ) as writer:
            yield writer
            writer.add_key_value_metadata({seal.KEY: seal.OPEN})
        seal.seal(temporary)
