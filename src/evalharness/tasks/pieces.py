r"""Texts encoded in pieces, each piece once: few-shot examples come again in prompt after prompt.

    "Question: A ... big one.\n\nQuestion: B ..." -> "Question: A", " ... big", " one.\n\nQuestion: B", " ..."

A text is cut only between an ASCII letter or digit and a space or newline, around its blank lines, and only where no
token of the vocabulary spans such a place. The pieces' tokens are then those of the whole text: byte-pair and unigram
models make a text of tokens of their vocabulary, and pre-tokenizers don't look across the end of a word. That is checked
against whole texts as well: some made ones, the first of a run, and now and then a later one. A tokenizer that fails
encodes whole texts.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

Tokens = tuple[int, ...]

SHORTEST = 32
"""Texts of fewer characters aren't cut: the call takes longer than their tokens."""
CHECKED_FIRST, CHECKED_EVERY = 16, 256
"""Texts that are encoded whole as well: the first ones, and then one in so many."""
_WORTH_THREADS = 8
"""Texts from which a batch is encoded on all cores, while other threads go on."""
MOST_TOKENS = 500_000
"""Tokens that are remembered, about 40 bytes each."""

_SPACES = {" ": " Ġ▁", "\n": "\nĊ"}
"""What a text may be cut before, with its spellings in the vocabularies of byte-level and SentencePiece models."""
_ANCHOR = "a"
"""Put before a piece from inside a text, so that nothing is added to its beginning, and taken off its tokens."""
_PROBES = (
    "Question: How many 1234567 sheep?\nAnswer: the big one.\n\nQuestion: x2 = 3?\n(A) 12\n\n\n(B) n\u00e9 \u6771\u4eac a\n\nB",
    "In 1999  she   said: 'don't'\n \n  def f(x):\n\treturn x\n\n\nTHE END 7\n\nof it",
)


class Piece(NamedTuple):
    """A text, and where it stands."""

    text: str
    special: bool | None
    """For one at the beginning, whether the tokenizer adds what it puts before a text; None for one from inside."""


class _Shot(NamedTuple):
    """A text between two blank lines, cut at its first and last place; all in `start` if there aren't two."""

    start: str
    middle: str
    end: str


