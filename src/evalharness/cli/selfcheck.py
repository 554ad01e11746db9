"""What `evalharness selfcheck` prints: the noise floor of each configuration, and the exit code of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evalharness.cli.output import print_view
from evalharness.cli.run import (
    EXIT_PARTIAL,
    NEEDED,
    Jobs,
    not_installed,
)
from evalharness.errors import EvalHarnessError

if TYPE_CHECKING:
    from evalharness.config.schema import Config
    from evalharness.runner.selfcheck import Selfcheck

EXIT_NO = 1
DEFAULTS = ("run.limit=10", "run.limit_from=first")
"""Defaults that the user can override: enough docs to see the noise within minutes; which ones doesn't matter."""


class Selfchecks(Jobs):
    """Called with each job's configuration, like `Jobs`; a job is two runs and their comparison."""

    def __init__(self, small: int, *, as_json: bool) -> None:
        """Start with nothing run.

        Args:
            small: sequences in a batch of the second run.
            as_json: print JSON.
        """
        super().__init__(as_json=as_json)
        self._small = small

    def __call__(self, config: Config) -> None:
        """Run one job twice and show what differs.

        Raises:
            KeyboardInterrupt: a run was interrupted, so that no other begins.
        """
        try:
            from evalharness.runner.selfcheck import selfcheck
            from evalharness.tasks.trust import ask

            ask(config)
            checked = selfcheck(config, self._small)
        except ModuleNotFoundError as e:
            if e.name not in NEEDED:
                raise
            return self.failed(not_installed("selfcheck", e))
        except EvalHarnessError as e:
            return self.failed(e)
        statuses = {outcome.manifest.status for outcome in checked.runs}
        if config.engine.deterministic and not checked.floor.is_exact:
            self.exit_code = max(self.exit_code, EXIT_NO)
        if statuses != {"complete"}:
            self.exit_code = max(self.exit_code, EXIT_PARTIAL)
        if self._as_json:
            self._finished.append(_as_json(checked, config))
            return None
        return _show(checked, config)


def _show(checked: Selfcheck, config: Config) -> None:
    from evalharness.report.terminal.noise import noise_view

    print_view(
        lambda width: noise_view(
            checked.tasks,
            checked.floor,
            title=f"{config.model.name}, suite {config.suite.name}",
            batch_sizes=checked.batch_sizes,
            is_deterministic=config.engine.deterministic,
            folders=[str(outcome.run_dir) for outcome in checked.runs],
            width=width,
        )
    )


def _as_json(checked: Selfcheck, config: Config) -> dict[str, Any]:
    from dataclasses import asdict

    from evalharness.report.terminal.noise import verdict
    from evalharness.store.json_codec import as_json

    result: dict[str, Any] = as_json(
        {
            "model": config.model.name,
            "suite": config.suite.name,
            "is_deterministic": config.engine.deterministic,
            "batch_sizes": checked.batch_sizes,
            "runs": [str(outcome.run_dir) for outcome in checked.runs],
            "statuses": [outcome.manifest.status for outcome in checked.runs],
            "tasks": [asdict(task) for task in checked.tasks],
            "total": asdict(checked.floor) | {"is_exact": checked.floor.is_exact},
            "verdict": verdict(checked.floor, is_deterministic=config.engine.deterministic),
        }
    )
    return result
