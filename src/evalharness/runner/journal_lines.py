r"""A response <-> one line of a journal.

    {"key":"<sha256 of the request>","crc":"<8 hex digits>","type":"Generation","response":{...}}\n

`crc` is the crc32 of the key and of all that follows `crc`. A line that is incomplete (torn by a kill or a full disk)
or doesn't match its checksum is ignored. Lines without `crc` are of an earlier version and taken as they are.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from operator import attrgetter
from typing import Any

from evalharness.engines.requests import (
    ContinuationScore,
    Generation,
    Scores,
)

_START = b'{"key":"'
KEY = slice(len(_START), len(_START) + 64)
"""The position of the key in a line."""
_CHECKED, _UNCHECKED = b'","crc":"', b'","type":"'
"""What follows the key, with a checksum and in lines of an earlier version."""
_CRC = slice(KEY.stop + len(_CHECKED), KEY.stop + len(_CHECKED) + 8)
_AFTER_CRC = b'",'
_REST = slice(_CRC.stop + len(_AFTER_CRC), None)


def to_line(key: str, response: Generation | Scores) -> bytes:
    """The line of a response.

    Args:
        key: sha256 of its request, 64 hex digits.
        response: as the engine gave it.
    """
    content = _encode(_fields(response))
    rest = f'"type":"{type(response).__name__}","response":{content}}}\n'.encode()
    name = key.encode()
    return b"".join((_START, name, _CHECKED, _checksum(name, rest), _AFTER_CRC, rest))


def parse_line(line: bytes) -> tuple[str, Generation | Scores] | None:
    """One line as (request key, response); None when it is torn or damaged."""
    if not is_intact(line):
        return None
    try:
        record = json.loads(line)
        return record["key"], _response(record["type"], record["response"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def is_intact(line: bytes) -> bool:
    """Whether a line is complete and matches its checksum, if it has one; its content is not read."""
    if not (line.startswith(_START) and line.endswith(b"}\n")):
        return False
    if line.startswith(_UNCHECKED, KEY.stop):
        return True
    return (
        line.startswith(_CHECKED, KEY.stop)
        and line.startswith(_AFTER_CRC, _CRC.stop)
        and line[_CRC] == _checksum(line[KEY], line[_REST])
    )


def _checksum(key: bytes, rest: bytes) -> bytes:
    return b"%08x" % zlib.crc32(rest, zlib.crc32(key))


def _fields(response: Generation | Scores) -> dict[str, Any]:
    if isinstance(response, Scores):
        fields = dict(zip(_SCORES, _get_scores(response), strict=True))
        # Spelled out: this is the path of every multiple-choice request.
        fields["continuations"] = [
            {"logprob": c.logprob, "is_greedy": c.is_greedy, "num_tokens": c.num_tokens}
            for c in response.continuations
        ]
        return fields
    return dict(zip(_GENERATION, _get_generation(response), strict=True))


def _names(record: type) -> tuple[str, ...]:
    # `is_reused` is set by the reader of a line, not stored in it.
    return tuple(field.name for field in fields(record) if field.name != "is_reused")


_SCORES, _GENERATION = _names(Scores), _names(Generation)
_get_scores, _get_generation = attrgetter(*_SCORES), attrgetter(*_GENERATION)
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _response(kind: str, fields: dict[str, Any]) -> Generation | Scores:
    if kind == "Generation":
        return Generation(**fields | {"token_ids": tuple(fields["token_ids"])})
    if kind == "Scores":
        scores = tuple(ContinuationScore(**c) for c in fields["continuations"])
        return Scores(**fields | {"continuations": scores})
    raise ValueError(f"unknown record type {kind!r}")
