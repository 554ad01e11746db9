"""Terminals that aren't UTF-8: texts are simplified, data stay as they are, nothing ends in a traceback."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalharness.cli import streams
from stores import make_run

NAME = "Ünï-модель-7b"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model whose name isn't ASCII."""
    folder = tmp_path_factory.mktemp("store")
    make_run(folder, "20260101-000000-run", NAME, "quick", {"a_task": [0.0, 1.0, 1.0]})
    return folder


def printed(store: Path, encoding: str, *words: str) -> bytes:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "evalharness", *words, "--results-dir", str(store)],
        capture_output=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_list_is_shown_simplified_and_data_are_whole(store: Path, encoding: str) -> None:
    shown = printed(store, encoding, "results", "latest").decode(encoding)
    assert ("Uni-??????-7b" if encoding == "ascii" else "Ünï-??????-7b") in shown
    (run,) = json.loads(printed(store, encoding, "results", "--json").decode(encoding))
    assert run["model"] == NAME
    (row,) = csv.DictReader(
        io.StringIO(printed(store, encoding, "results", "--csv").decode("utf-8"))
    )
    assert row["model"] == NAME


def test_characters_keep_their_meaning_and_tables_their_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, out)
    streams.simplify_streams()
    out.write("wrong→right ≤ 3 ≠ 4 ± 1 … é 漢 \U0001f600 └──┤")
    out.flush()
    assert out.buffer.getvalue().decode() == "wrong>right <= 3 != 4 +- 1 ~ e ? ? +--|"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "utf_16", "utf-8-sig"])
def test_utf8_by_any_name(name: str) -> None:
    assert streams.is_utf8(name)
    assert not streams.is_utf8("cp1252")
    assert not streams.is_utf8("no such")
    assert not streams.is_utf8(None)
