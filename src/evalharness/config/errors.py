"""One line for an error of Hydra, OmegaConf or YAML: where, what, what was expected, the nearest valid name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from yaml import MarkedYAMLError, YAMLError

from evalharness.config.keys import (
    check_key,
    expected,
    options,
)
from evalharness.config.yaml_files import read_yaml, shown
from evalharness.errors import ConfigError, did_you_mean, then

_MOST_LISTED = 8


def explain(error: BaseException, folders: Sequence[Path] = ()) -> ConfigError:
    """The error for the user.

    Args:
        error: what composing raised.
        folders: the configs folders that were searched.
    """
    causes = list(_chain(error))
    text = "\n".join(map(str, causes))
    yaml = next((c for c in causes if isinstance(c, YAMLError)), None)
    return ConfigError(
        _explain_yaml(yaml)
        if yaml
        else _explain_group(text, folders) or _explain_value(text, folders) or _first_lines(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explain_yaml(error: YAMLError) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{shown(Path(mark.name))}, line {mark.line + 1}: not YAML: {error.problem}"
    return f"not YAML: {_first_lines(error)}"


def _explain_group(text: str, folders: Sequence[Path]) -> str | None:
    """A missing option, or a group that needs one."""
    if needed := re.search(r"You must specify '(\w+)'", text):
        group = needed[1]
        return f"{group}: not given; say {group}=<name>; {_listing(group, folders)}"
    if missing := re.search(r"In '([^']*)': Could not load '(.+)/([^/']*)'", text):
        file, group, name = missing.groups()
        near = did_you_mean(name, options(group, folders))
        return f"{_file(file, folders)}: its defaults name {name!r}, which isn't there{near}"
    if missing := re.search(r"Could not find '(.+)/([^/']*)'", text):
        group, name = missing.groups()
        if group.startswith("hydra/"):
            return f"{group}={name}: not installed; it comes with a Hydra plugin of that name"
        near = did_you_mean(name, options(group, folders))
        return f"{group}={name}: no such {group}{then(near, _listing(group, folders))}"
    return None


def _explain_value(text: str, folders: Sequence[Path]) -> str | None:
    """A wrong key or value, typed or in a file."""
    source = re.search(r"In '([^']*)': \w+ raised while composing", text)
    where = f"{_file(source[1], folders)}: " if source else ""
    if gone := re.search(r"Could not delete from config. '(.*)' does not exist", text):
        return f"~{gone[1]}: there is nothing to remove"
    found = re.search(r"full_key: (\S+)", text)
    if found is None:
        shape = re.search(r"(list is not a subclass|with ListConfig)", text)
        return f"{where}a list where keys belong; write `name: value` lines" if shape else None
    key = found[1]
    if re.search(r"not in '\w+'|is not in struct", text):
        return where + _explain_missing_key(key, folders)
    if "missing mandatory value" in text or "MISSING" in text:
        return f"{where}{key}: not given, and it has no default"
    if interpolation := re.search(r"(Interpolation key '[^']*' not found)", text):
        return f"{where}{key}: {interpolation[1]}"
    if "does not support deletion" in text:
        return f"{where}~{key}: can't be removed, only changed"
    got = re.search(r"[Vv]alue:? '?(.*?)'?(?:$| of type| is not a valid|, expected)", text, re.M)
    value = "null" if "is not Optional" in text else repr(got[1]) if got else None
    return f"{where}{key}: {f'got {value}; ' if value else ''}expected {expected(key)}"


def _explain_missing_key(key: str, folders: Sequence[Path]) -> str:
    try:
        check_key(key)
    except ConfigError as e:
        return str(e)
    if key.startswith("suite.tasks."):
        task = key.split(".")[2]
        near = did_you_mean(task, _suite_tasks(folders))
        return (
            f"{key}: the suite has no such task{then(near, f'`+suite.tasks.{task}={{}}` adds it')}"
        )
    return f"{key}: no such key"


def _suite_tasks(folders: Sequence[Path]) -> set[str]:
    """Names of the tasks in all suites that can be read."""
    names: set[str] = set()
    for file in (file for folder in folders for file in (folder / "suite").glob("*.yaml")):
        with contextlib.suppress(ConfigError, LookupError, TypeError):
            names |= set(read_yaml(file)["tasks"])
    return names


def _listing(group: str, folders: Sequence[Path]) -> str:
    known = options(group, folders)
    if len(known) <= _MOST_LISTED:
        return f"there are: {', '.join(known)}"
    return (
        f"`evalharness model list` shows all {len(known)}" if group == "model" else "see configs/"
    )


def _file(config: str, folders: Sequence[Path]) -> str:
    """The file for Hydra's name of it, such as `suite/mine`."""
    found = [folder / f"{config}.yaml" for folder in folders]
    return shown(next((path for path in found if path.is_file()), Path(f"{config}.yaml")))


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
