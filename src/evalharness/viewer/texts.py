"""Untrusted text for a page: cleaned, and cut if it is long. Templates do the escaping."""

from typing import NamedTuple

from evalharness.report.terminal.format import plain

LONGEST = 4000
"""Characters of a text that are shown at first."""
_LONGEST_TAIL = 1000
"""Characters among them that are from its end."""


class Block(NamedTuple):
    """A text on a page."""

    id: str
    """Its anchor, and its name in an address that shows all of it."""
    head: str
    tail: str
    """Empty unless something is left out before it."""
    num_left_out: int
    num_chars: int
    num_hidden: int
    """Control characters and direction marks that aren't shown."""


ENDINGS = {
    "stop": "ended by itself",
    "length": "truncated at its token limit",
    "unclosed": "truncated while thinking",
    "budget": "stopped at its budget",
    "score": "only scored",
    "error": "no answer",
    "unknown": "end not recorded",
}
"""finish_reason -> how an answer ended, in words."""


def ending_words(finish_reason: str) -> str:
    """How an answer ended; the reason itself if it is none of ours."""
    return ENDINGS.get(finish_reason, finish_reason)


def block(name: str, text: str, *, is_whole: bool) -> Block:
    """A text, cut in the middle if it is long and not wanted in full."""
    num_left_out = 0 if is_whole else max(0, len(text) - LONGEST)
    head, tail = text, ""
    if num_left_out:
        head, tail = text[: LONGEST - _LONGEST_TAIL], text[-_LONGEST_TAIL:]
    shown = clean(head), clean(tail)
    expanded = len(_expanded(head)) + len(_expanded(tail))
    return Block(name, *shown, num_left_out, len(text), expanded - sum(map(len, shown)))


def cut(text: str, most: int) -> str:
    """A text's beginning in one line."""
    line = " ".join(text[: most + 1].split())
    return line if len(text) <= most else line[:most].rstrip() + "…"


def ending(text: str, most: int) -> str:
    """A text's end in one line."""
    line = " ".join(text[-most - 1 :].split())
    return line if len(text) <= most else "…" + line[-most:].lstrip()


def clean(text: str) -> str:
    """What `report.terminal.format.plain` leaves of a text, its lines kept and its tabs as wide as they were."""
    # Most lines hold nothing that needs a look at every character.
    return "\n".join(
        line if line.isprintable() else plain(line).plain for line in _expanded(text).split("\n")
    )


def _expanded(text: str) -> str:
    return text.replace("\r\n", "\n").expandtabs(4)
