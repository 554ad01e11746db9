"""What the program printed, and how a test calls it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from evalharness.cli import app


class Printed(NamedTuple):
    """A call's exit code and its two streams."""

    code: int
    out: str
    err: str


Cli = Callable[..., Printed]


def called(arguments: tuple[str, ...], capture: Any) -> Printed:
    """The program called with these words, in this process.

    Args:
        arguments: after its name.
        capture: pytest's `capsys` or `capfd`.
    """
    capture.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["evalharness", *arguments])
        with pytest.raises(SystemExit) as end:
            app.main()
    return Printed(int(end.value.code or 0), *capture.readouterr())
