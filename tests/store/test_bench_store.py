"""What `scripts/bench/store.py` measures is what the program writes."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from evalharness.store.read import load_main_metrics, load_manifest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "store.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_store", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def about(path: Path) -> list[Any]:
    """A file's schema, and how its columns are stored."""
    metadata = pq.read_metadata(path)
    group = metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    stored = [(c.path_in_schema, c.compression, c.encodings) for c in columns]
    named = sorted(metadata.metadata)
    return [metadata.schema.to_arrow_schema(), named, metadata.num_rows, stored]


def test_its_files_are_as_the_program_writes_them(bench: ModuleType, tmp_path: Path) -> None:
    suite = bench.Suite("leaderboard", 60, 600)
    scores = bench.scores_of(suite, 0.5, 0)
    template = bench.write_run(tmp_path, suite, bench.manifest(suite, "first", "m", 0), scores)
    bench.copy_run((template, tmp_path, suite, 7, True))
    copy = tmp_path / "run-00007"
    written = sorted(path.relative_to(template) for path in template.rglob("*.parquet"))
    assert len(written) == 61
    for path in written:
        assert about(copy / path) == about(template / path)
    run = load_manifest(copy)
    assert (run.status, len(run.tasks)) == ("complete", 60)
    found = load_main_metrics(tmp_path, ["first", run.run_id]).of_run
    assert [m.task for m in found[run.run_id]] == [m.task for m in found["first"]]
    assert [m.value for m in found[run.run_id]] != [m.value for m in found["first"]]
    assert pq.read_table(copy / written[1])["model"].unique().to_pylist() == [run.model]
