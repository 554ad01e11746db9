"""A prompt's chat turns, read off the marks that chat templates write.

For display only: nothing is computed from them, and the prompt as sent is shown too.
"""

import re
from typing import NamedTuple


class Said(NamedTuple):
    """A part of a conversation."""

    role: str
    """system, user, assistant, ...; empty for text before the first mark."""
    text: str


class _Marks(NamedTuple):
    """How a family of templates marks turns."""

    opening: re.Pattern[str]
    """The role is its first group that matched."""
    closing: re.Pattern[str]
    """The mark that ends a turn."""


_ROLES = {"[INST]": "user", "[/INST]": "assistant", "model": "assistant"}
_MARKS = (
    _Marks(re.compile(r"<\|im_start\|>([^\n<]{0,60})\n"), re.compile(r"<\|im_end\|>\s*$")),
    _Marks(
        re.compile(r"<\|start_header_id\|>([^<]{0,60})<\|end_header_id\|>\s{0,2}"),
        re.compile(r"<\|(?:eot_id|eom_id|end_of_text)\|>\s*$"),
    ),
    _Marks(
        re.compile(r"<\|header_start\|>([^<]{0,60})<\|header_end\|>\s{0,2}"),
        re.compile(r"<\|(?:eot|eom)\|>\s*$"),
    ),
    _Marks(re.compile(r"<start_of_turn>(\w{1,60})\n"), re.compile(r"<end_of_turn>\s*$")),
    _Marks(
        re.compile(r"<\|start\|>([^<]{1,60})(?:<\|channel\|>\w{1,60})?<\|message\|>"),
        re.compile(r"<\|(?:end|return|call)\|>\s*$"),
    ),
    _Marks(
        re.compile(r"<[|｜](system|user|assistant|System|User|Assistant)[|｜]>\n?"),
        re.compile(r"(?:</s>|<\|end\|>|<\|endoftext\|>|<｜end▁of▁sentence｜>)\s*$"),
    ),
    _Marks(re.compile(r"(\[/?INST\]) ?"), re.compile(r"</s>\s*(?:<s>)?\s*$")),
)
_BEGINNING = re.compile(r"^(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>)")
_SYSTEM = re.compile(r"^\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)


def chat_turns(prompt: str) -> list[Said]:
    """The turns of a prompt; empty if no template's marks are found."""
    for marks in _MARKS:
        if found := list(marks.opening.finditer(prompt)):
            return _split(prompt, marks, found)
    return []


def question(prompt: str) -> str:
    """The question: the last turn that isn't the assistant's, or the whole prompt if it has no marks."""
    asked = [said.text for said in chat_turns(prompt) if said.role != "assistant"]
    return next((text for text in reversed(asked) if text.strip()), prompt)


def _split(prompt: str, marks: _Marks, found: list[re.Match[str]]) -> list[Said]:
    ends = [match.start() for match in found[1:]] + [len(prompt)]
    parts = [Said("", _BEGINNING.sub("", prompt[: found[0].start()]))]
    for match, end in zip(found, ends, strict=True):
        role = match.group(1).strip()
        text = marks.closing.sub("", prompt[match.end() : end])
        system = _SYSTEM.match(text)
        if system and role == "[INST]":
            parts.append(Said("system", system.group(1)))
            text = text[system.end() :]
        parts.append(Said(_ROLES.get(role, role.lower()), text))
    return [said for said in parts if said.text.strip()]
