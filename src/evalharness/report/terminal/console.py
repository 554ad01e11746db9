"""Standard output for Rich."""

import os
import sys

from rich.console import Console

_WIDE = 160


def console() -> Console:
    """A terminal's own width; a file or a pipe is wide enough for every column, because it needs no wrapping."""
    is_free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=_WIDE if is_free else None)
