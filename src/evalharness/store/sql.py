"""The store as SQL: views `runs`, `metrics`, `samples`, `responses`, `turns` and `curves` in an in-memory DuckDB.

Their columns are in `store.columns`. Only what a statement names is read: manifests for `runs`, Parquet files for the
others, each of which takes about 0.1 ms to open. Nothing can be written. A damaged file is left out with a warning that
names it.
"""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import duckdb

from evalharness.errors import UserError, some
from evalharness.store import (
    layout,
    seal,
)
from evalharness.store.columns import RESPONSES, RUNS, TABLES, Column, added_since, run_row
from evalharness.store.duckdb_session import SAFE, file_text, text
from evalharness.store.read import as_seen, list_runs, run_versions, warn_once

logger = logging.getLogger(__name__)

_LOCKED = (
    "enable_external_access = false",
    *SAFE,
)
"""Set after the views exist: no file but the results can be read, no extension loaded, no setting changed."""
_PER_RUN = {"metrics": layout.METRICS, "curves": layout.CURVES}
_PER_TASK = {"samples": layout.SAMPLES, "turns": layout.TURNS}
_IS_MAIN = """coalesce(is_main, (run_id, task, filter) IN
    (SELECT (run_id, task, filter) FROM metrics WHERE is_main)) AS is_main"""
"""For samples of versions without this column."""
_LACKS_A_COLUMN = re.compile("schema mismatch|Referenced column")
_MOST_TOLD = 5


def connect(
    results_dir: Path,
    statement: str = "",
    *,
    without: Collection[Path] = (),
    is_mixed: bool = False,
) -> duckdb.DuckDBPyConnection:
    """A connection with the views over all runs; an empty store gives empty views.

    Args:
        results_dir: folder that holds the runs.
        statement: the SQL to run: the views that it names are made; all of them if it names none.
        without: files that are left out of the views.
        is_mixed: a run may hold files of several schemas; slower over thousands of runs.

    Raises:
        StoreError: results_dir can't be read.
        UserError: a view's first file is damaged.
    """
    root = results_dir.resolve()
    connection = duckdb.connect(config={"temp_directory": ""})
    connection.execute("CREATE SCHEMA empty")
    folders = {root / run: version for run, version in run_versions(root).items()}
    views = _named(statement)
    if "samples" in views and 1 in folders.values():
        views.add("metrics")  # which say what older samples don't: which filter is the main one
    if "runs" in views:
        _create_runs(connection, root)
    for name in (*_PER_RUN, *_PER_TASK):
        if name in views:
            try:
                _create_view(connection, name, folders, without, is_mixed=is_mixed)
            except duckdb.Error as e:  # DuckDB reads the first file here
                raise UserError(f"sql: {_one_line(str(e))}") from e
    if "responses" in views:
        connection.execute(
            f"CREATE VIEW responses AS SELECT {_names(RESPONSES)} FROM samples WHERE is_main"
        )
    # DuckDB compares globs, not what they match, with what is allowed: both spellings are needed.
    readable = sorted({str(root), layout.literal_glob(root)})
    connection.execute(f"SET allowed_directories = [{', '.join(map(text, readable))}]")
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
            raise UserError("sql: one SELECT at a time; the store is read-only")
        return connection.execute(statements[0])
    except duckdb.Error as e:
        raise UserError(f"sql: {_one_line(str(e))}") from e


@warn_once()
def query_intact(results_dir: Path, statement: str) -> duckdb.DuckDBPyConnection:
    """`query` over a new connection; files that are damaged are left out, with a warning.

    Raises:
        UserError: as for `query`, if no file is the cause.
        StoreError: results_dir can't be read.
    """
    damaged = seal.damaged(_files_of(results_dir, statement))
    if not damaged:
        try:
            return _query_files(results_dir, statement)
        except UserError as e:
            damaged = [] if _is_of_statement(e) else damaged_files(results_dir, statement)
            if not damaged:
                raise
    shown = some((str(path.relative_to(results_dir.resolve())) for path in damaged), _MOST_TOLD)
    logger.warning("damaged, left out: %s; `evalharness results verify` says more", shown)
    return _query_files(results_dir, statement, damaged)


def _query_files(
    results_dir: Path, statement: str, without: Collection[Path] = ()
) -> duckdb.DuckDBPyConnection:
    """`query` over a new connection, also if a run holds files of several schemas, as while an older one is resumed."""
    try:
        return query(connect(results_dir, statement, without=without), statement)
    except UserError as e:
        if not _LACKS_A_COLUMN.search(str(e)):
            raise
    return query(connect(results_dir, statement, without=without, is_mixed=True), statement)


def damaged_files(results_dir: Path, statement: str = "") -> list[Path]:
    """Unreadable Parquet files of the views that the statement names (of all views if it names none)."""
    return [path for path in _files_of(results_dir, statement) if parquet_problem(path)]


