"""The gain from a strategy's effort: scored attempts in, points of accuracy against samples, rounds or tokens out.

Arms of the curves, by strategy:

- `repeats`, x = samples k: `mean` (one sample), `pass` (any of k is right), `majority` (the answer most of k give).
- `verify`, x = samples k: `best by P(yes)` (the one the model itself finds most likely to be right), and the three above.
- `self_correct`, x = round: `self-correct` and its controls: `re-answer` (asked again, no critique), `majority, equal
  tokens` (as many draws as the tokens of the rounds so far allow), `random change` (as many answers changed, blindly).
- `budget`, x = thinking tokens: `budget`.

Docs are the unit: intervals are over docs (or the sources that they share), and a doc that was answered several times
counts with its mean. All arms of a curve are over the same docs.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalharness.stats.estimates import estimate, mean_interval
from evalharness.stats.flips import Flips, flips
from evalharness.stats.paired import paired_answers_interval
from evalharness.stats.repeats import (
    best_at_k,
    majority_at_k,
    majority_curve,
    pass_at_k,
)
from evalharness.store.records import Attempt, CurvePoint

Floats = npt.NDArray[np.float64]

_DIGITS = 12
"""Expectations are rounded to: a sure 1 that comes out as 1 + 2e-16 would get another kind of interval."""


class Gap(NamedTuple):
    """By how much selection by the model's own verification beats its generation, paired by doc."""

    value: float
    """Best of n by P(yes) minus the mean score."""
    ci_low: float
    """Of the mean difference per doc, 95 %."""
    ci_high: float
    relative: float
    """Share of what generation leaves to gain: value / (1 - mean score); NaN when the mean is 1 or more."""
    n: int
    """Docs."""
    num_samples: int
    """Chosen from, per doc."""


_Rule = Callable[[list[Attempt], list[int]], list[float]]
"""Samples of a doc, ks -> score at each k."""


class _Step(NamedTuple):
    x: float
    docs: Sequence[int]
    """(docs,) ids."""
    values: Floats
    """(docs,) score."""
    draws: float
    """Answers per doc, on average, that a value is made of; 1 where they aren't all 0 or 1."""
    num_tokens: float
    """Per doc."""


class _Arm(NamedTuple):
    name: str
    steps: Sequence[_Step]


class _Correction(NamedTuple):
    """One trajectory of `self_correct`."""

    doc_id: int
    correct: dict[int, Attempt]
    """By round."""
    reanswer: dict[int, Attempt]
    draws: list[Attempt]
    """The first answer, then the votes."""


def curve(
    task: str,
    strategy: str,
    attempts: Iterable[Attempt],
    clusters: Mapping[int, str] | None = None,
) -> list[CurvePoint]:
    """Points of a strategy's arms, in the order of the module's docstring and of x.

    Flips (gained, lost and their p) are given for `self_correct` and `budget`, between points of an arm whose scores
    are all 0 or 1: not where docs have expected scores.

    Args:
        task: its name, for the points.
        strategy: name of a strategy; one that has no curve has no points.
        attempts: all of the task, in any order. A doc that lacks a round or a budget which another has is left out of
            all arms; curves over samples end at the smallest number that any doc has.
        clusters: doc id -> the source that the doc shares with others; None where the task declares none.
    """
    if strategy not in _KINDS:
        return []
    kind = _KINDS[strategy]
    return [
        point
        for arm in kind.arms(list(attempts))
        for point in _points(arm, task, strategy, kind, clusters)
    ]


