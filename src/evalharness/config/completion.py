"""Tab completion for one argument of `run`."""

from __future__ import annotations

from collections.abc import Sequence

from evalharness.config.keys import (
    GROUPS,
    choices,
    keys,
    options,
)


def complete(incomplete: str, before: Sequence[str] = ()) -> list[str]:
    """Completions of the argument: a group with its options, a dotted key, or a key with its values.

    Bash cuts words at `=`, so that it asks for `sm` after `model`, `=`; it then wants the bare values.

    Args:
        incomplete: the argument so far.
        before: the arguments before it.
    """
    words = [word for word in before[-2:] if word != "="]
    if before and words and "=" not in words[-1] and _values(words[-1]):
        return [value for value in _values(words[-1]) if value.startswith(incomplete)]
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={name}" for name in _values(key) if name.startswith(value)]
    if not key:
        return [f"{group}=" for group in GROUPS]
    groups = [g for g in GROUPS if g.startswith(key)]
    if len(groups) == 1 and "." not in key:
        return [f"{groups[0]}={name}" for name in options(groups[0])]
    return [f"{name}=" for name in (*groups, *keys()) if name.startswith(key)]


def _values(key: str) -> list[str]:
    return options(key) if key in GROUPS else choices(key)
