"""Token ids become text, the same way for every engine.

Special tokens stay in the text: thinking tags and stop strings may be special tokens. What ended the answer, an end
token or a stop string, is not part of it. The text continues that of the prompt, so that the space at the beginning of
a SentencePiece token is kept, and bytes at its end that are no complete character yet are left out, as in vLLM.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.engines.requests import GenerateRequest

_PROMPT_TAIL = 8
"""Tokens of the prompt that are decoded with the answer; a character has at most 4."""
_MOST_CUT = 3
"""Most tokens that an incomplete character may lack."""
_BROKEN = "\ufffd"
"""Replacement for bytes that are not a character."""


class Ended(NamedTuple):
    """A generation, cut as its request asked."""

    text: str
    token_ids: tuple[int, ...]
    """Tokens up to and including the end token."""
    finish_reason: str
    """stop | length"""


class Detokenizer:
    """A checkpoint's tokenizer and end tokens."""

    def __init__(self, tokenizer: Any, end_token_ids: frozenset[int]) -> None:
        """Use `of`."""
        self._tokenizer = tokenizer
        self.end_token_ids = end_token_ids

    @classmethod
    def of(cls, path: Path, tokenizer: Any) -> Detokenizer:
        """Load it for the checkpoint in a folder."""
        return cls(tokenizer, find_end_tokens(path, tokenizer))

    def ends(self, request: GenerateRequest) -> frozenset[int]:
        """The tokens that end a request's answer."""
        own = frozenset() if request.sampling.ignore_eos else self.end_token_ids
        return own | frozenset(request.sampling.stop_token_ids)

    def finish(
        self,
        request: GenerateRequest,
        token_ids: Sequence[int],
        *,
        is_full: bool,
        is_end_last: bool = False,
    ) -> Ended:
        """A generation up to its end token or first stop string.

        Args:
            request: what was asked.
            token_ids: generated.
            is_full: whether the engine ended it at its limit.
            is_end_last: whether the last token ended it, whatever `ends` says.
        """
        ends = self.ends(request)
        place = next((i for i, token in enumerate(token_ids) if token in ends), None)
        if place is None and is_end_last and token_ids:
            place = len(token_ids) - 1
        kept = token_ids if place is None else token_ids[:place]
        text, is_stopped = cut_at_stop(
            self.text(request.prompt_token_ids, kept), request.sampling.stop
        )
        return Ended(
            text=text,
            token_ids=tuple(token_ids if place is None else token_ids[: place + 1]),
            finish_reason="length" if is_full and place is None and not is_stopped else "stop",
        )

    def text(self, prompt: Sequence[int], token_ids: Sequence[int]) -> str:
        """The text that tokens add to that of a prompt."""
        tail = list(prompt[-_PROMPT_TAIL:])
        before = self._decode(tail)
        first = text = self._added(before, tail, token_ids)
        for num_cut in range(1, min(_MOST_CUT, len(token_ids)) + 1):
            if not text.endswith(_BROKEN):
                return text
            text = self._added(before, tail, token_ids[:-num_cut])
        return first if text.endswith(_BROKEN) else text

    def _added(self, before: str, tail: list[int], token_ids: Sequence[int]) -> str:
        whole = self._decode([*tail, *token_ids])
        if whole.startswith(before):
            return whole[len(before) :]
        return self._decode(token_ids)  # they complete a character of the prompt's

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                list(token_ids),
                skip_special_tokens=False,
                clean_up_tokenization_spaces=False,
                spaces_between_special_tokens=False,
            )
        )


def find_end_tokens(path: Path, tokenizer: Any) -> frozenset[int]:
    """The tokenizer's EOS and those of generation_config.json (without such a file, of config.json)."""
    found: set[int] = set()
    if isinstance(tokenizer.eos_token_id, int):
        found.add(tokenizer.eos_token_id)
    config = _json(path / "generation_config.json")
    if config is None:
        config = _json(path / "config.json") or {}
        if config.get("eos_token_id") is None and isinstance(config.get("text_config"), dict):
            config = config["text_config"]
    stated = config.get("eos_token_id")
    for token in stated if isinstance(stated, list) else [stated]:
        if isinstance(token, int) and not isinstance(token, bool):
            found.add(token)
    return frozenset(found)


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """Token id -> text, for all special tokens of a tokenizer."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return {int(i): str(tokenizer.decode([i])) for i in added.union(tokenizer.all_special_ids)}


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the stop string that is complete first, and whether there was one."""
    places = [
        (at + len(s), number, at)
        for number, s in enumerate(stop)
        if s and (at := text.find(s)) >= 0
    ]
    return (text[: min(places)[2]], True) if places else (text, False)


def _json(path: Path) -> dict[str, Any] | None:
    """The file's JSON object; None if there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
