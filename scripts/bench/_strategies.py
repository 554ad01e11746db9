"""Strategies that gain nothing, as `coverage.py` simulates them: their attempts, and what the program says of them.

A trial takes a task's docs, lets a strategy answer them, and tells of each point of its curve whether the interval holds the
truth, and of each change whether it is rightly not found. Answers are right, or wrong in one way.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from evalharness.stats import strategy_curves
from evalharness.stats.strategy_curves import (
    curve,
    verification_gap,
)
from evalharness.store.records import Attempt

Floats = npt.NDArray[np.float64]

OF_A_DOC = 0.3
"""Correlation of a doc's answers."""

_WITHOUT_GAIN = ("self-correct", "re-answer", "budget")
"""Arms that are worth the same at every point; a majority is not."""

Seen = Iterator[tuple[str, str, bool]]
"""Part of the table, what of a curve, and whether it is as it should be."""


class Docs(NamedTuple):
    """A task's docs, which share sources."""

    clusters: Mapping[int, str]
    shown: npt.NDArray[np.intp]
    """(docs,) which of the answers drawn a doc has: its source's with probability sqrt(correlation), else its own, so that
    whatever is computed of two docs of a source correlates so."""
    abilities: Floats
    """(answers,) chances to be right."""


def _answers(
    rng: np.random.Generator, docs: Docs, repeats: int, steps: int
) -> npt.NDArray[np.bool_]:
    """(docs, repeats, steps) whether right."""
    chances = docs.abilities[:, None, None]
    return np.asarray((rng.random((len(chances), repeats, steps)) < chances)[docs.shown])


def _attempts(
    arm: str,
    right: npt.NDArray[np.bool_],
    first_step: int = 0,
    tokens: tuple[int, ...] = (),
    p_yes: Floats | None = None,
) -> list[Attempt]:
    """Of answers with one way to be right and one to be wrong; 10 tokens where none are given."""
    return [
        Attempt(
            doc_id=doc,
            repeat=repeat,
            arm=arm,
            step=first_step + step,
            answer="right" if is_right else "wrong",
            score=float(is_right),
            num_tokens=tokens[step] if tokens else 10,
            p_yes=None if p_yes is None else float(p_yes[doc, repeat, step]),
        )
        for (doc, repeat, step), is_right in np.ndenumerate(right)
    ]


def _points(
    strategy: str, attempts: list[Attempt], docs: Docs, truth: Callable[[str, float], float]
) -> Seen:
    for point in curve("t", strategy, attempts, docs.clusters):
        what = f"{point.arm} at {point.x:g}"
        yield strategy, what, point.ci_low <= truth(point.arm, point.x) <= point.ci_high
        for since, p_value in (("first", point.p_value), ("last", point.p_value_step)):
            if p_value is not None and point.arm in _WITHOUT_GAIN:
                yield f"{strategy} test", f"{what}, since {since}", p_value >= 0.05


def _verify(skill: float) -> Trial:
    """Four draws; in a share of docs the model knows which are right, else it ranks them blindly."""

    def trial(rng: np.random.Generator, p: float, docs: Docs) -> Seen:
        right = _answers(rng, docs, 1, 4)
        blind = rng.random((len(docs.abilities), 1, 4)).argsort(-1)[docs.shown] / 4
        knows = (rng.random(len(docs.abilities)) < skill)[docs.shown]
        tried = _attempts("sample", right, p_yes=np.where(knows[:, None, None], right, blind))

        def truth(arm: str, k: float) -> float:
            gap = skill * (_of_samples("pass", p, int(k)) - p)
            return p + gap if arm.startswith("best") else _of_samples(arm, p, int(k))

        yield from _points("verify", tried, docs, truth)
        gap = verification_gap(tried, docs.clusters)
        yield "verification gap", "gap", gap.ci_low <= truth("best", 4) - p <= gap.ci_high

    return trial


def _repeats(rng: np.random.Generator, p: float, docs: Docs) -> Seen:
    """Eight draws of each doc."""
    tried = _attempts("sample", _answers(rng, docs, 8, 1))
    yield from _points("repeats", tried, docs, lambda arm, k: _of_samples(arm, p, int(k)))


def _correction(repeats: int) -> Trial:
    """Two rounds that change 3 in 10 answers for others of the same chance; 1.5 answers' tokens each."""

    def trial(rng: np.random.Generator, p: float, docs: Docs) -> Seen:
        first = _answers(rng, docs, repeats, 1)
        rounds = {}
        for arm in ("correct", "reanswer"):
            again = _answers(rng, docs, repeats, 2)
            is_kept = (rng.random((len(docs.abilities), repeats, 2)) < 0.7)[docs.shown]
            second = np.where(is_kept[..., :1], first, again[..., :1])
            third = np.where(is_kept[..., 1:], second, again[..., 1:])
            rounds[arm] = _attempts(arm, np.concatenate([first, second, third], 2), 0, (10, 25, 40))
        votes = _attempts("vote", _answers(rng, docs, repeats, 3), first_step=1)
        tried = [*rounds["correct"], *rounds["reanswer"], *votes]
        yield from _points("self_correct", tried, docs, truth_of(p))

    def truth_of(p: float) -> Callable[[str, float], float]:
        votes = [_of_samples("majority", p, k) for k in (1, 2, 3, 4)]
        majority = (p, (votes[1] + votes[2]) / 2, votes[3])
        return lambda arm, x: majority[int(x)] if arm.startswith("majority") else p

    return trial


def _budget(repeats: int) -> Trial:
    """Three budgets that are of no use."""

    def trial(rng: np.random.Generator, p: float, docs: Docs) -> Seen:
        tried = _attempts("budget", _answers(rng, docs, repeats, 3))
        yield from _points("budget", tried, docs, lambda _arm, _x: p)

    return trial


@functools.cache
def _of_samples(arm: str, p: float, k: int) -> float:
    """What k of a doc's draws are worth on average: one of them, the majority, any."""
    spread = (1 - OF_A_DOC) / OF_A_DOC
    right = stats.betabinom(k, p * spread, (1 - p) * spread)
    if arm == "pass":
        return 1 - float(right.pmf(0))
    if arm == "majority":
        return float(right.sf(k // 2) + (right.pmf(k // 2) / 2 if k % 2 == 0 else 0))
    return p


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """What a doc's draws are worth is computed once for each way that they can fall, not for each doc."""
    names = ("best_at_k", "majority_at_k", "majority_curve", "pass_at_k")
    before = {name: getattr(strategy_curves, name) for name in names}
    try:
        for name, function in before.items():
            setattr(strategy_curves, name, _remembering(function))
        yield
    finally:
        for name, function in before.items():
            setattr(strategy_curves, name, function)


def _remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    found: dict[str, Any] = {}

    def remembering(*arguments: Any) -> Any:
        key = repr(arguments)
        if key not in found:
            found[key] = function(*arguments)
        return found[key]

    return remembering


Trial = Callable[[np.random.Generator, float, Docs], Seen]
TRIALS: dict[str, Trial] = {
    "repeats, 8 draws": _repeats,
    "verify, 4 draws": _verify(0.0),
    "verify with skill, 4 draws": _verify(0.5),
    "self_correct": _correction(1),
    "self_correct, 8 repeats": _correction(8),
    "budget": _budget(1),
    "budget, 8 repeats": _budget(8),
}