def verification_gap(attempts: Iterable[Attempt], clusters: Mapping[int, str] | None = None) -> Gap:
    """Generation-verification gap of a task's `verify` attempts at all samples; all NaN with n = 0 without any.

    Args:
        attempts: all of the task, in any order.
        clusters: as `curve`'s.

    Source: Song et al. 2024, arXiv:2412.02674 (best-of-n by the model's own verification).
    """
    samples = _drawn(attempts, are_repeats_draws=False)
    if not samples:
        return Gap(math.nan, math.nan, math.nan, math.nan, 0, 0)
    k = min(len(drawn) for _, drawn in samples)
    docs = [doc_id for doc_id, _ in samples]
    means, bests = (
        _per_doc(docs, [score for _, drawn in samples for score in rule(drawn, [k])])
        for rule in (_means, _bests)
    )
    differences = bests - means
    sources = _sources(sorted(set(docs)), clusters)
    scores = [sample.score for _, drawn in samples for sample in drawn]
    if _is_binary(scores):
        low, high = paired_answers_interval(differences, sources, len(scores) / len(means))
    else:
        # On the scale of scores, so that differences that are all equal get the interval of equal scores.
        low, high = (
            2 * end - 1 for end in mean_interval(((differences + 1) / 2).tolist(), sources)
        )
    value, left = float(differences.mean()), 1 - float(means.mean())
    relative = value / left if left > 0 else math.nan
    return Gap(value, low, high, relative, len(means), k)


def _points(
    arm: _Arm, task: str, strategy: str, kind: "_Kind", clusters: Mapping[int, str] | None
) -> Iterator[CurvePoint]:
    sources = _sources(arm.steps[0].docs, clusters) if arm.steps else None
    for place, step in enumerate(arm.steps):
        found = estimate(step.values.tolist(), sources, step.draws)
        is_compared = kind.has_flips and place > 0
        since_first = _flips(arm.steps[0], step, sources) if is_compared else None
        since_last = _flips(arm.steps[place - 1], step, sources) if is_compared else None
        yield CurvePoint(
            task=task,
            strategy=strategy,
            arm=arm.name,
            x=step.x,
            x_name=kind.x_name,
            value=found.value,
            ci_low=found.ci_low,
            ci_high=found.ci_high,
            n=found.n,
            num_tokens=step.num_tokens,
            gained=since_first.gained if since_first else None,
            lost=since_first.lost if since_first else None,
            p_value=since_first.p_value if since_first else None,
            gained_step=since_last.gained if since_last else None,
            lost_step=since_last.lost if since_last else None,
            p_value_step=since_last.p_value if since_last else None,
        )


def _flips(before: _Step, after: _Step, sources: Sequence[str] | None) -> Flips | None:
    """None where a doc is neither right nor wrong."""
    if not np.isin([before.values, after.values], (0.0, 1.0)).all():
        return None
    return flips(before.values, after.values, sources)


def _sources(docs: Sequence[int], clusters: Mapping[int, str] | None) -> list[str] | None:
    """The source of each doc; one that declares none is its own. None where no two docs share one."""
    sources = [(clusters or {}).get(doc, f"doc {doc}") for doc in docs]
    return sources if len(set(sources)) < len(sources) else None


def _repeats_arms(attempts: list[Attempt]) -> list[_Arm]:
    rules: dict[str, _Rule] = {"mean": _means, "pass": _passes, "majority": _majorities}
    return _sample_arms(_drawn(attempts, are_repeats_draws=True), rules)


def _verify_arms(attempts: list[Attempt]) -> list[_Arm]:
    rules: dict[str, _Rule] = {
        "best by P(yes)": _bests,
        "majority": _majorities,
        "mean": _means,
        "pass": _passes,
    }
    return _sample_arms(_drawn(attempts, are_repeats_draws=False), rules)


def _sample_arms(
    samples: list[tuple[int, list[Attempt]]],
    rules: dict[str, _Rule],
) -> list[_Arm]:
    if not samples:
        return []
    docs = [doc_id for doc_id, _ in samples]
    ks = _sizes(min(len(drawn) for _, drawn in samples))
    cost = np.array([np.mean([sample.num_tokens for sample in drawn]) for _, drawn in samples])
    draws = _num_answers([drawn for _, drawn in samples])
    arms = []
    for name, rule in rules.items():
        columns = np.array([rule(drawn, ks) for _, drawn in samples]).T
        steps = [
            _step(k, docs, column, k * cost, draws) for k, column in zip(ks, columns, strict=True)
        ]
        arms.append(_Arm(name, steps))
    return arms


def _sizes(num_samples: int) -> list[int]:
    """1, 2, 4, ... and all."""
    return sorted({2**i for i in range(num_samples.bit_length())} | {num_samples})


