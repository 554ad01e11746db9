"""The files that `task new` writes for each kind: definitions that run, with a few docs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SUITE = """\
# {name} alone: `evalharness run model=<name> suite={name}`
name: {name}
version: "1"
tasks:
  {name}: {{}}
"""

TEST = '''\
"""`pytest` runs what `evalharness task check {name}` does."""

import subprocess
import sys
from pathlib import Path


def test_check_finds_no_error() -> None:
    command = [sys.executable, "-m", "evalharness", "task", "check", "{name}"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
'''

README = """\
# {name}: {unfilled}: what it measures, in one line

{unfilled}: what a model must do, why that is worth knowing, and where the docs come from.

| | |
|---|---|
| Source | {unfilled}: a link |
| Licence | {unfilled}: SPDX name |
| Docs (n) | {num_docs} |
| Chance score | {chance} |
| Few-shots | {fewshots} |
| Output | `{output}` |
| Version | {version} |

## Prompt

The first doc, as it reaches a base model (`evalharness task preview {name} model=<name>` shows the whole):

{prompt}

## Metric and filter

{metric}

## Known limits

- {unfilled}: what a score here doesn't tell.

## Changelog

- {version}: first version.
"""

README_FACTS = ("num_docs", "chance", "fewshots", "output", "version", "prompt", "metric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A kind's files, and their description for the README."""

    file: str
    definition: str
    num_docs: int
    chance: str
    fewshots: str
    output: str
    prompt: str
    metric: str
    version: str = "1.0"
    data: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)


_CHOICE_YAML = """\
# lm-eval's format, field by field; a misspelt field is refused by `evalharness task check {name}`.
task: {name}
output_type: multiple_choice
custom_dataset: !function evalharness.tasks.local_rows.load   # data/<split>.jsonl beside this file
test_split: test
fewshot_split: fewshot
fewshot_config:
  sampler: first_n   # the same few-shots for every doc: an engine computes them once
num_fewshot: 2
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer   # index into choices
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0   # raise it with every change of prompt, filter or metric
"""

NUMBERS = """\
filter_list:
  - name: last-number
    filter:
      - function: regex
        group_select: -1
        regex_pattern: "-?[0-9]+"
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""
"""How answers that are whole numbers are read and scored."""


def text_answers(*, are_lines: bool) -> tuple[str, str]:
    """How other answers are, and the README's words for it.

    Args:
        are_lines: whether each is one line.
    """
    name = "first-line" if are_lines else "whole-answer"
    pattern = r"^\\s*([^\\n]*\\S)" if are_lines else r"(?s)^\\s*(.*\\S)"
    definition = f"""\
filter_list:
  - name: {name}
    filter:
      - function: regex
        regex_pattern: "{pattern}"   # without the blanks around it
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
"""
    what = "the response's first line" if are_lines else "the whole response"
    return (
        definition,
        f"`exact_match` of the answer, in upper or lower case. Filter `{name}`: {what}, without the blanks around it.",
    )


_GENERATE_YAML = (
    """\
# lm-eval's format, field by field; a misspelt field is refused by `evalharness task check {name}`.
task: {name}
output_type: generate_until
custom_dataset: !function evalharness.tasks.local_rows.load   # data/<split>.jsonl beside this file
test_split: test
fewshot_split: fewshot
fewshot_config:
  sampler: first_n   # the same few-shots for every doc: an engine computes them once
  doc_to_target: "{{{{working}}}} The answer is {{{{answer}}}}."   # what a perfect model writes
num_fewshot: 2
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["Question:", "\\n\\n"]
  do_sample: false
  temperature: 0.0
  max_gen_toks: 128
"""
    + NUMBERS
    + """\
metadata:
  version: 1.0   # raise it with every change of prompt, filter or metric
"""
)

PROCEDURAL = {"generator": "chain_sum", "size": 50, "seed": 42}
"""The block in the YAML below."""
_PROCEDURAL_YAML = """\
# Docs and verifier are reasoning-gym's: any of its generators by name.
task: {name}
class: !function evalharness.tasks.procedural.task.ProceduralTask
procedural:
  generator: chain_sum
  size: 50
  seed: 42   # or fresh: a set that no training corpus can hold
metadata:
  version: 1.0   # raise it with every change of generator, size or seed
"""

_PYTHON = '''\
"""{name}: what YAML can't hold; `evalharness.tasks.python_task` says what else there is."""

import re
from collections.abc import Iterable, Mapping

from evalharness.tasks.python_task import Doc, PythonTask


