"""A shipped task's module, imported from its file."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TASKS = Path(__file__).parents[1] / "tasks"


def module(path: str) -> ModuleType:
    """`weekday_arithmetic/utils.py`, say."""
    name = f"shipped_{path.removesuffix('.py').replace('/', '_')}"
    spec = importlib.util.spec_from_file_location(name, TASKS / path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found
