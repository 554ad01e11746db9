"""The verbs as `evalharness --help` shows them: in groups, with a short line each."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

VERBS = {
    "Run": {
        "run": "Evaluate a checkpoint on tasks and show the table.",
        "resume": "Continue a run that ended early.",
        "rescore": "Score stored responses again, after a filter or metric changed.",
        "selfcheck": "Measure the noise floor by running the same suite twice.",
    },
    "Look": {
        "results": "Show runs, their tables, samples and curves; verify, prune.",
        "view": "Browse runs and samples in a local web page.",
        "sql": "Query the results with SQL; nothing is written.",
    },
    "Compare": {
        "compare": "Compare runs: paired differences with intervals and verdicts.",
        "gate": "Judge whether a candidate is no worse than its base.",
        "drift": "Show what each step of a lineage changed.",
        "leaderboard": "Rank models over all runs, a table per suite.",
    },
    "Trend": {
        "trend": "Show the open-weight frontier and how fast it moves.",
        "report": "Write the trend and all results as one HTML page.",
        "scores": "List and import scores that others reported.",
        "adoption": "Show how much models are used, by the Hub's counts.",
        "watch": "Show which checkpoints are new on the Hub.",
    },
    "Tasks and models": {
        "task": "Write, list, preview and check tasks.",
        "model": "List, add, inspect and merge checkpoints.",
    },
    "Exchange": {
        "import": "Import lm-eval's results into the store.",
        "export": "Write a run in another program's format.",
    },
}
"""Group -> verb -> what it does, in at most 64 characters."""


class GroupedVerbs(TyperGroup):
    """Lists its commands in these groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the groups."""
        width = max(len(verb) for verbs in VERBS.values() for verb in verbs)
        for title, verbs in VERBS.items():
            with formatter.section(title):
                formatter.write_dl([(verb.ljust(width), text) for verb, text in verbs.items()])
