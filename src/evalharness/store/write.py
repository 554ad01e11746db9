"""Write a run. A file appears whole or not at all, and the manifest's status is the last thing to change."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalharness.errors import StoreError
from evalharness.records import Manifest, MetricRecord, SampleRecord
from evalharness.store import layout
from evalharness.store.columns import METRICS, SAMPLES, Column
from evalharness.store.encoding import clean_text, manifest_to_json

_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "MAP(VARCHAR, DOUBLE)": pa.map_(pa.string(), pa.float64()),
}
_ROW_GROUP_ROWS = 8192
_ROW_GROUP_CHARS = 32_000_000
"""Long prompts end a row group earlier: it is held in memory."""


class RunWriter:
    """The folder of one run; `RunWriter(run_dir, manifest)` goes on with a run that exists."""

    def __init__(self, run_dir: Path, manifest: Manifest) -> None:
        self.run_dir = run_dir
        self.manifest = manifest

    @classmethod
    def create(cls, results_dir: Path, manifest: Manifest, config_yaml: str) -> "RunWriter":
        """Make the run's folder with config and manifest.

        Raises:
            StoreError: the id can't be a folder's name, the run exists, or results_dir can't be written.
        """
        run_id = manifest.run_id
        layout.check_free(results_dir, run_id)
        run_dir = results_dir / run_id
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            run_dir.mkdir()
        except FileExistsError as e:
            if not results_dir.is_dir():
                raise StoreError(f"results_dir {str(results_dir)!r} is a file, not a folder") from e
            layout.check_free(results_dir, run_id)
            raise
        except OSError as e:
            raise StoreError(f"results_dir {str(results_dir)!r}: can't write: {e.strerror}") from e
        with _replacing(run_dir / layout.CONFIG) as path:
            path.write_text(clean_text(config_yaml), encoding="utf-8")
        writer = cls(run_dir, manifest)
        for name in (layout.SAMPLES, layout.JOURNAL):
            (run_dir / name).mkdir()
        writer.update(manifest)
        return writer

    def update(self, manifest: Manifest) -> None:
        """Replace the manifest; a run's metrics have to be written before it is called complete."""
        assert manifest.run_id == self.manifest.run_id
        assert manifest.status != "complete" or (self.run_dir / layout.METRICS).is_file()
        with _replacing(self.run_dir / layout.MANIFEST) as path:
            path.write_text(manifest_to_json(manifest), encoding="utf-8")
        self.manifest = manifest

    def write_samples(self, task: str, samples: Iterable[SampleRecord]) -> None:
        """Write (or replace) a task's samples; they are taken one by one and never all in memory."""
        path = layout.samples_path(self.run_dir, task)
        path.parent.mkdir(exist_ok=True)
        _write_table(path, SAMPLES, (self._row(asdict(sample)) for sample in samples))

    def write_metrics(self, metrics: Iterable[MetricRecord]) -> None:
        """Write (or replace) the run's metrics."""
        rows = (self._row(asdict(metric)) for metric in metrics)
        _write_table(self.run_dir / layout.METRICS, METRICS, rows)

    def _row(self, record: dict[str, Any]) -> dict[str, Any]:
        run = self.manifest
        row: dict[str, Any] = {
            "run_id": run.run_id,
            "model": run.model,
            "suite": run.suite,
            "started_at": run.started_at,
        }
        for name, value in record.items():
            match value:
                case str():
                    row[name] = clean_text(value)
                case dict():
                    row[name] = [(clean_text(key), score) for key, score in value.items()]
                case _:
                    row[name] = value
        return row


def _write_table(path: Path, columns: tuple[Column, ...], rows: Iterable[dict[str, Any]]) -> None:
    schema = pa.schema([(column.name, _ARROW[column.type]) for column in columns])
    with (
        _replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for group in _row_groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _row_groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    num_chars = 0
    for row in rows:
        group.append(row)
        num_chars += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(group) >= _ROW_GROUP_ROWS or num_chars >= _ROW_GROUP_CHARS:
            yield group
            group, num_chars = [], 0
    if group:
        yield group


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path`, synced to disk, when the block ends well, and is removed when not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as e:
        raise StoreError(f"can't write {str(path)!r}: {e.strerror or e}") from e
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
