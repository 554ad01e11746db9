"""Text to tokens, as in a model's training: at most one BOS, and no end token within a text.

    text -> token ids
    (context, continuation) -> Pair(context, continuation, is_split)

lm-eval encodes context and continuation together and cuts at the length of the context's own encoding. That is right if
the context's encoding is a prefix of the joint one, and is then done here too. If it isn't, because a token spans the
boundary, the continuation is encoded separately and the pair says so. What a tokenizer appends to every text (an EOS)
is always left out: it would come between context and continuation, or end a prompt that is to be continued.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Tokens = tuple[int, ...]

_PROBES = ("a", "1", ".")
"""Texts to find out what a tokenizer adds to one."""
_MARK = "\x01"
"""Put before a text that continues another, so that tokenizers add no space before it; nothing merges with this."""
NO_PREFIX = "the tokenizer has neither BOS nor EOS to put before an empty text"
_LATEST_BOS = 4
"""A template may write a newline or so before the BOS; a later BOS belongs to the text."""


class Pair(NamedTuple):
    """A context and the scored continuation."""

    context: Tokens
    continuation: Tokens
    is_split: bool = False
    """Whether the continuation was encoded separately, because a token spans the two."""


class Encoder:
    """A tokenizer with its known behaviour."""

    def __init__(
        self, tokenizer: Any, opening: str = "", *, bos_begins_turns: bool = False
    ) -> None:
        """Find out what the tokenizer adds to a text.

        Args:
            tokenizer: a transformers tokenizer.
            opening: what the chat template writes before a conversation, up to its BOS; empty if it writes none.
            bos_begins_turns: whether the template writes a BOS for every turn, so that several are correct.
        """
        self.tokenizer = tokenizer
        self.bos_id: int | None = tokenizer.bos_token_id
        self.before, self.after = _added(tokenizer)
        self._bos: str = tokenizer.bos_token or ""
        self._opening, self._bos_begins_turns = opening, bos_begins_turns
        self._ahead: dict[tuple[str, bool], list[int]] = {}

    @property
    def prefix_token_id(self) -> int | None:
        """Token before the first token of an empty context: BOS, or EOS if there is none; None if there is neither."""
        eos: int | None = self.tokenizer.eos_token_id
        return self.bos_id if self.bos_id is not None else eos

    def encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids.

        Args:
            text: template applied.
            add_special_tokens: None adds what the tokenizer puts before a text, unless the text has its BOS already.
        """
        if add_special_tokens is None:
            add_special_tokens = self.wants_special_tokens(text)
        found = self._ahead.get((text, add_special_tokens))
        if found is not None:
            return found
        ids = list(self.tokenizer.encode(text, add_special_tokens=add_special_tokens))
        return self._without_end(ids) if add_special_tokens and self.after else ids

    def wants_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer's BOS is missing: neither first, nor after what the template writes before it."""
        if not self._bos:
            return True
        has_opening = bool(self._opening) and text.startswith(self._opening)
        return not (has_opening or text.lstrip().startswith(self._bos))

    def encode_ahead(self, wanted: Iterable[tuple[str, bool]]) -> None:
        """Encode (text, with special tokens) in one call, which the tokenizer runs on all cores.

        Replaces the results of the previous call. Called from one thread only.
        """
        self._ahead = {}
        unique = set(wanted)
        for special in (True, False):
            texts = [text for text, is_special in unique if is_special is special]
            if texts:
                found = self.tokenizer(texts, add_special_tokens=special)["input_ids"]
                if special and self.after:
                    found = [self._without_end(ids) for ids in found]
                self._ahead |= zip(((text, special) for text in texts), found, strict=True)

    def texts_of_pair(self, context: str, continuation: str) -> list[tuple[str, bool]]:
        """(text, with special tokens) that `pair` usually encodes."""
        context, continuation = move_spaces(context, continuation)
        if context == "":
            return [(continuation, False)]
        special = self.wants_special_tokens(context)
        return [(context, special), (context + continuation, special)]

    def pair(self, context: str, continuation: str) -> Pair:
        """A context and its continuation; spaces at the context's end belong to the continuation.

        An empty context becomes the prefix token, or the continuation's own first token if it is that.

        Raises:
            ValueError: the context is empty, and the tokenizer has neither BOS nor EOS.
        """
        context, continuation = move_spaces(context, continuation)
        if context == "":
            prefix = self.require_prefix()
            tokens = tuple(self.encode(continuation, False))
            if len(tokens) > 1 and tokens[0] == prefix:
                tokens = tokens[1:]
            return Pair((prefix,), tokens)
        special = self.wants_special_tokens(context)
        start, whole = self.encode(context, special), self.encode(context + continuation, special)
        length = len(start)
        if len(whole) > length and whole[:length] == start:
            return Pair(tuple(start), tuple(whole[length:]))
        return Pair(tuple(start), tuple(self._encode_apart(continuation)), is_split=True)

    def rolling(self, text: str) -> list[int]:
        """The tokens of a whole text that is scored: its own, without a BOS before it and without an EOS."""
        ids = self.encode(text, False)
        return ids[1:] if ids and ids[0] == self.bos_id else ids

    def require_prefix(self) -> int:
        """The prefix token.

        Raises:
            ValueError: there is none.
        """
        if self.prefix_token_id is None:
            raise ValueError(NO_PREFIX)
        return self.prefix_token_id

    def num_head(self, ids: Sequence[int]) -> int:
        """Number of tokens at the beginning that aren't text of the prompt, and stay when its oldest are dropped."""
        if self.before and tuple(ids[: len(self.before)]) == self.before:
            return len(self.before)
        start = list(ids[:_LATEST_BOS])
        return start.index(self.bos_id) + 1 if self.bos_id in start else 0

    def has_doubled_bos(self, ids: Sequence[int]) -> bool:
        """Whether there are more BOS tokens than a model was trained on.

        One is right, and one per turn if the template writes one per turn; two adjacent ones are never right.
        """
        if self.bos_id is None or ids.count(self.bos_id) < 2:
            return False
        if not self._bos_begins_turns:
            return True
        return any(a == b == self.bos_id for a, b in itertools.pairwise(ids))

    def _encode_apart(self, continuation: str) -> list[int]:
        """Encode a text that continues another, without what the tokenizer puts before a text (often a space)."""
        mark = self.encode(_MARK, False)
        whole = self.encode(_MARK + continuation, False)
        if len(whole) > len(mark) and whole[: len(mark)] == mark:
            return whole[len(mark) :]
        return self.encode(continuation, False)

    def _without_end(self, ids: list[int]) -> list[int]:
        num = len(self.after)
        return ids[:-num] if tuple(ids[-num:]) == self.after else ids


def move_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Move spaces at the end of a context to what follows, as tokenizers do."""
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation


def _added(tokenizer: Any) -> tuple[Tokens, Tokens]:
    """The tokens that the tokenizer puts before and after every text."""
    for text in _PROBES:
        plain = tokenizer.encode(text, add_special_tokens=False)
        whole = tokenizer.encode(text, add_special_tokens=True)
        for start in range(len(whole) - len(plain) + 1) if plain else ():
            if whole[start : start + len(plain)] == plain:
                return tuple(whole[:start]), tuple(whole[start + len(plain) :])
    return (), ()
