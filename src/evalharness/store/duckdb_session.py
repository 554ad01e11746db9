"""One DuckDB for all reading of this process, because opening one takes ten times as long as reading a small file."""

from functools import cache
from pathlib import Path

import duckdb

from evalharness.store import layout

SAFE = (
    "python_enable_replacements = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "lock_configuration = true",
)
"""Settings: no Python variable stands for a table, no extension is loaded, and none of this can be changed."""


def cursor() -> duckdb.DuckDBPyConnection:
    """A separate connection to it, for one thread, without tables."""
    return _database().cursor()


def file_text(path: Path) -> str:
    """The path as a SQL string that matches only itself."""
    return text(layout.literal_glob(path))


def text(value: str) -> str:
    """The value as a SQL string."""
    return "'" + value.replace("'", "''") + "'"


@cache
def _database() -> duckdb.DuckDBPyConnection:
    # Files may be replaced while the process lives: what was read before must not be taken for them.
    connection = duckdb.connect(
        config={"temp_directory": "", "enable_external_file_cache": "false"}
    )
    for setting in SAFE:
        connection.execute(f"SET {setting}")
    return connection
