"""Why vLLM's engine process died: the last error that it logged, or the signal that ended it."""

from __future__ import annotations

import re
import signal
from typing import Any

from evalharness.engines.own_log import read_log

_EXIT_S = 1.0
"""Seconds to wait for its exit code, which comes after its end."""


def cause_of_death(llm: Any) -> str:
    """One line for the user.

    Args:
        llm: vLLM's AsyncLLM whose engine is dead.
    """
    processes = _engine_processes(llm)
    log = read_log()
    for process in processes:
        if error := last_error(log, process.pid):
            return error
    for process in processes:
        process.join(_EXIT_S)
        if (process.exitcode or 0) < 0:
            return f"it was killed by {signal_name(-process.exitcode)}"
    return "it ended without a message"


def last_error(log: str, pid: int) -> str | None:
    """The last error that vLLM's engine process logged; None if there is none.

    Args:
        log: vLLM's, one message a line: `(EngineCore pid=7) ERROR 11-22 21:38:19 [core.py:1] <message>`.
        pid: of the engine process: a continued run's log has those of its earlier starts too.
    """
    is_error = re.compile(
        rf"^\(EngineCore[^)]*pid={pid}\) ERROR .*?\] "
        r"((?:\w+\.)*\w*(?:Error|Exception): .+|.*died unexpectedly.*)$"
    )
    found = [match[1] for line in log.splitlines() if (match := is_error.match(line))]
    return found[-1] if found else None


def signal_name(number: int) -> str:
    """The signal's name, and its usual sender."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} (the system sends it when memory runs out)" if name == "SIGKILL" else name


def _engine_processes(llm: Any) -> list[Any]:
    return list(getattr(llm.engine_core.resources.engine_manager, "processes", ()))
