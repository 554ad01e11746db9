"""The program in a folder of its own."""

import sys
from pathlib import Path

import pytest

from command_line import Cli, Printed
from evalharness.cli import app


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
def evalharness(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Cli:
    """The program, called as a shell calls it."""

    def call(*arguments: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["evalharness", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            app.main()
        return Printed(int(exit_.value.code or 0), *capfd.readouterr())

    return call
