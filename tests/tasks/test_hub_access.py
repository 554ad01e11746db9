"""The Hub is tried once per process, however many tasks need it; what is in the cache needs no Hub."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import constants

import own_tasks as own
from evalharness.tasks import hub_access

FROM_HUB = own.GENERATE.replace(
    "custom_dataset: !function evalharness.tasks.local_rows.load",
    "dataset_path: absent/REPO",
)


@pytest.fixture
def tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Connections that were tried, all refused: no Hub, and no setting says that there is none."""
    tried: list[tuple[str, int]] = []

    def refuse(_: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for module in (constants, datasets.config):
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_access, "_PAUSE_S", 0.0)
    answers = hub_access.answers
    answers.cache_clear()
    yield tried
    answers.cache_clear()


def test_the_second_dataset_doesnt_ask_again(tmp_path: Path, tries: list[Any]) -> None:
    for name in ("one", "two", "three"):
        own.write(tmp_path, name, FROM_HUB.replace("REPO", name))
    own.write(tmp_path, "here")
    suite = own.load("one", "two", "three", "here")
    assert [task.name for task in suite.tasks] == ["here"]
    assert len(tries) == 2
    assert [broken.name for broken in suite.broken] == ["one", "two", "three"]
    assert all(
        f"Couldn't reach 'absent/{broken.name}' on the Hub" in broken.message
        and "doesn't answer (tried once)" in broken.message
        and "set data.mirror" in broken.message
        for broken in suite.broken
    )
    assert not constants.HF_HUB_OFFLINE
    assert not datasets.config.HF_HUB_OFFLINE


def test_docs_in_the_folder_ask_nothing(tmp_path: Path, tries: list[Any]) -> None:
    own.write(tmp_path, "here")
    assert own.load("here").tasks[0].num_docs == 8
    assert tries == []


def test_who_says_offline_isnt_asked_for(
    tmp_path: Path, tries: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    own.write(tmp_path, "one", FROM_HUB.replace("REPO", "one"))
    own.write(tmp_path, "here")
    (broken,) = own.load("one", "here").broken
    assert "(OfflineModeIsEnabled)" in broken.message
    assert tries == []


def test_what_answers_is_left_alone(tries: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(hub_access, "answers", lambda: True)
    monkeypatch.setattr(
        datasets, "load_dataset", lambda path: taken.append((path, constants.HF_HUB_OFFLINE))
    )
    with hub_access.tried_once():
        datasets.load_dataset("absent/one")
    assert taken == [("absent/one", False)]


def test_the_cache_is_read_without_the_hub(
    tries: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda path: taken.append((path, constants.HF_HUB_OFFLINE))
    )
    with hub_access.tried_once():
        datasets.load_dataset("json")
        assert tries == []
        datasets.load_dataset("absent/one")
        datasets.load_dataset("absent/two")
    assert taken == [("json", False), ("absent/one", True), ("absent/two", True)]
    assert len(tries) == 2
