import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from evalharness.cli.view import view
from evalharness.errors import StoreError, UserError
from viewer.viewer_store import FIRST

app = typer.Typer()
app.command()(view)


def test_a_port_in_use_is_reported_in_one_line(store: Path) -> None:
    pytest.importorskip("fastapi")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["--port", port, "--results-dir", str(store)])
    assert isinstance(result.exception, UserError)
    assert f"port {port}: Address already in use; `--port 0`" in str(result.exception)


def test_a_missing_extra_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(app, ["--port", "0", "--results-dir", str(store)])
    assert isinstance(result.exception, UserError)
    assert "[view]'` installs it" in str(result.exception)


def test_results_that_are_a_file_are_reported_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["--port", "0", "--results-dir", str(tmp_path / "file")])
    assert isinstance(result.exception, StoreError)


def test_it_serves_until_it_is_interrupted(store: Path) -> None:
    pytest.importorskip("fastapi")
    code = "import typer; from evalharness.cli.view import view; typer.run(view)"
    command = [sys.executable, "-u", "-c", code, "--port", "0", "--results-dir", str(store)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address, process.stderr.read()
        with urllib.request.urlopen(address.group(), timeout=30) as answer:
            assert FIRST in answer.read().decode()
        process.send_signal(2)
        assert process.wait(20) in (0, 1, 130, -2)
        assert "Traceback" not in process.stderr.read()
