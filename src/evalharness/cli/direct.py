"""Models and tasks named directly, without a file in configs: turned into what Hydra composes.

model=PATH | org/name[@revision]   an entry made from the checkpoint's files
adapter=PATH | org/name            over the model given, an entry of its own
tasks=NAME[:SHOTS],...             names, groups, globs: a suite named after them
suite=NAME,NAME                    a run of each
limit=N                            run.limit=N
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from evalharness.cli.direct_models import Models, borrowed, store
from evalharness.config.entries import all_entries
from evalharness.errors import ConfigError, UserError, did_you_mean, then

_OVERRIDE = re.compile(r"\+{0,2}(model|adapter|tasks|suite|limit)=(.*)", re.DOTALL)
_SHOWS_ONLY = ("--cfg", "-c", "--info", "-i")
_GLOB = set("*?[")
_SHOTS = re.compile(r"(.+):(\d+)")
_MANY = 50
"""Tasks that globs may name without --yes."""
_LONGEST_NAME = 60
_ALL_TASKS = "`evalharness task list` shows all"


@dataclass(slots=True)
class Direct:
    """What the arguments of `run` mean."""

    arguments: list[str]
    """For Hydra."""
    remarks: list[str] = field(default_factory=list)
    """What was made of them, for the user."""


def understand(arguments: Sequence[str], *, is_sure: bool = False) -> Direct:
    """Make the entries and the suite that the arguments name directly.

    Args:
        arguments: overrides, and Hydra's flags.
        is_sure: more than 50 tasks by a glob are meant.

    Raises:
        CheckpointError: a folder or repository that holds no checkpoint.
        UserError: tasks that don't exist, too many of them, or both a suite and tasks.
    """
    given: dict[str, str] = {}
    others = []
    for text in arguments:
        found = _OVERRIDE.fullmatch(text)
        if found is None or (found[1] == "tasks" and found[2].startswith("{")):
            others.append(text)
        elif found[1] in given:
            raise UserError(f"{text}: {found[1]}={given[found[1]]} is given already")
        elif not found[2].strip("\"'[], "):
            raise UserError(f"{text}: nothing is given; leave it out, or name one")
        else:
            given[found[1]] = found[2]
    from evalharness.config.compose import config_folders

    folders = config_folders(others)
    direct = Direct([*others])
    models = Models(all_entries(folders), is_offline="data.offline=true" in map(str.lower, others))
    if "model" in given:
        names = list(dict.fromkeys(models.name_of(value) for value in _listed(given["model"])))
        if "adapter" in given:
            names = [models.with_adapter(name, given["adapter"]) for name in names]
        direct.arguments.append(f"model={','.join(names)}")
    elif "adapter" in given:
        raise UserError(
            f"adapter={given['adapter']}: over which model? Give model=<name or path>, too"
        )
    if "limit" in given:
        if twice := next((o for o in others if o.lstrip("+").startswith("run.limit=")), None):
            raise UserError(f"limit={given['limit']} and {twice}: give one of them")
        direct.arguments.append(f"run.limit={given['limit']}")
    direct.arguments += _suite(given, others, folders, is_sure=is_sure)
    direct.remarks = [*models.remarks, *borrowed(given, others, models.entries)]
    return direct


def check_complete(arguments: Sequence[str], *, is_composed: bool) -> None:
    """Refuse a run that doesn't say what to run, and list what there is to choose from.

    Args:
        arguments: overrides, and Hydra's flags.
        is_composed: the rest of them is right; before that only their absence altogether is refused.

    Raises:
        UserError: neither suite nor tasks is given.
    """
    from evalharness.config.keys import options

    keys = {text.lstrip("+~").partition("=")[0].split(".")[0] for text in arguments}
    has_model = "model" in keys
    if keys & {"suite", "tasks", "experiment", *_SHOWS_ONLY}:
        return
    is_known = all(key in _sections() or key.startswith("-") for key in keys)
    if not is_composed and (has_model or not is_known):
        return
    model = "" if has_model else "model=<name, path or Hub id> (`evalharness model list`) and "
    raise UserError(
        f"run: what to run isn't given; add {model}suite=<name> ({', '.join(options('suite'))}) "
        "or tasks=<name>,... (`evalharness task list`)"
    )


def _sections() -> set[str]:
    """What an override can begin with."""
    from evalharness.config.keys import GROUPS, keys

    return {*GROUPS, "adapter", "limit", "hydra", *(key.partition(".")[0] for key in keys())}


def complete_task(incomplete: str) -> list[str]:
    """`tasks=` with every name that the last one could become."""
    from evalharness.tasks.authoring.list_tasks import custom_rows
    from evalharness.tasks.lm_eval_index import stock_rows

    before, comma, last = incomplete.removeprefix("tasks=").rpartition(",")
    names = dict.fromkeys([*(row.name for row in custom_rows()), *stock_rows(only_cached=True)])
    return [f"tasks={before}{comma}{name}" for name in names if name.startswith(last)]


def _suite(
    given: dict[str, str], others: Sequence[str], folders: Sequence[Path], *, is_sure: bool
) -> list[str]:
    if "tasks" in given and "suite" in given:
        raise UserError(
            f"suite={given['suite']} and tasks={given['tasks']}: give one of them; "
            "`+suite.tasks.NAME={}` adds a task to a suite"
        )
    from evalharness.config.keys import options

    if "tasks" in given:
        suites = options("suite", folders)
        tasks = _tasks(_listed(given["tasks"]), suites, is_sure=is_sure)
        name = _unlike_a_suite(_suite_name(tasks), tasks, folders)
        # No file's name: one of the same suite would be merged with it. Hydra reads no other letters.
        option = "_" + re.sub(r"[^\w.+-]", "-", name, flags=re.ASCII)
        store("suite", option, {"name": name, "version": "1", "tasks": tasks})
        return [f"suite={option}"]
    if "suite" not in given:
        return []
    names = list(dict.fromkeys(_listed(given["suite"])))
    known = options("suite", folders)
    for name in names:
        if name not in known and _is_task(name):
            near = did_you_mean(name, known)
            raise ConfigError(
                f"suite={name}: no such suite{then(near, f'{name} is a task: tasks={name}')}"
            )
    is_multirun = any(flag in others for flag in ("-m", "--multirun"))
    return [f"suite={','.join(names)}", *(["-m"] if len(names) > 1 and not is_multirun else [])]


def _tasks(
    names: Sequence[str], suites: Collection[str], *, is_sure: bool
) -> dict[str, dict[str, int]]:
    """The tasks of a suite: each name with what is changed in it; what a name says holds before what a glob says."""
    by_glob: dict[str, dict[str, int]] = {}
    by_name: dict[str, dict[str, int]] = {}
    _check_known([text for text in names if not _GLOB & set(text)], suites)
    for text in names:
        shots = _SHOTS.fullmatch(text)
        name = shots[1] if shots else text
        is_glob = bool(_GLOB & set(name))
        tasks, over = by_glob if is_glob else by_name, {}
        if shots:
            over = {"num_fewshot": int(shots[2])}
        for one in _matching(name) if is_glob else [name]:
            if tasks.setdefault(one, over) != over:
                raise UserError(
                    f"tasks={','.join(names)}: {one} is there twice, with other shots; a run of each"
                )
    if len(by_glob) > _MANY and not is_sure:
        raise UserError(
            f"tasks={','.join(names)}: {len(by_glob)} tasks; --yes runs them all, a narrower pattern some of them"
        )
    return {**by_glob, **by_name}


def _check_known(names: Sequence[str], suites: Collection[str]) -> None:
    """Refuse unknown tasks before a checkpoint is read; where lm-eval's index has to be made first, its loader does."""
    from evalharness.tasks.authoring.list_tasks import custom_rows
    from evalharness.tasks.lm_eval_index import stock_rows

    try:
        stock = stock_rows(only_cached=True)
    except ConfigError:  # without lm-eval
        return
    known = {*stock, *(row.name for row in custom_rows())}
    for text in names if stock else ():
        shots = _SHOTS.fullmatch(text)
        if (name := shots[1] if shots else text) not in known:
            hint = f"{name} is a suite: suite={name}" if name in suites else _ALL_TASKS
            raise UserError(f"tasks={name}: no such task{then(did_you_mean(name, known), hint)}")


