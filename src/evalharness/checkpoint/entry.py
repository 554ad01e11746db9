"""A model entry for a checkpoint that has none: its fields as its name, config and chat template say them.

Release date, licence and parent aren't in the files, so the entry has none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from evalharness.checkpoint.identity import chat_template
from evalharness.checkpoint.info import is_adapter
from evalharness.checkpoint.json_files import as_dict, read_json, read_json_if_there
from evalharness.checkpoint.locate import resolve
from evalharness.checkpoint.lora_config import ADAPTER_CONFIG
from evalharness.checkpoint.other_formats import check_format
from evalharness.config.naming import entry_name, family_of, free_name, tidy, variant_of
from evalharness.config.schema import ModelConfig
from evalharness.errors import CheckpointError

_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w.][\w./-]*))?", re.ASCII)
_CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([^/]+)")
_NAMELESS = re.compile(
    r"((model|final|hf|checkpoint|ckpt|latest|last|best|merged|weights|output|out|step|epoch|iter|global_step|run)"
    r"[-_.]?)?\d*|null",
    re.IGNORECASE,
)
"""Folders that say nothing of whose weights they hold: the folder above has the name. To Hydra null is no name."""
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+", re.ASCII)
_SHORT_REVISION = 8
MADE = "Entry made"
"""How the notes of such an entry begin: its name isn't the user's, so another checkpoint may get it, too."""
_THINKING = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
)
"""Tags that chat templates write around a model's thinking."""


def hub_id_of(text: str) -> tuple[str, str | None] | None:
    """(organisation/name, revision or None) of such a text, with @revision or without; None for any other."""
    found = _HUB_ID.fullmatch(text)
    return (found[1], found[2]) if found and ".." not in text else None


def entry_of_folder(
    folder: Path, taken: Collection[str], families: Iterable[str]
) -> dict[str, Any]:
    """The fields of an entry for the checkpoint in a folder.

    Args:
        folder: with config.json, weights and tokenizer.
        taken: names that other entries have.
        families: those that are known, in their spelling.

    Raises:
        CheckpointError: the folder holds no checkpoint, or an adapter.
    """
    if is_adapter(folder):
        raise _adapter(str(folder), folder)
    full = _absolute(folder)
    check_format(full)
    names = _names(full)
    of_folder = {"name": free_name(names, taken), "path": str(full)}
    return of_folder | _fields(full, names[0], families, is_telling=False)


def entry_of_hub_id(
    hub_id: str,
    revision: str | None,
    taken: Collection[str],
    families: Iterable[str],
    *,
    offline: bool,
) -> dict[str, Any]:
    """The fields of an entry for a repository on the Hub; fetches what isn't weights.

    Args:
        hub_id: organisation/name.
        revision: branch, tag or commit.
        taken: names that other entries have.
        families: those that are known, in their spelling.
        offline: only what is on this machine already.

    Raises:
        CheckpointError: the Hub can't or won't give it.
    """
    asked = ModelConfig(name=hub_id, hub_id=hub_id, revision=revision)
    folder = resolve(asked, offline, with_weights=False)
    if is_adapter(folder):
        raise _adapter(hub_id, folder)
    if not (folder / "config.json").exists():
        raise CheckpointError(
            f"{hub_id} on the Hugging Face Hub has no config.json: it is no checkpoint that transformers reads (GGUF, "
            "another library's); take the repository it was made from"
        )
    name = entry_name(hub_id)
    if revision:
        name = f"{name}-{tidy(revision)[:_SHORT_REVISION]}"
    of_hub = {"name": free_name([name, tidy(hub_id)], taken), "hub_id": hub_id}
    of_hub |= {"revision": revision} if revision else {}
    return of_hub | _fields(folder, hub_id.split("/")[1], families, is_telling=True)


def entry_with_adapter(base: str, adapter: str, taken: Collection[str]) -> dict[str, Any]:
    """The fields in which an adapter's entry differs from that of its base.

    Args:
        base: name of the entry that it was trained on.
        adapter: folder or Hub id.
        taken: names that other entries have.
    """
    folder = Path(adapter).expanduser()
    is_folder = folder.is_dir()
    names = _names(folder) if is_folder else [tidy(adapter.split("/")[-1])]
    return {
        "name": free_name([f"{base}-{name}" for name in names], taken),
        "adapter": str(_absolute(folder)) if is_folder else adapter,
        "parent": base,
        "release_date": None,
        "release_source": None,
        "license": None,
        "notes": f"{MADE} for a run: the adapter {adapter} over {base}.",
    }


def _adapter(name: str, folder: Path) -> CheckpointError:
    base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path") or "<its base>"
    return CheckpointError(
        f"{name} holds a LoRA adapter, no model; `model={base} adapter={name}` runs it"
    )


def _absolute(folder: Path) -> Path:
    """Without `..`, which is no folder's name; a link keeps its own."""
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def _ascii_letters(text: str) -> str:
    """An accented letter without its accent; letters of other scripts as they are."""
    return re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text))


def _names(folder: Path) -> list[str]:
    """What the folder's checkpoint can be called, the shortest first."""
    folder = _absolute(folder)
    if cached := _CACHED.search(folder.as_posix()):
        org, repo, revision = cached.groups()
        return [f"{entry_name(f'{org}/{repo}')}-{revision[:_SHORT_REVISION]}"]
    own, above = (
        _NOT_IN_NAMES.sub("-", _ascii_letters(part)).strip("-.")
        for part in (folder.name, folder.parent.name)
    )
    long = "-".join(filter(None, (above, own))) or "model"
    return [long] if _NAMELESS.fullmatch(own) else [own, long]


def _fields(
    folder: Path, name: str, families: Iterable[str], *, is_telling: bool
) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    template = chat_template(folder)
    known = list(families)
    made_from = str(config.get("_name_or_path") or "").rsplit("/", 1)[-1]
    by_name = [family_of(text, known) for text in (name, made_from) if text]
    family = next((found for found in by_name if found in known), None)
    if family is None:
        family = by_name[0] if is_telling else str(config.get("model_type") or "") or None
    start, end = _thinking(folder, template)
    fields = {
        "family": family,
        "variant": variant_of(name, has_chat_template=template is not None).value,
        "think_start": start,
        "think_end": end,
        "is_text_only": bool(as_dict(config.get("vision_config"))) or None,
        "notes": f"{MADE} from the checkpoint's files; family and variant are read from its name, config and chat template.",
    }
    return {name: value for name, value in fields.items() if value is not None}


def _thinking(folder: Path, template: str | None) -> tuple[str | None, str | None]:
    """The tags around a model's thinking: where the template writes them, or the tokenizer has both as tokens."""
    tokens = {
        str(as_dict(token).get("content"))
        for token in as_dict(
            read_json_if_there(folder / "tokenizer_config.json").get("added_tokens_decoder")
        ).values()
    }
    for start, end in _THINKING:
        if template is not None and (end in template or {start, end} <= tokens):
            return start, end
    return None, None