def _means(samples: list[Attempt], ks: list[int]) -> list[float]:
    return [math.fsum(sample.score for sample in samples) / len(samples)] * len(ks)


def _passes(samples: list[Attempt], ks: list[int]) -> list[float]:
    num_correct = sum(sample.score >= 1 for sample in samples)
    return [float(pass_at_k(num_correct, len(samples), k)) for k in ks]


def _majorities(samples: list[Attempt], ks: list[int]) -> list[float]:
    return majority_curve([s.answer for s in samples], [s.score for s in samples], ks)


def _bests(samples: list[Attempt], ks: list[int]) -> list[float]:
    """A sample without a P(yes) is taken last."""
    confidences = [-math.inf if s.p_yes is None else s.p_yes for s in samples]
    return [best_at_k([s.score for s in samples], confidences, k) for k in ks]


def _correction_arms(attempts: list[Attempt]) -> list[_Arm]:
    tracks = _corrections(attempts)
    if not tracks:
        return []
    arms = [_Arm("self-correct", _attempt_steps([(t.doc_id, t.correct) for t in tracks]))]
    if tracks[0].reanswer:
        arms.append(_Arm("re-answer", _attempt_steps([(t.doc_id, t.reanswer) for t in tracks])))
    if any(len(track.draws) > 1 for track in tracks):
        rounds = list(tracks[0].correct)
        arms.append(_Arm("majority, equal tokens", [_vote_step(tracks, r) for r in rounds]))
        arms.append(_Arm("random change", [_random_step(tracks, r) for r in rounds[1:]]))
    return arms


def _corrections(attempts: list[Attempt]) -> list[_Correction]:
    """Trajectories that have every round of both procedures, and no draw missing before their last."""
    rounds = {
        arm: {tried.step for tried in attempts if tried.arm == arm}
        for arm in ("correct", "reanswer")
    }
    tracks = []
    for doc_id, arms in _by_sample(attempts):
        votes = arms["vote"]
        has_rounds = all(arms[arm].keys() == steps for arm, steps in rounds.items())
        if has_rounds and arms["correct"] and votes.keys() == set(range(1, len(votes) + 1)):
            draws = [next(iter(arms["correct"].values())), *votes.values()]
            tracks.append(_Correction(doc_id, arms["correct"], arms["reanswer"], draws))
    return tracks


def _vote_step(tracks: list[_Correction], round_: int) -> _Step:
    """Majority of the draws that the tokens of the rounds so far would have paid for.

    Tokens left over pay for a share of the next draw, which votes with that probability: what is spent is the same.
    """
    values, tokens, voters = [], [], []
    for track in tracks:
        spent = list(accumulate(draw.num_tokens for draw in track.draws))
        budget = track.correct[round_].num_tokens
        k = max(1, bisect_right(spent, budget))
        left = max(budget - spent[k - 1], 0)
        share = left / track.draws[k].num_tokens if k < len(track.draws) and left else 0.0
        values.append(_majority(track.draws[:k]))
        tokens.append(float(spent[k - 1]))
        if share:
            values[-1] += share * (_majority(track.draws[: k + 1]) - values[-1])
            tokens[-1] += left
        voters.append(track.draws[: k + (share > 0)])
    return _step(round_, [track.doc_id for track in tracks], values, tokens, _num_answers(voters))


def _majority(draws: list[Attempt]) -> float:
    return majority_at_k([d.answer for d in draws], [d.score for d in draws], len(draws))


def _random_step(tracks: list[_Correction], round_: int) -> _Step:
    """First answers of which as many as changed by this round are each replaced by a draw, whichever they are.

    A doc whose correction cost no tokens has no draw but its first answer.
    """
    first = [track.draws[0] for track in tracks]
    others = [track.draws[1:] or track.draws for track in tracks]
    share = np.mean([track.correct[round_].answer != track.draws[0].answer for track in tracks])
    scores = np.array([f.score for f in first])
    drawn = np.array([np.mean([draw.score for draw in draws]) for draws in others])
    cost = np.array([np.mean([draw.num_tokens for draw in draws]) for draws in others])
    tokens = np.array([f.num_tokens for f in first]) + share * cost
    values = (1 - share) * scores + share * drawn
    draws = _num_answers([track.draws for track in tracks])
    return _step(round_, [track.doc_id for track in tracks], values, tokens, draws)


