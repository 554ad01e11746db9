"""The capability index: scores of many models on many benchmarks in, one capability per model out.

A model's expected score on a benchmark is `c + (1 - c) * sigmoid(slope * (capability - difficulty))`, c the chance
floor. Only differences along the scale are in the scores, up to one factor, so the scale is set by two models with
given capabilities. A model that can't be placed is refused, with the reason, and never guessed.

There are two methods: `likelihood` (`fit_likelihood`) and, as a check, `epoch`, the published procedure (`fit_epoch`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from evalharness.errors import UserError, did_you_mean, some
from evalharness.trend.fit_epoch import fit_epoch
from evalharness.trend.fit_likelihood import (
    Dispersion,
    Floats,
    Ints,
    Parameters,
    Rows,
    fit_likelihood,
    rank_deficiency,
)

Method = Literal["likelihood", "epoch"]

LAMBDA = 0.1
"""Default ridge of both methods: Epoch's; in the likelihood, slopes that differ by a factor of e^3 are then normal."""
MIN_BENCHMARKS = 4
"""Least benchmarks per model, as Epoch's."""
MIN_MODELS = 3
"""Least models per benchmark, as two scores are fitted exactly by its two parameters."""

_SCALE_FREEDOM = 2
"""Shift and factor."""


class Score(NamedTuple):
    """One model's score on one benchmark; several of a pair count as several."""

    model: str
    benchmark: str
    score: float
    """In [0, 1], not corrected for chance."""
    chance: float = 0.0
    """What guessing scores, in [0, 1)."""
    num_items: int | None = None
    """Number of its docs; None if unknown."""


class Anchors(NamedTuple):
    """Two models that set the scale, each with its capability by definition."""

    low: str
    high: str
    low_value: float = 130.0
    high_value: float = 150.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CapabilityFit:
    """Capability of every model and the curve of every benchmark, on the anchored scale if there is one."""

    method: Method
    lam: float
    anchors: Anchors | None
    models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    capability: Floats
    """(models,)."""
    difficulty: Floats
    """(benchmarks,) capability at which the score is halfway between chance and 1."""
    slope: Floats
    """(benchmarks,) per unit of capability."""
    dispersion: Dispersion
    refused_models: Mapping[str, str]
    """Name -> reason."""
    refused_benchmarks: Mapping[str, str]
    rows: Rows
    """The scores that were fitted, models and benchmarks numbered as above."""

    @property
    def parameters(self) -> Parameters:
        """The rows for `fit_likelihood`."""
        return Parameters(self.capability, self.difficulty, np.log(self.slope))

    @property
    def num_benchmarks(self) -> Ints:
        """(models,) number of benchmarks of each capability."""
        cells = np.unique(np.stack([self.rows.model, self.rows.benchmark]), axis=1)
        return np.bincount(cells[0], minlength=len(self.models))


def fit_capability(
    scores: Iterable[Score],
    anchors: Anchors | None = None,
    method: Method = "likelihood",
    lam: float = LAMBDA,
) -> CapabilityFit:
    """The index of all models that can be placed.

    Args:
        scores: of any number of models; order doesn't matter.
        anchors: without them the scale is the method's own, and not comparable between fits.
        method: `epoch` corrects scores for chance, ignores num_items, takes a pair's best score and needs the benchmark
            Winogrande.
        lam: ridge, above 0; of other meaning in each method.

    Raises:
        UserError: a score out of range, too few scores, unconnected parts, or a missing anchor.
    """
    if lam <= 0:
        raise UserError(f"lambda is {lam}; it must be above 0, such as {LAMBDA}")
    checked = [check_score(score) for score in scores]
    if method == "epoch":
        checked = _best(map(corrected, checked))
    kept, models, benchmarks = _select(checked, method)
    names, rows = _numbered(kept)
    _require_connected(*names, rows)
    if method == "epoch":
        parameters, dispersion = fit_epoch(rows, names[1], lam)
    else:
        _require_determined(rank_deficiency(rows, *map(len, names)))
        parameters, dispersion = fit_likelihood(rows, lam)
    if anchors:
        places = find_anchors(names[0], anchors, models)
        parameters = anchored(parameters, places, anchors)
    return CapabilityFit(
        method=method,
        lam=lam,
        anchors=anchors,
        models=names[0],
        benchmarks=names[1],
        capability=parameters.capability,
        difficulty=parameters.difficulty,
        slope=np.exp(parameters.log_slope),
        dispersion=dispersion,
        refused_models=models,
        refused_benchmarks=benchmarks,
        rows=rows,
    )


def find_anchors(
    models: Sequence[str], anchors: Anchors, refused: Mapping[str, str]
) -> tuple[int, int]:
    """Positions of the two anchors among the models.

    Raises:
        UserError: one isn't among them.
    """
    for name in anchors[:2]:
        if name not in models:
            why = f": {refused[name]}" if name in refused else did_you_mean(name, models)
            raise UserError(f"anchor {name!r} has no capability{why}; name another model")
    return models.index(anchors.low), models.index(anchors.high)


