"""Random draws that depend only on their purpose, not on other tasks, other samples or their order.

Tasks draw from `random` and `numpy.random` as they are, in `process_docs`, prompts, scorers and aggregations. Inside
`seeded(...)` these modules draw from separate generators, made at the first draw; outside, from their own. Threads and
coroutines don't affect each other, and code without draws costs nothing.

Not covered: `from random import choice` before this module was imported, generators that code makes itself
(`random.Random()`, `numpy.random.default_rng()`), and libraries that take numpy's generator object itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Self

import numpy as np


class _Place:
    """Generators of one block, made at the first draw."""

    __slots__ = ("_numpy", "_python", "_token")

    def __init__(self) -> None:
        self._python: random.Random | None = None
        self._numpy: np.random.RandomState | None = None

    def __enter__(self) -> Self:
        """Use them from here on, in this thread or coroutine."""
        self._token = _PLACE.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous generators."""
        _PLACE.reset(self._token)

    def seeds(self) -> tuple[int, int]:
        """Seeds of `random` and of `numpy.random`."""
        raise NotImplementedError

    @property
    def has_drawn(self) -> bool:
        return self._python is not None or self._numpy is not None

    @property
    def python(self) -> random.Random:
        if self._python is None:
            self._python = random.Random(self.seeds()[0])
        return self._python

    @property
    def numpy(self) -> np.random.RandomState:
        if self._numpy is None:
            self._numpy = np.random.RandomState(self.seeds()[1])
        return self._numpy


_PLACE: ContextVar[_Place | None] = ContextVar("place", default=None)


class seeded(_Place):  # noqa: N801 (read as a function)
    """While active, random draws are seeded by these parts, such as a run's seed, a task, a doc and a purpose."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: object) -> None:
        """Parts are distinguished by their `repr`."""
        super().__init__()
        self._parts = parts

    def seeds(self) -> tuple[int, int]:
        """Halves of a hash of the parts."""
        digest = hashlib.sha256(repr(self._parts).encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:12], "big")


class seeded_with(_Place):  # noqa: N801 (read as a function)
    """While active, `random` and `numpy.random` give the streams of `random.seed(python)` and `numpy.random.seed(numpy)`."""

    __slots__ = ("_seeds",)

    def __init__(self, *, python: int, numpy: int) -> None:
        """Start both streams again."""
        super().__init__()
        self._seeds = python, numpy

    def seeds(self) -> tuple[int, int]:
        """As given."""
        return self._seeds


def seeded_again() -> contextlib.AbstractContextManager[object]:
    """Restart the streams of the enclosing `seeded_with`; do nothing without one."""
    outside = _PLACE.get()
    if not isinstance(outside, seeded_with):
        return contextlib.nullcontext()
    python, numpy = outside.seeds()
    return seeded_with(python=python, numpy=numpy)


def draws(code: Callable[[], object]) -> bool:
    """Whether code draws from `random` or `numpy.random` when it is called; its draws are undone."""
    with seeded_with(python=0, numpy=0) as place:
        code()
    return place.has_drawn


class _Dispatched(random.Random):
    """The generator behind `random`'s functions: that of the active block, or itself."""

    def random(self) -> float:
        place = _PLACE.get()
        return super().random() if place is None else place.python.random()

    def getrandbits(self, k: int, /) -> int:
        place = _PLACE.get()
        return super().getrandbits(k) if place is None else place.python.getrandbits(k)

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        place = _PLACE.get()
        return super().gauss(mu, sigma) if place is None else place.python.gauss(mu, sigma)

    def seed(self, a: Any = None, version: int = 2) -> None:
        place = _PLACE.get()
        return super().seed(a, version) if place is None else place.python.seed(a, version)

    def getstate(self) -> tuple[Any, ...]:
        place = _PLACE.get()
        return super().getstate() if place is None else place.python.getstate()

    def setstate(self, state: tuple[Any, ...]) -> None:
        place = _PLACE.get()
        return super().setstate(state) if place is None else place.python.setstate(state)

    def __reduce__(self) -> tuple[Any, ...]:
        return _behind_random, ()


def _behind_random() -> random.Random:
    behind: random.Random = random._inst
    return behind


def _dispatch_python() -> None:
    own = random._inst
    ours = _Dispatched()
    ours.setstate(own.getstate())
    os.register_at_fork(after_in_child=lambda: random.Random.seed(ours))  # as `random` does
    for name, function in list(vars(random).items()):
        if getattr(function, "__self__", None) is own:
            setattr(random, name, getattr(ours, name))
    random._inst = ours


def _dispatch_numpy() -> None:
    own = np.random.mtrand._rand
    methods = {
        name: name
        for name, function in vars(np.random).items()
        if getattr(function, "__self__", None) is own
    }
    for name, method in {**methods, **_PLAIN}.items():
        setattr(np.random, name, _dispatched(name, method, getattr(np.random, name)))


_PLAIN = {"seed": "seed", "sample": "random_sample", "ranf": "random_sample"}
"""Functions of `numpy.random` that aren't methods of its generator, with the method of each."""


def _dispatched(name: str, method: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        place = _PLACE.get()
        chosen = function if place is None else getattr(place.numpy, method)
        return chosen(*args, **kwargs)

    call.__module__, call.__qualname__ = "numpy.random", name  # so that pickle finds it
    return call


_dispatch_python()
_dispatch_numpy()
