"""The store as SQL: views `runs`, `metrics`, `samples`, `turns` and `curves` (columns: `store.columns`) in an in-memory DuckDB.

Manifests are read when it is opened, Parquet files when a query needs them. Nothing can be written.
"""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from evalharness.errors import UserError
from evalharness.records import Manifest
from evalharness.store import layout
from evalharness.store.columns import RUNS, TABLES, Column, run_row
from evalharness.store.read import list_runs

_LOCKED = (
    "enable_external_access = false",
    "python_enable_replacements = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "lock_configuration = true",
)
"""Set after the views exist: no file but the results can be read, no extension loaded, no setting changed."""


def connect(results_dir: Path) -> duckdb.DuckDBPyConnection:
    """A connection with the views over all runs; an empty store gives empty views.

    Raises:
        StoreError: results_dir can't be read.
    """
    root = results_dir.resolve()
    runs = list_runs(root)
    connection = duckdb.connect(config={"temp_directory": ""})
    connection.execute("CREATE SCHEMA empty")
    _create_runs(connection, root, runs)
    folders = [root / run.run_id for run in runs]
    for name, file in (("metrics", layout.METRICS), ("curves", layout.CURVES)):
        _create_view(connection, name, [p for f in folders if (p := f / file).is_file()])
    for name, of_task in (("samples", layout.SAMPLES), ("turns", layout.TURNS)):
        _create_view(
            connection, name, [p for f in folders for p in sorted((f / of_task).glob("*.parquet"))]
        )
    # DuckDB compares globs, not what they match, with what is allowed: both spellings are needed.
    readable = sorted({str(root), layout.literal_glob(root)})
    connection.execute(f"SET allowed_directories = [{', '.join(map(_text, readable))}]")
    for setting in _LOCKED:
        connection.execute(f"SET {setting}")
    return connection


def query(connection: duckdb.DuckDBPyConnection, statement: str) -> duckdb.DuckDBPyConnection:
    """Run one SELECT (FROM, WITH, DESCRIBE, SUMMARIZE, PIVOT, ...) and return its cursor.

    Raises:
        UserError: bad SQL, or a statement that would change something.
    """
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)
    try:
        statements = connection.extract_statements(statement)
        if len(statements) != 1 or statements[0].type not in reading:
            raise UserError("sql: one SELECT at a time; the store is only read")
        return connection.execute(statements[0])
    except duckdb.Error as e:
        raise UserError(f"sql: {_one_line(str(e))}") from e


def _create_runs(connection: duckdb.DuckDBPyConnection, root: Path, runs: list[Manifest]) -> None:
    connection.execute(f"CREATE TABLE runs ({_definition(RUNS)})")
    rows = [
        {**run_row(run), "manifest": (root / run.run_id / layout.MANIFEST).read_text("utf-8")}
        for run in runs
    ]
    lists = ", ".join(f"unnest(?::{column.type}[])" for column in RUNS)
    connection.execute(
        f"INSERT INTO runs SELECT {lists}", [[row[column.name] for row in rows] for column in RUNS]
    )


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, files: list[Path]) -> None:
    """A view over the files; columns that an older file lacks are NULL, ones it has in excess are left out."""
    columns = TABLES[name]
    connection.execute(f"CREATE TABLE empty.{name} ({_definition(columns)})")
    source = f"FROM empty.{name}"
    if files:
        listed = ", ".join(_text(layout.literal_glob(path)) for path in files)
        source += f" UNION ALL BY NAME FROM read_parquet([{listed}], union_by_name = true)"
    connection.execute(f"CREATE VIEW {name} AS SELECT {_names(columns)} FROM ({source})")


def _definition(columns: Iterable[Column]) -> str:
    return ", ".join(f'"{column.name}" {column.type}' for column in columns)


def _names(columns: Iterable[Column], prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{column.name}"' for column in columns)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _one_line(message: str) -> str:
    """DuckDB's message without the echo of the query below it."""
    return " ".join(message.split("\n\nLINE ")[0].split())
