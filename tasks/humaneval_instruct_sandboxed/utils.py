"""Score of humaneval_instruct_sandboxed: the response's code block and the doc's tests are one program."""

from typing import Any

from evalharness.tasks.sandbox.programs import (
    code_of,
    program_scores,
)
from evalharness.tasks.sandbox.run import require_sandbox

# Refused when the task is loaded: before any weights are, not at the first response.
require_sandbox()


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """`program_scores` of the function in the response."""
    return program_scores(program(doc, results[0]))


def program(doc: dict[str, Any], response: str) -> str:
    """What runs: it reaches its end if all tests hold.

    The prompt comes first because it holds imports and helpers that a response may leave out; as a function it has a
    docstring and no code, and the response's function takes its place.
    """
    code = code_of(response, doc["entry_point"])
    return f"{doc['prompt']}\n{code}\n{doc['test']}\ncheck({doc['entry_point']})\n"
