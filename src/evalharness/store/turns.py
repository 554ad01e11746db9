"""The turns of one sample's conversation, read without the rest of the file."""

from dataclasses import fields
from pathlib import Path

from evalharness.errors import StoreError
from evalharness.store import layout, seal
from evalharness.store.records import TurnRecord


def load_turns(run_dir: Path, task: str, doc_id: int, repeat: int) -> list[TurnRecord]:
    """A sample's turns, in the order in which they were stored; none where the task holds no conversations.

    Raises:
        StoreError: the file is damaged.
    """
    import duckdb  # late, as verbs start faster without it

    from evalharness.store.duckdb_session import cursor

    path = layout.turns_path(run_dir, task)
    if not path.is_file():
        return []
    if why := seal.problem(path):
        raise StoreError(f"{path.parent.name}/{path.name} can't be read: {why}")
    names = [field.name for field in fields(TurnRecord)]
    query = f"SELECT {', '.join(names)} FROM read_parquet(?) WHERE doc_id = ? AND repeat = ? ORDER BY turn"
    try:
        with cursor() as connection:
            found = connection.execute(query, [layout.literal_glob(path), doc_id, repeat])
            rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    except duckdb.Error as e:
        why = str(e).splitlines()[0]
        raise StoreError(f"{path.parent.name}/{path.name} can't be read: {why}") from e
    return [TurnRecord(**row | {"token_ids": tuple(row["token_ids"] or ())}) for row in rows]