class {title}(PythonTask):
    """Doubling, as an example."""

    version = "1"
    max_gen_toks = 64
    stop = ("\\n",)
    metrics = ("acc",)

    def docs(self) -> Iterable[Mapping[str, object]]:
        return [{{"id": str(n), "number": n}} for n in range(10, 60)]

    def prompt(self, doc: Doc) -> str:
        return f"What is two times {{doc['number']}}? Answer with the number only.\\n"

    def target(self, doc: Doc) -> str:
        return str(2 * doc["number"])

    def extract(self, response: str) -> str:
        numbers = re.findall(r"-?\\d+", response)
        return numbers[-1] if numbers else ""

    def score(self, doc: Doc, answer: str) -> Mapping[str, float]:
        return {{"acc": float(answer == self.target(doc))}}
'''

_CHOICES = [
    ("Which of these is a metal?", ["iron", "oxygen", "salt", "water"], 0),
    ("Which of these is a planet?", ["the Moon", "Mars", "Polaris", "the Sun"], 1),
    ("Which of these is a mammal?", ["trout", "eagle", "bat", "frog"], 2),
    ("Which of these is a fruit?", ["carrot", "potato", "spinach", "apple"], 3),
]
_SHOTS = [
    ("Which of these is a bird?", ["sparrow", "salmon", "spider", "snake"], 0),
    ("Which of these is a colour?", ["seven", "table", "green", "Monday"], 2),
]
_SUMS = [(3, 4), (12, 9), (20, 31), (8, 17), (45, 6), (27, 38)]
_SHOT_SUMS = [(2, 5), (14, 8)]


def _choice_rows(kind: str, rows: list[tuple[str, list[str], int]]) -> list[dict[str, Any]]:
    return [
        {"id": f"{kind}-{i}", "question": question, "choices": choices, "answer": answer}
        for i, (question, choices, answer) in enumerate(rows, start=1)
    ]


def _sum_rows(kind: str, pairs: list[tuple[int, int]]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{kind}-{i}",
            "question": f"What is {a} plus {b}?",
            "working": f"{a} + {b} = {a + b}.",
            "answer": str(a + b),
        }
        for i, (a, b) in enumerate(pairs, start=1)
    ]


FACTS = {
    "multiple_choice": Facts(
        file="{name}.yaml",
        definition=_CHOICE_YAML,
        data={"test": _choice_rows("test", _CHOICES), "fewshot": _choice_rows("fewshot", _SHOTS)},
        source={"hub_id": None, "generated_by": "FILL IN: a link, a Hub id or a script"},
        num_docs=len(_CHOICES),
        chance="0.25 (1 of 4 choices)",
        fewshots="2, the same for every doc",
        output="multiple_choice",
        prompt="Question: Which of these is a bird?\nAnswer: sparrow\n\n"
        "Question: Which of these is a colour?\nAnswer: green\n\n"
        "Question: Which of these is a metal?\nAnswer:",
        metric="`acc`: the right choice has the highest log-likelihood.",
    ),
    "generate": Facts(
        file="{name}.yaml",
        definition=_GENERATE_YAML,
        data={"test": _sum_rows("test", _SUMS), "fewshot": _sum_rows("fewshot", _SHOT_SUMS)},
        source={"hub_id": None, "generated_by": "FILL IN: a link, a Hub id or a script"},
        num_docs=len(_SUMS),
        chance="0.00 (free answer)",
        fewshots="2, the same for every doc",
        output="generate_until",
        prompt="Question: What is 2 plus 5?\nAnswer: 2 + 5 = 7. The answer is 7.\n\n"
        "Question: What is 14 plus 8?\nAnswer: 14 + 8 = 22. The answer is 22.\n\n"
        "Question: What is 3 plus 4?\nAnswer:",
        metric="`exact_match` of the number. Filter `last-number`: the last number in the response.",
    ),
    "procedural": Facts(
        file="{name}.yaml",
        definition=_PROCEDURAL_YAML,
        source={"hub_id": None, "generated_by": "reasoning-gym: chain_sum"},
        num_docs=50,
        chance="0.00 (free answer)",
        fewshots="0",
        output="generate_until",
        prompt="",  # made by the generator
        metric="`acc`: the generator's verifier says 1. `score`: its partial credit. Filter `extract`: the last "
        "`<answer>`, else the last line.",
    ),
    "python": Facts(
        file="{name}.py",
        definition=_PYTHON,
        source={"hub_id": None, "generated_by": "the task's own file"},
        num_docs=50,
        chance="0.00 (free answer)",
        fewshots="0",
        output="generate_until",
        version="1",
        prompt="What is two times 10? Answer with the number only.",
        metric="`acc`: the number is right. Filter `extract`: the last number in the response.",
    ),
}
