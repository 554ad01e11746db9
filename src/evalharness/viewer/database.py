"""Queries of the viewer over one Parquet file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from evalharness.errors import StoreError
from evalharness.store import seal
from evalharness.store.duckdb_session import cursor, file_text


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


def _run(path: Path, statement: str, values: Mapping[str, Any] | None) -> duckdb.DuckDBPyConnection:
    if why := seal.problem(path):
        raise StoreError(f"{path.parent.name}/{path.name} can't be read: {why}")
    file = f"FROM read_parquet({file_text(path)}, file_row_number = true)"
    return cursor().execute(statement.replace("FROM FILE", file), values)


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path.parent.name}/{path.name} can't be read: {str(error).splitlines()[0]}")
