"""One DuckDB for all reading of this process, because opening one takes ten times as long as reading a small file."""

from functools import cache

import duckdb


def cursor() -> duckdb.DuckDBPyConnection:
    """A separate connection to it, for one thread, without tables."""
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    # Files may be replaced while the process runs, so nothing read earlier may be cached.
    return duckdb.connect(config={"temp_directory": "", "enable_external_file_cache": "false"})
