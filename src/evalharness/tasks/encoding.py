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
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evalharness.tasks.pieces import Piece, Pieces, Tokens

_PROBES = ("a", "1", ".")
"""Texts to find out what a tokenizer adds to one."""
_MARK = "\x01"
"""Put before a text that continues another, so that tokenizers add no space before it; nothing merges with this."""
NO_PREFIX = "the tokenizer has neither BOS nor EOS to put before an empty text"
_MOST_CONTEXTS = 256
_LATEST_BOS = 4
"""A template may write a newline or so before the BOS; a later BOS belongs to the text."""


class Pair(NamedTuple):
    """A context and the scored continuation."""

    context: Tokens
    continuation: Tokens
    is_split: bool = False
    """Whether the continuation was encoded separately, because a token spans the two."""


@dataclass(slots=True)
class _Context:
    """A context, cut at the last place where that may be done, for all of its continuations."""

    special: bool
    head: list[Piece]
    rest: Piece
    is_new: bool = True
    """Whether its pieces weren't named yet to be encoded ahead."""
    head_ids: list[int] = field(default_factory=list)
    rest_ids: list[int] = field(default_factory=list)
    ids: Tokens = ()
    """All of its tokens; none before they are needed."""


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
        self._pieces = Pieces(tokenizer, self.after)
        self._contexts: dict[str, _Context] = {}

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
        pieces = self._pieces.cut(text, add_special_tokens)
        ids = self._pieces.tokens(pieces)
        if len(pieces) > 1 and not self._pieces.is_right(text, add_special_tokens, [], ids):
            return self.encode(text, add_special_tokens)
        return ids

    def wants_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer's BOS is missing: neither first, nor after what the template writes before it."""
        if not self._bos:
            return True
        has_opening = bool(self._opening) and text.startswith(self._opening)
        return not (has_opening or text.lstrip().startswith(self._bos))

    @property
    def differs_in_pieces(self) -> bool:
        """Whether some text's pieces, encoded separately, were found not to have its tokens; see `pieces`."""
        return self._pieces.differs is not None

    def encode_ahead(self, pieces: Iterable[Piece]) -> None:
        """Encode what isn't known yet in one call. Called from one thread only."""
        self._contexts = {}
        self._pieces.remember(pieces)

    def pieces_of(self, text: str) -> list[Piece]:
        """What `encode` needs for a text."""
        return self._pieces.cut(text, self.wants_special_tokens(text))

    def pieces_of_pair(self, context: str, continuation: str) -> list[Piece]:
        """What `pair` usually needs."""
        context, continuation = move_spaces(context, continuation)
        if context == "":
            return [Piece(continuation, False)]
        found = self._context(context)
        first = [*found.head, found.rest] if found.is_new else []
        found.is_new = False
        return [*first, Piece(found.rest.text + continuation, found.rest.special)]

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
        found = self._context(context)
        if not found.ids:
            found.head_ids = self._pieces.tokens(found.head)
            found.rest_ids = self._pieces.tokens([found.rest])
            found.ids = (*found.head_ids, *found.rest_ids)
        rest = Piece(found.rest.text + continuation, found.rest.special)
        start, whole = found.rest_ids, self._pieces.tokens([rest])
        if found.head and not self._pieces.is_right(
            context + continuation, found.special, found.head_ids, whole
        ):
            self._contexts = {}
            return self.pair(context, continuation)
        length = len(start)
        if len(whole) > length and whole[:length] == start:
            return Pair(found.ids, tuple(whole[length:]))
        return Pair(found.ids, tuple(self._encode_apart(continuation)), is_split=True)

    def _context(self, text: str) -> _Context:
        """A context as it is cut, remembered for its other continuations."""
        found = self._contexts.get(text)
        if found is None:
            special = self.wants_special_tokens(text)
            if len(self._contexts) >= _MOST_CONTEXTS:
                self._contexts = {}
            found = _Context(special, *self._pieces.cut_at_end(text, special))
            self._contexts[text] = found
        return found

    def rolling(self, text: str) -> list[int]:
        """The tokens of a whole text that is scored: its own, without a BOS before it and without an EOS."""
        ids = self._pieces.tokens([Piece(text, False)])
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
