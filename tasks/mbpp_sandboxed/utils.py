"""Few-shots and score of mbpp_sandboxed: the response, the doc's setup and its three tests are one program."""

from typing import Any

import datasets

from evalharness.tasks.sandbox.programs import program_scores
from evalharness.tasks.sandbox.run import require_sandbox

# Refused when the task is loaded: before any weights are, not at the first response.
require_sandbox()

EXAMPLES = (2, 3, 4)
"""`task_id` of the few-shots, as in the paper."""


def examples(prompt: datasets.Dataset) -> datasets.Dataset:
    """The few-shots out of the split `prompt`."""
    return prompt.select([i for i, task_id in enumerate(prompt["task_id"]) if task_id in EXAMPLES])


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """`program_scores` of the response."""
    return program_scores(program(doc, results[0]))


def program(doc: dict[str, Any], response: str) -> str:
    """What runs: it reaches its end if all tests hold. What an engine leaves of the stop string is no code."""
    code = response.partition("[DONE]")[0]
    return "\n".join([code, doc["test_setup_code"], *doc["test_list"]])
