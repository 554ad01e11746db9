"""The program in a folder of its own."""

from pathlib import Path

import pytest

from command_line import Cli, Printed, called


@pytest.fixture
def home(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model entry of the user's own."""
    entry = tmp_path / "configs" / "model" / "mine.yaml"
    entry.parent.mkdir(parents=True)
    entry.write_text(f"name: mine\npath: {tiny_llama}\nvariant: instruct\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALHARNESS_RESULTS_DIR", raising=False)
    return tmp_path


@pytest.fixture
def evalharness(home: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The program, called as a shell calls it."""

    def call(*arguments: str) -> Printed:
        return called(arguments, capfd)

    return call
