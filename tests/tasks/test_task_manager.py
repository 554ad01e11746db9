"""The cached index says what lm-eval itself would say."""

from pathlib import Path

import pytest
from lm_eval.tasks._index import TaskIndex

from evalharness.tasks import task_manager


@pytest.fixture
def small_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stock = tmp_path / "stock"
    (stock / "some").mkdir(parents=True)
    (stock / "some" / "one.yaml").write_text(
        "task: one\ntag: [both]\noutput_type: generate_until\n"
    )
    (stock / "some" / "two.yaml").write_text("task: two\ntag: both\n")
    (stock / "group.yaml").write_text("group: all\ntask: [one, two]\n")
    monkeypatch.setattr(task_manager, "STOCK", stock)
    return stock


def as_rows(entries: dict) -> dict:  # type: ignore[type-arg]
    return {n: (e.name, e.kind, e.yaml_path, e.tags) for n, e in entries.items()}


def test_cached_and_fresh_are_the_same(small_stock: Path, tmp_path: Path) -> None:
    fresh = task_manager.stock_index(tmp_path / "cache")
    cached = task_manager.stock_index(tmp_path / "cache")
    assert set(cached) == {"one", "two", "both", "all"}
    assert as_rows(cached) == as_rows(fresh) == as_rows(TaskIndex.build([small_stock]))


def test_the_second_time_nothing_is_parsed(
    small_stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_manager.stock_index(tmp_path / "cache")
    monkeypatch.setattr(TaskIndex, "build", lambda _: pytest.fail("parsed again"))
    task_manager.stock_index(tmp_path / "cache")


def test_a_new_task_is_seen(small_stock: Path, tmp_path: Path) -> None:
    task_manager.stock_index(tmp_path / "cache")
    (small_stock / "some" / "three.yaml").write_text("task: three\n")
    assert "three" in task_manager.stock_index(tmp_path / "cache")


@pytest.mark.parametrize("content", ["", "{", '{"one": 3}', "[]"])
def test_a_damaged_cache_is_made_again(small_stock: Path, tmp_path: Path, content: str) -> None:
    task_manager.stock_index(tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    path.write_text(content)
    assert "one" in task_manager.stock_index(tmp_path / "cache")


def test_an_unwritable_cache_is_no_error(small_stock: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "one" in task_manager.stock_index(tmp_path / "file" / "cache")


def test_own_tasks_win_over_stock_ones(
    small_stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = tmp_path / "own"
    own.mkdir()
    (own / "one.yaml").write_text("task: one\n")
    manager = task_manager.CachedTaskManager([own])
    assert manager.task_index["one"].yaml_path == own / "one.yaml"
    assert manager.task_index["two"].yaml_path == small_stock / "some" / "two.yaml"
    assert manager.all_groups == ["all"]