def _budget_arms(attempts: list[Attempt]) -> list[_Arm]:
    budgets = {tried.step for tried in attempts}
    tracks = [(doc_id, arms["budget"]) for doc_id, arms in _by_sample(attempts)]
    complete = [(doc_id, by_budget) for doc_id, by_budget in tracks if by_budget.keys() == budgets]
    return [_Arm("budget", _attempt_steps(complete))] if complete else []


def _attempt_steps(tracks: list[tuple[int, dict[int, Attempt]]]) -> list[_Step]:
    """One step for each of an arm's own; every trajectory has all."""
    docs = [doc_id for doc_id, _ in tracks]
    return [
        _step(x, docs, [by[x].score for _, by in tracks], [by[x].num_tokens for _, by in tracks])
        for x in tracks[0][1]
    ]


def _step(
    x: int, docs: list[int], values: npt.ArrayLike, tokens: npt.ArrayLike, draws: float = 1.0
) -> _Step:
    """One point; `draws` are the answers behind each of the values."""
    known = sorted(set(docs))
    num = draws * len(docs) / len(known) if draws > 1 or _is_binary(values) else 1.0
    return _Step(float(x), known, _per_doc(docs, values), num, float(_per_doc(docs, tokens).mean()))


def _num_answers(draws: Sequence[list[Attempt]]) -> float:
    """Of a trajectory, on average; 1 where they aren't all right or wrong."""
    if not _is_binary([draw.score for drawn in draws for draw in drawn]):
        return 1.0
    return float(np.mean([len(drawn) for drawn in draws]))


def _is_binary(values: npt.ArrayLike) -> bool:
    return bool(np.isin(np.asarray(values), (0.0, 1.0)).all())


def _drawn(attempts: Iterable[Attempt], are_repeats_draws: bool) -> list[tuple[int, list[Attempt]]]:
    """Samples to choose from, with their doc's id; repeats are more of them, or trajectories of their own."""
    groups: dict[tuple[int, int], list[Attempt]] = defaultdict(list)
    for tried in sorted(attempts, key=lambda tried: tried.step):
        groups[tried.doc_id, 0 if are_repeats_draws else tried.repeat].append(tried)
    return [(doc_id, samples) for (doc_id, _), samples in sorted(groups.items())]


def _by_sample(attempts: list[Attempt]) -> list[tuple[int, dict[str, dict[int, Attempt]]]]:
    """Doc id and arm -> step -> attempt of each trajectory, steps in order; an arm it lacks is empty."""
    tracks: dict[tuple[int, int], dict[str, dict[int, Attempt]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for tried in sorted(attempts, key=lambda tried: tried.step):
        steps = tracks[tried.doc_id, tried.repeat][tried.arm]
        assert tried.step not in steps, f"two attempts of one step: {tried}"
        steps[tried.step] = tried
    return [(doc_id, arms) for (doc_id, _), arms in sorted(tracks.items(), key=lambda i: i[0])]


def _per_doc(docs: list[int], values: npt.ArrayLike) -> Floats:
    """Mean of each doc's trajectories, in the order of docs."""
    _, place, counts = np.unique(docs, return_inverse=True, return_counts=True)
    sums = np.bincount(place, weights=values)
    return np.asarray(np.round(sums / counts, _DIGITS))


class _Kind(NamedTuple):
    x_name: str
    arms: Callable[[list[Attempt]], list[_Arm]]
    has_flips: bool
    """Each point is one answer of a doc, which can be gained or lost."""


_KINDS = {
    "repeats": _Kind("samples", _repeats_arms, False),
    "verify": _Kind("samples", _verify_arms, False),
    "self_correct": _Kind("round", _correction_arms, True),
    "budget": _Kind("thinking tokens", _budget_arms, True),
}
