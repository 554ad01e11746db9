"""Found by key, whatever else is in the journals."""

import asyncio
import hashlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.engines.requests import Generation
from evalharness.runner.journal import Journal
from evalharness.runner.response_cache import Responses


def key(name: object) -> str:
    return hashlib.sha256(repr(name).encode()).hexdigest()


def write(folder: Path, texts: list[tuple[str, str]]) -> Path:
    async def append_all() -> None:
        async with Journal(folder) as journal:
            for name, text in texts:
                journal.append(key(name), Generation(text=text))

    asyncio.run(append_all())
    return folder


def text_of(responses: Responses, name: str) -> str | None:
    found = responses.get(key(name))
    if found is None:
        return None
    assert isinstance(found.response, Generation)
    return found.response.text


def test_found_by_key_in_any_of_several_journals(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / "one", [("a", "A"), ("b", "B")]),
        write(tmp_path / "two", [("c", "Ü\n")]),
    ]
    with Responses(folders) as responses:
        assert len(responses) == 3
        assert [text_of(responses, name) for name in "abcd"] == ["A", "B", "Ü\n", None]


def test_the_later_journal_wins(tmp_path: Path) -> None:
    folders = [write(tmp_path / "one", [("a", "old")]), write(tmp_path / "two", [("a", "new")])]
    with Responses(folders) as responses:
        assert text_of(responses, "a") == "new"


def test_keys_that_begin_alike_are_distinguished(tmp_path: Path) -> None:
    first, second = "0" * 16 + "1" * 48, "0" * 16 + "2" * 48

    async def append_both() -> None:
        async with Journal(tmp_path) as journal:
            journal.append(first, Generation(text="first"))
            journal.append(second, Generation(text="second"))

    asyncio.run(append_both())
    with Responses([tmp_path]) as responses:
        for name, text in ((first, "first"), (second, "second")):
            found = responses.get(name)
            assert found is not None
            assert found.response == Generation(text=text)
            assert found.line in (tmp_path / "0000.jsonl").read_bytes()
        assert responses.get("0" * 16 + "3" * 48) is None


def test_no_journals_no_responses(tmp_path: Path) -> None:
    with Responses([tmp_path]) as responses:
        assert responses.get(key("a")) is None


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 1000), noise=st.binary(max_size=80))
def test_damage_loses_only_what_is_damaged(
    tmp_path_factory: object, cut: int, noise: bytes
) -> None:
    folder: Path = tmp_path_factory.mktemp("journal")  # type: ignore[attr-defined]
    write(folder, [("a", "A"), ("b", "B"), ("c", "C")])
    (path,) = folder.glob("*.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[:cut] + noise)
    num_whole = content[:cut].count(b"\n")
    with Responses([folder]) as responses:
        for name in "abc"[:num_whole]:
            assert text_of(responses, name) == name.upper()
        for name in "abc"[num_whole:]:
            assert text_of(responses, name) in (None, name.upper())
