"""The index of stored responses finds what the journals hold, whatever happened to it, and its cost doesn't grow."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.engines.requests import Generation
from evalharness.runner import response_index
from evalharness.runner.journal_lines import to_line
from evalharness.runner.response_cache import MOST_OPEN, Responses
from evalharness.runner.response_index import FOLDER, Segment, add, open_index
from evalharness.store.json_codec import manifest_to_json
from evalharness.store.records import Manifest


def key_of(number: int) -> str:
    return f"{number % 97:016x}" + f"{number:048x}"


def make_run(results_dir: Path, name: str, numbers: list[int], status: str = "complete") -> None:
    """A run whose journal has a response for each number; several share the beginning of a key."""
    journal = results_dir / name / "journal"
    journal.mkdir(parents=True)
    lines = [to_line(key_of(n), Generation(text=f"{name} {n}")) for n in numbers]
    (journal / "0000.jsonl").write_bytes(b"".join(lines))
    made = Manifest(
        run_id=name, status=status, model="a", suite="s", suite_version="1", started_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    (results_dir / name / "manifest.json").write_text(manifest_to_json(made))


def opened(results_dir: Path) -> Responses:
    index, folders = open_index(results_dir, but="new")
    return Responses(folders, results_dir=results_dir, index=index)


def num_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def text_of(responses: Responses, number: int) -> str | None:
    found = responses.get(key_of(number))
    if found is None:
        return None
    assert isinstance(found.response, Generation)
    return found.response.text


@settings(max_examples=30, deadline=None)
@given(runs=st.lists(st.lists(st.integers(0, 300), max_size=30), max_size=12))
def test_everything_in_the_journals_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[int]]
) -> None:
    store = tmp_path_factory.mktemp("store")
    for number, numbers in enumerate(runs):
        make_run(store, f"run-{number}", numbers)
        if number % 3:
            opened(store)
    held = {n: f"run-{r} {n}" for r, numbers in enumerate(runs) for n in numbers}
    with opened(store) as responses:
        for n in range(301):
            found = text_of(responses, n)
            assert (found is None) == (n not in held)
            assert found is None or found.endswith(f" {n}")
        assert not responses._read_again  # found by the index itself


def test_few_files_are_left_and_few_journals_open_after_many_runs(tmp_path: Path) -> None:
    for number in range(60):
        make_run(tmp_path, f"run-{number}", [number * 10 + k for k in range(10)])
        add(tmp_path, [f"run-{number}"])
    assert len(list((tmp_path / FOLDER).iterdir())) <= 6
    before = num_open()
    with opened(tmp_path) as responses:
        assert all(text_of(responses, n) for n in range(600))
        assert not responses._read_again
        assert num_open() - before <= MOST_OPEN + 8


def test_a_store_may_be_named_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "store", "ended", [1])
    make_run(tmp_path / "store", "running", [2], status="running")
    make_run(tmp_path / "store", "new", [3], status="running")
    monkeypatch.chdir(tmp_path)
    index, folders = open_index(Path("store"), but="new")
    own = Path("store/new/journal")
    with Responses([*folders, own], own=own, results_dir=Path("store"), index=index) as responses:
        assert [text_of(responses, n) for n in (1, 2, 3)] == ["ended 1", "running 2", "new 3"]
        assert [found.is_own for n in (1, 2, 3) if (found := responses.get(key_of(n)))] == [False, False, True]  # fmt: skip


def test_a_run_in_progress_is_read_again_at_each_start(tmp_path: Path) -> None:
    make_run(tmp_path, "ended", [1])
    make_run(tmp_path, "running", [2], status="running")
    with opened(tmp_path) as responses:
        assert (text_of(responses, 1), text_of(responses, 2)) == ("ended 1", "running 2")
    with (tmp_path / "running/journal/0001.jsonl").open("wb") as file:
        file.write(to_line(key_of(3), Generation(text="later")))
    with opened(tmp_path) as responses:
        assert text_of(responses, 3) == "later"


@pytest.mark.parametrize("size", [0, 7, 100, 400])
def test_a_damaged_index_is_made_again(tmp_path: Path, size: int) -> None:
    make_run(tmp_path, "one", [1, 2])
    opened(tmp_path)
    (path,) = (tmp_path / FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:size])
    with opened(tmp_path) as responses:
        assert text_of(responses, 2) == "one 2"


def test_a_flipped_bit_is_never_another_answer(tmp_path: Path) -> None:
    make_run(tmp_path, "one", list(range(20)))
    opened(tmp_path)
    (path,) = (tmp_path / FOLDER).iterdir()
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        with opened(tmp_path) as responses:
            assert {text_of(responses, n) for n in range(20)} <= {
                None,
                *(f"one {n}" for n in range(20)),
            }
            assert all(text_of(responses, n) in (None, f"one {n}") for n in range(20))


@pytest.mark.parametrize("place", [1 << 60, -1])
def test_a_place_in_no_journal_is_no_answer(tmp_path: Path, place: int) -> None:
    make_run(tmp_path, "one", [1])
    ((segment,), _) = open_index(tmp_path, but="new")
    damaged = Segment(segment.files, segment.keys, segment.places * 0 + place)
    with Responses([], results_dir=tmp_path, index=[damaged]) as responses:
        assert responses.get(key_of(1)) is None


def test_a_journal_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    make_run(tmp_path, "one", list(range(9)))
    opened(tmp_path)
    journal = tmp_path / "one/journal/0000.jsonl"
    first, *lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first[:20] + b"\n" + b"".join(lines))
    with opened(tmp_path) as responses:
        assert [text_of(responses, n) for n in range(9)] == [
            None,
            *(f"one {n}" for n in range(1, 9)),
        ]


def test_runs_that_are_gone_are_no_answers(tmp_path: Path) -> None:
    import shutil

    for name, numbers in (("one", [1]), ("two", [1, 2])):
        make_run(tmp_path, name, numbers)
    opened(tmp_path)
    shutil.rmtree(tmp_path / "two")
    with opened(tmp_path) as responses:
        assert text_of(responses, 1) == "one 1"
        assert text_of(responses, 2) is None


def test_a_store_that_may_only_be_read_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, "one", [1])

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(response_index, "_write", refuse)
    with opened(tmp_path) as responses:
        assert text_of(responses, 1) == "one 1"
    assert not (tmp_path / FOLDER).exists()


def test_joined_segments_hold_each_record_once(tmp_path: Path) -> None:
    make_run(tmp_path, "one", [1, 2, 3])
    make_run(tmp_path, "two", [2, 3, 4])
    for names in (["one"], ["one", "two"], ["two"]):
        add(tmp_path, names)
    ((segment,), _) = open_index(tmp_path, but="new")
    assert len(segment.keys) == 6
    assert segment.runs == {"one", "two"}
    assert set(segment.files) == {"one/journal/0000.jsonl", "two/journal/0000.jsonl"}
