"""reasoning-gym's generators by name: problems that are the same for the same seed, and verifiers that are safe to run.

Generators of this version are patched, for the reasons given below: model text never reaches `eval`; a verifier that
accepts wrong answers gets an extra condition; an error of a verifier on an answer of another form counts as wrong;
problems don't depend on Python's hash seed; and right answers are read from where they are stored.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import dataclasses
import importlib
import importlib.metadata
import json
import math
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from evalharness.errors import TaskError, did_you_mean, one_line
from evalharness.paths import install_command

VERSION = "0.1.25"
"""Version of reasoning-gym; another one has other problems and verifiers, which are unchecked."""

SCORING_LIMIT_S = 10.0
"""Time limit for one answer, as sympy may simplify a hard integral for ever."""

REFUSED = {
    "codeio": "it runs bundled programs, written by a language model, in this process",
    "composite": "give the parts under `generators:`",
}
"""Generator -> why it can't be used."""

_EVALUATES = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
"""Generators whose verifiers run `eval` on the answer; it is replaced by `ast.literal_eval`."""

_SYMBOLIC = frozenset(
    {
        *("countdown", "intermediate_integration", "polynomial_multiplication"),
        *("puzzle24", "simple_integration"),
    }
)
"""Generators whose verifiers pass the answer to sympy's parser, which runs `eval`; they get plain formulas only."""

_Condition = Callable[[str, Mapping[str, Any]], bool]
_CONDITION: dict[str, _Condition] = {
    # Its verifier treats not-a-number as equal to everything.
    "complex_arithmetic": lambda answer, entry: not re.search("nan|inf", answer, re.IGNORECASE),
    # Its verifier compares the truth values of two texts, and every non-empty text is true.
    "game_of_life_halting": lambda answer, entry: _is_same_text(answer, entry["answer"]),
    # Its verifier accepts any four numbers that make 24, not only those given.
    "puzzle24": lambda answer, entry: _numbers(answer) == sorted(entry["metadata"]["numbers"]),
}
"""A condition that every right answer meets and that the verifier doesn't check."""

_TRIPS: dict[str, tuple[type[Exception], ...]] = {
    "boxnet": (TypeError, AttributeError),
    "coin_flip": (OverflowError,),
    "game_of_life": (KeyError, TypeError, IndexError),
    "prime_factorization": (ValueError,),
}
"""Errors of their verifiers on answers of another form than asked for, which are wrong answers."""

_GOLD: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "graph_color": lambda metadata: json.dumps(metadata["possible_answer"]),
    "propositional_logic": lambda metadata: str(metadata["example_answer"]),
    "rubiks_cube": lambda metadata: str(metadata["example_correct_answer"]),
}
"""Where they store a right answer, one of several."""

_HASH_DEPENDENT_GOLD = frozenset({"knight_swap", "word_ladder"})
"""Generators whose choice among several right answers depends on Python's hash seed, so it isn't part of the doc."""


class Problem(NamedTuple):
    """A question, and a right answer if known."""

    question: str
    gold: str
    is_gold_stable: bool
    """Metadata, the same on every machine."""


class Generator:
    """Problems of one kind with one seed and difficulty."""

    def __init__(self, name: str, *, size: int, seed: int, difficulty: Mapping[str, Any]) -> None:
        """Set the generator up.

        Args:
            name: reasoning-gym's name.
            size: problems.
            seed: problem i follows from seed + i for most generators, so that sets of near seeds overlap.
            difficulty: fields of the generator's own configuration, over `level: n`, the n-th of its curriculum.

        Raises:
            TaskError: reasoning-gym isn't installed, or doesn't have the name or difficulty.
        """
        self.name, self.size = name, size
        self._dataset = _dataset(name, size, seed, difficulty)
        self._entries: dict[int, dict[str, Any]] = {}

    def problem(self, index: int) -> Problem:
        """The problem of a number from 0 to size - 1."""
        entry = self._entry(index)
        given = entry["answer"]
        if given is None:
            find = _GOLD.get(self.name)
            given = find(entry["metadata"]) if find else ""
        return Problem(entry["question"], str(given), self.name not in _HASH_DEPENDENT_GOLD)

    def score(self, index: int, answer: str) -> float:
        """The verifier's judgement of an answer, 0..1; no answer is 0.

        Raises:
            Exception: any error of the verifier.
        """
        if not answer.strip() or (self.name in _SYMBOLIC and not is_plain_formula(answer)):
            return 0.0
        entry = copy.deepcopy(self._entry(index))  # some verifiers change their arguments
        if self.name in _CONDITION and not _CONDITION[self.name](answer, entry):
            return 0.0
        try:
            with _time_limit(SCORING_LIMIT_S):
                score = float(self._dataset.score_answer(answer, entry))
        except _TRIPS.get(self.name, ()):
            return 0.0
        if not 0 <= score <= 1:
            raise ValueError(f"the verifier of {self.name} gave {score}, which is not from 0 to 1")
        return score

    def _entry(self, index: int) -> dict[str, Any]:
        if index not in self._entries:
            self._entries[index] = self._dataset[index]
        return self._entries[index]


