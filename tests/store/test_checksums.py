import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.store import checksums, layout
from evalharness.store.read import iter_samples, load_manifest
from evalharness.store.records import Manifest
from evalharness.store.write import RunWriter

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """An ended run with samples, its checksums made anew."""
    shutil.copytree(DATA / "schema-1", tmp_path / "schema-1")
    manifest = load_manifest(tmp_path / "schema-1")
    RunWriter(tmp_path / "schema-1", manifest).update(manifest)
    return tmp_path / "schema-1"


def test_an_ended_run_lists_all_its_files_as_sha256sum_does(run_dir: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", layout.CHECKSUMS],
        cwd=run_dir, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "manifest.json: OK" in done.stdout
    assert "samples/gsm8k_sample.parquet: OK" in done.stdout
    assert list(checksums.check(run_dir)) == []


def test_a_run_that_continues_has_none(run_dir: Path) -> None:
    manifest = load_manifest(run_dir)
    RunWriter(run_dir, manifest).update(replace(manifest, status="running"))
    assert not checksums.has_list(run_dir)


def test_what_changed_is_named_and_the_rest_still_reads(run_dir: Path) -> None:
    damaged = run_dir / "samples" / "gsm8k_sample.parquet"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (run_dir / "curves.parquet").unlink()
    found = {damage.path: damage.problem for damage in checksums.check(run_dir)}
    assert set(found) == {"samples/gsm8k_sample.parquet", "curves.parquet"}
    assert found["curves.parquet"] == "missing"
    assert list(iter_samples(run_dir, "arc_easy_sample"))


@pytest.mark.parametrize("line", ["x", "0" * 64 + "  /etc/passwd", "0" * 64 + "  ../up"])
def test_a_damaged_list_is_not_followed(run_dir: Path, line: str) -> None:
    (run_dir / layout.CHECKSUMS).write_text(line)
    with pytest.raises(ValueError, match="damaged"):
        list(checksums.check(run_dir))


def test_a_run_without_a_list_is_not_called_damaged(tmp_path: Path) -> None:
    manifest = Manifest(
        run_id="r", status="running", model="m", suite="s", suite_version="1",
        started_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    writer = RunWriter.create(tmp_path, manifest, "")
    assert not checksums.has_list(writer.run_dir)
    assert list(checksums.check(writer.run_dir)) == []
