"""A damaged file is never read as data, by whichever reader, wherever the damage is."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.errors import EvalHarnessError
from evalharness.store import (
    layout,
    seal,
)
from evalharness.store.pairs import Scored, load_changes, load_pairs
from evalharness.store.read import (
    iter_docs,
    iter_samples,
    load_main_metrics,
    load_manifest,
    load_metrics,
    load_samples,
)
from evalharness.store.records import DocRecord
from evalharness.store.sql import parquet_problem, query_intact
from evalharness.store.write import RunWriter
from evalharness.viewer import database
from stores import make_run

SCORES = {"t": [1.0, 0.0, 1.0, 1.0, 0.0]}
Read = Callable[[Path], Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    make_run(folder, "r", "m", "s", SCORES)
    make_run(folder, "other", "n", "s", {"t": [0.0] * 5})
    run = load_manifest(folder / "r")
    RunWriter(folder / "r", run).write_docs("t", [DocRecord(0, "h", '{"a": 1}')])
    return folder


def _pairs(run_dir: Path) -> Any:
    found, damaged = load_pairs(run_dir, run_dir.parent / "other", {"t": Scored("acc", "none")})
    return "damaged" if damaged else str(found)


def _main(run_dir: Path) -> Any:
    found = load_main_metrics(run_dir.parent, [run_dir.name])
    return "damaged" if found.damaged else str(found.of_run)


def _sql(view: str) -> Read:
    def read(run_dir: Path) -> Any:
        rows = query_intact(run_dir.parent, f"SELECT * FROM {view} WHERE run_id = 'r'").fetchall()
        return str(rows) if rows else "damaged"

    return read


READERS: dict[str, dict[str, Read]] = {
    "metrics.parquet": {
        "load_metrics": lambda d: str(load_metrics(d)),
        "load_main_metrics": _main,
        "sql": _sql("metrics"),
    },
    "samples/t.parquet": {
        "iter_samples": lambda d: str(list(iter_samples(d, "t"))),
        "load_samples": lambda d: load_samples(d, "t").to_pylist(),
        "load_pairs": _pairs,
        "load_changes": lambda d: str(load_changes(d, d.parent / "other", "t", Scored("acc", "none"), 9)),
        "sql": _sql("samples"),
        "viewer": lambda d: database.rows_of(d / "samples" / "t.parquet", "SELECT * FROM FILE"),
    },
    "docs/t.parquet": {"iter_docs": lambda d: list(iter_docs(d, "t"))},
}  # fmt: skip
CASES = [(name, reader) for name, readers in READERS.items() for reader in readers]


def flipped(content: bytes, at: float, length: int) -> bytes:
    start = int(at * (len(content) - 1))
    return bytes(b ^ 0x10 if start <= i < start + length else b for i, b in enumerate(content))


def zeroed(content: bytes, at: float, length: int) -> bytes:
    start = int(at * (len(content) - 1))
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def cut_out(content: bytes, at: float, length: int) -> bytes:
    start = int(at * (len(content) - 1))
    return content[:start] + content[start + length :]


def is_key_whole(content: bytes) -> bool:
    return seal._BEFORE_VALUE in content


@pytest.mark.parametrize(("name", "reader"), CASES)
@settings(max_examples=20, deadline=None)
@given(
    change=st.sampled_from([flipped, zeroed, cut_out]),
    at=st.floats(0, 1),
    length=st.integers(1, 64),
)
def test_no_damage_is_read_as_data(
    store: Path, name: str, reader: str, change: Callable[..., bytes], at: float, length: int
) -> None:
    path, read = store / "r" / name, READERS[name][reader]
    whole = path.read_bytes()
    before = read(store / "r")
    damaged = change(whole, at, length)
    try:
        path.write_bytes(damaged)
        seal._check.cache_clear()  # within the clock's grain the file looks as before
        found = read(store / "r")
    except EvalHarnessError:
        found = "damaged"
    finally:
        path.write_bytes(whole)
        seal._check.cache_clear()
    if is_key_whole(damaged):
        assert found == ("damaged" if damaged != whole else before)
    else:  # without its key a file says of no checksum: what is read has to be right all the same
        assert found in ("damaged", before)


REWRITTEN = [case for case in CASES if not case[0].startswith("docs")]


@pytest.mark.parametrize(("name", "reader"), REWRITTEN)
def test_a_file_that_another_program_wrote_again_is_no_data(
    store: Path, name: str, reader: str
) -> None:
    """It has no checksum of its own, but the run's list has one of what it was."""
    path, read = store / "r" / name, READERS[name][reader]
    whole = path.read_bytes()
    try:
        pq.write_table(pq.read_table(path), path)
        seal._check.cache_clear()
        assert "another program wrote it" in str(seal.problem(path))
        found = read(store / "r")
    except EvalHarnessError:
        found = "damaged"
    finally:
        path.write_bytes(whole)
        seal._check.cache_clear()
    assert found == "damaged"


def test_without_a_list_a_file_of_no_checksum_is_read(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    pq.write_table(pq.read_table(store / "r" / path.name), path)
    assert seal.problem(path) is None
    (tmp_path / layout.CHECKSUMS).write_text("nothing of the kind")
    seal._check.cache_clear()
    assert seal.problem(path) == "checksums.sha256 is damaged: 'nothing of the kind'"


def test_every_region_counts(store: Path, tmp_path: Path) -> None:
    whole = (store / "r" / "metrics.parquet").read_bytes()
    path, unnoticed = tmp_path / "metrics.parquet", []
    key = whole.index(seal._BEFORE_VALUE)
    for place in {
        *range(0, len(whole), 17),
        *range(key - 9, key + 40),
        *range(len(whole) - 9, len(whole)),
    }:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        seal._check.cache_clear()
        if seal.problem(path) is None:
            unnoticed.append(place)
    # Only the key's own bytes: without them nothing says that there is a checksum, and all data is as it was.
    assert set(unnoticed) == set(range(key, key + len(seal._BEFORE_VALUE)))


def test_the_checksum_is_what_the_docstring_says(store: Path) -> None:
    path = store / "r" / "samples" / "t.parquet"
    value = pq.read_metadata(path).metadata[seal.KEY.encode()]
    content = path.read_bytes()
    assert content.count(value) == 1
    assert f"{zlib.crc32(content.replace(value, b'0' * 8)):08x}".encode() == value


def test_pages_have_checksums_of_their_own(store: Path, tmp_path: Path) -> None:
    whole = (store / "r" / "samples" / "t.parquet").read_bytes()
    column = pq.read_metadata(store / "r" / "samples" / "t.parquet").row_group(0).column(0)
    path = tmp_path / "t.parquet"
    end = column.dictionary_page_offset + column.total_compressed_size
    path.write_bytes(whole[: end - 1] + bytes([whole[end - 1] ^ 1]) + whole[end:])
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(path, page_checksum_verification=True).read()


def test_files_of_before_have_none_and_are_read(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "data" / "schema-1"
    for path in old.rglob("*.parquet"):
        assert seal.problem(path) is None
        assert parquet_problem(path) is None
    assert load_metrics(old)


def test_damaged_files_are_left_out_of_sql_and_named(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = store / "r" / layout.METRICS
    whole = path.read_bytes()
    try:
        path.write_bytes(flipped(whole, 0.3, 1))
        seal._check.cache_clear()
        rows = query_intact(store, "SELECT DISTINCT run_id FROM metrics").fetchall()
    finally:
        path.write_bytes(whole)
        seal._check.cache_clear()
    assert rows == [("other",)]
    assert "damaged, left out: r/metrics.parquet" in caplog.text
