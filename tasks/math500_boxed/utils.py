r"""Score of math500_boxed: is the response's boxed answer the same mathematics as the gold answer?

What the boxes say is found here, because math-verify takes a pattern for it: braces that don't match, a box without
content and several boxes lead it astray. Whether two answers are equal is math-verify's to decide.
"""

import contextlib
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

_EXTRACTION = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
_LIMIT_S = 5
_BOX = re.compile(r"\\f?box(?:ed)?(?![a-zA-Z])\s*")
_UNBRACED = re.compile(r"-?(?:\d[\d.,]*\d|\w|\\[a-zA-Z]+)")
_BETWEEN = re.compile(
    r"""(?: [\s$,;&] | \\[,;:!()\[\]\\] | \\q?quad\b | \band\b | \bor\b
          | \\(?:text|mathrm)\{\s*,?\s*(?:and|or)?\s*\} | [a-zA-Z](?:_\{?\w+\}?)?\s*= )*""",
    re.VERBOSE,
)
"""What may stand between boxes that are one answer together."""
_PLACEHOLDERS = {
    "",
    "...",
    "\\ldots",
    "\\dots",
    "\\cdots",
    "?",
    "answer",
    "your answer",
    "final answer",
}
_LEAD_IN = re.compile(r"^\\(?:text|mathrm|textbf)\{[^{}]*\b(?:is|are|be)\s*:?\s*\}")
_BASE = re.compile(r"^(?P<digits>\w+)_\{?(?P<base>\d+)\}?$")


class _Box(NamedTuple):
    content: str
    start: int
    end: int


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """{"exact_match": 1.0 or 0.0}; without a box the last expression in the response counts."""
    return {"exact_match": float(is_same(doc["answer"], results[0]))}


def is_same(answer: str, response: str) -> bool:
    r"""Whether `response` ends in mathematics equal to `answer` (LaTeX, without delimiters).

    The last box counts, together with those before it that only commas, "and" or "or" part from it ("\boxed{1} and
    \boxed{2}"); of several values asked for, also all boxes of the response, if they are as many. A box without content,
    a placeholder or one that never ends is none. `50\%` equals 50 and 0.5.
    """
    boxes = _boxes(response)
    if not boxes:
        plain = re.sub(r"(?<=\d)\s*\\?%", "", response)
        gold = _parsed(f"\\boxed{{{_normal(answer)}}}")
        return any(_verified(gold, _parsed(text)) for text in dict.fromkeys((response, plain)))
    found = {_together(boxes, response)}
    distinct = list(dict.fromkeys(box.content for box in boxes))
    if len(distinct) == _num_values(answer) > 1:
        found.add(", ".join(distinct))
    return any(_are_equal(answer, candidate) for candidate in found)


def _boxes(text: str) -> list[_Box]:
    """All boxes with a content, outermost first where they are nested, in order."""
    boxes: list[_Box] = []
    for match in _BOX.finditer(text):
        if boxes and match.start() < boxes[-1].end:
            continue
        start = match.end()
        if text.startswith("{", start):
            end = _closing(text, start)
            content = text[start + 1 : end] if end else ""
            end = (end or start) + 1
        elif bare := _UNBRACED.match(text, start):
            content, end = bare.group(), bare.end()
        else:
            continue
        content = _unboxed(content)
        if _words(content) not in _PLACEHOLDERS:
            boxes.append(_Box(content, match.start(), end))
    return boxes


def _unboxed(content: str) -> str:
    inner = _boxes(content) if _BOX.search(content) else []
    return inner[-1].content if inner else content


def _words(content: str) -> str:
    r"""The content without `$`, spaces and `\text{}` around it, in lower case."""
    bare = content.strip().strip("$").strip()
    if match := re.fullmatch(r"\\(?:text|textbf|mathrm)\{([^{}]*)\}", bare):
        bare = match.group(1)
    return bare.strip().strip("[]<>").strip().lower()


def _closing(text: str, start: int) -> int | None:
    """Place of the brace that closes the one at `start`; None where none does."""
    depth, place = 0, start
    while place < len(text):
        if text[place] == "\\":
            place += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
        place += 1
    return None


def _together(boxes: list[_Box], text: str) -> str:
    """The last box's content, with those of the boxes before it that belong to it."""
    first = len(boxes) - 1
    while first and _BETWEEN.fullmatch(text, boxes[first - 1].end, boxes[first].start):
        first -= 1
    return ", ".join(dict.fromkeys(box.content for box in boxes[first:]))


def _num_values(answer: str) -> int:
    """Values of an answer such as `1, 2`; 1 for a point, an interval and a number of more than three digits."""
    depth, num = 0, 1
    for char in re.sub(r"(?<=\d),(?:\\!)?(?=\d{3}(?!\d))", "", answer):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(char, 0)
        num += char == "," and depth == 0
    return num


def _are_equal(gold: str, got: str) -> bool:
    gold, got = _normal(gold), _normal(got)
    if _without_spaces(gold) == _without_spaces(got):
        return True
    bases = _BASE.match(gold), _BASE.match(got)
    if bases[0] and bases[1]:
        return bases[0].groups() == bases[1].groups()
    plain = [re.sub(r"\\?%", "", text) for text in (gold, got)]
    if _verified(*(_parsed(f"\\boxed{{{text}}}") for text in plain)):
        return True
    if [gold, got] == plain:
        return False
    return _verified(*(_parsed(f"\\boxed{{{_as_share(text)}}}") for text in (gold, got)))


def _as_share(text: str) -> str:
    r"""`50\%` as 50/100."""
    plain = re.sub(r"\\?%", "", text)
    return text if plain == text else f"\\frac{{{plain}}}{{100}}"


def _normal(text: str) -> str:
    """The answer without what only sets it: delimiters, a full stop, spaces within numbers, a lead-in."""
    text = text.strip().replace("−", "-")
    text = _LEAD_IN.sub("", text).strip()
    text = re.sub(r"^(?:\$+|\\\(|\\\[)|(?:(?<!\\)\$+|\\\)|\\\])$", "", text).strip()
    text = re.sub(r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!|\\ |\\:|\\;|~)(?=\d{3}(?!\d))", "", text)
    return re.sub(r"[.,;]+$", "", text).strip()


def _without_spaces(text: str) -> str:
    return re.sub(r"\s|\\[,;:! ]", "", text)


def _parsed(text: str) -> list[Any]:
    with _outer_alarm_kept() as seconds:
        found: list[Any] = parse(text, _EXTRACTION, parsing_timeout=seconds)
    return found


def _verified(gold: list[Any], got: list[Any]) -> bool:
    with _outer_alarm_kept() as seconds:
        return bool(verify(gold, got, allow_set_relation_comp=True, timeout_seconds=seconds))


@contextlib.contextmanager
def _outer_alarm_kept() -> Iterator[int | None]:
    """math-verify's time limit in seconds; None outside the main thread, where Python allows no alarm signal.

    math-verify clears the process's only alarm when it is done; one that was set around the scorer is set again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    started = time.monotonic()
    try:
        yield _LIMIT_S if not left else max(1, min(_LIMIT_S, int(left)))
    finally:
        if left:
            spent = time.monotonic() - started
            signal.setitimer(signal.ITIMER_REAL, max(left - spent, 1e-3), interval)
