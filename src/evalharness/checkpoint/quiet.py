"""transformers without its output on the terminal: its log is collected instead."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from evalharness.errors import one_line


class Log(logging.Handler):
    """Collects the log of transformers instead of showing it."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.messages.append(record.getMessage())

    def last_error(self) -> str | None:
        """The first line of the last message that names an error; None if there was none."""
        errors = [line for text in self.messages for line in text.splitlines() if "Error" in line]
        return one_line(errors[-1])[:200] if errors else None


@contextlib.contextmanager
def quiet() -> Iterator[Log]:
    """Keep transformers off the terminal: no report of missing tensors, no progress bar."""
    from transformers.utils import logging as theirs

    root, log = logging.getLogger("transformers"), Log()
    handlers, propagates, had_bar = root.handlers, root.propagate, theirs.is_progress_bar_enabled()
    root.handlers, root.propagate = [log], False
    theirs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield log
    finally:
        root.handlers, root.propagate = handlers, propagates
        if had_bar:
            theirs.enable_progress_bar()
