"""Score of mbpp_instruct_sandboxed: the response's code block, the doc's setup and its three tests are one program."""

import re
from typing import Any

from evalharness.tasks.sandbox.programs import (
    code_of,
    program_scores,
)
from evalharness.tasks.sandbox.run import require_sandbox

# Refused when the task is loaded: before any weights are, not at the first response.
require_sandbox()

_CALL = re.compile(r"(\w+)\s*\(")


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """`program_scores` of the code in the response."""
    return program_scores(program(doc, results[0]))


def program(doc: dict[str, Any], response: str) -> str:
    """What runs: it reaches its end if all tests hold."""
    code = code_of(response, tested_name(doc))
    return "\n".join([code, doc["test_setup_code"], *doc["test_list"]])


def tested_name(doc: dict[str, Any]) -> str:
    """The function that the tests call and the gold code defines."""
    called = [name for test in doc["test_list"] for name in _CALL.findall(test)]
    return next((name for name in called if re.search(rf"def {name}\b", doc["code"])), "")
