"""Models named directly: the entry that a folder or Hub id has, or one made now."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalharness.config.entries import ModelEntry
from evalharness.errors import CheckpointError, UserError

_ANOTHER_WAY = ("adapter", "chat", "chat_template", "chat_template_args", "system_instruction")
"""Fields of an entry that make something else of its weights."""


class Models:
    """Entries that exist, and those that are made."""

    def __init__(self, entries: Sequence[ModelEntry], *, is_offline: bool) -> None:
        """Nothing is made yet.

        Args:
            entries: those that exist.
            is_offline: ask the Hub for nothing.
        """
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
        if path.is_dir() or _is_path(value):
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
        if _is_path(adapter) and not Path(adapter).expanduser().is_dir():
            raise CheckpointError(f"adapter={adapter}: no such folder")
        self._keep({"defaults": [stem, "_self_"], **made})
        self.remarks.append(
            f"model {made['name']}: {adapter} over {base}, with its template and settings"
        )
        return str(made["name"])

    def of_folder(self, path: Path) -> list[ModelEntry]:
        """The entries whose `path` is this folder."""
        return [entry for entry in self.entries if _folder(entry) == path.resolve()]

    def of_hub_id(self, hub_id: str, revision: str | None) -> list[ModelEntry]:
        """The entries of this repository in this revision; case doesn't matter."""
        asked = hub_id.casefold(), revision
        return [
            e
            for e in self.entries
            if (str(e.values.get("hub_id") or "").casefold(), e.values.get("revision")) == asked
        ]

    def new(self, value: str) -> dict[str, Any]:
        """The fields of an entry for a folder or Hub id that has none.

        Raises:
            UserError: it has one.
            CheckpointError: it is neither, or holds no checkpoint.
        """
        from evalharness.checkpoint.entry import entry_of_folder, entry_of_hub_id, hub_id_of

        path, asked = Path(value).expanduser(), hub_id_of(value)
        if value in self._taken:
            raise UserError(f"{value} is a model already; model={value} runs it")
        if not path.is_dir() and (asked is None or _is_path(value)):
            raise CheckpointError(f"{value!r}: no such folder, and no Hub id (organisation/name)")
        same = self.of_folder(path) if path.is_dir() or asked is None else self.of_hub_id(*asked)
        if same:
            found = next(filter(_is_plain, same), same[0])
            raise UserError(f"{value} is the model {found.name} already")
        if path.is_dir() or asked is None:
            return entry_of_folder(path, self._taken, self._families)
        return entry_of_hub_id(*asked, self._taken, self._families, offline=self._is_offline)

    def _of_folder(self, value: str, path: Path) -> str:
        from evalharness.checkpoint.entry import entry_of_folder

        if path.is_file():
            raise CheckpointError(f"model={value}: a file; a checkpoint is the folder")
        if not path.is_dir():
            raise CheckpointError(f"model={value}: no such folder")
        found = self._known(value, self.of_folder(path))
        return found or self._made(value, entry_of_folder(path, self._taken, self._families))

    def _of_hub_id(self, value: str, hub_id: str, revision: str | None) -> str:
        from evalharness.checkpoint.entry import entry_of_hub_id

        if found := self._known(value, self.of_hub_id(hub_id, revision)):
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
            if _is_plain(entry):
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
        store("model", str(values["name"]), values)


def borrowed(
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


def _folder(entry: ModelEntry) -> Path | None:
    own = entry.values.get("path")
    return Path(own).expanduser().resolve() if isinstance(own, str) else None


def _is_plain(entry: ModelEntry) -> bool:
    """Whether it asks its weights as they are."""
    return all(entry.values.get(key) is None for key in _ANOTHER_WAY)


def _is_path(value: str) -> bool:
    return value.startswith((".", "/", "~"))


def store(group: str, name: str, values: dict[str, Any]) -> None:
    """Let Hydra find an option of a group that no file holds."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group=group, name=name, node=values)
