"""Which model a name means: one model under its many spellings, and the setting that a name carries beside it.

`models.csv` says it for the models of the shipped scores: name, other spellings (separated by ` | `), what is doubtful about
taking them as one, family, open or closed with the basis, parameters and release date with their sources. Rules read
what names add to a model: a provider before a slash, an effort or thinking budget, a quantization, `-hf`, a date. A rule
counts only if what is left is a name of the table, but for a setting after `_` or in brackets, and providers that serve
other people's models.
A name that could be two models, or is a known one with more words, is itself, and doubtful: nothing is guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

from evalharness.trend.scores.records import ReportedScore

FILE = Path(__file__).with_name("models.csv")

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "promax")
_WORDS = "|".join((*_EFFORTS, "unknown", "prounknown", "thinking"))
_SETTING = re.compile(
    rf"(?:_|\s*\()({_WORDS}|\d+k)(?:[ _-](?:thinking|effort|reasoning))?\)?", re.I
)
_HYPHENED = re.compile(rf"-({_WORDS})", re.I)
_QUANTIZED = re.compile(
    r"[-_ ](fp8|fp4|nvfp4|mxfp4|int[48]|awq|gptq|gguf|w[48]a(?:8|16)|bnb-4bit|[248]bit|q\d_\w+)",
    re.I,
)
_CONVERTED = re.compile(r"-hf", re.I)
_DATED = re.compile(r"[-_ ](20\d\d-\d\d-\d\d|20\d{6})")
_OWNED = re.compile(r"(?:[\w.-]+/)+(?=[^/]+$)", re.ASCII)
_HOSTS = re.compile(
    r"(?:accounts/fireworks/models|chutes|deepinfra|fireworks|groq|openrouter|parasail|together)/(?=[^/]+$)",
    re.I,
)
"""Providers that serve other people's models: the same name of two of them is one model."""
_MOST_SUFFIXES = 4
_APART = re.compile(r"(?<=\d)[\s_./-]+(?=\d)")
_NO_MATTER = re.compile(r"[\s_./-]+")
_VERSION_WORDS = re.compile(
    r"(?!\d)(~|base|instruct|chat|it|sft|rl|dpo|preview|exp|experimental|beta|latest|turbo|thinking|reasoning|vision"
    r"|v\d|\d{4,8})+"
)
"""What may make another model of a known one, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A row of the table. None: unknown."""

    model: str
    spellings: tuple[str, ...]
    doubt: str
    """Why its spellings may be more than one model; empty if they aren't."""
    family: str
    open_weight: bool | None
    open_basis: str
    total_params_b: float | None
    active_params_b: float | None
    params_source: str
    release_date: date | None
    date_source: str


class Identity(NamedTuple):
    """What a name means."""

    model: str
    """Its name in the table; otherwise the name without provider and setting."""
    setting: str = ""
    """Effort or budget that the name carries; empty if none, or an unknown one."""
    rules: tuple[str, ...] = ()
    """What was taken off: provider, setting, quantization, conversion, date."""
    is_known: bool = False
    doubt: str = ""
    """Why it may be another model."""


@cache
def known_models() -> Mapping[str, KnownModel]:
    """The table by name."""
    with FILE.open(newline="", encoding="utf-8") as lines:
        return {row["model"]: _known(row) for row in csv.DictReader(lines)}


@cache
def identify(label: str) -> Identity:
    """The model that a name means."""
    name, found = label.strip(), {"setting": ""}
    owner = _OWNED.match(name)
    if owner and (known := _identify(name[owner.end() :], found)).is_known:
        return known._replace(rules=("provider", *known.rules))
    if host := _HOSTS.match(name):
        unknown = _identify(name[host.end() :], found)
        return unknown._replace(rules=("provider", *unknown.rules))
    return _identify(name, {"setting": ""})


def _identify(name: str, found: dict[str, str]) -> Identity:
    rules: list[str] = []
    for _ in range(_MOST_SUFFIXES + 1):
        if known := _by_spelling().get(key_of(name)):
            return Identity(known.model, found["setting"], tuple(rules), True, known.doubt)
        rule, name = _shortened(name, found)
        if not rule:
            break
        rules.append(rule)
    return Identity(name, found["setting"], tuple(rules), False, _doubt(name))


def key_of(label: str) -> str:
    """What spellings of one name have in common: no case, and no separators but between digits (1.3B isn't 13B)."""
    return _NO_MATTER.sub("", _APART.sub("~", label)).casefold()


def identity_of(score: ReportedScore) -> Identity:
    """The model of a score: what its owner says (`reported_as`), else its name, else the Hub id of a measured one."""
    if score.reported_as:
        return identify(score.reported_as)
    found = identify(score.model)
    if not found.is_known and score.origin == "measured" and score.source_repo:
        by_hub = identify(score.source_repo)
        found = by_hub if by_hub.is_known else found
    return found


