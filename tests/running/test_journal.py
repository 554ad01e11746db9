"""What was journaled is read back, whatever happened to the end of the file."""

import asyncio
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.records import ContinuationScore, Generation, Response, Scores
from evalharness.running.journal import Journal, read_journal

RESPONSES: list[tuple[str, Generation | Scores]] = [
    ("a", Generation(text="ä\n\u2028 done", token_ids=(1, 2), finish_reason="stop")),
    ("b", Scores(continuations=(ContinuationScore(logprob=-0.1, is_greedy=True, num_tokens=2),))),
    ("c", Generation(text="", thinking="hm", finish_reason="length", cumulative_logprob=-3.5)),
]


def write(folder: Path, responses: list[tuple[str, Generation | Scores]]) -> None:
    async def append_all() -> None:
        async with Journal(folder) as journal:
            for key, response in responses:
                journal.append(key, response)

    asyncio.run(append_all())


def test_responses_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, RESPONSES)
    assert list(read_journal(tmp_path)) == RESPONSES


def test_a_second_process_writes_a_second_file(tmp_path: Path) -> None:
    write(tmp_path, RESPONSES[:1])
    write(tmp_path, RESPONSES[1:])
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert list(read_journal(tmp_path)) == RESPONSES


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(min_value=0, max_value=2000))
def test_a_journal_cut_anywhere_keeps_every_whole_record(
    cut: int, tmp_path_factory: object
) -> None:
    folder: Path = tmp_path_factory.mktemp("journal")  # type: ignore[attr-defined]
    write(folder, RESPONSES)
    (path,) = folder.glob("*.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    num_whole = content[:cut].count(b"\n")
    assert list(read_journal(folder)) == RESPONSES[:num_whole]


def test_a_response_is_on_disk_within_the_flush_interval(tmp_path: Path) -> None:
    async def append_and_wait() -> list[tuple[str, Response]]:
        async with Journal(tmp_path) as journal:
            journal.append(*RESPONSES[0])
            await asyncio.sleep(1.3)
            return list(read_journal(tmp_path))  # before the journal is closed

    assert asyncio.run(append_and_wait()) == RESPONSES[:1]
