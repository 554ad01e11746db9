"""What `evalharness run` prints: a table for each job, and the exit code of all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from evalharness.cli.output import print_json, print_view
from evalharness.errors import ConfigError, EvalHarnessError, StoreError, one_line
from evalharness.paths import install_command

if TYPE_CHECKING:
    from pathlib import Path

    from evalharness.config.schema import Config

EXIT_PARTIAL = 3
NEEDED = ("lm_eval", "transformers", "datasets", "torch")
"""Modules that the base install, which only reads results, doesn't have."""


class Jobs:
    """Called with each job's configuration; a multirun continues after a job that failed."""

    def __init__(self, *, as_json: bool) -> None:
        """Start with nothing run."""
        self._as_json = as_json
        self._finished: list[dict[str, Any]] = []
        self.exit_code = 0
        """The worst of all jobs so far."""

    def __call__(self, config: Config) -> None:
        """Run one job and show its table.

        Raises:
            KeyboardInterrupt: the job was interrupted, so that no other begins.
        """
        try:
            from evalharness.runner.run import (
                INTERRUPTED,
                run,
            )
            from evalharness.tasks.trust import ask

            ask(config)
            outcome = run(config)
        except ModuleNotFoundError as e:
            if e.name not in NEEDED:
                raise
            return self.failed(not_installed("run", e))
        except EvalHarnessError as e:
            return self.failed(e)
        if outcome.manifest.status != "complete":
            self.exit_code = max(self.exit_code, EXIT_PARTIAL)
        if self._as_json:
            from evalharness.report.export import run_as_json

            self._finished.append(run_as_json(outcome.manifest, outcome.metrics))
        else:
            from evalharness.report.terminal.run import run_table

            print_view(
                lambda width: run_table(
                    outcome.manifest, outcome.metrics, run_dir=str(outcome.run_dir), width=width
                )
            )
        if outcome.manifest.reason == INTERRUPTED:
            raise KeyboardInterrupt
        return None

    def failed(self, error: EvalHarnessError) -> None:
        """Report a failed job in one line on standard error."""
        self.exit_code = max(self.exit_code, error.exit_code)
        if self._as_json:
            self._finished.append(error_fields(error))
        sys.stderr.write(f"error: {one_line(error)}\n")

    def interrupted(self) -> None:
        """Report an interruption (Ctrl-C); no further job runs."""
        self.exit_code = EXIT_PARTIAL
        sys.stderr.write("interrupted\n")

    def close(self) -> None:
        """Print the runs as JSON, if that was asked for."""
        if self._finished:
            print_json(self._finished)


def error_fields(error: EvalHarnessError) -> dict[str, Any]:
    """What `--json` prints for an error, beside the line on standard error."""
    return {"error": one_line(error), "exit_code": error.exit_code}


def not_installed(verb: str, error: ModuleNotFoundError) -> ConfigError:
    """The error for a base install that is asked to evaluate."""
    return ConfigError(
        f"{verb}: {(error.name or '').partition('.')[0]} isn't installed; `{install_command('gpu')}` (or [cpu], [hf]) installs it"
    )


def unfinished(results_dir: Path, name: str) -> Config:
    """The configuration of a run that ended early, set to continue exactly that run.

    Raises:
        UserError: there is no such run, it is complete, or its configuration can't be read.
    """
    from evalharness.config.schema import Resume
    from evalharness.store.read import find_run

    manifest = find_run(results_dir, name)
    if manifest.status == "complete":
        raise StoreError(f"run {manifest.run_id!r} is complete; there is nothing to resume")
    if manifest.rescored_from:
        raise StoreError(
            f"run {manifest.run_id!r} holds new scores of {manifest.rescored_from!r}: resume that run instead"
        )
    config = stored_config(results_dir / manifest.run_id)
    config.run.id, config.run.resume = manifest.run_id, Resume.must
    config.results_dir = str(results_dir)
    return config


def stored_config(run_dir: Path) -> Config:
    """The configuration that a run was started with; without run.limit_from (old versions) it took the first docs.

    Raises:
        StoreError: it isn't there, or can't be read.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from evalharness.config.schema import Config
    from evalharness.store import layout

    path = run_dir / layout.CONFIG
    try:
        earlier = {"run": {"limit_from": "first"}}
        config = OmegaConf.to_object(OmegaConf.merge(Config, earlier, OmegaConf.load(path)))
    except (OSError, OmegaConfBaseException) as e:
        raise StoreError(f"{path}: {one_line(e)}") from e
    assert isinstance(config, Config)
    config.tasks.trust = False  # a run's folder may come from another user
    return config
