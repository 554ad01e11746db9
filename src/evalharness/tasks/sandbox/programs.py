"""Scores model-written programs, for the `process_results` of tasks whose answer is code.

Text in, scores of one sample out; the sandbox runs the program. A program beyond its limits scores 0 and is counted
separately, because this depends on the limit too. If the sandbox can't start, or the machine lacks memory or time for
it, an error is raised, and the sample has no score.
"""

import re
from functools import lru_cache

from evalharness.tasks.sandbox.run import run_python

_BLOCK = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
"""A fenced block; one that isn't closed reaches to the end."""


def program_scores(program: str) -> dict[str, float]:
    """Run a program that ends with its tests.

    Returns:
        `pass@1`: 1.0 if it ran to its end; `timeout`: 1.0 if it ran out of time; `died`: 1.0 if it ran out of memory or
        a signal ended it. All else is 0.0.

    Raises:
        TaskError: the sandbox can't start, or the machine failed the program.
    """
    reason = _ending(program)
    return {
        "pass@1": float(reason == "ok"),
        "timeout": float(reason == "timeout"),
        "died": float(reason in ("memory", "killed")),
    }


@lru_cache(maxsize=1024)
def _ending(program: str) -> str:
    """Why a program ended; the same program isn't run twice."""
    return run_python(program).reason


def code_of(response: str, name: str) -> str:
    """The code in a chat model's response: its first fenced block that defines `name`.

    Else the first block, and without any the response itself.
    """
    blocks = [str(block) for block in _BLOCK.findall(response)]
    defines = re.compile(
        rf"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(name)}\b", re.MULTILINE
    )
    return next((b for b in blocks if defines.search(b)), blocks[0] if blocks else response)
