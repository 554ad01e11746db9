"""A task's README.md: what it must have, and where it has it.

# title                       # <task>: what it measures
| Source | a link |           a table with the rows of `LABELS`
## Prompt                     a fenced block with the first doc's prompt
## Metric and filter          every metric and filter in `code`
## Known limits
## Changelog                  - <version>: what changed
"""

from __future__ import annotations

import re

LABELS = ("Source", "Licence", "Docs (n)", "Chance score", "Few-shots", "Output", "Version")
"""Rows of its table."""
SECTIONS = ("Prompt", "Metric", "Known limits", "Changelog")
"""Prefixes of its sections."""
UNFILLED = "FILL IN"
"""Marker of a scaffold where the author must write."""

_ROW = re.compile(r"^\| *([^|\n]+?) *\|[ \t]*(.*?)[ \t]*\|[ \t]*$", re.MULTILINE)
_PROMPT = re.compile(
    r"^## Prompt[^\n]*\n(?:(?!^## |^`{3,})[^\n]*\n)*(?P<fence>`{3,})[^\n`]*\n(?P<text>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


_EMPTY_PROMPT = re.compile(r"^## Prompt[^\n]*\n(?=\s*(?:^## |\Z))", re.MULTILINE)


def table_rows(text: str) -> dict[str, str]:
    """Label -> value."""
    return {found[1]: found[2] for found in _ROW.finditer(text)}


def set_row(text: str, label: str, value: str) -> str:
    """The text with another value in a row of its table, which is added below those that are there; as it is without any."""
    row = f"| {label} | {value} |"
    if label in table_rows(text):
        return _ROW.sub(lambda found: row if found[1] == label else found[0], text)
    others = [found for found in _ROW.finditer(text) if found[1] in LABELS]
    return f"{text[: others[-1].end()]}\n{row}{text[others[-1].end() :]}" if others else text


def prompt_shown(text: str) -> str | None:
    """The first fenced block under `## Prompt`, "" if nothing is there; None without the section or with another text."""
    if found := _PROMPT.search(text):
        return found["text"].removesuffix("\n")
    return "" if _EMPTY_PROMPT.search(text) else None


def set_prompt(text: str, prompt: str) -> str:
    """The text with another block under `## Prompt`; as it is without the section or with another text."""
    if found := _PROMPT.search(text):
        return f"{text[: found.start('fence')]}{fenced(prompt)}{text[found.end() :]}"
    return _EMPTY_PROMPT.sub(lambda found: f"{found[0]}\n{fenced(prompt)}\n", text)


def fenced(prompt: str) -> str:
    """A prompt as a block of Markdown, with a fence that isn't in it."""
    longest = max((len(run) for run in re.findall("`{3,}", prompt)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{prompt}\n{fence}"


def blanks(text: str) -> list[str]:
    """Where its author still has to write: labels of rows, then the numbers of other lines."""
    labels: list[str] = []
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if UNFILLED in line:
            row = _ROW.match(line)
            (labels if row else lines).append(row[1] if row else str(number))
    return [*labels, *([f"line{'s' * (len(lines) > 1)} {' '.join(lines)}"] if lines else [])]
