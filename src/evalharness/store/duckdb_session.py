"""One DuckDB for all that this process reads: to open one takes ten times as long as to read a small file."""

from functools import cache

import duckdb


def cursor() -> duckdb.DuckDBPyConnection:
    """A connection of one's own to it, for one thread; holds no tables."""
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    # Files may be replaced while the process lives: what was read before must not be taken for them.
    return duckdb.connect(config={"temp_directory": "", "enable_external_file_cache": "false"})
