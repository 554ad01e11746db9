"""Standard output as Rich prints to it."""

import os
import sys

from rich.console import Console

_WIDE = 160


def console() -> Console:
    """A terminal's own width; in a file or a pipe wide enough for every column, because nobody wraps those."""
    is_free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=_WIDE if is_free else None)