class Pieces:
    """A tokenizer that encodes pieces and remembers them. Results must not be changed by their user."""

    def __init__(self, tokenizer: Any, after: Tokens = ()) -> None:
        """Cut no text yet; whether that may be done is found out with the first long one.

        Args:
            tokenizer: a transformers tokenizer.
            after: what it appends to a text with special tokens, which is taken off.
        """
        self._tokenizer, self._after = tokenizer, after
        self._backend: Any = None
        self._is_odd = False
        """Whether texts can't be given to the tokenizer behind it."""
        self.differs: str | None = None
        """A text whose pieces weren't the whole: no other is cut since then."""
        self._may_cut: bool | None = None
        self._spaces = ""
        self._anchor: list[int] = []
        self._num_texts = self._num_tokens = 0
        self._known: dict[Piece, list[int]] = {}
        self._shots: dict[str, _Shot] = {}

    def cut(self, text: str, special: bool) -> list[Piece]:
        """The pieces that are the text together."""
        if len(text) < SHORTEST or not self.may_cut:
            return [Piece(text, special)]
        pieces: list[str] = []
        seam = ""
        for number, between in enumerate(text.split("\n\n")):
            shot = self._shots.get(between) or self._shot(between)
            seam += f"\n\n{shot.start}" if number else shot.start
            if shot.middle:
                pieces += [seam, shot.middle]
                seam = shot.end
        if seam:
            pieces.append(seam)
        first, *inner = pieces
        return [Piece(first, special), *(Piece(text, None) for text in inner)]

    def cut_at_end(self, text: str, special: bool) -> tuple[list[Piece], Piece]:
        """The pieces up to the last place where the text may be cut, and the rest."""
        place = self._last_cut(text) if len(text) >= SHORTEST and self.may_cut else 0
        if not place:
            return [], Piece(text, special)
        return self.cut(text[:place], special), Piece(text[place:], None)

    def tokens(self, pieces: Sequence[Piece]) -> list[int]:
        """The tokens of pieces that follow each other."""
        ids: list[int] = []
        for piece in pieces:
            ids += self._known.get(piece) or self._encode([piece])[0]
        return ids

    def remember(self, pieces: Iterable[Piece]) -> None:
        """Encode pieces that aren't known yet, in one call, which the tokenizer runs on all cores."""
        if self._num_tokens > MOST_TOKENS:
            self._known, self._shots, self._num_tokens = {}, {}, 0
        unknown = [piece for piece in set(pieces) if piece not in self._known]
        for kind in (True, False, None):
            self._encode([piece for piece in unknown if piece.special is kind])

    def is_right(self, text: str, special: bool, head: Sequence[int], rest: Sequence[int]) -> bool:
        """Whether these, of a text's pieces, are the tokens of the whole, as far as that is checked.

        If not, no other text is cut.
        """
        self._num_texts += 1
        if not self.may_cut:
            return False
        if self._num_texts > CHECKED_FIRST and self._num_texts % CHECKED_EVERY:
            return True
        (whole,) = self._run([text], special)
        if whole == [*head, *rest]:
            return True
        self._stop(text)
        return False

    @property
    def may_cut(self) -> bool:
        """Whether texts are cut."""
        if self._may_cut is None:
            self._may_cut = self._finds_no_fault()
        return self._may_cut

    def _stop(self, text: str) -> None:
        self._may_cut, self.differs = False, text
        self._known, self._shots = {}, {}
        logger.warning(
            "prompts are encoded whole from here on: this tokenizer gives other tokens for the parts of %r",
            text[:200],
        )

    def _finds_no_fault(self) -> bool:
        tokenizer = self._tokenizer
        if not getattr(tokenizer, "is_fast", False):
            return False
        self._spaces = "".join(_never_spanned(tokenizer))
        if not self._spaces:
            return False
        self._anchor, self._may_cut = self._run([_ANCHOR], False)[0], True
        for text, special in itertools.product(_PROBES, (True, False)):
            whole = self.without_end(list(tokenizer.encode(text, add_special_tokens=special)))
            if self.tokens(self.cut(text, special)) != whole:
                return False
        is_right, self.differs = self.differs is None, None
        return is_right

    def _shot(self, text: str) -> _Shot:
        first, last = self._first_cut(text), self._last_cut(text)
        if first == last:
            shot = _Shot(text, "", "")
        else:
            shot = _Shot(text[:first], text[first:last], text[last:])
        self._shots[text] = shot
        return shot

    def _encode(self, pieces: Sequence[Piece]) -> list[list[int]]:
        """Encode pieces of one kind, and remember them."""
        if not pieces:
            return []
        special, texts = pieces[0].special, [piece.text for piece in pieces]
        if special is not None:
            found = self._run(texts, special)
        else:
            num = len(self._anchor)
            found = self._run([_ANCHOR + text for text in texts], False)
            for text, ids in zip(texts, found, strict=True):
                if ids[:num] != self._anchor:
                    self._stop(text)
            found = [ids[num:] for ids in found]
        self._num_tokens += sum(map(len, found))
        self._known.update(zip(pieces, found, strict=True))
        return found

    def _run(self, texts: Sequence[str], special: bool) -> list[list[int]]:
        """Encode texts, without what the tokenizer appends."""
        if self._backend is None or self._is_odd:
            found: list[list[int]] = self._tokenizer(texts, add_special_tokens=special)["input_ids"]
            if not self._is_odd:
                self._backend = _plain_backend(self._tokenizer)
                self._is_odd = self._backend is None
        elif len(texts) < _WORTH_THREADS:
            encode = self._backend.encode
            found = [encode(text, add_special_tokens=special).ids for text in texts]
        else:
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=special)
            found = [encoding.ids for encoding in encodings]
        return [self.without_end(ids) for ids in found] if special and self._after else found

    def without_end(self, ids: list[int]) -> list[int]:
        """Tokens without what the tokenizer appends."""
        num = len(self._after)
        return ids[:-num] if num and tuple(ids[-num:]) == self._after else ids

    def _first_cut(self, text: str) -> int:
        """The first place where a text may be cut; 0 if there is none."""
        found = re.search(f"(?<=[A-Za-z0-9])[{self._spaces}]", text)
        return found.start() if found else 0

    def _last_cut(self, text: str) -> int:
        """The last place where a text may be cut; 0 if there is none."""
        end = len(text)
        while (place := max(text.rfind(space, 0, end) for space in self._spaces)) > 0:
            before = text[place - 1]
            if before.isascii() and before.isalnum():
                return place
            end = place
        return 0


def _plain_backend(tokenizer: Any) -> Any:
    """The tokenizer behind a transformers tokenizer that only hands texts over to it; None for others.

    Half of the time of a call for a short text is spent in between.
    """
    from transformers import PreTrainedTokenizerFast

    ours = getattr(type(tokenizer), "_encode_plus", None)
    if ours is not PreTrainedTokenizerFast._encode_plus:
        return None
    backend = tokenizer.backend_tokenizer
    return backend if backend.truncation is None and backend.padding is None else None


def _never_spanned(tokenizer: Any) -> Iterator[str]:
    """The spaces that no token has after a letter or digit."""
    added = tokenizer.get_added_vocab()
    for token in tokenizer.added_tokens_decoder.values():
        if token.rstrip and token.content[-1:].isalnum():  # it takes the spaces after it
            return
    own = "\0".join(token for token in tokenizer.get_vocab() if token not in added)
    others = "\0".join(added)
    for space, spellings in _SPACES.items():
        is_spanned = re.search(f"[A-Za-z0-9][{spellings}]", own)
        if not is_spanned and not re.search(f"[A-Za-z0-9]{space}", others):
            yield space
