"""The Python code of tasks, always compiled from its source as it lies on disk.

Python trusts a `.pyc` whose recorded size and second of change match the source, and modules in `sys.modules`. Code
that was rewritten within that second would be hashed as new but run as old. Below a folder of tasks neither is trusted:
no bytecode is read or written, and each load of a suite imports again.

    task files, helpers beside them, `!function` modules  ->  a loader that compiles what it reads
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import linecache
import os
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from lm_eval.tasks import _yaml_loader

_FOLDERS: set[str] = set()
"""Folders of tasks' code, each as named and with links resolved."""


class SourceLoader(importlib.machinery.SourceFileLoader):
    """Python's own loader of source files without its cache of bytecode."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module from the current file."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def read_source_below(folders: Iterable[Path]) -> None:
    """Compile code below these folders from its source from now on."""
    _install()
    known = len(_FOLDERS)
    for folder in folders:
        _FOLDERS.update((str(folder.absolute()), str(folder.resolve())))
    if len(_FOLDERS) > known:
        for path in [path for path in sys.path_importer_cache if _is_task_code(path)]:
            del sys.path_importer_cache[path]


def forget_imported() -> None:
    """Forget modules imported from folders of tasks, so that they are imported again: they may have changed."""
    importlib.invalidate_caches()
    linecache.clearcache()
    for name, module in sys.modules.copy().items():
        file = getattr(module, "__file__", None) or ""
        if _lies_below(file) and not Path(file).name.startswith(("test_", "conftest.")):
            del sys.modules[name]


def import_file(file: Path, name: str, *, package: Path | None = None) -> ModuleType:
    """Import a file again under a name.

    Args:
        file: Python source.
        name: its name in `sys.modules`.
        package: the folder whose other files `from .x import y` finds; None for a module by itself.
    """
    for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[loaded]
    spec = importlib.util.spec_from_file_location(
        name,
        file,
        loader=SourceLoader(name, str(file)),
        submodule_search_locations=None if package is None else [str(package)],
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@functools.cache
def _install() -> None:
    """Put our finder before Python's, and replace lm-eval's loader for `!function` by ours."""
    sys.path_hooks.insert(0, _finder)
    _yaml_loader._load_module_with_cache = _function_module(_yaml_loader._load_module_with_cache)


def _finder(path: str) -> FileFinder:
    """Finds source and compiled extensions, but no bytecode."""
    if not _is_task_code(path) or not Path(path).is_dir():
        raise ImportError(f"no folder of tasks: {path}")
    return FileFinder(
        path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceLoader, SOURCE_SUFFIXES)
    )


def _function_module(original: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """lm-eval's `_load_module_with_cache`, unchanged for its own tasks."""

    def load(module_path: Path) -> Any:
        if not _is_task_code(str(module_path)):
            return original(module_path)
        name = str(module_path.with_suffix(""))  # the same name as in lm-eval
        return sys.modules.get(name) or import_file(module_path, name)

    return load


def _is_task_code(path: str) -> bool:
    return bool(_FOLDERS) and (_lies_below(path) or _lies_below(os.path.realpath(path)))


def _lies_below(path: str) -> bool:
    while path not in _FOLDERS:
        above = os.path.dirname(path)  # noqa: PTH120  a `Path` costs more, and there are many
        if above == path:
            return False
        path = above
    return True
