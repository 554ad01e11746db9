"""What was journaled is read back, whatever happened to the disk or to the end of the file."""

import asyncio
import contextlib
import hashlib
import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.engines.requests import (
    ContinuationScore,
    Generation,
    Response,
    Scores,
)
from evalharness.errors import WriteError
from evalharness.runner.journal import (
    Journal,
)
from evalharness.runner.journal_lines import to_line
from journals import read_journal

FLUSH_EVERY_S = 1.0
"""As the module promises: on disk within a second."""


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


RESPONSES: list[tuple[str, Generation | Scores]] = [
    (key("a"), Generation(text="ä\n\u2028 done", token_ids=(1, 2), finish_reason="stop")),
    (
        key("b"),
        Scores(continuations=(ContinuationScore(logprob=-0.1, is_greedy=True, num_tokens=2),)),
    ),
    (key("c"), Generation(text="", thinking="hm", finish_reason="length", cumulative_logprob=-3.5)),
]
CONTENT = b"".join(to_line(*response) for response in RESPONSES)


def write(folder: Path, responses: list[tuple[str, Generation | Scores]]) -> None:
    async def append_all() -> None:
        async with Journal(folder) as journal:
            for name, response in responses:
                journal.append(name, response)

    asyncio.run(append_all())


@contextlib.contextmanager
def full_after(num_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond `num_bytes`: as on a full disk, a write takes a part, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_responses_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, RESPONSES)
    assert list(read_journal(tmp_path)) == RESPONSES


def test_a_line_of_another_journal_is_taken_as_it_is(tmp_path: Path) -> None:
    async def append() -> None:
        async with Journal(tmp_path) as journal:
            journal.append_line(to_line(*RESPONSES[0]))

    asyncio.run(append())
    assert list(read_journal(tmp_path)) == RESPONSES[:1]


def test_a_second_process_writes_a_second_file(tmp_path: Path) -> None:
    write(tmp_path, RESPONSES[:1])
    write(tmp_path, RESPONSES[1:])
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert list(read_journal(tmp_path)) == RESPONSES