def _files_of(results_dir: Path, statement: str) -> list[Path]:
    root, views = results_dir.resolve(), _named(statement)
    names = [name for name in (*_PER_RUN, *_PER_TASK) if name in views]
    return [
        path for run in run_versions(root) for name in names for path in _files(root / run, name)
    ]


def parquet_problem(path: Path) -> str | None:
    """Why a Parquet file isn't what was written or can't be read completely; None if it can."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if why := seal.problem(path):
        return why
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except (OSError, pa.ArrowException) as e:
        return str(e).splitlines()[0]
    return None


def _named(statement: str) -> set[str]:
    """The views that a statement may read, and those that they are made of; all if it names none (SHOW TABLES)."""
    words = set(re.findall(r"\w+", statement.lower()))
    named = set(TABLES) & words or set(TABLES)
    if "responses" in named:
        named.add("samples")
    return named


def _is_of_statement(error: UserError) -> bool:
    """Whether the statement itself is wrong, so that no file needs checking."""
    wrong = (
        duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.SyntaxException,
        duckdb.PermissionException, duckdb.ConversionException,
    )  # fmt: skip
    return error.__cause__ is None or isinstance(error.__cause__, wrong)


def _files(folder: Path, name: str) -> list[Path]:
    """A run's files of a view."""
    if name in _PER_RUN:
        return [path] if (path := folder / _PER_RUN[name]).is_file() else []
    return sorted((folder / _PER_TASK[name]).glob("*.parquet"))


def _create_runs(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    connection.execute(f"CREATE TABLE runs ({_definition(RUNS)})")
    rows = [
        (run_row(as_seen(root, run)), root / run.run_id / layout.MANIFEST)
        for run in list_runs(root)
    ]
    if not rows:
        return
    columns = [column for column in RUNS if column.name != "manifest"]
    lists = ", ".join(f'unnest(?::{column.type}[]) AS "{column.name}"' for column in columns)
    # DuckDB reads the manifests itself, because as parameters they would be in memory several times.
    connection.execute(
        f"""
        INSERT INTO runs SELECT {_names(columns)}, content
        FROM (SELECT {lists}, unnest(?::VARCHAR[]) AS filename) JOIN read_text(?) USING (filename)
        ORDER BY started_at DESC, run_id DESC
        """,
        [
            *([row[column.name] for row, _ in rows] for column in columns),
            [str(path) for _, path in rows],
            [layout.literal_glob(path) for _, path in rows],
        ],
    )


def _create_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    folders: Mapping[Path, int],
    without: Collection[Path],
    *,
    is_mixed: bool,
) -> None:
    """A view over the runs' files; columns that an older file lacks are NULL, extra ones are left out."""
    columns = TABLES[name]
    sources, is_whole = [], False
    # Files of one version have one schema: to unify thousands of equal ones would take longer than the query.
    for version in sorted(set(folders.values()), reverse=True):
        of_version = [folder for folder, found in folders.items() if found == version]
        globs = [glob for folder in of_version for glob in _globs(folder, name, without)]
        if not globs:
            continue
        lacking = added_since(version) if name == "samples" else []
        had = [column for column in columns if column not in lacking]
        if version == 1 or is_mixed:
            sources.append(f"FROM read_parquet([{', '.join(globs)}], union_by_name = true)")
        else:
            sources.append(f"SELECT {_names(had)} FROM read_parquet([{', '.join(globs)}])")
            is_whole |= len(had) == len(columns)
    if (
        not is_whole
    ):  # files of this version have every column and its type; others take them from here
        connection.execute(f"CREATE TABLE empty.{name} ({_definition(columns)})")
        sources.append(f"FROM empty.{name}")
    selected = _names(columns)
    if name == "samples" and 1 in folders.values():
        selected = selected.replace('"is_main"', _IS_MAIN)
    connection.execute(
        f"CREATE VIEW {name} AS SELECT {selected} FROM ({' UNION ALL BY NAME '.join(sources)})"
    )


def _globs(folder: Path, name: str, without: Collection[Path]) -> Iterator[str]:
    """Patterns for the runs' files: one glob per folder, which is faster than all their names."""
    is_whole = not any(path.is_relative_to(folder) for path in without)
    if is_whole and name in _PER_TASK:
        if any((folder / _PER_TASK[name]).glob("*.parquet")):
            yield text(f"{layout.literal_glob(folder / _PER_TASK[name])}/*.parquet")
        return
    kept = (path for path in _files(folder, name) if path not in without)
    yield from (file_text(path) for path in kept)


def _definition(columns: Iterable[Column]) -> str:
    return ", ".join(f'"{column.name}" {column.type}' for column in columns)


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _one_line(message: str) -> str:
    """DuckDB's message without the echo of the query below it."""
    return " ".join(message.split("\n\nLINE ")[0].split())
