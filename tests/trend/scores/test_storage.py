"""Imported scores on disk: once, whole, and as they were."""

import errno
import logging
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.errors import StoreError, WriteError
from evalharness.store.read import run_names
from evalharness.trend.scores.records import (
    ReportedScore,
    find_conflicts,
)
from evalharness.trend.scores.seed_scores import seed_readings
from evalharness.trend.scores.storage import (
    FOLDER,
    load_scores,
    store_scores,
)

SCORE = ReportedScore(
    origin="imported", collection="mine.csv", line=2, model="Llama X", family="Llama", release_date=date(2025, 4, 5),
    total_params_b=8.03, n_experts=1, open_weight=True, variant="instruct", benchmark="MMLU", benchmark_raw="MMLU (CoT)",
    metric="acc", score=68.41234567890123, n=14042, n_shot="5", cot=False, subset="half", harness="x", reported_by="Meta",
    notes='a "quoted", long\nnote',
)  # fmt: skip
OTHER = replace(SCORE, score=70.5, line=3)


def files(results_dir: Path) -> list[Path]:
    return sorted((results_dir / FOLDER).iterdir())


def test_what_is_stored_is_read_as_it_was(tmp_path: Path) -> None:
    stored = store_scores(tmp_path, [SCORE, OTHER])
    assert load_scores(tmp_path, include_seed=False) == [SCORE, OTHER]
    assert stored.path in files(tmp_path)


def test_storing_twice_is_storing_once(tmp_path: Path) -> None:
    store_scores(tmp_path, [SCORE, OTHER])
    before = files(tmp_path)
    again = store_scores(tmp_path, [replace(SCORE, collection="copy.csv", line=9), OTHER])
    assert (again.path, again.added, again.num_known) == (None, (), 2)
    assert files(tmp_path) == before


def test_only_what_is_new_is_added(tmp_path: Path) -> None:
    store_scores(tmp_path, [SCORE])
    stored = store_scores(tmp_path, [SCORE, OTHER])
    assert (stored.added, stored.num_known) == ((OTHER,), 1)
    assert len(load_scores(tmp_path, include_seed=False)) == 2
    assert len(find_conflicts(load_scores(tmp_path, include_seed=False))) == 1


def test_a_lone_carriage_return_stays_in_its_cell(tmp_path: Path) -> None:
    odd = replace(SCORE, notes="a\rb")
    store_scores(tmp_path, [odd])
    assert load_scores(tmp_path, include_seed=False) == [odd]


def test_two_files_with_the_same_score_give_it_once(tmp_path: Path) -> None:
    """As two processes leave it that import at the same time."""
    store_scores(tmp_path, [SCORE, OTHER])
    store_scores(tmp_path / "other", [SCORE])
    files(tmp_path / "other")[0].rename(tmp_path / FOLDER / "0.csv")
    assert len(load_scores(tmp_path, include_seed=False)) == 2


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    stored = store_scores(tmp_path / "results", [SCORE], is_dry=True)
    assert stored.added == (SCORE,)
    assert not (tmp_path / "results").exists()


def test_the_seed_comes_first_and_can_be_left_out(tmp_path: Path) -> None:
    store_scores(tmp_path, [SCORE])
    scores = load_scores(tmp_path)
    assert scores[-1] == SCORE
    assert len(scores) == 1 + sum(len(reading.scores) for reading in seed_readings())


def test_importing_the_seed_adds_nothing_to_it(tmp_path: Path) -> None:
    uniform = seed_readings()[3].scores[:20]
    store_scores(tmp_path, uniform)
    assert len(load_scores(tmp_path)) == sum(len(reading.scores) for reading in seed_readings())
    assert len(load_scores(tmp_path, include_seed=False)) == 20


def test_nothing_imported_is_an_empty_list(tmp_path: Path) -> None:
    assert load_scores(tmp_path / "none", include_seed=False) == []


def test_no_list_of_runs_sees_the_folder(tmp_path: Path) -> None:
    store_scores(tmp_path, [SCORE])
    assert run_names(tmp_path) == []


def test_results_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a file"):
        store_scores(tmp_path / "file", [SCORE])


def test_a_file_that_cant_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).touch()  # where the folder should be
    with pytest.raises((StoreError, WriteError)):
        store_scores(tmp_path, [SCORE])
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_what_a_killed_import_leaves_is_not_read(tmp_path: Path) -> None:
    store_scores(tmp_path, [SCORE])
    text = files(tmp_path)[0].read_text(encoding="utf-8").replace("Llama X", "Y")
    (tmp_path / FOLDER / ".abc.csv.1.tmp").write_text(text, encoding="utf-8")
    (tmp_path / FOLDER / ".abc.csv").write_text(text, encoding="utf-8")
    assert [score.model for score in load_scores(tmp_path, include_seed=False)] == ["Llama X"]


def test_a_damaged_file_is_reported_and_the_others_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store_scores(tmp_path, [SCORE])
    (tmp_path / FOLDER / "0.csv").write_text("nonsense", encoding="utf-8")
    (tmp_path / FOLDER / "1.csv").write_bytes(b"\xff\xfe")
    with caplog.at_level(logging.WARNING):
        assert load_scores(tmp_path, include_seed=False) == [SCORE]
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == ["left out"] * 2


def test_dates_are_not_checked_against_a_clock_that_is_behind(tmp_path: Path) -> None:
    future = replace(SCORE, release_date=date(2999, 1, 1))
    store_scores(tmp_path, [future])
    assert load_scores(tmp_path, include_seed=False) == [future]


def test_disk_full_is_the_disks_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        store_scores(tmp_path, [SCORE])
    assert files(tmp_path) == []


_words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).map(str.strip).filter(bool)
_optional = st.none() | st.booleans()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            replace, st.just(SCORE), model=_words, notes=_words, metric=_words, cot=_optional, chat=_optional,
            open_weight=_optional, score=st.floats(0, 100).map(lambda x: x + 0.0), line=st.integers(1, 10**9),
            total_params_b=st.none() | st.floats(1e-9, 1e6), n=st.none() | st.integers(1, 10**9),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_score_survives_the_disk(
    tmp_path_factory: pytest.TempPathFactory, scores: list[ReportedScore]
) -> None:
    results_dir = tmp_path_factory.mktemp("any")
    stored = store_scores(results_dir, scores)
    assert load_scores(results_dir, include_seed=False) == list(stored.added)