def test_a_number_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "0001.jsonl").write_bytes(CONTENT)
    write(tmp_path, RESPONSES[:1])
    assert (tmp_path / "0001.jsonl").read_bytes() == CONTENT
    assert len(list(read_journal(tmp_path))) == 4


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, len(CONTENT)), noise=st.binary(max_size=40))
def test_a_journal_cut_anywhere_keeps_every_whole_record_and_nothing_else(
    cut: int, noise: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    (folder / "0000.jsonl").write_bytes(CONTENT[:cut] + noise)
    kept = list(read_journal(folder))
    num_whole = CONTENT[:cut].count(b"\n")
    assert kept[:num_whole] == RESPONSES[:num_whole]
    assert all(record in RESPONSES for record in kept)


@settings(max_examples=300, deadline=None)
@given(bit=st.integers(0, len(CONTENT) * 8 - 1))
def test_a_flipped_bit_costs_its_record_and_never_changes_one(
    bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    flipped = bytearray(CONTENT)
    flipped[bit // 8] ^= 1 << bit % 8
    (folder / "0000.jsonl").write_bytes(flipped)
    kept = list(read_journal(folder))
    assert all(record in RESPONSES for record in kept)
    # A damaged line end joins two records.
    assert len(kept) >= len(RESPONSES) - (2 if CONTENT[bit // 8] == ord("\n") else 1)


def test_a_response_is_on_disk_within_the_flush_interval(tmp_path: Path) -> None:
    async def append_and_wait() -> list[tuple[str, Response]]:
        async with Journal(tmp_path) as journal:
            journal.append(*RESPONSES[0])
            await asyncio.sleep(FLUSH_EVERY_S + 0.3)
            return list(read_journal(tmp_path))  # before the journal is closed

    assert asyncio.run(append_and_wait()) == RESPONSES[:1]


def test_a_busy_event_loop_doesnt_keep_responses_from_the_disk(tmp_path: Path) -> None:
    async def append_and_compute() -> list[tuple[str, Response]]:
        async with Journal(tmp_path) as journal:
            journal.append(*RESPONSES[0])
            time.sleep(FLUSH_EVERY_S + 0.3)
            return list(read_journal(tmp_path))

    assert asyncio.run(append_and_compute()) == RESPONSES[:1]


def test_a_full_disk_ends_the_work_at_once(tmp_path: Path) -> None:
    async def append_and_wait() -> None:
        async with Journal(tmp_path) as journal:
            journal.append(*RESPONSES[0])
            await asyncio.sleep(60)

    started = time.monotonic()
    with full_after(10), pytest.raises(WriteError, match=r"File too large: .*0000\.jsonl"):
        asyncio.run(append_and_wait())
    assert time.monotonic() - started < FLUSH_EVERY_S + 2


def test_a_task_that_a_full_disk_ended_can_still_wait(tmp_path: Path) -> None:
    async def append_and_wait() -> None:
        async with Journal(tmp_path) as journal:
            journal.append(*RESPONSES[0])
            await asyncio.sleep(60)

    async def go_on() -> int:
        with contextlib.suppress(WriteError):
            await append_and_wait()
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0.01)  # a cancellation left behind would be raised here
        return task.cancelling()

    with full_after(10):
        assert asyncio.run(go_on()) == 0


def test_a_disk_that_is_full_at_the_last_write_is_reported(tmp_path: Path) -> None:
    with full_after(10), pytest.raises(WriteError):
        write(tmp_path, RESPONSES)


def test_what_ended_the_work_before_the_disk_was_full_is_reported_first(tmp_path: Path) -> None:
    async def fail() -> None:
        async with Journal(tmp_path) as journal:
            journal.append(*RESPONSES[0])
            raise KeyError

    with full_after(10), pytest.raises(KeyError):
        asyncio.run(fail())


@settings(max_examples=100, deadline=None)
@given(room=st.integers(0, len(CONTENT)))
def test_a_batch_that_fits_in_part_keeps_its_whole_records(
    room: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    write(folder, RESPONSES[:1])
    with full_after(room), contextlib.suppress(WriteError):
        write(folder, RESPONSES)
    num_whole = CONTENT[:room].count(b"\n")
    assert list(read_journal(folder)) == RESPONSES[:1] + RESPONSES[:num_whole]


def test_a_folder_that_cant_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"Not a directory: .*give the same command again"):
        Journal(tmp_path / "file" / "journal")


def test_the_descriptor_is_closed_whatever_happens(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with full_after(10), contextlib.suppress(WriteError):
        write(tmp_path, RESPONSES)
    write(tmp_path, RESPONSES)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208


class LosingDisk:
    """A disk that would lose what wasn't synced: counts what was written and what is safe, by file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: dict[str, int] = {}
        self.safe: dict[str, int] = {}
        self._write, self._fsync = os.write, os.fsync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def write(self, descriptor: int, content: bytes) -> int:
        num = self._write(descriptor, content)
        name = self.name(descriptor)
        self.written[name] = self.written.get(name, 0) + num
        return num

    def fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        name = self.name(descriptor)
        self.safe[name] = self.written.get(name, 0)

    @staticmethod
    def name(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_what_was_written_and_its_files_name_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = LosingDisk(monkeypatch)
    write(tmp_path / "journal", RESPONSES)
    (path,) = (tmp_path / "journal").glob("*.jsonl")
    assert disk.safe[str(path)] == disk.written[str(path)] == len(CONTENT)
    assert str(tmp_path / "journal") in disk.safe


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    write(tmp_path / "run" / "deep" / "journal", RESPONSES)
    assert list(read_journal(tmp_path / "run" / "deep" / "journal")) == RESPONSES


def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write(tmp_path, RESPONSES)
    finally:
        os.umask(before)
    assert (tmp_path / "0000.jsonl").stat().st_mode & 0o777 == 0o666


def test_a_journal_that_is_never_left_keeps_no_process_alive(tmp_path: Path) -> None:
    async def new_threads() -> list[bool]:
        before = set(threading.enumerate())
        async with Journal(tmp_path):
            return [thread.daemon for thread in set(threading.enumerate()) - before]

    assert asyncio.run(new_threads()) == [True]


def test_work_that_was_cancelled_by_others_stays_so_though_the_disk_is_full(tmp_path: Path) -> None:
    async def append_and_wait() -> int:
        try:
            async with Journal(tmp_path) as journal:
                journal.append(*RESPONSES[0])
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()
        return -1

    async def cancel() -> int:
        task = asyncio.create_task(append_and_wait())
        await asyncio.sleep(0.05)
        task.cancel()
        return await task

    with full_after(10):
        assert asyncio.run(cancel()) == 1