def generator_names() -> list[str]:
    """All generators that can be used.

    Raises:
        TaskError: reasoning-gym isn't installed.
    """
    return sorted(name for name in _registered() if name not in REFUSED)


def is_plain_formula(text: str) -> bool:
    """Whether it has only numbers, names, arithmetic and common functions, and is small enough to compute."""
    try:
        return _log2(ast.parse(text.strip(), mode="eval").body) <= _MAX_BITS
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False


_MAX_BITS = 10_000.0
_FUNCTIONS = frozenset(
    {
        *("Abs", "acos", "asin", "atan", "cos", "cosh", "cot", "csc", "exp"),
        *("ln", "log", "sec", "sin", "sinh", "sqrt", "tan", "tanh"),
    }
)


def _log2(node: ast.expr) -> float:
    """Upper bound of a formula's log2, with names as 2.

    Raises:
        ValueError: it isn't a formula.
    """
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return math.log2(abs(value) + 2)
        case ast.Name(id=name) if not name.startswith("_"):
            return 1.0
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            return _log2(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return max(_log2(left), 1.0) * 2 ** min(_log2(right), 64.0)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            return _log2(left) + _log2(right)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _log2(argument) * 2
    raise ValueError("no formula")


def _is_same_text(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _numbers(text: str) -> list[int]:
    """All whole numbers in a text, sorted."""
    return sorted(int(number) for number in re.findall(r"\d+", text))


def check_installed() -> None:
    """Check that the version of reasoning-gym is there whose problems and verifiers are checked.

    Raises:
        TaskError: it isn't; with the command that installs it.
    """
    _registered()


def _registered() -> Mapping[str, Any]:
    """Generator -> its classes.

    Raises:
        TaskError: reasoning-gym isn't installed.
    """
    way_out = install_command("procedural")
    try:
        found = importlib.metadata.version("reasoning-gym")
        importlib.import_module("reasoning_gym")
    except ImportError as e:
        raise TaskError(f"needs reasoning-gym; {way_out}") from e
    if found != VERSION:
        raise TaskError(f"needs reasoning-gym {VERSION}, found {found}; {way_out}")
    registered: Mapping[str, Any] = importlib.import_module("reasoning_gym.factory").DATASETS
    return registered


def _dataset(name: str, size: int, seed: int, difficulty: Mapping[str, Any]) -> Any:
    registered = _registered()
    if name in REFUSED:
        raise TaskError(f"generator {name!r} can't be used: {REFUSED[name]}")
    if name not in registered:
        raise TaskError(f"unknown generator {name!r}{did_you_mean(name, generator_names())}")
    dataset_class, config_class = registered[name]
    fields = [f.name for f in dataclasses.fields(config_class) if f.name not in ("seed", "size")]
    unknown = [field for field in difficulty if field not in ("level", *fields)]
    if unknown:
        raise TaskError(
            f"generator {name!r} has no difficulty {unknown[0]!r}{did_you_mean(unknown[0], fields)} "
            f"It has: {', '.join(['level', *fields])}."
        )
    try:
        config = _config(name, config_class, {**difficulty, "size": size, "seed": seed})
        dataset = dataset_class(config=config)
    except (AssertionError, ValueError, TypeError) as e:
        raise TaskError(
            f"generator {name!r} refuses size {size}, difficulty {dict(difficulty)}: {one_line(e)}"
        ) from e
    _mend(name, dataset)
    return dataset


def _config(name: str, config_class: type, values: dict[str, Any]) -> Any:
    level = values.pop("level", None)
    if level is None:
        return config_class(**values)
    curricula = importlib.import_module("reasoning_gym.factory").CURRICULA
    if name not in curricula:
        raise ValueError("it has no levels")
    if not isinstance(level, int) or level < 0:
        raise ValueError(f"level {level!r} is not a number from 0")
    curriculum = curricula[name]()
    for attribute in curriculum.attributes.values():
        curriculum.set_attr_level(attribute.name, min(level, len(attribute.levels) - 1))
    return dataclasses.replace(curriculum.generate_configuration(), **values)


def _mend(name: str, dataset: Any) -> None:
    """Remove `eval`, and the order of sets from problems."""
    module = sys.modules[type(dataset).__module__]
    if name in _EVALUATES:
        vars(module)["eval"] = ast.literal_eval
    if name in ("isomorphic_strings", "ransom_note"):
        dataset.letters = _OrderedSet(dataset.letters)
    if name == "polynomial_multiplication" and not hasattr(module, "_sets_of_monomials"):
        vars(module)["_sets_of_monomials"] = original = vars(module)["itermonomials"]
        vars(module)["itermonomials"] = lambda *args: sorted(original(*args), key=str)


class _OrderedSet(frozenset[str]):
    """A set with sorted iteration."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(super().__iter__()))

    def __sub__(self, other: Any) -> _OrderedSet:
        return _OrderedSet(super().__sub__(other))


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """End code in the main thread with a TimeoutError; other threads can't be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        raise TimeoutError(f"the verifier took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
