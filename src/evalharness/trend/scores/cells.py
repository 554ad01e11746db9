"""The cells of a row of scores: text in, values out. A cell that doesn't fit its column is refused, never corrected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

EARLIEST = date(2019, 1, 1)
"""Earliest release date; an earlier one is a mistake, as these benchmarks aren't reported for older models."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"(\d{1,12})(\.0*)?", re.ASCII)
_SHOTS = re.compile(r"(\d{1,4})(\.0*)?([ -]?shots?)?", re.ASCII | re.IGNORECASE)
_SHOT_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})([ -]?shots?)?", re.ASCII | re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_YES_OR_NO = {"yes": True, "true": True, "no": False, "false": False}


def percent(text: str) -> float:
    """A number from 0 to 100.

    Raises:
        ValueError: why it isn't one, as in all functions here.
    """
    value = number(text)
    if not 0 <= value <= 100:
        raise ValueError(f"{text!r} is outside 0 to 100")
    return value


def number(text: str) -> float:
    """A finite number with a decimal point."""
    if not _NUMBER.fullmatch(text):
        hint = ": without the percent sign" if text.endswith("%") else ""
        hint = ": with a decimal point" if _NUMBER.fullmatch(text.replace(",", ".")) else hint
        raise ValueError(f"{text!r} is not a number{hint}")
    return float(text) + 0.0  # no minus zero


def amount(text: str) -> float:
    """A number above 0."""
    value = number(text)
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is not an amount above 0")
    return value


def count(text: str) -> int:
    """A whole number from 1."""
    match = _WHOLE.fullmatch(text)
    if not match or int(match[1]) < 1:
        raise ValueError(f"{text!r} is not a whole number above 0")
    return int(match[1])


def shots(text: str) -> str:
    """`5` for 5, 5.0 and 5-shot; a range and `few` are unchanged."""
    if match := _SHOTS.fullmatch(text):
        return str(int(match[1]))
    if match := _SHOT_RANGE.fullmatch(text):
        return f"{int(match[1])}-{int(match[2])}"
    if text.casefold() in ("few", "few-shot"):
        return "few"
    raise ValueError(f"{text!r} is not a number of shots (5, 5-shot, 3-5 or few)")


def yes_or_no(text: str) -> bool | None:
    """True, False, or None for `unknown`."""
    if text.casefold() == "unknown":
        return None
    if text.casefold() not in _YES_OR_NO:
        raise ValueError(f"{text!r} is not yes, no, true, false or unknown")
    return _YES_OR_NO[text.casefold()]


def is_so(text: str) -> bool:
    """True or False: unknown isn't an answer."""
    if (found := yes_or_no(text)) is None:
        raise ValueError(f"{text!r}: yes or no is needed")
    return found


def day(text: str, today: date) -> date:
    """A day from 2019 to today."""
    try:
        found = date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError:
        raise ValueError(f"{text!r} is not a date (year-month-day)") from None
    if found > today:
        raise ValueError(f"{text!r} is in the future")
    if found < EARLIEST:
        raise ValueError(f"{text!r} is before {EARLIEST.year}")
    return found


def parsers(today: date) -> Mapping[str, Callable[[str], Any]]:
    """Column -> reader of its cells, for all columns that aren't text."""
    return {
        **dict.fromkeys(("release_date", "score_date"), lambda text: day(text, today)),
        "score": percent,
        "ci_low": percent,
        "ci_high": percent,
        "n_shot": shots,
        **dict.fromkeys(("n", "n_experts", "line"), count),
        **dict.fromkeys(("cot", "chat", "open_weight", "higher_is_better"), yes_or_no),
        "chance_corrected": is_so,
        **dict.fromkeys(
            ("total_params_b", "active_params_b", "train_tokens_t", "train_flops_1e21"), amount
        ),
    }
