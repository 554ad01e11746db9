import shutil
from pathlib import Path

import pytest

from evalharness.errors import StoreError
from evalharness.store.verify import (
    NO_MANIFEST,
    find_folder,
    folders,
    verify,
)
from stores import make_run

OLD = Path(__file__).parents[1] / "data" / "schema-1"


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    for name in ("r1", "r2"):
        make_run(tmp_path, name, "m", "s", {"t": [1.0, 0.0], "u": [1.0]})
    return tmp_path


def found(run_dir: Path) -> dict[str, str]:
    return {damage.path: damage.problem for damage in verify(run_dir)}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_whole_run_has_no_damage(results_dir: Path) -> None:
    assert found(results_dir / "r1") == {}


def test_every_damaged_file_is_named_once(results_dir: Path) -> None:
    flip(results_dir / "r1" / "samples" / "t.parquet")
    (results_dir / "r1" / "metrics.parquet").unlink()
    (results_dir / "r1" / "manifest.json").write_text("{")
    problems = found(results_dir / "r1")
    assert set(problems) == {"samples/t.parquet", "metrics.parquet", "manifest.json"}
    assert "sha256 differs" in problems["samples/t.parquet"]
    assert problems["metrics.parquet"] == "missing"
    assert "is damaged" in problems["manifest.json"]
    assert found(results_dir / "r2") == {}


def test_a_file_that_was_put_there_later_is_named(results_dir: Path) -> None:
    run_dir = next(path for path in results_dir.iterdir() if path.is_dir())
    samples = next((run_dir / "samples").glob("*.parquet"))
    (run_dir / "samples" / "zzz.parquet").write_bytes(samples.read_bytes())
    assert found(run_dir) == {"samples/zzz.parquet": "not on the list of checksums"}


def test_a_run_without_checksums_is_read_to_its_end(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "schema-1")
    assert found(tmp_path / "schema-1") == {}
    path = tmp_path / "schema-1" / "samples" / "gsm8k_sample.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert list(found(tmp_path / "schema-1")) == ["samples/gsm8k_sample.parquet"]


def test_a_damaged_list_leaves_the_tables_to_be_read(results_dir: Path) -> None:
    (results_dir / "r1" / "checksums.sha256").write_text("nonsense\n")
    (results_dir / "r1" / "metrics.parquet").write_bytes(b"PAR1")
    problems = found(results_dir / "r1")
    assert set(problems) == {"checksums.sha256", "metrics.parquet"}


def test_a_half_copied_folder_is_named(results_dir: Path) -> None:
    (results_dir / "r1" / "manifest.json").unlink()
    (results_dir / "notes").mkdir()
    (results_dir / "README.md").touch()
    assert folders(results_dir) == ["r1", "r2"]
    assert found(results_dir / "r1")["manifest.json"] == NO_MANIFEST


def test_a_damaged_run_is_found_by_its_name(results_dir: Path) -> None:
    (results_dir / "r1" / "manifest.json").write_text("")
    assert find_folder(results_dir, "r1") == "r1"
    assert find_folder(results_dir, "m") == "r2"
    with pytest.raises(StoreError, match="no run or model 'r9'"):
        find_folder(results_dir, "r9")
