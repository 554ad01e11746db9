"""What the program printed, and how a test calls it."""

from collections.abc import Callable
from typing import NamedTuple


class Printed(NamedTuple):
    """A call's exit code and its two streams."""

    code: int
    out: str
    err: str


Cli = Callable[..., Printed]
