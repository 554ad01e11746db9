"""What a checkpoint's name says: the name of its entry, its family, whether it was tuned to follow instructions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from evalharness.config.schema import Variant

_SIZE = re.compile(r"\d+x\d+b|\d+(\.\d+)?[bm]|\d+e", re.IGNORECASE)
_VERSION = re.compile(r"v?\d+(\.\d+)?", re.IGNORECASE)
_INSTRUCT = re.compile(
    r"(^|[-_.])(instruct|chat|it|sft|dpo|rlhf|thinking|reasoning|assistant|distill)([-_.]|$)",
    re.IGNORECASE,
)
_BASE = re.compile(r"(^|[-_.])(base|pt|pretrain(ed)?)([-_.]|$)", re.IGNORECASE)


def entry_name(hub_id: str, taken: Collection[str] = ()) -> str:
    """The repository's name as entries are named; with its organisation, or a number, where it is taken."""
    org, repo = (tidy(part) for part in hub_id.split("/"))
    short = repo.removesuffix("-hf")
    short = short.removeprefix("meta-") if short.startswith("meta-llama-") else short
    return free_name([short, f"{org}-{repo}"], taken)


def free_name(choices: Iterable[str], taken: Collection[str]) -> str:
    """The first of the names that isn't taken; where all are, the last with a number."""
    names = list(choices)
    numbered = (f"{names[-1]}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (*names, *numbered) if name not in taken)


def tidy(text: str) -> str:
    """Lower case with single hyphens and dots between letters and digits."""
    words = re.sub(r"[^a-z0-9.]+", "-", text.lower())
    return re.sub(r"[.-]*-[.-]*|\.+", lambda gap: "-" if "-" in gap[0] else ".", words).strip("-.")


def family_of(name: str, known: Iterable[str]) -> str:
    """The words of a name up to its version, before its size; in the spelling of a family that is known.

    Args:
        name: of a repository or folder.
        known: families.
    """
    words: list[str] = []
    for word in re.split(r"[-_ ]+", name):
        if _SIZE.fullmatch(word) or (words and (_INSTRUCT.search(word) or _BASE.search(word))):
            break
        words.append(word)
        if len(words) > 1 and _VERSION.fullmatch(word):
            break
    if len(words) > 1 and words[:2] == ["Meta", "Llama"]:
        words = words[1:]
    family = " ".join(words) or name
    spellings = {_key(other): other for other in known}
    return spellings.get(_key(family), family)


def variant_of(name: str, *, has_chat_template: bool) -> Variant:
    """By the name; where that says nothing, a chat template makes the difference."""
    is_instruct = bool(_INSTRUCT.search(name)) or has_chat_template
    return Variant.instruct if is_instruct and not _BASE.search(name) else Variant.base


def _key(family: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", family.lower())
