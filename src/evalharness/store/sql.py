"""The store as SQL: views `runs`, `metrics`, `samples`, `responses`, `turns` and `curves` in an in-memory DuckDB.

Their columns are in `store.columns`. Manifests are read when it is opened, Parquet files when a query needs them. Nothing
can be written. A damaged file is left out, and the warning says which.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import duckdb

from evalharness.errors import UserError
from evalharness.records import Manifest
from evalharness.store import layout
from evalharness.store.columns import RESPONSES, RUNS, TABLES, Column, run_row
from evalharness.store.read import list_runs

logger = logging.getLogger(__name__)

_LOCKED = (
    "enable_external_access = false",
    "python_enable_replacements = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "lock_configuration = true",
)
"""Set after the views exist: no file but the results can be read, no extension loaded, no setting changed."""
_PER_RUN = {"metrics": layout.METRICS, "curves": layout.CURVES}
_PER_TASK = {"samples": layout.SAMPLES, "turns": layout.TURNS}
_IS_MAIN = """coalesce(is_main, (run_id, task, filter) IN
    (SELECT (run_id, task, filter) FROM metrics WHERE is_main)) AS is_main"""
"""For samples that were written before they said it."""
_MOST_TOLD = 5


def connect(results_dir: Path, *, without: Collection[Path] = ()) -> duckdb.DuckDBPyConnection:
    """A connection with the views over all runs; an empty store gives empty views.

    Args:
        results_dir: folder that holds the runs.
        without: files that are left out of the views.

    Raises:
        StoreError: results_dir can't be read.
    """
    root = results_dir.resolve()
    connection = duckdb.connect(config={"temp_directory": ""})
    connection.execute("CREATE SCHEMA empty")
    runs = list_runs(root)
    old = _create_runs(connection, root, runs)
    folders = [root / run.run_id for run in runs]
    for name in (*_PER_RUN, *_PER_TASK):
        files = [path for path in _files(folders, name) if path not in without]
        _create_view(connection, name, files, old)
    connection.execute(
        f"CREATE VIEW responses AS SELECT {_names(RESPONSES)} FROM samples WHERE is_main"
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


def query_intact(results_dir: Path, statement: str) -> duckdb.DuckDBPyConnection:
    """`query` over a new connection; files that turn out to be damaged are left out, with a warning.

    Raises:
        UserError: as of `query`, where no file is to blame.
        StoreError: results_dir can't be read.
    """
    try:
        return query(connect(results_dir), statement)
    except UserError:
        damaged = damaged_files(results_dir)
        if not damaged:
            raise
    shown = ", ".join(str(path.relative_to(results_dir.resolve())) for path in damaged[:_MOST_TOLD])
    more = f" and {len(damaged) - _MOST_TOLD} more" if len(damaged) > _MOST_TOLD else ""
    logger.warning("damaged, left out: %s%s; `evalharness results verify` tells more", shown, more)
    return query(connect(results_dir, without=damaged), statement)


def damaged_files(results_dir: Path) -> list[Path]:
    """The Parquet files of the store that can't be read to their end."""
    root = results_dir.resolve()
    folders = [root / run.run_id for run in list_runs(root)]
    files = [path for name in (*_PER_RUN, *_PER_TASK) for path in _files(folders, name)]
    return [path for path in files if parquet_problem(path)]


def parquet_problem(path: Path) -> str | None:
    """Why a Parquet file can't be read to its end; None when it can."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except (OSError, pa.ArrowException) as e:
        return str(e).splitlines()[0]
    return None


def _files(folders: Iterable[Path], name: str) -> list[Path]:
    if name in _PER_RUN:
        return [path for f in folders if (path := f / _PER_RUN[name]).is_file()]
    return [path for f in folders for path in sorted((f / _PER_TASK[name]).glob("*.parquet"))]


def _create_runs(
    connection: duckdb.DuckDBPyConnection, root: Path, runs: list[Manifest]
) -> set[str]:
    """The table `runs`; ids of the runs that an older version wrote."""
    connection.execute(f"CREATE TABLE runs ({_definition(RUNS)})")
    texts = [(root / run.run_id / layout.MANIFEST).read_text("utf-8") for run in runs]
    rows = [{**run_row(run), "manifest": text} for run, text in zip(runs, texts, strict=True)]
    lists = ", ".join(f"unnest(?::{column.type}[])" for column in RUNS)
    connection.execute(
        f"INSERT INTO runs SELECT {lists}", [[row[column.name] for row in rows] for column in RUNS]
    )
    old = connection.execute("SELECT run_id FROM runs WHERE manifest->>'$.schema_version' = '1'")
    return {run_id for (run_id,) in old.fetchall()}


def _create_view(
    connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path], old: Collection[str]
) -> None:
    """A view over the files; columns that an older file lacks are NULL, ones it has in excess are left out."""
    columns = TABLES[name]
    connection.execute(f"CREATE TABLE empty.{name} ({_definition(columns)})")
    depth = 1 if name in _PER_RUN else 2
    is_old = [path.parents[depth - 1].name in old for path in files]
    sources = [f"FROM empty.{name}"]
    # Files of one version have one schema: to unify thousands of equal ones would take longer than the query.
    if new := [path for path, flag in zip(files, is_old, strict=True) if not flag]:
        sources.append(f"SELECT {_names(columns)} FROM read_parquet([{_listed(new)}])")
    if before := [path for path, flag in zip(files, is_old, strict=True) if flag]:
        sources.append(f"FROM read_parquet([{_listed(before)}], union_by_name = true)")
    selected = _names(columns)
    if before and name == "samples":
        selected = selected.replace('"is_main"', _IS_MAIN)
    connection.execute(
        f"CREATE VIEW {name} AS SELECT {selected} FROM ({' UNION ALL BY NAME '.join(sources)})"
    )


def _definition(columns: Iterable[Column]) -> str:
    return ", ".join(f'"{column.name}" {column.type}' for column in columns)


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _listed(files: Iterable[Path]) -> str:
    return ", ".join(_text(layout.literal_glob(path)) for path in files)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _one_line(message: str) -> str:
    """DuckDB's message without the echo of the query below it."""
    return " ".join(message.split("\n\nLINE ")[0].split())