def effort(setting: str) -> float:
    """A number that orders settings; -1 if it isn't known.

    Words from none to max, and budgets of thinking tokens (16K) between medium and high, by size.
    """
    word = setting.casefold()
    if word in _EFFORTS:
        return float(10 * _EFFORTS.index(word))
    if word.endswith("k") and word[:-1].isdecimal():
        return 30 + min(int(word[:-1]), 999) / 100
    return 25.0 if word == "thinking" else -1.0


class Group(NamedTuple):
    """The names that are taken as one model."""

    model: str
    spellings: Mapping[str, tuple[str, ...]]
    """Name -> rules that led from it to the model; empty for an entry of the table."""
    settings: tuple[str, ...]
    doubts: tuple[str, ...]
    num_scores: int


def groups(scores: Iterable[ReportedScore]) -> list[Group]:
    """The models of the scores, by name, each with its names there and those that the table has for it."""
    found: dict[str, dict[str, Identity]] = {}
    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    for score in scores:
        identity = identity_of(score)
        model = first.setdefault(key_of(identity.model), identity.model)
        names = found.setdefault(model, {})
        if not names and identity.is_known:
            names |= {name: identify(name) for name in known_models()[model].spellings}
        names[score.model] = identity
        counts[model] = counts.get(model, 0) + 1
    return [
        Group(
            model,
            {name: identity.rules for name, identity in names.items()},
            tuple(sorted({i.setting for i in names.values() if i.setting}, key=effort)),
            tuple(dict.fromkeys(i.doubt for i in names.values() if i.doubt)),
            counts[model],
        )
        for model, names in sorted(found.items(), key=lambda item: item[0].casefold())
    ]


def _shortened(name: str, found: dict[str, str]) -> tuple[str, str]:
    """The rule that applies to a name and what it leaves; empty if none does."""
    if match := _ends(_SETTING, name):
        word = match[1].lower() if not match[1][:-1].isdecimal() else match[1].upper()
        found["setting"] = "" if word.endswith("unknown") else found["setting"] or word
        return "setting", name[: match.start()]
    for rule, pattern in (
        ("quantization", _QUANTIZED), ("conversion", _CONVERTED), ("setting", _HYPHENED), ("date", _DATED)
    ):  # fmt: skip
        match = _ends(pattern, name)
        if match and _is_reachable(name[: match.start()]):
            if rule == "date" and _versions(name[: match.start()]):
                continue
            if rule == "setting":
                found["setting"] = found["setting"] or match[1]
            return rule, name[: match.start()]
    return "", name


def _is_reachable(name: str) -> bool:
    """Whether the name, or what the rules leave of it, is in the table."""
    return key_of(name) in _by_spelling() or any(
        (match := _ends(pattern, name)) and key_of(name[: match.start()]) in _by_spelling()
        for pattern in (_QUANTIZED, _CONVERTED, _SETTING, _HYPHENED, _DATED)
    )


def _doubt(name: str) -> str:
    """What known models a name that isn't in the table may be."""
    wanted = key_of(name)
    if of_name := _versions(name):
        return f"any of {len(of_name)} versions: {', '.join(of_name)}"
    near = [
        known.model
        for spelling, known in _by_spelling().items()
        if wanted.startswith(spelling) and _VERSION_WORDS.fullmatch(wanted[len(spelling) :])
    ]
    return f"{max(near, key=len)} with more words" if near else ""


def _versions(name: str) -> list[str]:
    """Models of the table whose name is this one and a month in brackets."""
    wanted = key_of(name)
    return [
        model
        for model in known_models()
        if key_of(model.partition(" (")[0]) == wanted and "(" in model
    ]


def _ends(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    return next((m for m in pattern.finditer(name) if m.end() == len(name) and m.start()), None)


@cache
def _by_spelling() -> Mapping[str, KnownModel]:
    return {
        key_of(spelling): known
        for known in known_models().values()
        for spelling in (known.model, *known.spellings)
    }


def _known(row: Mapping[str, str]) -> KnownModel:
    return KnownModel(
        model=row["model"],
        spellings=tuple(filter(None, row["spellings"].split(" | "))),
        doubt=row["doubt"],
        family=row["family"],
        open_weight={"yes": True, "no": False}.get(row["open_weight"]),
        open_basis=row["open_basis"],
        total_params_b=_number(row["total_params_b"]),
        active_params_b=_number(row["active_params_b"]),
        params_source=row["params_source"],
        release_date=date.fromisoformat(row["release_date"]) if row["release_date"] else None,
        date_source=row["date_source"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
