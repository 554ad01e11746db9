"""What `evalharness run` prints: a table for each job, and the exit code of all of them."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from evalharness.config import Config
from evalharness.errors import EvalHarnessError


class Jobs:
    """Called with each job's configuration; a multirun goes on after a job that failed."""

    def __init__(self, *, as_json: bool) -> None:
        """Nothing has run yet."""
        self._as_json = as_json
        self._exit_code = 0
        self._finished: list[dict[str, Any]] = []

    def __call__(self, config: Config) -> None:
        """Run one job and show its table."""
        from evalharness.running.run import run

        try:
            outcome = run(config)
        except EvalHarnessError as e:
            self._exit_code = max(self._exit_code, e.exit_code)
            sys.stderr.write(f"error: {' '.join(str(e).split())}\n")
            return
        if outcome.manifest.status != "complete":
            self._exit_code = max(self._exit_code, 3)
        if self._as_json:
            from evalharness.report.export import run_as_json

            self._finished.append(run_as_json(outcome.manifest, outcome.metrics))
        else:
            from rich.console import Console

            from evalharness.report.run_table import run_table

            console = Console()
            console.print(
                run_table(
                    outcome.manifest,
                    outcome.metrics,
                    run_dir=str(outcome.run_dir),
                    width=console.width,
                )
            )

    def close(self) -> None:
        """Print what was collected and leave with the worst exit code."""
        if self._as_json:
            sys.stdout.write(json.dumps(self._finished, indent=2) + "\n")
        if self._exit_code:
            raise typer.Exit(self._exit_code)
