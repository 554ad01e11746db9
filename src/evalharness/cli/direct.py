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
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evalharness.config.entries import ModelEntry, all_entries
from evalharness.errors import CheckpointError, ConfigError, UserError, did_you_mean, then

_OVERRIDE = re.compile(r"\+{0,2}(model|adapter|tasks|suite|limit)=(.*)", re.DOTALL)
_SHOWS_ONLY = ("--cfg", "-c", "--info", "-i")
_GLOB = set("*?[")
_SHOTS = re.compile(r"(.+):(\d+)")
_ANOTHER_WAY = ("adapter", "chat", "chat_template", "chat_template_args", "system_instruction")
"""Fields of an entry that make something else of its weights."""
_MANY = 50
"""Tasks that globs may name without --yes."""
_LONGEST_NAME = 60
_MOST_LISTED = 8


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
    models = _Models(all_entries(folders), is_offline="data.offline=true" in map(str.lower, others))
    if "model" in given:
        names = [models.name_of(value) for value in _listed(given["model"])]
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
    direct.remarks = [*models.remarks, *_borrowed(given, others, models.entries)]
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


def _folder(entry: ModelEntry) -> Path | None:
    own = entry.values.get("path")
    return Path(own).expanduser().resolve() if isinstance(own, str) else None


class _Models:
    """Entries that exist, and those that are made."""

    def __init__(self, entries: Sequence[ModelEntry], *, is_offline: bool) -> None:
        self.entries = entries
        self.remarks: list[str] = []
        self._is_offline = is_offline
        self._taken = {name for entry in entries for name in (entry.name, entry.stem)}
        self._families = [str(e.values["family"]) for e in entries if e.values.get("family")]

    def name_of(self, value: str) -> str:
        """What Hydra knows the model as: a name as it is; of a folder or Hub id the entry that has it, or one made now."""
        if value in self._taken:
            return value
        path = Path(value).expanduser()
        is_path = value.startswith((".", "/", "~"))
        if path.is_dir() or is_path:
            return self._of_folder(value, path)
        from evalharness.checkpoint.entry import hub_id_of

        if path.is_file():
            raise CheckpointError(f"model={value}: a file; a checkpoint is the folder")
        if (asked := hub_id_of(value)) is not None:
            return self._of_hub_id(value, *asked)
        if "/" in value:
            raise CheckpointError(
                f"model={value}: no such folder, and no Hub id (organisation/name)"
            )
        return value

    def with_adapter(self, base: str, adapter: str) -> str:
        """The name of an entry made for an adapter over another entry."""
        from evalharness.checkpoint.entry import entry_with_adapter

        known = next((e for e in self.entries if base in (e.name, e.stem)), None)
        made = entry_with_adapter(known.name if known else base, adapter, self._taken)
        stem = known.stem if known else base
        if adapter.startswith((".", "/", "~")) and not Path(adapter).expanduser().is_dir():
            raise CheckpointError(f"adapter={adapter}: no such folder")
        self._keep({"defaults": [stem, "_self_"], **made})
        self.remarks.append(f"model {made['name']}: {adapter} over {base}, asked as {base} is")
        return str(made["name"])

    def _of_folder(self, value: str, path: Path) -> str:
        from evalharness.checkpoint.entry import entry_of_folder

        if not path.is_dir():
            raise CheckpointError(f"model={value}: no such folder")
        known = [e for e in self.entries if _folder(e) == path.resolve()]
        return self._known(value, known) or self._made(
            value, entry_of_folder(path, self._taken, self._families)
        )

    def _of_hub_id(self, value: str, hub_id: str, revision: str | None) -> str:
        from evalharness.checkpoint.entry import entry_of_hub_id

        asked = hub_id.casefold(), revision
        known = [
            e
            for e in self.entries
            if (str(e.values.get("hub_id") or "").casefold(), e.values.get("revision")) == asked
        ]
        if found := self._known(value, known):
            return found
        try:
            made = entry_of_hub_id(
                hub_id, revision, self._taken, self._families, offline=self._is_offline
            )
        except CheckpointError as e:
            raise CheckpointError(f"model={value}: no such folder here, and {e}") from e
        return self._made(value, made)

    def _known(self, value: str, entries: Sequence[ModelEntry]) -> str | None:
        """The first entry of these weights that asks them as they are."""
        for entry in entries:
            if not any(entry.values.get(key) is not None for key in _ANOTHER_WAY):
                self.remarks.append(f"model {entry.name}: the entry of {value}")
                return entry.stem
        return None

    def _made(self, value: str, values: dict[str, Any]) -> str:
        self._keep(values)
        thinking = f", thinks in {values['think_start']}" if "think_start" in values else ""
        family = values.get("family") or "family unknown"
        self.remarks.append(
            f"model {values['name']}: made from {value}: {family}, {values['variant']}{thinking}; "
            f"`evalharness model add {shlex.quote(value)}` keeps it"
        )
        return str(values["name"])

    def _keep(self, values: dict[str, Any]) -> None:
        self._taken.add(str(values["name"]))
        _store("model", str(values["name"]), values)


