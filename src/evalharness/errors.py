"""The exceptions that users see. The command line shows them as one line, without a traceback.

    EvalHarnessError
    |-- UserError            the input is wrong: exit code 2
    |   |-- ConfigError      a key, a value or a combination of them
    |   |-- CheckpointError  weights, tokenizer or template on disk
    |   |-- TaskError        a task, a suite or their data
    |   `-- StoreError       the results folder or a run in it
    |-- EngineError          the engine failed while it ran: exit code 3, what was finished is kept
    `-- WriteError           the disk failed or was full while it ran: exit code 3, what was finished is kept

A message says what, where, what was found, and the way out.
"""

import difflib
import errno
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Self

_UNSHOWN = ("Cc", "Cf", "Cs")
_NAME_KEPT = 60
_LONG_NAME = re.compile(r"'([^']{80,})'")


class EvalHarnessError(Exception):
    """Base of everything raised on purpose."""

    exit_code = 1


class UserError(EvalHarnessError):
    """The user's input is wrong; nothing was run."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration key, value or combination that can't work."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, unsafe or too large."""


class TaskError(UserError):
    """A task or suite that doesn't exist, or without its data."""


class StoreError(UserError):
    """A results folder or run that can't be read or written."""


class EngineError(EvalHarnessError):
    """The engine died or refused to start; finished responses are in the journal."""

    exit_code = 3


class WriteError(EvalHarnessError):
    """The results folder can't be written any more; what reached the disk before is kept."""

    exit_code = 3

    @classmethod
    def of(cls, error: OSError, path: Path) -> Self:
        """The system's error for a file that can't be written, and the way out."""
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "free space" if is_full else "fix that"
        why = os.strerror(error.errno) if error.errno else error
        return cls(f"{why}: {str(path)!r}; {what} and give the same command again")


def one_line(error: object) -> str:
    """The message without line breaks and control characters."""
    return "".join(
        c for c in " ".join(str(error).split()) if unicodedata.category(c) not in _UNSHOWN
    )


def shortened(line: str, most: int = 290) -> str:
    """The line in at most this many characters: long names lose their beginning, then the line its middle."""
    if len(line) > most:
        line = _LONG_NAME.sub(lambda found: f"'...{found[1][-_NAME_KEPT:]}'", line)
    if len(line) <= most:
        return line
    tail = most // 3
    return f"{line[: most - tail - 5]} ... {line[-tail:]}"


def then(near: str, more: str) -> str:
    """What `did_you_mean` found, and a further hint after it."""
    return f"{near} {more}" if near else f"; {more}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean 'x'?' for the nearest known name, or '' if none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def some(names: Iterable[str], most: int = 3) -> str:
    """The first of the names, and how many more there are: `a, b, c and 7 more`."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
