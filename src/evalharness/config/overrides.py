"""What a user typed after `run`, checked against the schema and translated for Hydra.

Three things work here that Hydra alone refuses: `+experiment=smoke` for a group that has a default, `engine.extra.x=1`
without a plus, and `+suite.tasks.arc_easy.limit=50` for a task that the suite doesn't have.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

from evalharness.config.entries import find_entry
from evalharness.config.keys import (
    GROUPS,
    check_key,
    is_free_mapping,
)
from evalharness.errors import ConfigError

_TASKS = "suite.tasks."


def understand(
    typed: Sequence[str], *, is_multirun: bool, folders: Sequence[Path] | None = None
) -> list[str]:
    """The overrides for Hydra.

    Args:
        typed: by the user.
        is_multirun: several values make several runs.
        folders: configs folders; the first wins; by default, those that apply here.

    Raises:
        ConfigError: one that can't be read, a key that doesn't exist, or several values without -m.
    """
    parser = OverridesParser.create()
    new_tasks: dict[str, None] = {}
    understood = []
    for text in typed:
        override = _parse(parser, text)
        if override.is_sweep_override() and not is_multirun:
            raise ConfigError(f"{text}: several values need -m, which makes a run of each")
        understood.append(_rewrite(override, text, new_tasks, folders))
    # One override for all of them: Hydra's sweeper keeps only the last of several with one key.
    added = ["++suite.tasks={" + ",".join(f"{name}:{{}}" for name in new_tasks) + "}"]
    return [*(added if new_tasks else []), *understood]


def _by_file(override: Override, text: str, folders: Sequence[Path] | None) -> str:
    """A group's option as Hydra expects it: text, and for a model the name of its entry's file."""
    key, _, typed = text.partition("=")
    value = override.value()
    if isinstance(value, bool | int | float):
        value, text = typed, f"{key}='{typed}'"
    names = value.list if isinstance(value, ChoiceSweep) else [value]
    if key != "model" or not all(isinstance(name, str) for name in names):
        return text
    entries = [find_entry(name, folders) for name in names]
    for entry in entries:
        if entry is not None and entry.problem:
            raise ConfigError(entry.problem)
    files = [e.stem if e is not None else name for e, name in zip(entries, names, strict=True)]
    return text if files == names else f"model={','.join(files)}"


def _parse(parser: OverridesParser, text: str) -> Override:
    if not text.strip("+~").partition("=")[0] or ("=" not in text and not text.startswith("~")):
        raise ConfigError(f"{text!r}: expected key=value; `evalharness run --help` has examples")
    try:
        override: Override = parser.parse_override(text)
    except HydraException as e:
        about = ("Error parsing", "See https")
        cause = next((s for s in str(e).splitlines() if not s.startswith(about)), "odd grammar")
        raise ConfigError(
            f"{text}: can't be read as key=value ({cause}); put quotes around a value with odd "
            "characters: 'key=\"value\"'"
        ) from e
    return override


def _rewrite(
    override: Override,
    text: str,
    new_tasks: dict[str, None],
    folders: Sequence[Path] | None,
) -> str:
    key = override.key_or_group
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return text
    if key in GROUPS and override.package is None:
        if override.is_delete():
            raise ConfigError(f"{text}: a run needs its {key}; choose another with {key}=<name>")
        if override.value() is None and key != "experiment":
            raise ConfigError(f"{text}: a run needs its {key}; say which with {key}=<name>")
        return _by_file(override, text.lstrip("+"), folders)
    is_free = check_key(key)
    if override.is_delete():
        return text
    if override.is_add() and key.startswith(_TASKS):
        new_tasks[key.removeprefix(_TASKS).split(".")[0]] = None
        return f"++{text.lstrip('+')}"
    if is_free_mapping(key) and isinstance(override.value(), dict):
        is_free = True  # its names are new to Hydra, one by one or together
    return f"++{text.lstrip('+')}" if is_free or override.is_add() else text