def _matching(pattern: str) -> list[str]:
    """Names of tasks that a glob matches, ours and lm-eval's; groups and tags where it matches nothing else."""
    from evalharness.tasks.authoring.list_tasks import custom_rows, matching, stock_list

    rows = {row.name: row for row in matching([*stock_list(), *custom_rows()], pattern)}
    single = [name for name, row in rows.items() if row.kind not in ("group", "tag", "broken")]
    if not rows:
        raise UserError(f"tasks={pattern}: no task matches; {_ALL_TASKS}")
    return sorted(single or rows)


def _suite_name(tasks: dict[str, dict[str, int]]) -> str:
    """The same for the same tasks, whatever their order."""
    parts = [
        re.sub(r"[^\w.-]", "-", name) + (f"-{over['num_fewshot']}shot" if over else "")
        for name, over in sorted(tasks.items())
    ]
    if len(name := "+".join(parts)) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return (
        f"{parts[0][:24]}+{len(parts) - 1}-more-{digest}"
        if len(parts) > 1
        else f"{name[:48]}-{digest}"
    )


def _unlike_a_suite(name: str, tasks: Collection[str], folders: Sequence[Path]) -> str:
    """The name, unless a suite of other tasks has it: their runs would be ranked as one suite's."""
    from evalharness.config.keys import options

    if name not in options("suite", folders):
        return name
    file = next(path for f in folders if (path := f / "suite" / f"{name}.yaml").is_file())
    try:
        own = yaml.safe_load(file.read_text(encoding="utf-8"))["tasks"]
        return name if set(own) == set(tasks) else f"{name}-tasks"
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return f"{name}-tasks"


def _is_task(name: str) -> bool:
    from evalharness.tasks.authoring.list_tasks import custom_rows
    from evalharness.tasks.lm_eval_index import stock_rows

    try:
        return name in {row.name for row in custom_rows()} or name in stock_rows()
    except ConfigError:  # without lm-eval
        return False


def _listed(value: str) -> list[str]:
    """The values of a comma list, quotes and brackets gone; a folder with commas in its name is one."""
    plain = value.strip("\"'")
    if Path(plain).expanduser().is_dir():
        return [plain]
    found = [
        part.strip().strip("\"'") for part in plain.removeprefix("[").removesuffix("]").split(",")
    ]
    return [part for part in found if part] or [plain]
