"""Hydra composes a run's configuration out of `configs/` and the command line.

`hydra_app` calls Hydra, `overrides` checks what was typed before Hydra sees it, `explain` turns what Hydra finds wrong
into one line, `schema` knows the keys, `completion` offers them to the shell.
"""

from evalharness.composition.completion import complete
from evalharness.composition.explain import explain
from evalharness.composition.hydra_app import run_hydra
from evalharness.composition.schema import GROUPS, options

__all__ = ["GROUPS", "complete", "explain", "options", "run_hydra"]
