"""Score of humaneval_sandboxed: the prompt, its completion and the doc's tests are one program."""

from typing import Any

from evalharness.tasks.sandbox.programs import program_scores
from evalharness.tasks.sandbox.run import require_sandbox

# Refused when the task is loaded: before any weights are, not at the first response.
require_sandbox()


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """`program_scores` of the completed function."""
    return program_scores(program(doc, results[0]))


def program(doc: dict[str, Any], completion: str) -> str:
    """What runs: it reaches its end if all tests hold."""
    return f"{doc['prompt']}{completion}\n{doc['test']}\ncheck({doc['entry_point']})\n"
