"""A model's chat template: messages to text, and properties of the template.

    messages -> text

Templates differ in what they accept. This is detected by rendering short conversations: a system role that a template
refuses is left out, as in lm-eval, and counted; content is given in parts if the template needs that. The date that a
template writes is that of the run's first start.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, meta

from evalharness.config.schema import ModelConfig
from evalharness.errors import CheckpointError, ConfigError, one_line

Message = dict[str, Any]
"""role and content, as in chat templates."""

_MARK, _OTHER_MARK = "Hello", "Answer in rhymes"
_OWN_ARGUMENTS = (
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "max_length",
    "messages",
    "padding",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "strftime_now",
    "tokenize",
    "tokenizer_kwargs",
    "truncation",
)
"""Arguments that the user can't set: transformers' own, and those that a run sets."""
_ALWAYS_GIVEN = ("documents", "tools")
"""Arguments that transformers accepts whether or not the template has them."""


def today() -> str:
    """The day on which a run starts: ISO 8601, UTC."""
    return datetime.now(UTC).date().isoformat()


class Template:
    """The chat template of a tokenizer, with a model entry's arguments."""

    def __init__(self, tokenizer: Any, model: ModelConfig, day: str | None = None) -> None:
        """Set up without rendering.

        Args:
            tokenizer: a transformers tokenizer.
            model: the entry, with its arguments for the template, and its date.
            day: ISO 8601; the template's date of today. None: the entry's, else the current one.
        """
        self.day = day or model.template_date or today()
        self.num_without_system = 0
        """Number of conversations whose system text was left out."""
        self._tokenizer = tokenizer
        self._arguments: Mapping[str, Any] = dict(model.chat_template_args)
        self._num_days_asked = 0

    @property
    def source(self) -> str | None:
        """The Jinja text; None if there is no template."""
        try:
            return str(self._tokenizer.get_chat_template())
        except (AttributeError, ValueError):
            return None

    def render(
        self,
        messages: Sequence[Message],
        *,
        opens_answer: bool = True,
        continues_last: bool = False,
    ) -> str:
        """A conversation as text.

        Args:
            messages: at least one.
            opens_answer: end with what the template writes before an answer.
            continues_last: the last message isn't ended, so that the model continues it.

        Raises:
            TemplateError: the template refuses the conversation, and not only for its system role.
        """
        others = [message for message in messages if message["role"] != "system"]
        has_system = len(others) < len(messages)
        try:
            text = self._render(messages, opens_answer, continues_last)
        except TemplateError:
            if self.takes_system or not has_system or not others:
                raise
            text = self._render(others, opens_answer, continues_last)
        self.num_without_system += has_system and not (self.takes_system and self.shows_system)
        return text

    @cached_property
    def takes_system(self) -> bool:
        """Whether a conversation may start with a system message."""
        system, user = {"role": "system", "content": _MARK}, {"role": "user", "content": _MARK}
        return self._tries([system, user]) is not None or self._tries([user]) is None

    @cached_property
    def shows_system(self) -> bool:
        """Whether the content of a system message is in the text; some templates ignore it."""
        said = {"role": "system", "content": _OTHER_MARK}
        text = self._tries([said, {"role": "user", "content": _MARK}])
        return text is None or _OTHER_MARK in text

    @cached_property
    def wants_parts(self) -> bool:
        """Whether the template shows text only if it is given as a list of parts."""
        said = {"role": "user", "content": _MARK}
        if _MARK in (self._tries([said], in_parts=False) or ""):
            return False
        return _MARK in (self._tries([said], in_parts=True) or "")

    @cached_property
    def opening(self) -> str:
        """What is written before a conversation, up to and including the BOS; empty if there is no BOS."""
        bos = self._tokenizer.bos_token or ""
        before, found, _ = self._said_once.partition(_MARK)[0].partition(bos) if bos else ("",) * 3
        return before + found if found else ""

    @cached_property
    def bos_begins_turns(self) -> bool:
        """Whether the template writes a BOS for every turn."""
        bos = self._tokenizer.bos_token or ""
        user, answer = {"role": "user", "content": _MARK}, {"role": "assistant", "content": _MARK}
        several = self._tries([user, answer, user]) or ""
        return bool(bos) and several.count(bos) > 1

    @cached_property
    def writes_day(self) -> bool:
        """Whether the template writes today's date."""
        if "strftime_now" not in (self.source or ""):
            return False
        system, user, answer = (
            {"role": role, "content": _MARK} for role in ("system", "user", "assistant")
        )
        before = self._num_days_asked
        tried = [self._tries(m) for m in ([user], [system, user], [system, user, answer, user])]
        return self._num_days_asked > before or not any(tried)

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names that the template reads."""
        from transformers.utils.chat_template_utils import _compile_jinja_template

        source = self.source
        if source is None:
            return frozenset()
        try:
            environment = _compile_jinja_template(source).environment
            return frozenset(meta.find_undeclared_variables(environment.parse(source)))
        except TemplateError:
            return frozenset()

    @property
    def unused_arguments(self) -> dict[str, str | None]:
        """Arguments of the model entry that the template never reads -> the nearest name that it does, if any."""
        ours = {"messages", "add_generation_prompt"}
        known = sorted(self.variables - ours - set(self._tokenizer.special_tokens_map))
        unused: dict[str, str | None] = {}
        for name in self._arguments:
            if name not in self.variables and name not in _ALWAYS_GIVEN:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                unused[name] = near[0] if near else None
        return unused

    @cached_property
    def _said_once(self) -> str:
        return self._tries([{"role": "user", "content": _MARK}]) or ""

    def _tries(self, messages: Sequence[Message], in_parts: bool | None = None) -> str | None:
        """The text, or None if the template refuses the messages."""
        try:
            return self._render(messages, True, False, in_parts)
        except Exception:  # templates may raise anything
            return None

    def _render(
        self,
        messages: Sequence[Message],
        opens_answer: bool,
        continues_last: bool,
        in_parts: bool | None = None,
    ) -> str:
        if self.wants_parts if in_parts is None else in_parts:
            messages = [{**m, "content": _parts(m["content"])} for m in messages]
        return str(
            self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=opens_answer,
                continue_final_message=continues_last,
                **{"strftime_now": self._strftime_now, **self._arguments},
            )
        )

    @property
    def _strftime_now(self) -> Callable[[str], str]:
        def strftime_now(pattern: str) -> str:
            self._num_days_asked += 1
            return date.fromisoformat(self.day).strftime(pattern)

        return strftime_now


def choose_template(tokenizer: Any, model: ModelConfig) -> None:
    """Give the tokenizer the template that the model entry names: one of its own by name, or a file's.

    Raises:
        CheckpointError: it doesn't exist.
    """
    if not model.chat_template:
        return
    own, path = tokenizer.chat_template, Path(model.chat_template)
    if isinstance(own, dict) and model.chat_template in own:
        tokenizer.chat_template = own[model.chat_template]
    elif path.is_file():
        try:
            tokenizer.chat_template = path.read_text(encoding="utf-8")
        except ValueError as e:
            raise CheckpointError(f"model.chat_template: {path} is not text: {e}") from e
    else:
        names = (
            f"; the checkpoint's own are {', '.join(sorted(own))}" if isinstance(own, dict) else ""
        )
        raise CheckpointError(f"model.chat_template: no file at {path}{names}")


def check_template(template: Template, model: ModelConfig) -> None:
    """Refuse settings that would render nothing, or something wrong.

    Raises:
        ConfigError: an argument that isn't the user's to give.
        CheckpointError: the template doesn't compile, or drops the user's text.
    """
    taken = [name for name in model.chat_template_args if name in _OWN_ARGUMENTS]
    if taken:
        way_out = {
            "chat_template": "model.chat_template=<file> replaces the template",
            "strftime_now": "model.template_date=<YYYY-MM-DD> sets the day",
        }.get(taken[0], "leave it out")
        raise ConfigError(
            f"model.chat_template_args: {taken[0]!r} can't be set by the user; {way_out}"
        )
    try:
        text = template.render([{"role": "user", "content": _MARK}])
    except Exception as e:  # templates may raise anything
        raise CheckpointError(
            f"model {model.name!r}: its chat template fails on a single message of the user "
            f"({type(e).__name__}: {one_line(e)}); model.chat_template=<file> replaces it, "
            "model.chat=false does without it"
        ) from e
    if _MARK not in text:
        raise CheckpointError(
            f"model {model.name!r}: its chat template leaves out what the user says; "
            "model.chat_template=<file> replaces it, model.chat=false does without it"
        )


def template_remarks(template: Template, model: ModelConfig, *, is_chat: bool) -> Iterator[str]:
    """A model entry's settings for the template that have no effect."""
    if not is_chat:
        if model.chat_template_args:
            names = ", ".join(model.chat_template_args)
            yield f"model.chat_template_args ({names}) has no effect: prompts are plain (model.chat, model.variant)"
        return
    for name, near in template.unused_arguments.items():
        hint = f"; did you mean {near!r}?" if near else ""
        yield f"model.chat_template_args: the chat template never reads {name!r}{hint}"


def _parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
