"""Standard output and error of a terminal that isn't UTF-8: texts for people are simplified, data stay UTF-8."""

import codecs
import io
import sys
import unicodedata

_ERRORS = "evalharness.simplified"
_SIMPLE = {
    **dict(zip("…→←↑↓–—−·│┤├┃─└┘┌┐┴┬┼●▲■◆▼★’‘“”\N{NO-BREAK SPACE}", "~><^v---.||||-+++++++o^#%v*''\"\" ", strict=True)),
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "±": "+-",
    "×": "x",
    "√": "sqrt",
    "µ": "u",
    "≈": "~",
}  # fmt: skip
"""What a character becomes where it can't be shown; of the same width if it stands in tables and plots."""


def simplify_streams() -> None:
    """Let no character that the terminal's encoding lacks end the program."""
    codecs.register_error(_ERRORS, _simplified)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not is_utf8(stream.encoding):
            stream.reconfigure(errors=_ERRORS)


def is_utf8(encoding: str | None) -> bool:
    """Whether an encoding has all characters."""
    try:
        return codecs.lookup(encoding or "ascii").name.startswith("utf")
    except LookupError:
        return False


def _simplified(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_simple, error.object[error.start : error.end])), error.end


def _simple(char: str) -> str:
    """Another character for one that can't be shown: é becomes e, and ? what is like no other."""
    found = _SIMPLE.get(char) or unicodedata.normalize("NFKD", char)[0]
    return found if found.isascii() else "?"
