"""Verbs of evalharness as processes, as a user starts them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

WAIT_S = 600.0


class FailedStepError(Exception):
    """What a step found wrong."""


def call(
    words: list[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A verb of evalharness, to its end."""
    with started(words, environment) as process:
        out, err = process.communicate(timeout=WAIT_S)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


@contextlib.contextmanager
def started(
    words: list[str], environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A verb of evalharness, killed with all that it started if it hasn't ended."""
    import psutil

    process = subprocess.Popen(
        [sys.executable, "-m", "evalharness", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            others = psutil.Process(process.pid).children(recursive=True)
            for one in [process, *others]:
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    one.kill()
            process.communicate()
            psutil.wait_procs(others, timeout=20)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"
