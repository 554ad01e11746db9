"""Hydra composes the configuration of one run, or with -m of several.

Search path: `--config-dir`, then `./configs`, then the configs that ship with us. Hydra's own flags (`-m`, `--cfg job`,
`--info`, `--config-dir`) work as in any Hydra program.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from evalharness import paths
from evalharness.config.bounds import check_values
from evalharness.config.entries import all_entries
from evalharness.config.errors import explain
from evalharness.config.modified import suite_changes
from evalharness.config.overrides import understand
from evalharness.config.schema import Config
from evalharness.errors import ConfigError, EvalHarnessError, UserError

_REFUSED_FLAGS = (
    "config_path",
    "config_name",
    "hydra_help",
    "shell_completion",
    "experimental_rerun",
)
"""Hydra's flags that mean nothing here."""


def run_hydra(
    arguments: Sequence[str],
    job: Callable[[Config], None],
    on_error: Callable[[EvalHarnessError], None] | None = None,
) -> None:
    """Compose the configuration that the arguments ask for and call `job` with it, once for each of a multirun.

    Args:
        arguments: overrides and Hydra's flags.
        job: what to do with a configuration.
        on_error: called with the error of an invalid configuration, while the other jobs of a multirun continue; None: raise.

    Raises:
        ConfigError: an argument, key, value or group option that isn't valid.
    """
    parsed = _parse(arguments)
    folders = _folders(parsed)
    parsed.overrides = understand(parsed.overrides, is_multirun=parsed.multirun, folders=folders)
    num_jobs = 0

    def task(composed: DictConfig) -> None:
        nonlocal num_jobs
        num_jobs += 1
        try:
            config = _to_config(composed, folders)
        except ConfigError as e:
            if on_error is None:
                raise
            return on_error(e)
        return job(config)

    ConfigStore.instance().store(name="schema", node=Config)
    plugin = _search_path_plugin()
    plugin.folders = folders
    Plugins.instance().register(plugin)
    try:
        with _raw_hydra_errors():
            _run_hydra(
                args=parsed,
                args_parser=get_args_parser(),
                task_function=task,
                config_path=None,
                config_name="config",
            )
    except (HydraException, OmegaConfBaseException, YAMLError) as e:
        raise explain(e, folders) from e
    except OSError as e:
        if num_jobs or not parsed.multirun:
            raise
        # Hydra keeps what a multirun was asked for in results_dir, before the first job.
        raise ConfigError(
            f"results_dir: can't write to {e.filename}: {e.strerror}; choose another with "
            "results_dir=<folder>"
        ) from e


def config_folders(arguments: Sequence[str]) -> list[Path]:
    """Where configurations are looked for with these arguments, the first winning.

    Raises:
        ConfigError: a folder that isn't there, or holds another program's configuration.
    """
    return _folders(_parse(arguments))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = get_args_parser()
    parser.error = _refuse
    parsed: argparse.Namespace = parser.parse_intermixed_args(list(arguments))
    for name in _REFUSED_FLAGS:
        if getattr(parsed, name, None):
            _refuse(f"--{name.replace('_', '-')} isn't supported")
    shown = next((name for name in ("cfg", "info") if getattr(parsed, name)), None)
    if parsed.multirun and shown:
        _refuse(f"--{shown} shows one configuration: give one value of each key, without -m")
    return parsed


def _refuse(message: str) -> typing.NoReturn:
    raise UserError(f"run: {message}; `evalharness run --help` explains")


def _folders(parsed: argparse.Namespace) -> list[Path]:
    """Folders that are searched for configurations; the first wins."""
    found = paths.search("configs")
    if parsed.config_dir:
        first = Path(parsed.config_dir).expanduser().resolve()
        if not first.is_dir():
            raise ConfigError(f"--config-dir {parsed.config_dir}: no such folder")
        found = [first, *(folder for folder in found if folder != first)]
    for folder in found:
        _check_primary(folder / "config.yaml")
    return found


def _check_primary(path: Path) -> None:
    """Refuse another program's config.yaml: a working directory may well hold one."""
    if path.is_file() and not re.search(r"^\s*- schema\s*$", path.read_text(), re.MULTILINE):
        raise ConfigError(
            f"{path}: not a configuration of evalharness, whose `defaults` begin with `- schema`; "
            "rename it, or start in another folder"
        )


def _to_config(composed: DictConfig, folders: Sequence[Path]) -> Config:
    _name_model(composed, folders)
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as e:
        raise explain(e, folders) from e
    assert isinstance(config, Config)
    check_values(config)
    choice = HydraConfig.get().runtime.choices.get("suite")
    config.suite.modified = suite_changes(config.suite, choice, folders)
    return config


def _name_model(composed: DictConfig, folders: Sequence[Path]) -> None:
    """The name of the chosen entry, if its file leaves it out or its `defaults` give another entry's."""
    hydra = HydraConfig.get()
    if any(text.lstrip("+").startswith("model.name=") for text in hydra.overrides.task):
        return
    entries = all_entries(folders)
    chosen = next((e for e in entries if e.stem == hydra.runtime.choices.get("model")), None)
    if chosen is None or chosen.problem or "name" in chosen.values:
        return
    is_missing = OmegaConf.is_missing(composed.model, "name")
    if is_missing or composed.model.name in {e.name for e in entries if e is not chosen}:
        composed.model.name = chosen.name


@functools.cache
def _search_path_plugin() -> Any:
    """The Hydra plugin that puts `folders` first; made once, because Hydra keeps what is registered."""

    class OwnConfigsFirst(SearchPathPlugin):  # type: ignore[misc]
        folders: typing.ClassVar[list[Path]] = []

        def manipulate_search_path(self, search_path: Any) -> None:
            for folder in reversed(self.folders):
                search_path.prepend("evalharness", f"file://{folder}")

    return OwnConfigsFirst


@contextlib.contextmanager
def _raw_hydra_errors() -> Iterator[None]:
    """If this variable is set, Hydra raises its errors; otherwise it prints them and exits with 1."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    argv, sys.argv = sys.argv, ["evalharness"]
    try:
        yield
    finally:
        sys.argv = argv
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
