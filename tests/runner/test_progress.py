"""On a terminal a person sees bars, and nothing of what libraries print; that is in the log."""

import io
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from evalharness.runner.pace import Pace
from evalharness.runner.progress import _Lines

CODE = """
import logging, os, sys, time
from pathlib import Path
from evalharness.runner.progress import Bars, captured_output, log_to_capture
with captured_output() as capture, log_to_capture(), Bars(capture.console) as bars:
    capture.move_to(Path(sys.argv[1]))
    with bars.step("loading"):
        print("noise of print")
        print("noise of stderr", file=sys.stderr)
        os.write(1, b"noise of a child\\n")
        logging.getLogger("library").info("noise of logging")
        time.sleep(0.4)
    bars.begin(3)
    bars.advance("task", 1, 3)
    time.sleep(0.4)
print("the table")
"""


def test_bars_are_shown_and_noise_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(log)], stdout=slave, stderr=slave, close_fds=True
    )
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # how a pseudo-terminal says that its other end is closed
        pass
    assert process.wait() == 0
    os.close(master)
    text = shown.decode()
    assert "loading" in text
    assert "all tasks" in text
    assert "the table" in text
    assert "noise" not in text
    for source in ("print", "stderr", "a child", "logging"):
        assert f"noise of {source}" in log.read_text()


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is(tmp_path: Path) -> None:
    often = "from evalharness.runner import progress\nprogress.LINE_EVERY_S = 0.05\n"
    code = CODE.replace('step("loading")', 'step("loading", lambda: "reading weights")')
    done = subprocess.run(
        [sys.executable, "-c", often + code, str(tmp_path / "log.txt")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the table\n"
    assert re.search(r"^0 s: loading, 0 s: reading weights$", done.stderr, re.MULTILINE)
    assert re.search(r"^\d s: 1/3 of all samples; task 1/3$", done.stderr, re.MULTILINE)


def test_a_line_has_a_rate_and_the_time_left_of_the_run_and_of_its_tasks() -> None:
    lines = _Lines(Console(file=io.StringIO()))
    now = time.monotonic()
    lines.all, lines.tasks = Pace(1000), {name: Pace(250) for name in "abcd"}
    for i in range(50):
        for name in "abcd":
            lines.all.note(now - 50 + i)
            lines.tasks[name].note(now - 50 + i)
    task = "50/250 (1.0/s, about 3 min 24 s left)"
    assert lines._line(now).partition(": ")[2] == (
        f"200/1000 (4.0/s, about 3 min 21 s left) of all samples; a {task}; b {task}; c {task}; and 1 more"
    )


def test_without_a_terminal_a_short_run_prints_only_the_result(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "log.txt")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("the table\n", "")
