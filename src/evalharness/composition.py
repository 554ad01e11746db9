"""Hydra composes a run's configuration; its errors become one line that names the key and the nearest valid one.

Search path: `--config-dir`, then `./configs`, then the configs that ship with us. Hydra's own flags (`-m`, `--cfg job`,
`--info`, `--config-dir`) work as in any Hydra program.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from evalharness import paths
from evalharness.config import Config
from evalharness.errors import ConfigError, UserError, did_you_mean

GROUPS = ("model", "engine", "sampling", "suite", "experiment")


def run_hydra(arguments: Sequence[str], job: Callable[[Config], None]) -> None:
    """Compose the configuration that the arguments ask for and call `job` with it, once for each of a multirun.

    Raises:
        ConfigError: an argument, key, value or group option that isn't valid.
        SystemExit: after Hydra's own flags, such as --cfg.
    """
    from hydra._internal.utils import _run_hydra, get_args_parser
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    parser = get_args_parser()
    parser.error = _refuse
    parsed = parser.parse_args(list(arguments))
    first = [Path(parsed.config_dir).resolve()] if parsed.config_dir else []
    folders = [*first, *paths.search("configs")]

    def task(composed: DictConfig) -> None:
        config = OmegaConf.to_object(composed)
        assert isinstance(config, Config)
        job(config)

    ConfigStore.instance().store(name="schema", node=Config)
    plugin = _search_path_plugin()
    plugin.folders = folders
    Plugins.instance().register(plugin)
    try:
        with _raw_hydra_errors():
            _run_hydra(
                args=parsed,
                args_parser=parser,
                task_function=task,
                config_path=None,
                config_name="config",
            )
    except (HydraException, OmegaConfBaseException) as e:
        raise explain(e, folders) from e


def options(group: str) -> list[str]:
    """The names of a group's files in all configs folders."""
    found = {f.stem for folder in paths.search("configs") for f in (folder / group).glob("*.yaml")}
    return sorted(found)


def complete(incomplete: str) -> list[str]:
    """Shell completion of one argument of `run`: groups with their options, then dotted keys."""
    key, equals, value = incomplete.partition("=")
    if equals and key in GROUPS:
        return [f"{key}={name}" for name in options(key) if name.startswith(value)]
    groups = [f"{g}={name}" for g in GROUPS if g.startswith(key) for name in options(g)]
    keys = [f"{k}=" for k in _keys(Config, "") if k.startswith(incomplete)]
    return [*groups, *keys] if not equals else []


def explain(error: Exception, folders: Sequence[Path] = ()) -> ConfigError:
    """One line for what Hydra or OmegaConf found wrong."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)  # type: ignore[arg-type]
    text = "\n".join(str(e) for e in causes)
    if missing := re.search(r"(?:Could not find|In '[^']*': Could not find) '(\w+)/([^']+)'", text):
        group, name = missing.groups()
        known = options(group)
        more = f"one of: {', '.join(known)}" if len(known) < 9 else _listing(group)
        return ConfigError(f"{group}={name}: no such entry{did_you_mean(name, known)} {more}")
    if needed := re.search(r"You must specify '(\w+)'", text):
        return ConfigError(f"{needed[1]}: not given; say {needed[1]}=<name>, {_listing(needed[1])}")
    if group_name := re.search(
        r"Could not override '([^']+)'. No match in the defaults list", text
    ):
        near = did_you_mean(group_name[1], GROUPS)
        return ConfigError(f"{group_name[1]}: no such group{near} groups: {', '.join(GROUPS)}")
    if key := re.search(r"full_key: (\S+)", text):
        return ConfigError(_explain_key(key[1], text))
    if key := re.search(r"Could not override '([^']+)'", text):
        return ConfigError(_explain_key(key[1], text))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ConfigError(" ".join(lines[:2]) if lines else type(error).__name__)


def _explain_key(key: str, text: str) -> str:
    valid = list(_keys(Config, ""))
    if "not in" in text or "not a key" in text or "is not in struct" in text:
        near = did_you_mean(key, valid) or did_you_mean(key.rsplit(".", 1)[-1], valid)
        return f"{key}: no such key{near} `evalharness run --cfg job` shows all keys."
    if value := re.search(r"(Value '.*?' .*|Invalid value '.*)", text):
        return f"{key}: {value[1].rstrip('.')}; expected {_type_of(key)}"
    if "MISSING" in text or "Missing mandatory" in text:
        return f"{key}: not given, and it has no default"
    return f"{key}: {text.splitlines()[0]}"


def _keys(node: type, prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(node)
    for field in dataclasses.fields(node):
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _keys(hints[field.name], f"{name}.")
        else:
            yield name


def _type_of(key: str) -> str:
    node: Any = Config
    for part in key.split("."):
        hints = typing.get_type_hints(node) if dataclasses.is_dataclass(node) else {}
        node = hints.get(part, "another type")
    names = getattr(node, "__args__", (node,))
    return " or ".join("null" if n is type(None) else getattr(n, "__name__", str(n)) for n in names)


def _listing(group: str) -> str:
    verb = "`evalharness model list`" if group == "model" else f"the files in configs/{group}"
    return f"{verb} shows all"


def _refuse(message: str) -> typing.NoReturn:
    raise UserError(f"run: {message}; `evalharness run --help` explains")


@functools.cache
def _search_path_plugin() -> Any:
    """The Hydra plugin that puts `folders` first; made once, because Hydra keeps what is registered."""
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class OwnConfigsFirst(SearchPathPlugin):  # type: ignore[misc]
        folders: typing.ClassVar[list[Path]] = []

        def manipulate_search_path(self, search_path: Any) -> None:
            for folder in reversed(self.folders):
                search_path.prepend("evalharness", f"file://{folder}")

    return OwnConfigsFirst


@contextlib.contextmanager
def _raw_hydra_errors() -> Iterator[None]:
    """Hydra prints its errors and exits with 1 unless this variable is set: then it raises them."""
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
