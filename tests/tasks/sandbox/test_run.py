"""How a program's end is judged, and what is said where there is no sandbox."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.errors import TaskError
from evalharness.tasks.sandbox import run as sandbox
from evalharness.tasks.sandbox.run import (
    Outcome,
    require_sandbox,
    run_python,
)

SOURCE = Path(__file__).parents[3] / "src"
pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="no bubblewrap: apt-get install bubblewrap"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def assert_true(program: str) -> None:
    """The program's own assertions hold."""
    outcome = run_python(program)
    assert outcome.is_ok, outcome


def test_program_that_runs_to_its_end_is_ok() -> None:
    assert run_python("assert 1 + 1 == 2") == Outcome(reason="ok", stderr="")


@pytest.mark.parametrize(
    "program",
    [
        *("assert False", "1 / 0", "def f(:", "raise KeyboardInterrupt", "\0", "x = '''", "\ud800"),
        *("raise SystemExit(0)", "import os; os._exit(0)", "input()", "import numpy"),
    ],
)
def test_program_that_does_not_reach_its_end_is_an_error(program: str) -> None:
    assert run_python(program).reason == "error"


def test_error_ends_with_what_was_raised() -> None:
    assert run_python("def f(): raise ValueError('seven')\nf()").stderr.endswith(
        "in f\nValueError: seven"
    )


def test_error_is_shown_even_if_stderr_was_replaced() -> None:
    program = "import io, sys\nsys.stderr = io.StringIO()\n1 / 0"
    assert "ZeroDivisionError" in run_python(program).stderr


def test_control_characters_of_stderr_are_dropped() -> None:
    program = "import sys\nsys.stderr.write('a\\x1b[31m\\x07b\\u202ec\\n')"
    assert run_python(program).stderr == "a[31mbc"


def test_crash_is_killed() -> None:
    assert run_python("import os; os.abort()").reason == "killed"


def test_script_block_does_not_run() -> None:
    assert_true("assert __name__ != '__main__'")


def test_dataclasses_find_the_program_as_their_module() -> None:
    assert_true(
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: 'int' = 1\nassert A().x"
    )


def test_sets_have_the_same_order_in_every_run() -> None:
    program = "raise SystemExit(str({str(i) for i in range(99)}))"
    assert run_python(program) == run_python(program)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_an_outcome(source: str) -> None:
    assert len(run_python(source).stderr) <= 2000


@needs_root
def test_works_for_a_user_who_is_not_root() -> None:
    program = (
        "from evalharness.tasks.sandbox.run import Limits, run_python as r\n"
        "print(r('pass').reason, r('1/0').reason, r('x = bytearray(10**10)').reason)\n"
        "fork = 'import os, time\\nfor _ in range(50):\\n    if os.fork() == 0: time.sleep(60); os._exit(0)'\n"
        "print(r(fork).stderr.splitlines()[-1])\n"
        'print(r(\'open("/x", "w")\').stderr.splitlines()[-1])\n'
    )
    python = next((p for p in ("/usr/bin/python3", sys.executable) if Path(p).exists()), "")
    drop = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    probe = [
        *drop,
        python,
        "-c",
        f"import sys, os; os.listdir({str(SOURCE)!r}); sys.version_info >= (3, 11) or 1/0",
    ]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("another user can read no Python 3.11 or not this repository")
    found = subprocess.run(
        [*drop, python, "-B", "-c", program],
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert found.stdout == (
        "ok error memory\nBlockingIOError: [Errno 11] Resource temporarily unavailable\n"
        "OSError: [Errno 30] Read-only file system: '/x'\n"
    ), found.stderr


def test_no_bubblewrap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TaskError, match=r"apt-get install bubblewrap.*dnf install bubblewrap"):
        require_sandbox.__wrapped__()


@pytest.mark.parametrize(
    ("message", "way_out"),
    [
        ("setting up uid map: Permission denied", "apparmor_restrict_unprivileged_userns=0"),
        ("No permissions to create new namespace", "kernel.unprivileged_userns_clone=1"),
        ("Creating new namespace failed: Operation not permitted", "--cap-add SYS_ADMIN"),
        ("max_*_namespaces exceeded (ENOSPC)", "user.max_user_namespaces=15000"),
        ("Unknown option --size", "bubblewrap 0.7 or newer"),
        ("something else", "bwrap --ro-bind / / true"),
    ],
)
def test_sandbox_that_can_not_start_is_a_line_with_a_way_out(
    message: str, way_out: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\necho 'bwrap: {message}' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TaskError) as error:
        run_python("pass")
    assert message in str(error.value)
    assert way_out in str(error.value)
    assert "\n" not in str(error.value)


def test_sandbox_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    require_sandbox()
    monkeypatch.setattr(sandbox, "run_python", None)
    require_sandbox()