def anchored(parameters: Parameters, places: tuple[int, int], anchors: Anchors) -> Parameters:
    """The same expected scores on the scale on which the two models have the anchors' values.

    Raises:
        UserError: the high anchor isn't above the low one.
    """
    low, high = parameters.capability[list(places)]
    if not high > low:
        way_out = "swap them" if high < low else "name two models that differ"
        raise UserError(
            f"anchor {anchors.high!r} is not above {anchors.low!r} ({high:.3g} and {low:.3g}); {way_out}"
        )
    factor = (anchors.high_value - anchors.low_value) / (high - low)
    return Parameters(
        anchors.low_value + factor * (parameters.capability - low),
        anchors.low_value + factor * (parameters.difficulty - low),
        parameters.log_slope - math.log(factor),
    )


def check_score(score: Score) -> Score:
    """The score itself.

    Raises:
        UserError: its value, chance or number of items is invalid.
    """
    where = f"{score.model!r} on {score.benchmark!r}"
    if not 0 <= score.score <= 1:
        raise UserError(f"{where}: score is {score.score}; give a share from 0 to 1")
    if not 0 <= score.chance < 1:
        raise UserError(f"{where}: chance is {score.chance}; give a share from 0 to below 1")
    if score.num_items is not None and score.num_items < 1:
        raise UserError(f"{where}: {score.num_items} items; give 1 or more, or none if unknown")
    return score


def corrected(score: Score) -> Score:
    """The score with what guessing gives at 0; one below chance is at it, as in Epoch's procedure."""
    above = max(score.score - score.chance, 0.0) / (1 - score.chance)
    return score._replace(score=above, chance=0.0)


def _best(scores: Iterable[Score]) -> list[Score]:
    best: dict[tuple[str, str], Score] = {}
    for score in scores:
        pair = score[:2]
        if pair not in best or score.score > best[pair].score:
            best[pair] = score
    return list(best.values())


def _select(
    scores: list[Score], method: Method
) -> tuple[list[Score], dict[str, str], dict[str, str]]:
    """What can be placed, and why not the rest; a refusal can make another, so until there is none."""
    has_limits = method == "likelihood"
    min_models = MIN_MODELS if has_limits else 1
    models: dict[str, str] = {}
    benchmarks: dict[str, str] = {}
    while True:
        thin = _refusals(scores, "benchmark", min_models, has_limits)
        if not thin:
            thin = _refusals(scores, "model", MIN_BENCHMARKS, has_limits)
            models |= thin
        else:
            benchmarks |= thin
        if not thin:
            break
        scores = [score for score in scores if thin.keys().isdisjoint(score[:2])]
    if not scores:
        at_limit = next(
            (
                f" ({name!r}: {why})"
                for name, why in (benchmarks | models).items()
                if not why.endswith("needed")
            ),
            "",
        )
        raise UserError(
            f"no model has scores on {MIN_BENCHMARKS} benchmarks that {min_models} models share{at_limit}; add scores"
        )
    return scores, models, benchmarks


def _refusals(
    scores: list[Score], kind: Literal["model", "benchmark"], least: int, has_limits: bool
) -> dict[str, str]:
    other: Literal["model", "benchmark"] = "benchmark" if kind == "model" else "model"
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(getattr(score, kind), []).append(score)
    reasons = {}
    for name, group in groups.items():
        count = len({getattr(score, other) for score in group})
        if count < least:
            reasons[name] = f"{count} {other}{'s' * (count != 1)}, at least {least} needed"
        elif has_limits and all(score.score <= score.chance for score in group):
            reasons[name] = f"no score above chance ({count} {other}s)"
        elif has_limits and all(score.score == 1 for score in group):
            reasons[name] = f"every score is 1 ({count} {other}s)"
    return reasons


def _numbered(scores: list[Score]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], Rows]:
    """Names in alphabetical order and the rows sorted by them, so that the input's order doesn't matter."""
    scores = sorted(scores, key=lambda score: (*score[:4], score.num_items or 0))
    models = tuple(sorted({score.model for score in scores}))
    benchmarks = tuple(sorted({score.benchmark for score in scores}))
    of_model = {name: place for place, name in enumerate(models)}
    of_benchmark = {name: place for place, name in enumerate(benchmarks)}
    rows = Rows(
        np.array([of_model[score.model] for score in scores], dtype=np.intp),
        np.array([of_benchmark[score.benchmark] for score in scores], dtype=np.intp),
        np.array([score.score for score in scores]),
        np.array([score.chance for score in scores]),
        np.array([score.num_items or math.nan for score in scores]),
    )
    return (models, benchmarks), rows


def _require_connected(models: Sequence[str], benchmarks: Sequence[str], rows: Rows) -> None:
    size = len(models) + len(benchmarks)
    edges = (np.ones(len(rows.model)), (rows.model, len(models) + rows.benchmark))
    count, part = csgraph.connected_components(
        sparse.coo_array(edges, shape=(size, size)), directed=False
    )
    if count > 1:
        parts = [
            [models[m] for m in np.flatnonzero(part[: len(models)] == k)] for k in range(count)
        ]
        shown = "; ".join(some(map(repr, names)) for names in sorted(parts, key=len, reverse=True))
        raise UserError(
            f"the scores fall into {count} parts that share no benchmark: {shown}; "
            "add a model scored in both, or fit one part alone"
        )


def _require_determined(deficiency: int) -> None:
    if deficiency > _SCALE_FREEDOM:
        raise UserError(
            f"the scores leave {deficiency - _SCALE_FREEDOM} more parameters free than the scale's 2: "
            "some benchmarks share too few models with the rest; add scores or raise the minimum of models"
        )