def made_entry(value: str, *, is_offline: bool) -> dict[str, Any]:
    """The fields of an entry for a folder or Hub id that has none.

    Raises:
        UserError: it has one, or is neither.
        CheckpointError: the folder or repository holds no checkpoint.
    """
    from evalharness.checkpoint.entry import entry_of_folder, entry_of_hub_id, hub_id_of

    entries = all_entries()
    taken = {name for entry in entries for name in (entry.name, entry.stem)}
    families = [str(e.values["family"]) for e in entries if e.values.get("family")]
    path = Path(value).expanduser()
    if path.is_dir():
        if same := [e.name for e in entries if _folder(e) == path.resolve()]:
            raise UserError(f"{value} is the model {same[0]} already")
        return entry_of_folder(path, taken, families)
    if (asked := hub_id_of(value)) is None or value.startswith((".", "/", "~")):
        raise CheckpointError(f"{value!r}: no such folder, and no Hub id (organisation/name)")
    known = [
        e.name
        for e in entries
        if str(e.values.get("hub_id") or "").casefold() == asked[0].casefold()
    ]
    if known and asked[1] is None:
        raise UserError(f"{value} is the model {known[0]} already")
    return entry_of_hub_id(*asked, taken, families, offline=is_offline)


def _borrowed(
    given: dict[str, str], others: Sequence[str], entries: Sequence[ModelEntry]
) -> Iterator[str]:
    """What to say where an entry's name, date, parent and licence are kept for other weights."""
    keys = {text.lstrip("+").partition("=")[0]: text.partition("=")[2] for text in others}
    weights = next((keys[key] for key in ("model.path", "model.hub_id") if keys.get(key)), None)
    known = next((e for e in entries if given.get("model") in (e.name, e.stem)), None)
    if weights in (None, "null") or known is None or "model.name" in keys:
        return
    kept = [name for name in ("release_date", "parent", "license") if known.values.get(name)]
    if kept:
        yield (
            f"model {known.name}: {weights} runs under this entry's name and its {', '.join(kept)}; "
            f"model={weights} makes an entry of its own"
        )


def _suite(
    given: dict[str, str], others: Sequence[str], folders: Sequence[Path], *, is_sure: bool
) -> list[str]:
    if "tasks" in given and "suite" in given:
        raise UserError(
            f"suite={given['suite']} and tasks={given['tasks']}: give one of them; "
            "`+suite.tasks.NAME={}` adds a task to a suite"
        )
    if "tasks" in given:
        tasks = _tasks(_listed(given["tasks"]), is_sure=is_sure)
        name = _unlike_a_suite(_suite_name(tasks), tasks, folders)
        # No file's name: one of the same suite would be merged with it. Hydra reads no other letters.
        option = "_" + re.sub(r"[^\w.+-]", "-", name, flags=re.ASCII)
        _store("suite", option, {"name": name, "version": "1", "tasks": tasks})
        return [f"suite={option}"]
    if "suite" not in given:
        return []
    from evalharness.config.keys import options

    names = _listed(given["suite"])
    known = options("suite", folders)
    for name in names:
        if name not in known and _is_task(name):
            near = did_you_mean(name, known)
            raise ConfigError(
                f"suite={name}: no such suite{then(near, f'{name} is a task: tasks={name}')}"
            )
    is_multirun = any(flag in others for flag in ("-m", "--multirun"))
    return [f"suite={','.join(names)}", *(["-m"] if len(names) > 1 and not is_multirun else [])]


def _tasks(names: Sequence[str], *, is_sure: bool) -> dict[str, dict[str, int]]:
    """The tasks of a suite: each name with what is changed in it; what a name says holds before what a glob says."""
    by_glob: dict[str, dict[str, int]] = {}
    by_name: dict[str, dict[str, int]] = {}
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


def _matching(pattern: str) -> list[str]:
    """Names of tasks that a glob matches, ours and lm-eval's; groups and tags where it matches nothing else."""
    from evalharness.tasks.authoring.list_tasks import custom_rows, matching, stock_list

    rows = {row.name: row for row in matching([*stock_list(), *custom_rows()], pattern)}
    single = [name for name, row in rows.items() if row.kind not in ("group", "tag", "broken")]
    if not rows:
        raise UserError(f"tasks={pattern}: no task matches; `evalharness task list` shows all")
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


def _store(group: str, name: str, values: dict[str, Any]) -> None:
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group=group, name=name, node=values)
