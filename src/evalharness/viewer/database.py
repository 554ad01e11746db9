"""DuckDB for the viewer: one in-memory database, a cursor per query, Parquet files as input."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from evalharness.errors import StoreError
from evalharness.store import (
    layout,
    seal,
)

_SETTINGS = (
    "python_enable_replacements = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "lock_configuration = true",
)


def rows_of(path: Path, statement: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    """Rows of a SELECT over one file, which the statement calls FILE.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        rows: list[Any] = _run(path, statement, values).fetchall()
    except duckdb.Error as e:
        raise _damaged(path, e) from e
    return rows


def columns_of(
    path: Path, statement: str, values: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The same as numpy arrays by column; a column with NULLs is a masked one.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        columns: dict[str, Any] = _run(path, statement, values).fetchnumpy()
    except duckdb.Error as e:
        raise _damaged(path, e) from e
    return columns


def literal(path: Path) -> str:
    """The path as a SQL string that matches only itself."""
    return "'" + layout.literal_glob(path).replace("'", "''") + "'"


def _run(path: Path, statement: str, values: Mapping[str, Any] | None) -> duckdb.DuckDBPyConnection:
    if why := seal.problem(path):
        raise StoreError(f"{path.parent.name}/{path.name} can't be read: {why}")
    file = f"FROM read_parquet({literal(path)}, file_row_number = true)"
    return _database().cursor().execute(statement.replace("FROM FILE", file), values)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"temp_directory": ""})
    for setting in _SETTINGS:
        connection.execute(f"SET {setting}")
    return connection


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path.parent.name}/{path.name} can't be read: {str(error).splitlines()[0]}")
